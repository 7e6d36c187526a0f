"""A recording: everything one run of a validator was told and read, so that the run can be repeated.

A validator is pure, so its inputs, the clock it was told, and what it read of the database determine every
output. A recording holds these, from what it was assembled with on, and marks of the outputs to compare with.
Nothing else is needed to replay it but the genesis and, where it signed, the key; neither is in it.

The file is a row of entries. Each is a head, `[size of the body u32, CRC-32 of the body, CRC-32 of these
eight bytes]`, and a body of one canonical value: first an `Opening`, then the reads of assembly, then one
`Step` an input, and an `Ending` where the run could say goodbye. Nobody syncs it: what a crash tears off its
end is not missed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias
from zlib import crc32

from consensus import (
    CodecError,
    Digest,
    GuardRecord,
    HeaderCertificate,
    LocalError,
    Proposal,
    PublicKey,
    QuorumCertificate,
    SafetyRecord,
    TimeoutCertificate,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    encode_trusted,
)
from node.storage import Reader, Table
from node.validator.assembly import Tuning
from node.validator.inputs import Input
from node.validator.layout import tip_from, tip_value
from node.validator.outputs import Output
from node.validator.recorded_input import input_from, input_value
from node.validator.recorded_output import OutputMark, mark_value
from node.validator.recorded_tables import TABLE_NUMBERS, table_of
from node.validator.recovered import Recovered

FORMAT_VERSION = 4
HEAD_BYTES = 12
ENTRY_BYTES_MAX = 256 * 1024 * 1024
"""Largest body; what a start recovers (blocks and batches not executed yet) is the largest of all."""
_OPENING, _ASSEMBLED, _STEP, _ENDING = 1, 2, 3, 4
_ITEMS_MAX = 2**24
_TEXT_MAX = 2**16


class RecordingForeign(ValueError):
    """The file is no recording, or one of another format version."""


class RecordingDamaged(ValueError):
    """Entry `number` (the opening is 0) was changed after it was written, and others follow it."""

    def __init__(self, number: int, detail: str) -> None:
        super().__init__(number, detail)
        self.number = number
        self.detail = detail

    def __str__(self) -> str:
        return f"entry {self.number} is damaged: {self.detail}"


# --- what is recorded -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Read:
    """One look into the database, and what was found."""

    table: Table
    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Opening:
    """What a validator was assembled from. `consensus_key` is None for an observer; `signing` holds the
    safety record and the guard with which it may sign, None when it may not. The key itself is not in it."""

    software: str
    cluster_id: bytes
    consensus_key: PublicKey | None
    signing: tuple[SafetyRecord, GuardRecord] | None
    tuning: Tuning
    now_ms: int
    recovered: Recovered


@dataclass(frozen=True, slots=True)
class Assembled:
    """What was read while the validator was assembled."""

    reads: tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Raised:
    """The step ended in an error of ours, which ended the process."""

    error: str
    detail: str

    @staticmethod
    def of(error: Exception) -> "Raised":
        """An error as it is recorded."""
        return Raised(type(error).__name__, str(error)[:_TEXT_MAX])

    def __str__(self) -> str:
        return f"{self.error}: {self.detail}"


Outcome: TypeAlias = tuple[OutputMark, ...] | Raised


@dataclass(frozen=True, slots=True)
class Step:
    """One call of `Validator.step`."""

    now_ms: int
    item: Input
    reads: tuple[Read, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ending:
    """The recording ends here, on purpose, for this reason."""

    reason: str


Entry: TypeAlias = Opening | Assembled | Step | Ending


class RecordingReader:
    """A reader that remembers what was read through it, until it is taken or stopped."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._reads: list[tuple[Value, ...]] | None = []

    def get(self, table: Table, key: bytes) -> bytes | None:
        """The value at `key`, or None."""
        value = self._reader.get(table, key)
        if self._reads is not None:
            self._reads.append((TABLE_NUMBERS[table], key, value))
        return value

    def take(self) -> tuple[Value, ...]:
        """Everything read since it was last taken, as recorded values, in order."""
        reads, self._reads = self._reads or [], []
        return tuple(reads)

    def stop(self) -> None:
        """Remember nothing any more."""
        self._reads = None


# --- writing ----------------------------------------------------------------------------------------


