"""What a start may sign when journal and database do not belong together: rule C14, inside one reservation.

The guard reserves 64 rounds ahead, so it cannot tell an older record of the same start from the newest one:
that the newest one is gone must be seen from the files.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from consensus import GuardRecord, Round, SafetyRecord, StartKind, decode, encode
from node.config import NodeConfig
from node.daemon.startup import OpenedHome, StartupError, open_home
from node.storage import ChainTable, Write
from node.validator.layout import OPEN_KEY, OpenBook
from node.validator.records import encode_start
from tests.node.daemon.running import config_of, written

STORED, LAST, BOUND = Round(10), Round(40), Round(64)
"""Voted in when the database was filled, voted in last, and reserved."""


def voted(opened: OpenedHome, round: Round) -> SafetyRecord:
    """The journal's record after a vote in `round`."""
    assert opened.floor is not None
    assert opened.floor.record is not None
    record = replace(opened.floor.record, last_voted_round=round)
    opened.journal.append([encode_start(record)])
    return record


def filled(opened: OpenedHome, record: SafetyRecord) -> None:
    """The database takes over what the journal holds."""
    book = OpenBook(opened.journal.last_seq, record, None, None, None, (), ())
    opened.store.apply((Write(ChainTable.META, OPEN_KEY, book.encode()),), ())


def reserved(opened: OpenedHome) -> None:
    """The guard as the first vote raised it."""
    assert opened.guard is not None
    guard = GuardRecord.from_value(decode(opened.guard.payload))
    opened.guard.store(encode(replace(guard, round_bound=BOUND).to_value()))


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return config_of(written(tmp_path / "net"))


def restarted(config: NodeConfig) -> tuple[StartKind, Round]:
    opened = open_home(config)
    try:
        assert opened.floor is not None
        assert opened.floor.record is not None
        return opened.floor.kind, opened.floor.record.highest_signed_round
    finally:
        opened.close()


def test_a_journal_and_the_database_behind_it_start_normally(config: NodeConfig) -> None:
    opened = open_home(config)
    reserved(opened)
    filled(opened, voted(opened, STORED))
    voted(opened, LAST)
    opened.close()
    assert restarted(config) == (StartKind.NORMAL, LAST)


def test_a_journal_that_is_gone_is_data_that_is_older_than_what_was_signed(config: NodeConfig) -> None:
    opened = open_home(config)
    reserved(opened)
    filled(opened, voted(opened, STORED))
    voted(opened, LAST)
    opened.close()
    shutil.rmtree(config.home.journal_dir)
    assert restarted(config) == (StartKind.BEHIND, BOUND)
    assert restarted(config) == (StartKind.NORMAL, BOUND), "the floor outlives the next start"


def test_a_journal_older_than_the_database_is_refused_in_a_sentence(config: NodeConfig) -> None:
    opened = open_home(config)
    reserved(opened)
    voted(opened, STORED)
    opened.close()
    older = config.home.journal_dir.with_name("older")
    shutil.copytree(config.home.journal_dir, older)
    opened = open_home(config)
    filled(opened, voted(opened, LAST))
    opened.close()
    shutil.rmtree(config.home.journal_dir)
    older.rename(config.home.journal_dir)
    with pytest.raises(StartupError, match=r"is older than the database.*move the data folder away") as told:
        open_home(config)
    assert told.value.code == "journal-behind"
