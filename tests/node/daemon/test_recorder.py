"""Recording a run: bounded, private, whole entries only, and never in the node's way."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from bench.local import make_record
from bench.replaying import replay_file
from consensus import SigningKey
from node import wire
from node.client import Wallet
from node.config import ConfigError, NodeConfig, parse_config
from node.daemon.recorder import (
    FILES_MAX,
    Recorder,
    recording,
    recordings_dir,
    recordings_in,
)
from node.daemon.startup import check_data
from node.home import Home, read_key
from node.storage import StateTable, Table
from node.validator import (
    Append,
    DiskLow,
    Frame,
    Input,
    Output,
    SignaturesChecked,
    Start,
    StartTimer,
    TimerExpired,
)
from node.validator.recording import Ending, Entry, Opening, Raised, RecordingFile, Step
from tests.node.daemon.running import config_of, running_node, until, written
from tests.node.daemon.test_metrics import samples_of
from tests.node.validator.test_recording import opening

MIB = 1024 * 1024


class Nothing:
    """An empty database."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Nothing."""
        return None


class Script:
    """A validator that answers every input alike, and reads once."""

    def __init__(self, recorder: Recorder, outputs: list[Output]) -> None:
        self._recorder = recorder
        self._outputs = outputs

    def step(self, item: Input, now_ms: int) -> list[Output]:
        """The same outputs."""
        self._recorder.reader.get(StateTable.META, b"tip")
        if item == TimerExpired("broken"):
            raise ValueError("broken")
        return self._outputs


def begun(directory: Path, bytes_max: int = MIB, outputs: list[Output] | None = None) -> Recorder:
    """A recorder that follows a script."""
    recorder = Recorder(directory, bytes_max, Nothing())
    recorder.begin(opening())
    recorder.follow(Script(recorder, outputs or [StartTimer("pool", 25)]))
    return recorder


def entries_of(path: Path) -> list[Entry]:
    with path.open("rb") as file:
        recorded = RecordingFile(file.read)
        entries = list(recorded.entries())
        assert recorded.torn == 0
        return entries


def ending_of(path: Path) -> str:
    last = entries_of(path)[-1]
    assert isinstance(last, Ending)
    return last.reason


# --- what is written --------------------------------------------------------------------------------


def test_every_step_is_in_the_file_before_its_outputs_are_answered(tmp_path: Path) -> None:
    recorder = begun(tmp_path / "recordings")
    ((number, path),) = recordings_in(tmp_path / "recordings")
    assert (number, path.name) == (1, "000001.rec")
    for count in range(1, 4):
        assert recorder.step(TimerExpired("pool"), count) == [StartTimer("pool", 25)]
        entries = entries_of(path)
        assert len(entries) == 2 + count == recorder.counts.entries
        last = entries[-1]
        assert isinstance(last, Step)
        assert (last.now_ms, last.item, len(last.reads)) == (count, TimerExpired("pool"), 1)
        assert path.stat().st_size == recorder.counts.bytes_held
    recorder.close()
    assert ending_of(path) == "the node ended"


def test_a_step_that_raises_is_recorded_and_raises(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    with pytest.raises(ValueError, match="broken"):
        recorder.step(TimerExpired("broken"), 1)
    recorder.close()
    step = entries_of(tmp_path / "000001.rec")[2]
    assert isinstance(step, Step)
    assert step.outcome == Raised("ValueError", "broken")
    assert len(step.reads) == 1


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    begun(tmp_path / "recordings").close()
    assert (tmp_path / "recordings").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "recordings" / "000001.rec").stat().st_mode & 0o777 == 0o600


# --- bounds -----------------------------------------------------------------------------------------


