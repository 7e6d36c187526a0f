"""A validator is moved: the old home starts no more, the new one signs above it, older is refused."""

import json
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest

from consensus import GuardRecord, SafetyRecord, StartKind, decode
from node.cli.exits import Exit
from node.cli.main import run
from node.daemon.guardfile import GuardFile
from node.daemon.maintenance import SafetyRefused
from node.daemon.safetyfile import MARK, given_away, read_safety
from node.daemon.startup import StartupError, open_home
from node.doctor.belongings import look_at_home
from node.doctor.finding import Grade
from node.home import Home, write_key
from tests.node.daemon.grown import Grown
from tests.node.daemon.running import config_of, written


@dataclass
class Move:
    """The validator of a grown chain, and an empty home on "another machine"."""

    old: Grown
    new: Grown
    file: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *words: object) -> tuple[int, str]:
        """(exit code, standard error) of `isthmus safety ...`."""
        code = run(["safety", *map(str, words)])
        return code, self.capture.readouterr().err

    def export(self, home: Home, file: Path | None = None) -> tuple[int, str]:
        return self.run("export", file or self.file, "--home", home.path)

    def take(self, home: Home, *more: str, file: Path | None = None) -> tuple[int, str]:
        return self.run("import", file or self.file, "--home", home.path, *more)


