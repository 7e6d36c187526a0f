"""A home whose node does not answer, looked at without changing anything: the facts for `isthmus why`."""

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from node.daemon.journal_end import JournalEnd, read_end
from node.daemon.safetyfile import given_away
from node.daemon.store import verify_files
from node.diagnosis import HomeFacts
from node.doctor.belongings import look_at_home
from node.doctor.finding import Finding, Grade, fault
from node.doctor.machine import disk, ports
from node.home import Home
from node.storage import StorageError

_MOVE_AWAY = "move the data folder away (never keys) and start: the node fetches everything from the others"
_OTHER_RELEASE = "install the release that wrote it (deploy/UPGRADE.md: going back)"
_TAIL_BYTES = 64 * 1024


def look_at_downed(
    home: Home, name: str, url: str, log_file: Path | None, environ: Mapping[str, str]
) -> HomeFacts:
    """What a home shows of its node that did not answer at `url`; `log_file` is where a supervisor catches
    what it says, None when nobody knows."""
    belongings, findings = look_at_home(home, environ)
    if belongings.config is not None and not belongings.is_running:
        findings += disk(home.path) + ports(belongings.config, is_running=False)
    end = read_end(home.journal_dir)
    if not belongings.is_running:
        findings += _damage(home, end)
    faults = tuple(
        (found.check, found.words, found.remedy) for found in findings if found.grade is Grade.FAULT
    )
    return HomeFacts(
        name=name,
        url=url,
        is_here=True,
        has_data=home.journal_dir.exists(),
        is_running=belongings.is_running,
        given_away=given_away(home),
        faults=faults,
        journal_words=end.words,
        ended_in_order=end.is_closed,
        last_words="" if log_file is None else last_line(log_file),
    )


def _damage(home: Home, end: JournalEnd) -> list[Finding]:
    """What a start would refuse of the data, as far as it is seen without opening it."""
    found = [fault("journal", f"it is damaged: {end.damage}", _MOVE_AWAY)] if end.damage else []
    found += [fault("journal", end.foreign, _OTHER_RELEASE)] if end.foreign else []
    try:
        problems = verify_files(home.data_dir) if home.chain_dir.exists() else []
    except StorageError as error:
        problems = [str(error)]
    return found + [fault("database", f"it is damaged: {problem}", _MOVE_AWAY) for problem in problems[:1]]


def last_line(log_file: Path) -> str:
    """The last line of a log that is not empty; nothing without a log."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            lines = file.read().decode("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return next(iter(deque((line.strip() for line in lines if line.strip()), maxlen=1)), "")
