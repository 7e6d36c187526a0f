"""How far a sweep has come: which numbers were played and what they went through; a file survives a kill.

A file is written whole beside the old one and renamed. Chunks that were under way are played again. Shards on
several machines have one file each; `merge` adds them up and refuses what would be counted twice.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from bench.sim.twins.generate import Space, SpaceError
from bench.sim.twins.sweep import CHUNK, Outcome, Sweep, Tally

VERSION = 1
CHECKPOINT_BYTES_MAX = 16 * 1024 * 1024
"""A file of a million scattered chunks; ranges that touch are one entry."""


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the text says why."""


@dataclass(slots=True)
class Checkpoint:
    """The numbers first..last-1 of a sweep; `done` are disjoint ranges of them, ascending."""

    sweep: Sweep
    first: int
    last: int
    done: list[tuple[int, int]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)

    @property
    def played(self) -> int:
        """Numbers that are done."""
        return sum(high - low for low, high in self.done)

    @property
    def is_complete(self) -> bool:
        """Whether every number of the range is done."""
        return self.played == self.last - self.first

    def open_chunks(self) -> Iterator[tuple[int, int]]:
        """What is left to play, in chunks that end at multiples of CHUNK."""
        low = self.first
        for done_low, done_high in [*self.done, (self.last, self.last)]:
            while low < done_low:
                high = min(done_low, (low // CHUNK + 1) * CHUNK)
                yield low, high
                low = high
            low = done_high

    def record(self, outcome: Outcome) -> None:
        """A chunk was played to its end without a failure."""
        self._add(outcome.first, outcome.last)
        self.tally.add(outcome.tally)

    def _add(self, low: int, high: int) -> None:
        ranges = sorted([*self.done, (low, high)])
        joined: list[tuple[int, int]] = []
        for start, end in ranges:
            if joined and start < joined[-1][1]:
                raise CheckpointError(
                    f"the numbers from {start} to {min(end, joined[-1][1]) - 1} are counted twice"
                )
            if joined and start == joined[-1][1]:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((start, end))
        self.done = joined

    # --- the file -----------------------------------------------------------------------------

    def encode(self) -> str:
        """JSON."""
        document = {
            "version": VERSION,
            "space": asdict(self.sweep.space),
            "symmetric": self.sweep.symmetric,
            "seed": self.sweep.seed,
            "real_signatures": self.sweep.real_signatures,
            "from": self.first,
            "to": self.last - 1,
            "done": [[low, high - 1] for low, high in self.done],
            "tally": asdict(self.tally),
        }
        return json.dumps(document, indent=1) + "\n"

    def save(self, path: Path) -> None:
        """Replace the file."""
        beside = path.with_name(path.name + ".new")
        beside.write_text(self.encode(), encoding="utf-8")
        os.replace(beside, path)

    @staticmethod
    def load(path: Path) -> "Checkpoint":
        """Raises CheckpointError when the file is not a checkpoint."""
        try:
            with path.open("rb") as file:
                data = file.read(CHECKPOINT_BYTES_MAX + 1)
            if len(data) > CHECKPOINT_BYTES_MAX:
                raise CheckpointError(f"{path}: is larger than {CHECKPOINT_BYTES_MAX} bytes")
            return _decode(json.loads(data))
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror}") from error
        except (RecursionError, KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path}: not a checkpoint of this version: {error}") from error


def _decode(document: Mapping[str, object]) -> Checkpoint:
    """Raises KeyError, TypeError or ValueError."""
    if document["version"] != VERSION:
        raise CheckpointError(f"version {document['version']}, expected {VERSION}")
    space, tally, seed = document["space"], document["tally"], document["seed"]
    done, low, high = document["done"], document["from"], document["to"]
    if not isinstance(space, dict) or not isinstance(tally, dict) or not isinstance(done, list):
        raise CheckpointError("space, tally or done are of another kind")
    if not isinstance(low, int) or not isinstance(high, int) or not (seed is None or isinstance(seed, int)):
        raise CheckpointError("from, to or seed are no numbers")
    for name, kind in (("space", space), ("tally", tally)):
        if not all(isinstance(value, int) for value in kind.values()):
            raise CheckpointError(f"{name} holds something that is no number")
    flags = (document["symmetric"], document["real_signatures"])
    if not all(isinstance(flag, bool) for flag in flags):
        raise CheckpointError("symmetric and real_signatures are true or false")
    if set(tally) != {counter.name for counter in fields(Tally)}:
        raise CheckpointError("the tally counts other things")
    try:
        sweep = Sweep(Space(**space), bool(flags[0]), seed, bool(flags[1]))
    except SpaceError as error:
        raise CheckpointError(str(error)) from error
    checkpoint = Checkpoint(sweep, low, high + 1, [], Tally(**tally))
    for start, end in done:
        if not low <= start <= end <= high:
            raise CheckpointError(f"the range from {start} to {end} lies outside")
        checkpoint._add(start, end + 1)
    if checkpoint.played != checkpoint.tally.scenarios:
        raise CheckpointError(f"{checkpoint.played} numbers are done, {checkpoint.tally.scenarios} counted")
    return checkpoint


def merge(shards: Iterable[Checkpoint]) -> Checkpoint:
    """All shards of one sweep as one. Raises CheckpointError when they are of different sweeps, overlap, or
    there is none."""
    listed = list(shards)
    if not listed:
        raise CheckpointError("there is nothing to merge")
    whole = Checkpoint(listed[0].sweep, min(s.first for s in listed), max(s.last for s in listed))
    for shard in listed:
        if shard.sweep != whole.sweep:
            raise CheckpointError("the shards are of different sweeps")
        for low, high in shard.done:
            whole._add(low, high)
        whole.tally.add(shard.tally)
    return whole