def framed(body: bytes) -> tuple[bytes, bytes]:
    """Head and body of an entry, to be written one after the other. Raises CodecError when too large."""
    if len(body) > ENTRY_BYTES_MAX:
        raise CodecError(f"an entry of {len(body)} bytes exceeds {ENTRY_BYTES_MAX}")
    head = len(body).to_bytes(4, "big") + crc32(body).to_bytes(4, "big")
    return head + crc32(head).to_bytes(4, "big"), body


def encode_opening(opening: Opening) -> bytes:
    """The body of the first entry."""
    record, guard = opening.signing or (None, None)
    return encode_trusted(
        (
            _OPENING,
            FORMAT_VERSION,
            opening.software,
            opening.cluster_id,
            opening.consensus_key,
            None if record is None else record.to_value(),
            None if guard is None else guard.to_value(),
            (
                opening.tuning.base_timeout_ms,
                opening.tuning.seal_delay_ms,
                opening.tuning.sender_per_second,
                opening.tuning.halt_height,
                int(opening.tuning.verification_certificates),
                opening.tuning.commit_target_ms,
            ),
            opening.now_ms,
            _recovered_value(opening.recovered),
        )
    )


def encode_assembled(reads: tuple[Value, ...]) -> bytes:
    """The body of the second entry; `reads` as a RecordingReader hands them out."""
    return encode_trusted((_ASSEMBLED, reads))


def encode_step(
    now_ms: int, item: Input, reads: tuple[Value, ...], outcome: Sequence[Output] | Exception
) -> bytes:
    """The body of a step's entry. Raises CodecError for what has no canonical encoding."""
    marks: tuple[Value, ...] | None = None
    error: tuple[Value, ...] | None = None
    if isinstance(outcome, Exception):
        raised = Raised.of(outcome)
        error = (raised.error, raised.detail)
    else:
        marks = tuple([mark_value(output) for output in outcome])
    return encode_trusted((_STEP, now_ms, input_value(item), reads, marks, error))


def encode_ending(reason: str) -> bytes:
    """The body of the last entry."""
    return encode_trusted((_ENDING, reason))


def _recovered_value(recovered: Recovered) -> tuple[Value, ...]:
    return (
        tip_value(recovered.tip),
        None if recovered.root is None else recovered.root.to_value(),
        None if recovered.record is None else recovered.record.to_value(),
        None if recovered.high_qc is None else recovered.high_qc.to_value(),
        None if recovered.high_tc is None else recovered.high_tc.to_value(),
        None if recovered.certified is None else recovered.certified.to_value(),
        tuple(proposal.to_value() for proposal in recovered.proposals),
        tuple(recovered.batches),
        recovered.journal_seq,
    )


# --- reading ----------------------------------------------------------------------------------------