@pytest.fixture
def move(grown: Grown, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Move:
    nodes = grown.testnet.nodes
    target = tmp_path / "elsewhere" / nodes[0].name
    shutil.copytree(nodes[0].home.path / "config", target / "config")
    (target / "keys").mkdir(mode=0o700)
    for key in ("validator.key", "node.key"):
        shutil.copy(nodes[0].home.keys_dir / key, target / "keys" / key)
    moved = Grown(
        type(grown.testnet)(
            tmp_path / "elsewhere",
            grown.testnet.name,
            grown.testnet.cluster_id,
            (type(nodes[0])(nodes[0].name, Home(target), nodes[0].ports),),
        ),
        grown.transactions,
        grown.tip,
    )
    return Move(grown, moved, tmp_path / "move.json", capsys)


def record_of(grown: Grown) -> tuple[StartKind, SafetyRecord]:
    opened = open_home(config_of(grown.testnet))
    try:
        assert opened.floor is not None
        assert opened.safety is not None
        return opened.floor.kind, opened.safety.record
    finally:
        opened.close()


def guard_of(home: Home) -> GuardRecord:
    guard = GuardFile.open(home.guard_file)
    try:
        return GuardRecord.from_value(decode(guard.payload))
    finally:
        guard.close()


def test_who_gives_a_validator_away_again_is_warned_of_the_file_before(move: Move) -> None:
    code, err = move.export(move.old.home)
    assert (code, "WARNING" in err) == (Exit.OK, False)
    code, err = move.export(move.old.home, move.file.with_name("again.json"))
    assert code == Exit.OK
    assert "it was given away before" in err
    assert move.file.name in "".join(err.split())


def test_the_new_home_signs_above_what_was_signed_and_the_old_one_starts_no_more(move: Move) -> None:
    _, signed = record_of(move.old)
    assert move.export(move.old.home) == (Exit.OK, "")
    assert stat.S_IMODE(move.file.stat().st_mode) == 0o600
    assert "seed" not in move.file.read_text()
    with pytest.raises(StartupError) as refused:
        open_home(config_of(move.old.testnet))
    assert refused.value.code == "given-away"
    assert str(move.file) in str(refused.value)
    _, findings = look_at_home(move.old.home, {})
    assert [f.check for f in findings if f.grade is Grade.FAULT] == ["guard"]
    assert move.take(move.new.home) == (Exit.OK, "")
    kind, record = record_of(move.new)
    assert kind is StartKind.BEHIND
    assert (record.floor_round, record.floor_height) == (
        signed.highest_signed_round,
        max(signed.last_signed_height, signed.floor_height),
    )
    assert record.locked_round >= signed.locked_round


def test_with_its_data_copied_too_it_goes_on_as_if_nothing_had_happened(move: Move) -> None:
    assert move.export(move.old.home)[0] == Exit.OK
    shutil.copytree(move.old.home.data_dir, move.new.home.data_dir)
    assert move.take(move.new.home)[0] == Exit.OK
    _, record = record_of(move.new)
    assert record.floor_height <= record.last_signed_height


def test_a_moved_validator_moves_back_and_every_older_file_is_refused(move: Move, tmp_path: Path) -> None:
    back = tmp_path / "back.json"
    assert move.export(move.old.home)[0] == Exit.OK
    assert move.take(move.new.home)[0] == Exit.OK
    code, words = move.take(move.new.home)
    assert code == Exit.KEYS
    assert "older than what is there (or was imported already)" in words
    record_of(move.new)
    assert move.take(move.new.home)[0] == Exit.KEYS
    assert move.export(move.new.home, back)[0] == Exit.OK
    assert move.take(move.old.home, file=back)[0] == Exit.OK
    kind, _ = record_of(move.old)
    assert kind is StartKind.BEHIND, "its own journal is older than what was signed elsewhere"
    assert move.take(move.old.home)[0] == Exit.KEYS
    assert given_away(move.old.home) == ""
    assert given_away(move.new.home) != ""


def test_an_export_is_taken_back_only_where_it_was_made_and_only_when_that_is_said(move: Move) -> None:
    before = guard_of(move.old.home)
    assert move.export(move.old.home)[0] == Exit.OK
    code, words = move.take(move.old.home)
    assert code == Exit.KEYS
    assert "it is this home that gave the validator away" in words
    code, words = move.take(move.new.home, "--take-back")
    assert code == Exit.KEYS
    assert "did not give its validator away" in words
    assert move.take(move.old.home, "--take-back")[0] == Exit.OK
    assert guard_of(move.old.home) == before
    assert record_of(move.old)[0] is StartKind.NORMAL


def test_exporting_again_is_the_same_move(move: Move, tmp_path: Path) -> None:
    again = tmp_path / "again.json"
    assert move.export(move.old.home)[0] == Exit.OK
    assert move.export(move.old.home)[0] == Exit.KEYS, "never over a file"
    assert move.export(move.old.home, again)[0] == Exit.OK
    assert read_safety(again).move == read_safety(move.file).move
    assert move.take(move.old.home, "--take-back", file=again)[0] == Exit.OK


def test_a_file_that_was_changed_cut_or_is_of_another_key_is_refused(move: Move, tmp_path: Path) -> None:
    assert move.export(move.old.home)[0] == Exit.OK
    fields = json.loads(move.file.read_text())
    lower = tmp_path / "lower.json"
    lower.write_text(json.dumps(fields | {"guard": [*fields["guard"][:4], 0, *fields["guard"][5:]]}))
    code, words = move.take(move.new.home, file=lower)
    assert (code, "was changed after it was exported" in words) == (Exit.KEYS, True)
    cut = tmp_path / "cut.json"
    cut.write_text(move.file.read_text()[:100])
    assert move.take(move.new.home, file=cut)[0] == Exit.KEYS
    move.new.home.validator_key_file.unlink()
    write_key(move.new.home.validator_key_file, bytes(32))
    code, words = move.take(move.new.home)
    assert (code, "copy validator.key from the old machine first" in words) == (Exit.KEYS, True)
    assert not move.new.home.guard_file.exists()


def test_an_export_to_a_folder_that_is_not_there_gives_nothing_away(move: Move, tmp_path: Path) -> None:
    code, words = move.export(move.old.home, tmp_path / "nowhere" / "move.json")
    assert code == Exit.USAGE
    assert "there is no folder" in words
    assert given_away(move.old.home) == ""
    assert record_of(move.old)


@pytest.mark.parametrize(
    "changes",
    [{"exported_ms": 10**30}, {"exported_ms": float("inf")}, {"name": "\ud800"}, {"guard": 5}, {"move": []}],
    ids=["an integer beyond 64 bits", "infinity", "half a character", "no guard", "no move"],
)
def test_a_file_whose_fields_are_of_no_kind_is_no_safety_file(move: Move, changes: dict[str, object]) -> None:
    assert move.export(move.old.home)[0] == Exit.OK
    fields = json.loads(move.file.read_text())
    move.file.write_text(json.dumps(fields | changes))
    with pytest.raises(SafetyRefused, match="is no safety file"):
        read_safety(move.file)


def test_a_file_of_brackets_is_no_safety_file(tmp_path: Path) -> None:
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 60_000)
    with pytest.raises(SafetyRefused, match="is no safety file"):
        read_safety(deep)


def test_what_never_signs_cannot_be_moved_and_a_damaged_mark_still_counts(move: Move, tmp_path: Path) -> None:
    assert move.export(move.old.home)[0] == Exit.OK
    (move.old.home.keys_dir / MARK).write_text("{")
    with pytest.raises(StartupError, match="given away"):
        open_home(config_of(move.old.testnet))
    other = written(tmp_path / "other")
    open_home(config_of(other)).close()
    other.nodes[0].home.guard_file.unlink()
    code, words = move.export(other.nodes[0].home, tmp_path / "other.json")
    assert (code, "never signs again" in words) == (Exit.KEYS, True)
    assert given_away(other.nodes[0].home) == ""


def test_a_running_validator_is_not_exported(move: Move) -> None:
    opened = open_home(config_of(move.old.testnet))
    code, words = move.export(move.old.home)
    opened.close()
    assert (code, "stop it first" in words) == (Exit.KEYS, True)
    assert given_away(move.old.home) == ""
