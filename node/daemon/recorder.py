"""Recording a run into the home's data folder, so that `isthmus-bench replay` can repeat it. Off by default.

Each start begins a file of its own. Every entry is one plain write, without a sync, before the outputs of its
step are performed: a kill -9 loses nothing of what had left the node, a power cut loses the end, and the
order of the journal is not touched. Recording gives way before anything else does: at its bound, when the
disk is low, or when a write fails, it ends with one line in the log, and the node goes on.

All files together hold at most `storage.recording_bytes_max`; one file holds half of that, so that the run
before, which may have ended in what one wants to look at, is still there.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import structlog

from consensus import CodecError
from node.config import NodeConfig
from node.daemon.driver import Stepper
from node.daemon.startup import OpenedHome
from node.home import Home
from node.storage import Reader
from node.validator import DiskLow, Input, Output, Tuning
from node.validator.recording import (
    HEAD_BYTES,
    Opening,
    RecordingReader,
    encode_assembled,
    encode_ending,
    encode_opening,
    encode_step,
    framed,
)

FILES_MAX = 64
"""Recordings kept, however small: a node that cannot start makes one at each try."""
_REASON_MAX = 256
_ENDING_BYTES = HEAD_BYTES + 16 + 4 * _REASON_MAX
"""Room kept for the entry that says why a recording ends."""
_NAME = re.compile(r"([0-9]{6,})\.rec")

_log = structlog.get_logger("isthmus")


@dataclass(slots=True)
class RecorderCounts:
    """What was recorded, for metrics; all zero when nothing is."""

    running: bool = False
    entries: int = 0
    bytes_held: int = 0
    bytes_limit: int = 0


def recordings_dir(home: Home) -> Path:
    """Where a home's recordings lie."""
    return home.data_dir / "recordings"


def recordings_in(directory: Path) -> list[tuple[int, Path]]:
    """The recordings of a folder by number, the oldest first; none when there is no folder."""
    if not directory.is_dir():
        return []
    found = ((_NAME.fullmatch(path.name), path) for path in directory.iterdir())
    return sorted((int(match[1]), path) for match, path in found if match is not None)


def opening_of(opened: OpenedHome, tuning: Tuning, software: str, now_ms: int) -> Opening:
    """What a home's validator is assembled from."""
    key, safety = opened.consensus_key, opened.safety
    return Opening(
        software,
        opened.genesis.cluster_id,
        None if key is None else key.public_key,
        None if safety is None else (safety.record, safety.guard),
        tuning,
        now_ms,
        opened.recovered,
    )


class Recorder:
    """One run on its way to a file. `begin` is told what is being assembled, with `reader`; `follow` the
    validator that came out; and whoever steps calls `step`, which is the validator's."""

    def __init__(self, directory: Path, bytes_max: int, reader: Reader) -> None:
        """Makes room and the file; a folder that refuses ends the recording, never the node."""
        self.reader = RecordingReader(reader)
        self.counts = RecorderCounts(bytes_limit=bytes_max // 2)
        self._validator: Stepper | None = None
        self._file = -1
        try:
            self._file = _new_file(directory, bytes_max - self.counts.bytes_limit)
            self.counts.running = True
        except OSError as error:
            _log.warning("recording_refused", detail=f"{directory}: {error.strerror}")
            self.reader.stop()

    def begin(self, opening: Opening) -> None:
        """What the validator is about to be assembled from."""
        self._write(lambda: encode_opening(opening))

    def follow(self, validator: Stepper) -> None:
        """The validator that was assembled; what was read meanwhile is recorded."""
        self._validator = validator
        self._write(lambda: encode_assembled(self.reader.take()))

    def step(self, item: Input, now_ms: int) -> list[Output]:
        """The validator's step, recorded; also when it raises."""
        if self._validator is None:
            raise AssertionError("a recorder steps through the validator it follows")
        try:
            outputs = self._validator.step(item, now_ms)
        except Exception as error:
            failure = error
            self._write(lambda: encode_step(now_ms, item, self.reader.take(), failure))
            raise
        self._write(lambda: encode_step(now_ms, item, self.reader.take(), outputs))
        if type(item) is DiskLow and item.low:
            self._end("the disk is low")
        return outputs

    def close(self) -> None:
        """The run ends."""
        self._end("the node ended")

    def _write(self, encode: Callable[[], bytes]) -> None:
        counts = self.counts
        if not counts.running:
            return
        try:
            parts = framed(encode())
        except CodecError as error:
            self._end(f"an entry cannot be written: {error}")
            return
        if counts.bytes_held + sum(map(len, parts)) + _ENDING_BYTES > counts.bytes_limit:
            self._end(f"its bound of {counts.bytes_limit} bytes is reached")
            return
        refusal = self._put(parts)
        if refusal is not None:
            self._end(refusal)

    def _put(self, parts: tuple[bytes, bytes]) -> str | None:
        """Write one entry, whole or not at all; why it was refused."""
        size = sum(map(len, parts))
        try:
            if os.writev(self._file, parts) < size:  # a disk that fills takes what fits
                os.ftruncate(self._file, self.counts.bytes_held)
                return "the disk is full"
        except OSError as error:
            return f"it cannot be written: {error.strerror}"
        self.counts.entries += 1
        self.counts.bytes_held += size
        return None

    def _end(self, reason: str) -> None:
        if self.counts.running:
            self.counts.running = False
            _log.info("recording_ended", detail=reason)
            self._put(framed(encode_ending(reason[:_REASON_MAX])))
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self.reader.stop()


@contextmanager
def recording(config: NodeConfig, reader: Reader) -> Iterator[Recorder | None]:
    """A recorder of the run that the block is, or None where nothing is to be recorded."""
    bytes_max = config.storage.recording_bytes_max
    if not bytes_max:
        yield None
        return
    recorder = Recorder(recordings_dir(config.home), bytes_max, reader)
    try:
        yield recorder
    finally:
        recorder.close()


def _new_file(directory: Path, kept_bytes: int) -> int:
    """A descriptor of the next file; the oldest ones were removed, so that the rest hold `kept_bytes`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    present = recordings_in(directory)
    number = present[-1][0] + 1 if present else 1
    held = sum(path.stat().st_size for _, path in present)
    while present and (held > kept_bytes or len(present) >= FILES_MAX):
        _, oldest = present.pop(0)
        held -= oldest.stat().st_size
        oldest.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND
    return os.open(directory / f"{number:06}.rec", flags, 0o600)
