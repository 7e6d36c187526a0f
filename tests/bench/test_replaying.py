"""A replay repeats what happened, stops where something else would happen, and says what it lacks."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from bench import replaying, rerun
from bench.replaying import Report, replay_file
from bench.rerun import ReplayFailed, describe_input
from bench.sim.operators import Operators
from bench.sim.world import World
from consensus import BlocksRequest, Digest, LocalError, encode_message
from node import wire
from node.cli.exits import Exit
from node.daemon.recorder import recordings_dir, recordings_in
from node.home import Home, write_key
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.governance.changes import Reweigh
from node.ledger.transactions import Transaction
from node.pool.admission import Admission
from node.pool.sealing import Sealer
from node.storage import StateTable
from node.validator import Frame, SignaturesChecked, Start, Submitted, assembly
from node.validator.recording import (
    FORMAT_VERSION,
    HEAD_BYTES,
    Entry,
    Opening,
    Raised,
    RecordingFile,
    Step,
    encode_ending,
    encode_opening,
    framed,
)
from tests.bench.recorded import Recorders, recorded_world, recorders

ROOT = Path(__file__).parents[2]


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recorders]:
    """Recorders below a folder of this test."""
    with recorders(tmp_path) as made:
        yield made


def path_of(home: Home, number: int = 1) -> Path:
    return dict(recordings_in(recordings_dir(home)))[number]


def entries_of(path: Path) -> list[Entry]:
    with path.open("rb") as file:
        return list(RecordingFile(file.read).entries())


def replay_all(recording: Recorders, nodes: int = 4) -> list[Report]:
    """Each start of each node, repeated."""
    reports = []
    for index in range(nodes):
        home = recording.home(index)
        for number, _ in recordings_in(recordings_dir(home)):
            report = replay_file(home, number)
            assert report.difference is None, report.difference
            reports.append(report)
    return reports


def quiet_run(recording: Recorders) -> World:
    """Four validators that order a few transactions."""
    world = recorded_world(recording, 1).start()
    world.run(300)
    assert world.stored(world.submit(0, 5), 5_000)
    assert world.stored(world.submit(1, 2), 5_000)
    return world


# --- what happened is repeated ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_crashes_restarts_losses_and_load_are_repeated_exactly(recording: Recorders, seed: int) -> None:
    choose = Random(seed)
    world = recorded_world(recording, seed, loss_percent=3).start()
    world.run(300)
    for _ in range(20):
        alive = [host.index for host in world.hosts if host.up]
        if alive:
            world.submit(choose.choice(alive), choose.choice((1, 3, 30)))
        if choose.random() < 0.6:
            victim = choose.choice(world.hosts)
            victim.crash_at = victim.boundaries + choose.randint(1, 30)
        world.run(choose.randint(1, 300))
    for host in world.hosts:
        host.crash_at = None
    world.heal()
    world.run(500)
    for host in world.hosts:
        host.start()
    assert world.stored(world.submit(0), 20_000)
    reports = replay_all(recording)
    assert len(reports) > len(world.hosts), "nobody was started again"
    assert sum(report.entries for report in reports) > 1_000


def test_a_crossing_into_the_next_epoch_and_a_start_in_it_are_repeated_exactly(recording: Recorders) -> None:
    world = recorded_world(recording, 4).start()
    world.run(300)
    world.submit(1, 5)
    assert Operators(world).decide(Reweigh("v0", 2)) == 1
    assert world.stored(world.submit(0, 3), 5_000)
    world.hosts[2].crash()
    world.hosts[2].start()
    assert world.stored(world.submit(2, 3), 10_000)
    assert {host.validator.term.epoch for host in world.hosts} == {1}
    assert len(replay_all(recording)) == 5


def test_catching_up_from_far_is_repeated_exactly(recording: Recorders) -> None:
    world = recorded_world(recording, 6, certification_lag_max=16).start()
    world.run(500)
    world.partition((0, 1, 2), (3,))
    for _ in range(40):
        assert world.stored(world.submit(0), 20_000, 0, 1, 2)
    world.heal()
    assert world.stored(world.submit(1), 10_000)
    assert "sync" in world.hosts[3].events
    replay_all(recording)


def test_wrong_frames_full_disks_and_junk_of_clients_are_repeated_exactly(recording: Recorders) -> None:
    world = quiet_run(recording)
    host = world.hosts[0]
    host.receive(world.hosts[1].peer, 1, b"junk")
    host.receive(bytes(32), 3, b"\xc1", gossip=True)
    host.submit(b"no transaction", world.transaction(), world.transaction(life_ms=10**9))
    world.run(300)
    assert host.punished
    replay_all(recording)


def test_what_never_signs_is_repeated_without_a_key(recording: Recorders) -> None:
    world = recorded_world(recording, 2)
    world.hosts[3].disk.guard = None
    world.start()
    assert world.stored(world.submit(0, 3), 10_000, 0, 1, 2)
    home = recording.home(3)
    home.validator_key_file.unlink()
    report = replay_file(home)
    assert report.difference is None
    assert report.entries > 20


def test_an_error_that_ended_the_node_is_repeated(recording: Recorders) -> None:
    host = quiet_run(recording).hosts[2]
    with pytest.raises(KeyError):
        host.validator.step(SignaturesChecked(77, (True,)), host.now_ms)
    last = entries_of(path_of(recording.home(2)))[-1]
    assert isinstance(last, Step)
    assert last.outcome == Raised("KeyError", "77")
    replay_all(recording)


@pytest.mark.parametrize("hash_seed", ["0", "1", "4711"])
def test_the_order_of_hashes_changes_nothing(tmp_path: Path, hash_seed: str) -> None:
    with recorders(tmp_path) as recording:
        quiet_run(recording)
        home = recording.home(0)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from bench.main import main; main()",
            "replay",
            "--home",
            str(home.path),
            "--json",
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == Exit.OK, done.stderr
    document = json.loads(done.stdout)
    assert document["identical"] is True
    assert document["entries"] == len(entries_of(path_of(home)))
    assert document["ended"] == "the node ended"


# --- what would come out otherwise is found ---------------------------------------------------------


def first_of(home: Home, kind: type[object]) -> int:
    """The number of the first step with such an input."""
    return next(
        number
        for number, entry in enumerate(entries_of(path_of(home)))
        if isinstance(entry, Step) and isinstance(entry.item, kind)
    )


def test_another_decision_to_seal_is_found_where_it_is_made(
    recording: Recorders, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_run(recording)
    home = recording.home(0)
    monkeypatch.setattr(Sealer, "run", lambda self, created_ms, elapsed_ms: [])
    difference = replay_file(home).difference
    assert difference is not None
    assert difference.entry == first_of(home, SignaturesChecked)
    assert difference.what == "output 2 of 4"
    assert (difference.expected, difference.got) == ("StartTimer(pool, 100)", "nothing more")
    assert difference.item == "SignaturesChecked(ticket=1, valid=0101010101)"


def test_another_answer_to_a_client_is_found_and_shown(
    recording: Recorders, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_run(recording)
    home = recording.home(1)

    def refuse(self: Admission, data: bytes, now_ms: int) -> Transaction:
        raise RejectedTransaction(Code.EXPIRED, "patched")

    monkeypatch.setattr(Admission, "precheck", refuse)
    report = replay_file(home)
    assert report.difference is not None
    assert report.difference.entry == first_of(home, Submitted) == report.entries - 1
    assert report.difference.what == "output 1 of 1"
    assert report.difference.expected.startswith("CheckSignatures of ")
    assert "patched" in report.difference.got


def test_a_read_that_was_not_recorded_is_found(recording: Recorders, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet_run(recording)
    home = recording.home(0)
    monkeypatch.setattr(
        assembly,
        "_is_replay",
        lambda reader, params, transaction, now_ms: reader.get(StateTable.REPLAY, b"else") is not None,
    )
    difference = replay_file(home).difference
    assert difference is not None
    assert (difference.entry, difference.what) == (first_of(home, Submitted), "read")
    assert difference.got.startswith(f"replay {b'else'.hex()}")


def test_a_read_that_is_not_made_any_more_is_found(
    recording: Recorders, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_run(recording)
    home = recording.home(0)
    monkeypatch.setattr(assembly, "_is_replay", lambda *arguments: False)
    difference = replay_file(home).difference
    assert difference is not None
    assert (difference.entry, difference.what) == (first_of(home, Submitted), "read")
    assert "recorded was replay " in difference.got


def test_a_last_read_that_is_not_made_any_more_is_found(
    recording: Recorders, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = recorded_world(recording, 1).start()
    world.run(300)
    world.submit(0)
    home = recording.home(0)
    monkeypatch.setattr(assembly, "_is_replay", lambda *arguments: False)
    difference = replay_file(home).difference
    assert difference is not None
    assert (difference.entry, difference.got) == (first_of(home, Submitted), "it was not read")
    assert difference.expected.startswith("replay ")


def test_a_read_more_while_assembling_is_found(recording: Recorders, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet_run(recording)
    monkeypatch.setattr(
        assembly, "recently_ordered", lambda reader, *others: [reader.get(StateTable.META, b"other")]
    )
    difference = replay_file(recording.home(0)).difference
    assert difference is not None
    assert (difference.entry, difference.item) == (1, "assembly")


def test_an_error_in_the_place_of_outputs_is_found(
    recording: Recorders, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet_run(recording)
    home = recording.home(0)

    def broken(*arguments: object) -> None:
        raise LocalError("patched")

    monkeypatch.setattr(Admission, "admit", broken)
    difference = replay_file(home).difference
    assert difference is not None
    assert difference.entry == first_of(home, SignaturesChecked)
    assert (difference.what, difference.got) == ("error", "LocalError: patched")


def test_until_stops_before_a_later_difference(recording: Recorders, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet_run(recording)
    home = recording.home(0)
    monkeypatch.setattr(Sealer, "run", lambda self, created_ms, elapsed_ms: [])
    entry = first_of(home, SignaturesChecked)
    report = replay_file(home, until=entry - 1)
    assert (report.difference, report.entries) == (None, entry)
    assert replay_file(home, until=entry).difference is not None


def test_the_input_that_led_to_a_difference_is_shown_with_the_message_it_brought() -> None:
    request = Frame(bytes(32), wire.Code.AGREEMENT, encode_message(BlocksRequest(Digest(bytes(32)), 3)))
    words = describe_input(request)
    assert words.startswith("Frame(peer=0000000000000000... of 32 bytes, topic=1, body=")
    assert words.endswith(", BlocksRequest)")
    assert "not readable: " in describe_input(Frame(b"peer", wire.Code.SYNC, b"junk"))
    assert "not readable: " in describe_input(Frame(b"peer", 99, b"junk"))
    assert describe_input(Frame(b"peer", 20, b"junk", bytes(16))).endswith(", by gossip)")
    assert describe_input(Start()) == "Start()"


# --- what cannot be replayed ------------------------------------------------------------------------


def failure_of(home: Home, number: int | None = None) -> ReplayFailed:
    with pytest.raises(ReplayFailed) as caught:
        replay_file(home, number)
    assert str(caught.value)
    assert caught.value.exit_code not in (Exit.OK, Exit.NEGATIVE, Exit.BUG)
    return caught.value


@pytest.fixture
def home(recording: Recorders) -> Home:
    """A home with one recording."""
    quiet_run(recording)
    recording.close()
    return recording.home(0)


def test_a_folder_without_recordings_or_without_a_node_says_what_to_do(tmp_path: Path, home: Home) -> None:
    assert failure_of(Home(tmp_path / "nothing")).code == "not-a-home"
    path_of(home).unlink()
    failure = failure_of(home)
    assert failure.code == "no-recordings"
    assert "storage.recording_bytes_max" in str(failure)


def test_a_number_that_is_not_there_names_those_that_are(home: Home) -> None:
    failure = failure_of(home, 5)
    assert failure.code == "no-such-recording"
    assert "there are 1" in str(failure)


def test_an_unreadable_genesis_and_another_one_are_told_apart(home: Home, tmp_path: Path) -> None:
    text = home.genesis_file.read_text()
    home.genesis_file.write_text("{")
    assert failure_of(home).code == "genesis-unreadable"
    with recorders(tmp_path / "other") as other:
        recorded_world(other, max_transaction_bytes=50_000).start()
        home.genesis_file.write_text(other.home(0).genesis_file.read_text())
    assert failure_of(home).code == "other-genesis"
    home.genesis_file.write_text(text)
    assert replay_file(home).difference is None


def test_another_version_of_the_software_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rerun, "software_version", lambda: "99.0")
    failure = failure_of(home)
    assert failure.code == "other-version"
    assert "99.0" in str(failure)


def test_a_key_that_is_absent_unreadable_or_another_one_is_three_sentences(home: Home) -> None:
    file = home.validator_key_file
    file.rename(file.with_suffix(".away"))
    assert failure_of(home).code == "key-missing"
    file.write_text("isthmus-encrypted-key v1\n0123\n")
    file.chmod(0o600)
    failure = failure_of(home)
    assert failure.code == "key-unreadable"
    assert "is not a key file" in str(failure)
    file.unlink()
    write_key(file, bytes(32))
    assert failure_of(home).code == "key-differs"
    file.chmod(0o644)
    assert failure_of(home).code == "key-unreadable"


def test_a_torn_tail_is_no_damage_wherever_it_was_torn(home: Home) -> None:
    path = path_of(home)
    whole = path.read_bytes()
    entries = len(entries_of(path))
    ending = HEAD_BYTES + len(b"\x92\x04\xaethe node ended")
    for missing in (1, 5, ending - 1):
        path.write_bytes(whole[:-missing])
        report = replay_file(home)
        assert (report.difference, report.entries) == (None, entries - 1)
        assert report.torn_bytes == ending - missing
        assert "torn" in report.end
    path.write_bytes(whole[:-ending])
    assert replay_file(home).torn_bytes == 0


def test_what_a_power_cut_leaves_of_pages_is_a_torn_tail(home: Home) -> None:
    path = path_of(home)
    whole = path.read_bytes()
    path.write_bytes(whole + bytes(100_000))
    report = replay_file(home)
    assert (report.difference, report.torn_bytes) == (None, 100_000)
    path.write_bytes(whole[:-3] + bytes(3))
    report = replay_file(home)
    assert report.difference is None
    assert report.torn_bytes > 0


def test_a_changed_byte_is_named_with_its_entry_and_all_before_it_is_repeated(home: Home) -> None:
    path = path_of(home)
    whole = path.read_bytes()
    with path.open("rb") as file:
        recording = RecordingFile(file.read)
        ends = [recording.position for _ in recording.entries()]
    for number in (0, 1, 7, len(ends) - 2):
        begin = ends[number - 1] if number else 0
        for place in (begin, begin + 5, begin + 9, begin + HEAD_BYTES, ends[number] - 1):
            if number == 0 and place < HEAD_BYTES:
                continue
            changed = bytearray(whole)
            changed[place] ^= 0x40
            path.write_bytes(changed)
            failure = failure_of(home)
            assert failure.code == "recording-damaged"
            assert f"entry {number} is damaged" in str(failure)


def test_what_is_no_recording_is_told_so(home: Home) -> None:
    path = path_of(home)
    path.write_bytes(b"something else altogether\n" * 10)
    assert failure_of(home).code == "recording-foreign"
    path.write_bytes(b"")
    assert failure_of(home).code == "recording-empty"
    path.write_bytes(b"abc")
    assert failure_of(home).code == "recording-empty"


def test_another_format_version_is_told_so(home: Home) -> None:
    path = path_of(home)
    opening = entries_of(path)[0]
    assert isinstance(opening, Opening)
    body = bytearray(encode_opening(opening))
    assert body[2] == FORMAT_VERSION
    body[2] += 1
    path.write_bytes(b"".join(framed(bytes(body))))
    failure = failure_of(home)
    assert failure.code == "recording-foreign"
    assert f"version {FORMAT_VERSION + 1}" in str(failure)


def test_what_ended_before_it_began_is_not_identical_to_anything(home: Home) -> None:
    path_of(home).write_bytes(b"".join(framed(encode_ending("an entry cannot be written: too large"))))
    failure = failure_of(home)
    assert failure.code == "recording-empty"
    assert "an entry cannot be written: too large" in str(failure)


def test_what_follows_a_farewell_is_damage(home: Home) -> None:
    path = path_of(home)
    path.write_bytes(path.read_bytes() + b"".join(framed(encode_ending("again"))))
    failure = failure_of(home)
    assert failure.code == "recording-damaged"
    assert "after the recording had ended" in str(failure)


def test_steps_without_an_assembly_are_damage(home: Home) -> None:
    path = path_of(home)
    with path.open("rb") as file:
        recording = RecordingFile(file.read)
        ends = [recording.position for _ in zip(recording.entries(), range(3), strict=False)]
    whole = path.read_bytes()
    path.write_bytes(whole[: ends[0]] + whole[ends[1] :])
    failure = failure_of(home)
    assert failure.code == "recording-damaged"
    assert "before the validator was assembled" in str(failure)


# --- the command ------------------------------------------------------------------------------------


def run(*arguments: str) -> Result:
    return CliRunner().invoke(replaying.command, arguments)


def test_the_command_says_how_much_was_repeated_and_how_fast(home: Home) -> None:
    result = run("--home", str(home.path))
    assert result.exit_code == Exit.OK, result.output
    assert "identical; it ends here: the node ended" in result.output
    assert "times as fast" in result.output


def test_the_command_shows_a_difference_and_ends_with_one(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sealer, "run", lambda self, created_ms, elapsed_ms: [])
    result = run("--home", str(home.path))
    assert result.exit_code == Exit.NEGATIVE
    for word in ("differs", "item", "expected", "got", "StartTimer"):
        assert word in result.output
    as_json = run("--home", str(home.path), "--json")
    assert as_json.exit_code == Exit.NEGATIVE
    document = json.loads(as_json.output)
    assert document["identical"] is False
    assert document["difference"]["entry"] == document["entries"] - 1


def test_an_interrupted_replay_says_neither_yes_nor_no(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Report:
        raise KeyboardInterrupt

    monkeypatch.setattr(replaying, "replay_file", interrupted)
    assert run("--home", str(home.path)).exit_code == Exit.INTERRUPTED


def test_the_command_ends_with_a_sentence_and_its_code(home: Home) -> None:
    result = run("--home", str(home.path), "--recording", "9")
    assert result.exit_code == Exit.USAGE
    assert "[no-such-recording]" in result.output
    as_json = run("--home", str(home.path), "--recording", "9", "--json")
    told = json.loads(as_json.output)
    assert told["error"]["code"] == "no-such-recording"
    assert told["exit"] == as_json.exit_code == Exit.USAGE


def test_what_takes_long_shows_a_bar_on_a_terminal_and_nowhere_else(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "_LOOK_EVERY", 1)
    monkeypatch.setattr(replaying, "PATIENCE_SECONDS", -1.0)
    assert run("--home", str(home.path), "--json").stderr == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    result = run("--home", str(home.path), "--json")
    assert "replaying" in result.stderr
    assert json.loads(result.stdout)["identical"] is True
    monkeypatch.setattr(replaying, "PATIENCE_SECONDS", 3_600.0)
    assert run("--home", str(home.path), "--json").stderr == ""


def test_the_first_step_is_the_start(home: Home) -> None:
    steps = entries_of(path_of(home))[2:]
    assert isinstance(steps[0], Step)
    assert steps[0].item == Start()