def test_a_file_at_its_bound_ends_with_the_reason_and_the_node_goes_on(tmp_path: Path) -> None:
    large: list[Output] = [Append(1, bytes(1_000))]
    recorder = begun(tmp_path, MIB, large)
    body = TimerExpired("x" * 200)
    while recorder.counts.running:
        assert recorder.step(body, 1) == large
    path = tmp_path / "000001.rec"
    size = path.stat().st_size
    assert MIB // 2 - 4_096 < size <= MIB // 2 == recorder.counts.bytes_limit
    assert "bound" in ending_of(path)
    assert recorder.step(body, 2) == large
    with pytest.raises(ValueError, match="broken"):
        recorder.step(TimerExpired("broken"), 1)
    recorder.close()
    assert path.stat().st_size == size


def test_the_oldest_files_give_way_so_that_all_together_keep_the_bound(tmp_path: Path) -> None:
    for start in range(1, 9):
        recorder = begun(tmp_path, MIB)
        for _ in range(start * 300):
            recorder.step(TimerExpired("x" * 200), 1)
        recorder.close()
        held = [path.stat().st_size for _, path in recordings_in(tmp_path)]
        assert sum(held) <= MIB
        numbers = [number for number, _ in recordings_in(tmp_path)]
        assert numbers[-1] == start
        assert numbers == list(range(numbers[0], start + 1)), "the oldest go first"
    assert 2 <= len(numbers) < 8


def test_a_node_that_cannot_start_does_not_fill_the_folder_with_small_files(tmp_path: Path) -> None:
    for _ in range(FILES_MAX + 5):
        begun(tmp_path, 64 * MIB).close()
    numbers = [number for number, _ in recordings_in(tmp_path)]
    assert numbers == list(range(6, FILES_MAX + 6))


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    for name in ("000001.rec.bak", "notes.txt", "1.rec"):
        (tmp_path / name).write_bytes(bytes(2 * MIB))
    begun(tmp_path, MIB).close()
    assert [number for number, _ in recordings_in(tmp_path)] == [1]
    assert len(list(tmp_path.iterdir())) == 4


# --- when it cannot go on ---------------------------------------------------------------------------


