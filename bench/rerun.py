"""A recorded run once more, step by step, and how the first step that comes out otherwise differs.

The validator is assembled as it was then, from the same recovered state, and is told the same inputs at the
same times; what it reads is served from the recording. Nothing is sent or written: what it wants to write is
compared and forgotten.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import assert_never

from consensus import (
    NO_SEAT,
    GuardRecord,
    PeerError,
    Proposal,
    PublicKey,
    SafetyRecord,
    SafetyRules,
    SigningKey,
)
from node import wire
from node.cli.exits import Exit
from node.daemon.daemon import software_version
from node.genesis import Genesis
from node.storage import Table
from node.validator import Frame, Input, Output, Validator, assemble
from node.validator.recorded_input import input_value
from node.validator.recorded_output import OutputMark, describe_output, shown
from node.validator.recording import (
    Assembled,
    Ending,
    Entry,
    Opening,
    Outcome,
    Raised,
    Read,
    RecordingDamaged,
    Step,
)


class ReplayFailed(Exception):
    """The recording cannot be replayed here; `code` is stable, the sentence says what to do."""

    def __init__(self, code: str, exit_code: Exit, sentence: str) -> None:
        super().__init__(code, exit_code, sentence)
        self.code = code
        self.exit_code = exit_code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class ReadDiffers(Exception):
    """The validator looked for something in the database that it did not look for in the recorded step."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first step that came out otherwise. `entry` counts from 0, the opening."""

    entry: int
    now_ms: int
    item: str
    what: str
    expected: str
    got: str


