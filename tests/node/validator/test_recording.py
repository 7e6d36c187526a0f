"""The format of recordings: every input comes back, every output has a mark of its own, and a file that was
cut, changed or filled up is told apart from a whole one.
"""

import inspect
import io
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, Digest, Epoch, GuardRecord, Height, SafetyRecord, decode, encode
from node.ledger.transactions import Transaction
from node.pool.messages import SyncRequest
from node.storage import ChainTable, Reader, StateTable, Table, Write
from node.validator import (
    Answer,
    Append,
    BatchChecked,
    BatchLoaded,
    BroadcastFrame,
    CheckBatch,
    CheckChunk,
    CheckSignatures,
    ChunkChecked,
    ChunkSubmitted,
    ClockSet,
    DiskLow,
    EnterEpoch,
    Flush,
    Flushed,
    ForwardGossip,
    Frame,
    Input,
    LinkDown,
    LinkUp,
    LoadBatch,
    Output,
    PublishFrame,
    Punish,
    Recovered,
    Refusal,
    Resume,
    Resumed,
    SendFrame,
    ServeBlocks,
    ServeSync,
    SignaturesChecked,
    Start,
    StartTimer,
    StopTimer,
    Submitted,
    Tell,
    TimerExpired,
    Tuning,
    Written,
    assemble,
)
from node.validator.recorded_input import input_from, input_value
from node.validator.recorded_output import WHOLE_BYTES_MAX, OutputMark, describe_output, mark_value
from node.validator.recorded_tables import TABLE_NUMBERS, table_of
from node.validator.recording import (
    HEAD_BYTES,
    Assembled,
    Ending,
    Entry,
    Opening,
    Raised,
    Read,
    RecordingDamaged,
    RecordingFile,
    RecordingForeign,
    RecordingReader,
    Step,
    decode_entry,
    encode_assembled,
    encode_ending,
    encode_opening,
    encode_step,
    framed,
)
from tests.node.ledger.world import key_of, make_genesis

DIGEST = Digest(bytes(range(32)))
NAMES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(0, 2**63 - 1)
INPUTS: st.SearchStrategy[Input] = st.one_of(
    st.builds(Start),
    st.builds(Resumed),
    st.builds(ClockSet, st.integers(-(2**62), 2**62)),
    st.builds(LinkUp, NAMES),
    st.builds(LinkDown, NAMES),
    st.builds(Frame, NAMES, st.integers(0, 255), st.binary(), st.none() | st.binary(max_size=16)),
    st.builds(TimerExpired, st.text(alphabet="abc-", max_size=20)),
    st.builds(Written, NUMBERS),
    st.builds(Flushed, NUMBERS),
    st.builds(BatchChecked, NAMES.map(Digest), st.none() | st.text(max_size=40)),
    st.builds(BatchLoaded, NAMES.map(Digest), st.none() | st.binary()),
    st.builds(Submitted, NUMBERS, st.lists(st.binary(), max_size=4).map(tuple)),
    st.builds(ChunkSubmitted, NUMBERS, st.binary(), NUMBERS),
    st.builds(ChunkChecked, NUMBERS, st.none() | st.text(max_size=40)),
    st.builds(SignaturesChecked, NUMBERS, st.lists(st.booleans(), max_size=8).map(tuple)),
    st.builds(DiskLow, st.booleans()),
)


def signed(number: int) -> Transaction:
    return Transaction.sign(key_of("client"), DIGEST, number.to_bytes(16, "big"), 1_000, "app", "call", ())


OUTPUTS: tuple[Output, ...] = (
    Append(7, b"record" * 30, b"guard"),
    SendFrame(bytes(32), 3, b"body", b"key"),
    BroadcastFrame(1, b"x" * 500),
    PublishFrame(20, b"header"),
    ForwardGossip(bytes(32), 21, bytes(16)),
    Punish(bytes(32), "forged", "the signature is wrong", 10, (20, bytes(16))),
    StartTimer("pool", 25),
    StopTimer("pool"),
    CheckBatch(DIGEST, b"batch"),
    CheckSignatures(4, (signed(1), signed(2))),
    Answer(4, (DIGEST, Refusal(3, "no"))),
    LoadBatch(DIGEST),
    ServeSync(bytes(32), SyncRequest(Height(5), 10, 1_000)),
    ServeBlocks(bytes(32), DIGEST, 8),
    Flush(
        3,
        (Write(ChainTable.META, b"open", b"1" * 200),),
        (Write(StateTable.NODES, b"n", None),),
        9,
        44,
    ),
    Resume(),
    Tell("sync", "height 1 of 2, from 0"),
    EnterEpoch(1, (bytes(32), DIGEST)),
    CheckChunk(5, b"chunk", 512),
)