class RecordingFile:
    """The entries of a file, one after the other. `torn` is what a crash left of an entry at the end, in
    bytes, once all others were read."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        """`read` answers with that many bytes, fewer only at the end."""
        self._read = read
        self.position = 0
        self.torn = 0

    def entries(self) -> Iterator[Entry]:
        """All whole entries; the first is an `Opening`, or the `Ending` of what was too large for any. Raises
        RecordingForeign, RecordingDamaged."""
        number = 0
        while (body := self._next_body(number)) is not None:
            try:
                entry = decode_entry(body)
                if isinstance(entry, Opening) != (number == 0) and not isinstance(entry, Ending):
                    raise CodecError("an opening stands first, and nowhere else")
            except CodecError as error:
                raise RecordingDamaged(number, str(error)) from error
            yield entry
            number += 1

    def _next_body(self, number: int) -> bytes | None:
        head = self._read(HEAD_BYTES)
        if len(head) < HEAD_BYTES:
            self.torn = len(head)
            return None
        if crc32(head[:8]) != int.from_bytes(head[8:], "big"):
            if not any(head) and self._only_zeros_follow():
                return None  # the file had grown, and a power cut came before its content
            if number == 0:
                raise RecordingForeign("it does not begin as a recording does")
            raise RecordingDamaged(number, "its head's checksum is wrong")
        size = int.from_bytes(head[:4], "big")
        if size > ENTRY_BYTES_MAX:
            raise RecordingDamaged(number, f"{size} bytes exceed {ENTRY_BYTES_MAX}")
        body = self._read(size)
        if len(body) < size:
            self.torn = HEAD_BYTES + len(body)
            return None
        if crc32(body) != int.from_bytes(head[4:8], "big"):
            if not self._read(1):
                self.torn = HEAD_BYTES + size
                return None
            raise RecordingDamaged(number, "its checksum is wrong")
        self.position += HEAD_BYTES + size
        return body

    def _only_zeros_follow(self) -> bool:
        self.torn = HEAD_BYTES
        while chunk := self._read(65_536):
            if any(chunk):
                return False
            self.torn += len(chunk)
        return True


def decode_entry(body: bytes) -> Entry:
    """The entry of these bytes. Raises CodecError, and RecordingForeign for another format version."""
    value = decode(body, max_bytes=ENTRY_BYTES_MAX)
    if type(value) is not tuple or len(value) < 2:
        raise CodecError("an entry is an array")
    kind = as_int(value[0], "entry kind", low=_OPENING, high=_ENDING)
    if kind == _OPENING:
        return _opening_from(value)
    if kind == _ASSEMBLED:
        return Assembled(_reads_from(as_tuple(value, 2, "assembly")[1]))
    if kind == _ENDING:
        return Ending(as_text(as_tuple(value, 2, "ending")[1], "reason", max_length=_TEXT_MAX))
    _, now_ms, item, reads, marks, error = as_tuple(value, 6, "step")
    return Step(as_int(now_ms, "time"), input_from(item), _reads_from(reads), _outcome_from(marks, error))


def _outcome_from(marks: Value, error: Value) -> Outcome:
    if error is None:
        return tuple(OutputMark.from_value(mark) for mark in as_array(marks, _ITEMS_MAX, "outputs"))
    if marks is not None:
        raise CodecError("a step ends in outputs or in an error")
    name, detail = as_tuple(error, 2, "error")
    return Raised(as_text(name, "error"), as_text(detail, "detail", max_length=_TEXT_MAX))


def _reads_from(value: Value) -> tuple[Read, ...]:
    found = []
    for item in as_array(value, _ITEMS_MAX, "reads"):
        table, key, content = as_tuple(item, 3, "read")
        data = None if content is None else as_bytes(content, "value")
        found.append(Read(table_of(table), as_bytes(key, "key"), data))
    return tuple(found)


def _opening_from(value: tuple[Value, ...]) -> Opening:
    if value[1] != FORMAT_VERSION:
        raise RecordingForeign(f"its format is version {value[1]!r:.20}, this program reads {FORMAT_VERSION}")
    _, _, software, cluster_id, key, record, guard, tuning, now_ms, recovered = as_tuple(value, 10, "opening")
    base_timeout_ms, seal_delay_ms, sender_per_second, halt_height, certificates, commit_target_ms = as_tuple(
        tuning, 6, "tuning"
    )
    if (record is None) != (guard is None):
        raise CodecError("a safety record comes with its guard")
    signing = None
    if record is not None and guard is not None:
        signing = SafetyRecord.from_value(record), GuardRecord.from_value(guard)
    return Opening(
        as_text(software, "software"),
        as_bytes(cluster_id, "cluster id", length=32),
        None if key is None else PublicKey(as_bytes(key, "key", length=32)),
        signing,
        Tuning(
            as_int(base_timeout_ms, "timeout"),
            as_int(seal_delay_ms, "delay"),
            as_int(sender_per_second, "rate"),
            as_int(halt_height, "halt height"),
            as_int(certificates, "verification certificates", high=1) == 1,
            as_int(commit_target_ms, "commit target"),
        ),
        as_int(now_ms, "time"),
        _recovered_from(recovered),
    )


def _recovered_from(value: Value) -> Recovered:
    tip, root, record, high_qc, high_tc, certified, proposals, batches, seq = as_tuple(value, 9, "recovered")
    try:
        found_tip = tip_from(as_bytes(tip, "tip"))
    except LocalError as error:
        raise CodecError(str(error)) from error
    return Recovered(
        found_tip,
        None if root is None else Proposal.from_value(root),
        None if record is None else SafetyRecord.from_value(record),
        None if high_qc is None else QuorumCertificate.from_value(high_qc),
        None if high_tc is None else TimeoutCertificate.from_value(high_tc),
        None if certified is None else HeaderCertificate.from_value(certified),
        tuple(Proposal.from_value(item) for item in as_array(proposals, _ITEMS_MAX, "proposals")),
        tuple(_batch_from(item) for item in as_array(batches, _ITEMS_MAX, "batches")),
        as_int(seq, "journal position"),
    )


def _batch_from(value: Value) -> tuple[Digest, bytes]:
    digest, data = as_tuple(value, 2, "batch")
    return Digest(as_bytes(digest, "digest", length=32)), as_bytes(data, "batch")