class RecordedReads:
    """A reader that serves what one step read, in its order, and nothing else."""

    def __init__(self) -> None:
        self._reads: deque[Read] = deque()

    def load(self, reads: tuple[Read, ...]) -> None:
        """What the next step read."""
        self._reads = deque(reads)

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value that was found then. Raises ReadDiffers when this was not what came next."""
        if not self._reads:
            raise ReadDiffers(f"{_name(table, key)}, which was not recorded")
        expected = self._reads.popleft()
        if (expected.table, expected.key) != (table, key):
            raise ReadDiffers(f"{_name(table, key)}, recorded was {_name(expected.table, expected.key)}")
        return expected.value

    def left(self) -> str | None:
        """The first recorded read that was not made."""
        return _name(self._reads[0].table, self._reads[0].key) if self._reads else None


class Replay:
    """A run being repeated: feed it the entries of a recording in order."""

    def __init__(self, genesis: Genesis, key_of: Callable[[PublicKey], SigningKey]) -> None:
        """`key_of` hands out the signing key of a public one."""
        self._genesis = genesis
        self._key_of = key_of
        self._reads = RecordedReads()
        self._opening: Opening | None = None
        self._validator: Validator | None = None
        self._now_ms = 0
        self.entries = 0
        """Repeated so far, the opening included."""
        self.ended = ""
        """Why the recording ends, once it said so."""

    @property
    def has_begun(self) -> bool:
        """Whether there was an opening."""
        return self._opening is not None

    @property
    def virtual_ms(self) -> int:
        """How much of the node's clock was repeated."""
        return 0 if self._opening is None else self._now_ms - self._opening.now_ms

    def feed(self, entry: Entry) -> Difference | None:
        """Repeat one entry; how it came out otherwise. Raises ReplayFailed when it cannot be repeated here,
        RecordingDamaged when entries do not belong together."""
        if self.ended:
            raise RecordingDamaged(self.entries, "it came after the recording had ended")
        difference = None
        match entry:
            case Opening():
                self._begin(entry)
            case Assembled(reads):
                difference = self._assemble(reads)
            case Step():
                difference = self._step(entry)
            case Ending(reason):
                self.ended = reason
            case _:
                assert_never(entry)
        self.entries += 1
        return difference

    def _begin(self, opening: Opening) -> None:
        if opening.cluster_id != self._genesis.cluster_id:
            raise ReplayFailed(
                "other-genesis",
                Exit.CONFIGURATION,
                f"the recording is of cluster {opening.cluster_id.hex()[:12]}, genesis.json of "
                f"{self._genesis.cluster_id.hex()[:12]}; put the right genesis.json into config/",
            )
        if opening.software != software_version():
            raise ReplayFailed(
                "other-version",
                Exit.CONFIGURATION,
                f"isthmus {opening.software} made the recording, this is {software_version()}, which may "
                f"rightly do otherwise; replay it with {opening.software}",
            )
        self._opening, self._now_ms = opening, opening.now_ms

    def _assemble(self, reads: tuple[Read, ...]) -> Difference | None:
        opening = self._opening
        if opening is None or self._validator is not None:
            raise RecordingDamaged(self.entries, "an assembly that follows no opening")
        safety = None if opening.signing is None else self._safety(opening.consensus_key, *opening.signing)
        self._reads.load(reads)
        try:
            self._validator = assemble(
                self._genesis,
                opening.recovered,
                self._reads,
                consensus_key=opening.consensus_key,
                safety=safety,
                tuning=opening.tuning,
                now_ms=opening.now_ms,
            )
        except ReadDiffers as error:
            return self._differs(None, "read", "a validator", str(error))
        return self._unread(None)

    def _safety(self, key: PublicKey | None, record: SafetyRecord, guard: GuardRecord) -> SafetyRules:
        if key is None:
            raise RecordingDamaged(0, "it signed without a key")
        return SafetyRules(self._key_of(key), self._genesis.cluster_id, NO_SEAT, record, guard)

    def _step(self, step: Step) -> Difference | None:
        if self._validator is None:
            raise RecordingDamaged(self.entries, "a step before the validator was assembled")
        self._now_ms = step.now_ms
        self._reads.load(step.reads)
        outputs: list[Output] = []
        raised: Raised | None = None
        try:
            outputs = self._validator.step(step.item, step.now_ms)
        except ReadDiffers as error:
            return self._differs(step.item, "read", _recorded(step.outcome), str(error))
        except Exception as error:  # what the validator raised then, it must raise now, whatever it was
            raised = Raised.of(error)
        return self._compare(step, outputs, raised) or self._unread(step.item)

    def _compare(self, step: Step, outputs: list[Output], raised: Raised | None) -> Difference | None:
        expected = step.outcome
        if raised is not None or isinstance(expected, Raised):
            if raised == expected:
                return None
            got = str(raised) if raised is not None else f"{len(outputs)} outputs"
            return self._differs(step.item, "error", _recorded(expected), got)
        for place in range(max(len(expected), len(outputs))):
            mark = expected[place] if place < len(expected) else None
            output = outputs[place] if place < len(outputs) else None
            if output is None or mark is None or OutputMark.of(output) != mark:
                return self._differs(
                    step.item,
                    f"output {place + 1} of {len(expected)}",
                    "nothing more" if mark is None else str(mark),
                    "nothing more" if output is None else describe_output(output),
                )
        return None

    def _unread(self, item: Input | None) -> Difference | None:
        left = self._reads.left()
        return None if left is None else self._differs(item, "read", left, "it was not read")

    def _differs(self, item: Input | None, what: str, expected: str, got: str) -> Difference:
        told = "assembly" if item is None else describe_input(item)
        return Difference(self.entries, self._now_ms, told, what, expected, got)


def describe_input(item: Input) -> str:
    """An input in words; of a frame also what it says."""
    _, *values = input_value(item)
    words = [f"{field.name}={shown(value)}" for field, value in zip(fields(item), values, strict=True)]
    if isinstance(item, Frame):
        words.append(_message_in(item))
    return f"{type(item).__name__}({', '.join(words)})"


def _message_in(frame: Frame) -> str:
    if frame.gossip_id is not None:
        return "by gossip"
    try:
        if frame.topic in (wire.Code.AGREEMENT, wire.Code.BLOCKS):
            message: object = wire.agreement_message(frame.topic, frame.body)
        else:
            message = wire.pool_message(frame.topic, frame.body)
    except PeerError as error:
        return f"not readable: {error.detail}"
    round = message.block.round if isinstance(message, Proposal) else getattr(message, "round", None)
    return type(message).__name__ + ("" if round is None else f" of round {round}")


def _recorded(outcome: Outcome) -> str:
    return str(outcome) if isinstance(outcome, Raised) else f"{len(outcome)} outputs"


def _name(table: Table, key: bytes) -> str:
    return f"{table.value} {key.hex() if len(key) <= 40 else key.hex()[:80] + '...'}"