def opening(*, signs: bool = True) -> Opening:
    genesis = make_genesis()
    record = SafetyRecord.initial(Epoch(0), 1, Height(0))
    guard = replace(GuardRecord.initial(Epoch(0)), boot=1)
    recovered = Recovered(
        genesis.beginning().tip, None, record, None, None, None, (), ((DIGEST, b"batch"),), 5
    )
    signing = (record, guard) if signs else None
    key = key_of("consensus 0").public_key if signs else None
    return Opening(
        "0.1.0",
        genesis.cluster_id,
        key,
        signing,
        Tuning(700, 30, 9, 4_711, True),
        1_700_000_000_000,
        recovered,
    )


def file_of(data: bytes) -> RecordingFile:
    return RecordingFile(io.BytesIO(data).read)


def read_all(data: bytes) -> tuple[list[Entry], int]:
    recording = file_of(data)
    return list(recording.entries()), recording.torn


def bodies() -> list[bytes]:
    step = encode_step(1_700_000_000_001, Start(), (), [StartTimer("pool", 25)])
    return [encode_opening(opening()), encode_assembled(()), step, encode_ending("the node ended")]


def data_of(parts: list[bytes]) -> bytes:
    return b"".join(piece for body in parts for piece in framed(body))


# --- inputs, outputs, reads -------------------------------------------------------------------------


@given(INPUTS)
def test_every_input_comes_back(item: Input) -> None:
    assert input_from(decode(encode(input_value(item)))) == item


def test_every_kind_of_input_and_output_is_covered_by_these_tests() -> None:
    assert {type(input_from(input_value(item))) for item in one_of_each()} == set(get_args(Input))
    assert [type(output) for output in OUTPUTS] == list(get_args(Output))


def one_of_each() -> Iterator[Input]:
    yield from (Start(), LinkUp(b"p"), LinkDown(b"p"), Frame(b"p", 1, b""), TimerExpired("t"), Written(1))
    yield from (Flushed(1), Resumed(), BatchChecked(DIGEST, None), BatchLoaded(DIGEST, None))
    yield from (Submitted(1, ()), SignaturesChecked(1, (True, False)), DiskLow(True))
    yield from (ChunkSubmitted(1, b"c", 1), ChunkChecked(1, None), ClockSet(-5))


def test_the_numbers_of_inputs_outputs_and_tables_stay_what_they_are() -> None:
    assert [input_value(item)[0] for item in one_of_each()] == [*range(1, 16), 17]
    assert [OutputMark.of(output).kind for output in OUTPUTS] == list(range(1, 20))
    tables: list[Table] = [*ChainTable, *StateTable]
    assert sorted(TABLE_NUMBERS[table] for table in tables) == list(range(1, 19))
    assert TABLE_NUMBERS[ChainTable.BLOCKS] == 1
    assert TABLE_NUMBERS[StateTable.STATE] == 11
    assert TABLE_NUMBERS[ChainTable.EPOCHS] == 15
    assert TABLE_NUMBERS[ChainTable.OUTBOX_PLACES] == 18
    assert all(table_of(TABLE_NUMBERS[table]) is table for table in tables)


@pytest.mark.parametrize(
    "value",
    [
        (),
        None,
        (0,),
        (17,),
        (17, 2**63),
        (18,),
        (16, 1),
        (14, 1, b"chunk"),
        (15, 1, 5),
        (1, 2),
        (4, b"p", 1, b"body"),
        (4, b"p", 1, "body", None),
        (9, b"short", None),
        (11, 1, (5,)),
        (12, 1, b"\2"),
        (13, 2),
    ],
    ids=repr,
)
def test_what_is_no_input_is_refused(value: Any) -> None:
    with pytest.raises(CodecError):
        input_from(value)