def test_a_low_disk_ends_the_recording_first(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    recorder.step(DiskLow(False), 1)
    assert recorder.counts.running
    recorder.step(DiskLow(True), 2)
    assert not recorder.counts.running
    assert ending_of(tmp_path / "000001.rec") == "the disk is low"
    assert recorder.step(Start(), 3) == [StartTimer("pool", 25)]


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """A disk that is full where a file would pass this size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_write_that_fits_in_part_leaves_whole_entries_and_ends_the_recording(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    path = tmp_path / "000001.rec"
    whole = recorder.counts.bytes_held
    with files_no_larger_than(whole + 30):
        assert recorder.step(TimerExpired("x" * 100), 1) == [StartTimer("pool", 25)]
    assert not recorder.counts.running
    entries = entries_of(path)
    assert len(entries) in (2, 3), "a short reason may have found room"
    assert path.stat().st_size <= whole + 30
    assert recorder.step(Start(), 2)


def test_a_folder_that_refuses_costs_the_node_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with structlog.testing.capture_logs() as told:
        recorder = begun(tmp_path / "file")
    assert [line["event"] for line in told] == ["recording_refused"]
    assert not recorder.counts.running
    assert recorder.step(Start(), 1) == [StartTimer("pool", 25)]
    recorder.close()


def test_what_has_no_encoding_ends_the_recording_and_not_the_node(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    assert recorder.step(TimerExpired("\ud800"), 1) == [StartTimer("pool", 25)]
    assert not recorder.counts.running
    assert "cannot be written" in ending_of(tmp_path / "000001.rec")


def test_the_end_is_told_once(tmp_path: Path) -> None:
    recorder = begun(tmp_path)
    with structlog.testing.capture_logs() as told:
        recorder.step(DiskLow(True), 1)
        recorder.step(DiskLow(True), 2)
        recorder.close()
    assert [line["detail"] for line in told] == ["the disk is low"]


# --- in a node --------------------------------------------------------------------------------------


def recorded(config: NodeConfig, bytes_max: int = 16 * MIB) -> NodeConfig:
    """The same node, recording."""
    return replace(config, storage=replace(config.storage, recording_bytes_max=bytes_max))


def test_nothing_is_recorded_unless_it_is_asked_for(tmp_path: Path) -> None:
    config = config_of(written(tmp_path / "net"))
    with recording(config, Nothing()) as recorder:
        assert recorder is None
    assert not recordings_dir(config.home).exists()


async def test_a_node_off_recording_says_so_in_its_metrics(tmp_path: Path) -> None:
    config = config_of(written(tmp_path / "net"))
    async with running_node(config) as node:
        samples = samples_of(node)
    assert samples["isthmus_recording_running"] == {(): 0.0}
    assert samples["isthmus_recording_entries_total"] == {(): 0.0}
    assert ("recording_bytes",) not in samples["isthmus_bounded_limit"]
    assert not recordings_dir(config.home).exists()


async def test_each_start_of_a_node_is_recorded_and_replays_identically(tmp_path: Path) -> None:
    config = recorded(config_of(written(tmp_path / "net")))
    for start in (1, 2):
        async with running_node(config) as node:
            assert await node.submit([b"no transaction"])
            samples = samples_of(node)
            assert samples["isthmus_recording_running"] == {(): 1.0}
            assert samples["isthmus_recording_entries_total"][()] > 3
            limit = samples["isthmus_bounded_limit"]["recording_bytes",]
            assert 0 < samples["isthmus_bounded_items"]["recording_bytes",] <= limit == 8 * MIB
        assert [number for number, _ in recordings_in(recordings_dir(config.home))] == list(
            range(1, start + 1)
        )
        report = replay_file(config.home, start)
        assert (report.difference, report.ended) == (None, "the node ended")


async def test_an_observer_s_run_replays_without_any_key(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net")
    config = replace(recorded(config_of(testnet)), role="observer")
    wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
    async with running_node(config) as node:
        assert await node.submit([make_record(wallet, 1, 100).encoded])
    config.home.validator_key_file.unlink()
    report = replay_file(config.home)
    assert report.difference is None
    (_, path), *_ = recordings_in(recordings_dir(config.home))
    first, *others = entries_of(path)
    assert isinstance(first, Opening)
    assert (first.consensus_key, first.signing) == (None, None)
    assert any(isinstance(step, Step) and isinstance(step.item, SignaturesChecked) for step in others)


async def test_what_others_say_of_themselves_is_recorded_and_replays(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 2)
    config = recorded(config_of(testnet, 0))
    async with running_node(config) as node, running_node(config_of(testnet, 1)) as other:
        peer = bytes(other.opened.identity.peer_id)

        def has_told() -> bool:
            seen = node.validator.sightings.of(peer)
            return seen is not None and seen.condition is not None

        await until(has_told)
    report = replay_file(config.home)
    assert (report.difference, report.ended) == (None, "the node ended")
    (_, path), *_ = recordings_in(recordings_dir(config.home))
    frames = [
        step.item for step in entries_of(path) if isinstance(step, Step) and isinstance(step.item, Frame)
    ]
    assert any(frame.topic == wire.Code.CONDITION for frame in frames)


async def test_a_recording_beside_the_data_is_nothing_a_check_complains_of(tmp_path: Path) -> None:
    config = recorded(config_of(written(tmp_path / "net")))
    async with running_node(config):
        pass
    assert recordings_in(recordings_dir(config.home))
    assert check_data(config).findings == []


def test_less_than_a_recording_takes_is_refused(tmp_path: Path) -> None:
    for size, wrong in ((1, True), (MIB - 1, True), (MIB, False), (0, False)):
        text = f"[storage]\nrecording_bytes_max = {size}\n"
        if wrong:
            with pytest.raises(ConfigError, match="recording_bytes_max is 0 or at least 1048576"):
                parse_config(text, Home(tmp_path), {})
        else:
            assert parse_config(text, Home(tmp_path), {}).config.storage.recording_bytes_max == size
