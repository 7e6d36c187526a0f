"""`isthmus-bench replay`: a recorded run of a node once more, and the first step that comes out otherwise.

Nothing of the home is opened but the genesis, the key and the recording, and nothing in it is written: a
node that runs is not disturbed.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bench.rerun import Difference, Replay, ReplayFailed
from consensus import PublicKey, SigningKey
from node.cli.exits import Exit
from node.cli.options import home_option, json_option
from node.cli.output import Output
from node.daemon.recorder import recordings_dir, recordings_in
from node.genesis import Genesis, GenesisError
from node.home import Home, KeyFileError, read_key
from node.validator.recording import RecordingDamaged, RecordingFile, RecordingForeign

PATIENCE_SECONDS = 2.0
"""What takes longer shows a bar."""
_LOOK_EVERY = 256
"""Entries between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a replay: `entries` were repeated, `virtual_ms` of the node's clock in `seconds`.
    `ended` says why it ends there, `torn_bytes` is what a crash left of an entry at the end of the file."""

    recording: int
    entries: int
    virtual_ms: int
    seconds: float
    ended: str
    torn_bytes: int
    difference: Difference | None

    @property
    def end(self) -> str:
        """The end in words."""
        if self.ended:
            return f"it ends here: {self.ended}"
        torn = f", {self.torn_bytes} bytes of an entry are torn" if self.torn_bytes else ""
        return f"it stops without a farewell{torn}: the node was killed, or is running"

    def document(self) -> dict[str, object]:
        """For --json."""
        difference = None if self.difference is None else asdict(self.difference)
        return {
            "identical": self.difference is None,
            **asdict(self),
            "seconds": round(self.seconds, 3),
            "difference": difference,
        }


def _genesis_of(home: Home) -> Genesis:
    try:
        return Genesis.from_json(home.genesis_text())
    except FileNotFoundError:
        raise ReplayFailed(
            "not-a-home",
            Exit.CONFIGURATION,
            f"{home.path} is not a node's home: config/genesis.json is missing",
        ) from None
    except (GenesisError, OSError, UnicodeDecodeError) as error:
        raise ReplayFailed(
            "genesis-unreadable", Exit.CONFIGURATION, f"{home.genesis_file}: {error}"
        ) from error


def _file_of(home: Home, number: int | None) -> tuple[int, Path]:
    try:
        found = recordings_in(recordings_dir(home))
    except OSError as error:
        raise ReplayFailed(
            "recording-unreadable", Exit.STORAGE, f"{recordings_dir(home)}: {error.strerror}"
        ) from error
    if not found:
        raise ReplayFailed(
            "no-recordings",
            Exit.CONFIGURATION,
            f"there are no recordings in {recordings_dir(home)}: set storage.recording_bytes_max in "
            "config.toml (268435456 is a good beginning) and start the node again",
        )
    if number is None:
        return found[-1]
    for one, path in found:
        if one == number:
            return one, path
    raise ReplayFailed(
        "no-such-recording",
        Exit.USAGE,
        f"there is no recording {number}; there are {', '.join(str(one) for one, _ in found)}",
    )


def key_in(home: Home) -> Callable[[PublicKey], SigningKey]:
    """Hands out the validator key of a home, which is read when it is asked for."""

    def key_of(public: PublicKey) -> SigningKey:
        file = home.validator_key_file
        if not file.exists():
            raise ReplayFailed(
                "key-missing",
                Exit.KEYS,
                f"{file} does not exist, and without the key {public.hex()[:12]} what was signed cannot be "
                "repeated; copy the key there, or replay where it is",
            )
        try:
            key = SigningKey(read_key(file))
        except (KeyFileError, OSError) as error:
            raise ReplayFailed("key-unreadable", Exit.KEYS, str(error)) from error
        if key.public_key != public:
            raise ReplayFailed(
                "key-differs",
                Exit.KEYS,
                f"{file} holds the key {key.public_key.hex()[:12]}, the recording was signed with "
                f"{public.hex()[:12]}",
            )
        return key

    return key_of


@contextmanager
def _bar(size: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, once it takes longer than people like to wait without one."""
    console = Console(stderr=True)
    columns = (TextColumn("replaying"), BarColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    task = bar.add_task("replaying", total=size)
    began = time.monotonic()
    shown = False

    def moved(position: int) -> None:
        nonlocal shown
        if not shown and time.monotonic() - began > PATIENCE_SECONDS:
            bar.start()
            shown = True
        bar.update(task, completed=position)

    try:
        yield moved
    finally:
        if shown:
            bar.stop()


def replay_file(home: Home, number: int | None = None, until: int | None = None) -> Report:
    """Repeat one recording of a home, the newest by default. Raises ReplayFailed."""
    genesis = _genesis_of(home)
    chosen, path = _file_of(home, number)
    began = time.perf_counter()
    run = Replay(genesis, key_in(home))
    difference, ended = None, ""
    try:
        with path.open("rb") as file, _bar(path.stat().st_size) as moved:
            recording = RecordingFile(file.read)
            for entry in recording.entries():
                difference = run.feed(entry)
                if run.entries % _LOOK_EVERY == 0:
                    moved(recording.position)
                if difference is not None:
                    break
                if until is not None and run.entries > until:
                    ended = "--until asked for no more"
                    break
    except RecordingForeign as error:
        raise ReplayFailed("recording-foreign", Exit.STORAGE, f"{path} is no recording: {error}") from error
    except RecordingDamaged as error:
        before = f"the {run.entries} entries before it came out as recorded" if run.entries else "all is lost"
        raise ReplayFailed("recording-damaged", Exit.STORAGE, f"{path}: {error}; {before}") from error
    except OSError as error:
        raise ReplayFailed("recording-unreadable", Exit.STORAGE, f"{path}: {error.strerror}") from error
    if not run.entries:
        raise ReplayFailed(
            "recording-empty", Exit.STORAGE, f"{path} holds no whole entry; choose another one"
        )
    if not run.has_begun:
        raise ReplayFailed(
            "recording-empty",
            Exit.STORAGE,
            f"{path} ended before there was anything to repeat: {run.ended}; choose another one",
        )
    seconds = time.perf_counter() - began
    return Report(
        chosen, run.entries, run.virtual_ms, seconds, ended or run.ended, recording.torn, difference
    )


def _told(report: Report, console: Console) -> None:
    speed = report.virtual_ms / 1000 / max(report.seconds, 0.001)
    console.print(
        f"recording {report.recording}: {report.entries} entries, {report.virtual_ms / 1000:.1f} s of the "
        f"node in {report.seconds:.1f} s ({speed:.1f} times as fast)"
    )
    difference = report.difference
    if difference is None:
        console.print(f"identical; {report.end}")
        return
    after_s = report.virtual_ms / 1000
    console.print(
        f"entry {difference.entry} differs, {after_s:.3f} s after the start ({difference.now_ms} ms)"
    )
    for name in ("item", "what", "expected", "got"):
        console.print(f"  {name:9} {getattr(difference, name)}", markup=False)


@click.command("replay")
@home_option
@click.option("--recording", type=click.IntRange(min=1), help="Its number; the newest by default.")
@click.option("--until", type=click.IntRange(min=0), metavar="ENTRY", help="Stop after this entry.")
@json_option
def command(home: Home, recording: int | None, until: int | None, output: Output) -> None:
    """Repeat a node's recorded run and stop at the first difference."""
    try:
        report = replay_file(home, recording, until)
    except ReplayFailed as failure:
        told = {"error": {"code": failure.code, "message": str(failure)}, "exit": int(failure.exit_code)}
        if output.as_json:
            click.echo(json.dumps(told, indent=2))
        else:
            click.echo(f"isthmus-bench: {failure} [{failure.code}]", err=True)
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        click.echo("isthmus-bench: interrupted; there is no answer", err=True)
        sys.exit(Exit.INTERRUPTED)
    output.answer(report.document(), lambda console: _told(report, console))
    sys.exit(Exit.OK if report.difference is None else Exit.NEGATIVE)