def test_a_recording_that_does_not_tell_by_how_much_the_clock_was_set_is_read_as_before() -> None:
    assert input_from((16,)) == ClockSet(0)


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: type(output).__name__)
def test_a_mark_comes_back_and_any_other_output_has_another(output: Output) -> None:
    mark = OutputMark.of(output)
    assert OutputMark.from_value(mark_value(output)) == mark == OutputMark.of(replace(output))
    assert type(output).__name__ in str(mark)
    assert type(output).__name__ in describe_output(output)
    for field in fields(output):
        if not field.compare:
            continue  # the same as another field says, in another form
        other = replace(output, **{field.name: another(getattr(output, field.name))})
        assert OutputMark.of(other) != mark, field.name


def another(value: Any) -> Any:
    """A value of the same type that is another one."""
    if value is None:
        return b"now"
    if isinstance(value, tuple):
        return value[1:] if value and not isinstance(value[0], int) else (value[0] + 1, *value[1:])
    if is_dataclass(value):
        return SyncRequest(Height(6), 10, 1_000)
    return value + (1 if isinstance(value, int) else "!" if isinstance(value, str) else b"!")


def test_small_outputs_are_kept_whole_and_large_ones_by_their_digest() -> None:
    assert str(OutputMark.of(StartTimer("pool", 25))) == "StartTimer(pool, 25)"
    large = OutputMark.of(BroadcastFrame(1, bytes(WHOLE_BYTES_MAX)))
    assert len(large.image) == 32
    assert "sha256" in str(large)
    assert len(describe_output(BroadcastFrame(1, bytes(5_000)))) < 300


@pytest.mark.parametrize(
    "value", [(0, 1, b"\x90"), (20, 1, b"\x90"), (1, 2, b"\x90"), (1, 500, b"\x90"), (1, 1)]
)
def test_what_is_no_mark_is_refused(value: Any) -> None:
    with pytest.raises(CodecError):
        OutputMark.from_value(value)


class Values(Reader):
    """A database of one value, which changes while it is read."""

    def __init__(self) -> None:
        self.looks = 0

    def get(self, table: Table, key: bytes) -> bytes | None:
        self.looks += 1
        return None if self.looks == 1 else b"%d" % self.looks


def test_reads_are_remembered_in_order_until_they_are_taken() -> None:
    reader = RecordingReader(Values())
    assert [reader.get(ChainTable.META, b"k") for _ in range(3)] == [None, b"2", b"3"]
    number = TABLE_NUMBERS[ChainTable.META]
    assert reader.take() == ((number, b"k", None), (number, b"k", b"2"), (number, b"k", b"3"))
    assert reader.take() == ()


def test_a_stopped_reader_reads_and_remembers_nothing() -> None:
    reader = RecordingReader(Values())
    reader.get(ChainTable.META, b"k")
    reader.stop()
    assert reader.get(ChainTable.META, b"k") == b"2"
    assert reader.take() == ()
    assert reader.get(ChainTable.META, b"k") == b"3"


# --- entries ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("signs", [True, False])
def test_an_opening_comes_back(signs: bool) -> None:
    assert decode_entry(encode_opening(opening(signs=signs))) == opening(signs=signs)


def test_all_that_goes_into_an_assembly_is_recorded() -> None:
    """Who adds a field here adds it to the format, or what is replayed is not what ran."""
    assert [field.name for field in fields(Tuning)] == [
        "base_timeout_ms",
        "seal_delay_ms",
        "sender_per_second",
        "halt_height",
        "verification_certificates",
        "commit_target_ms",
    ]
    assert [field.name for field in fields(Recovered)] == [
        "tip",
        "root",
        "record",
        "high_qc",
        "high_tc",
        "certified",
        "proposals",
        "batches",
        "journal_seq",
    ]
    arguments = ["genesis", "recovered", "reader", "consensus_key", "safety", "tuning", "now_ms", "scheme"]
    assert list(inspect.signature(assemble).parameters) == arguments  # the scheme is Ed25519 in a daemon


@given(INPUTS, st.lists(st.tuples(st.sampled_from([*ChainTable, *StateTable]), st.binary(), st.binary())))
def test_a_step_comes_back(item: Input, found: list[tuple[Table, bytes, bytes]]) -> None:
    reads = tuple((TABLE_NUMBERS[table], key, value) for table, key, value in found)
    outputs: list[Output] = [StartTimer("pool", 25), BroadcastFrame(1, bytes(200))]
    step = decode_entry(encode_step(17, item, reads, outputs))
    marks = tuple(OutputMark.of(output) for output in outputs)
    assert step == Step(17, item, tuple(Read(*entry) for entry in found), marks)


def test_a_step_that_raised_and_an_assembly_come_back() -> None:
    step = decode_entry(encode_step(17, Start(), (), ValueError("words")))
    assert step == Step(17, Start(), (), Raised("ValueError", "words"))
    number = TABLE_NUMBERS[StateTable.META]
    assembled = decode_entry(encode_assembled(((number, b"k", None),)))
    assert assembled == Assembled((Read(StateTable.META, b"k", None),))


def test_entries_come_back_in_order() -> None:
    entries, torn = read_all(data_of(bodies()))
    assert [type(entry) for entry in entries] == [Opening, Assembled, Step, Ending]
    assert entries[-1] == Ending("the node ended")
    assert torn == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc0",
        encode((3,)),
        encode((5, 1)),
        encode((4, 1)),
        encode((2, ((99, b"k", None),))),
        encode((3, 1, (1,), (), None, None)),
        encode((3, 1, (1,), (), (), ("a", "b"))),
        encode((3, -1, (1,), (), (), None)),
    ],
    ids=repr,
)
def test_what_is_no_entry_is_refused(body: bytes) -> None:
    with pytest.raises(CodecError):
        decode_entry(body)
    with pytest.raises(RecordingDamaged, match="entry 1 is damaged"):
        read_all(data_of([bodies()[0], body]))


# --- files ------------------------------------------------------------------------------------------


def test_a_file_cut_anywhere_reads_up_to_its_last_whole_entry() -> None:
    parts = bodies()
    data = data_of(parts)
    ends = [len(data_of(parts[: count + 1])) for count in range(len(parts))]
    for cut in range(len(data)):
        entries, torn = read_all(data[:cut])
        whole = sum(end <= cut for end in ends)
        assert len(entries) == whole
        assert torn == cut - (ends[whole - 1] if whole else 0)


def test_a_changed_byte_is_never_taken_for_what_was_written() -> None:
    parts = bodies()
    data = data_of(parts)
    before_last = len(data_of(parts[:-1]))
    for place in range(0, len(data), 3):
        changed = bytearray(data)
        changed[place] ^= 0x10
        if place < HEAD_BYTES:
            with pytest.raises(RecordingForeign):
                read_all(bytes(changed))
        elif place < before_last + HEAD_BYTES:
            with pytest.raises(RecordingDamaged):
                read_all(bytes(changed))
        else:
            entries, torn = read_all(bytes(changed))
            assert (len(entries), torn) == (len(parts) - 1, len(data) - before_last)


def test_zeros_at_the_end_are_what_a_power_cut_left() -> None:
    data = data_of(bodies())
    entries, torn = read_all(data + bytes(10_000))
    assert (len(entries), torn) == (4, 10_000)
    with pytest.raises(RecordingDamaged, match="entry 4"):
        read_all(data + bytes(10_000) + b"\1")


def test_a_second_opening_and_a_beginning_without_one_are_refused() -> None:
    parts = bodies()
    with pytest.raises(RecordingDamaged, match="an opening stands first"):
        read_all(data_of([*parts, parts[0]]))
    with pytest.raises(RecordingDamaged, match="an opening stands first"):
        read_all(data_of(parts[1:]))


def test_another_program_s_file_is_foreign() -> None:
    with pytest.raises(RecordingForeign):
        read_all(b"SQLite format 3\0" * 10)
