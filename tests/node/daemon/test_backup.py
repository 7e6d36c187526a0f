"""Backups: made of a running node, put back with what was there kept, refused when not whole."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from consensus import GuardRecord, StartKind, decode
from node.cli.exits import Exit
from node.cli.main import run
from node.daemon.backup import check_backup, write_backup
from node.daemon.durability import complete_or_absent
from node.daemon.guardfile import GuardFile
from node.daemon.maintenance import MaintenanceError
from node.daemon.startup import check_data, open_home
from node.storage import ChainTable, Write
from tests.node.daemon.grown import Grown
from tests.node.daemon.running import config_of, written


def backup_in_a_child(grown: Grown, target: Path) -> None:
    """LMDB lets a process open a database once; the command line is another process anyway."""
    command = (sys.executable, "-m", "node.cli.main", "db", "backup", str(target), "--home")
    subprocess.run([*command, str(grown.home.path)], check=True, capture_output=True)


def test_a_backup_of_an_open_home_is_whole_and_what_is_written_later_is_not_in_it(
    grown: Grown, tmp_path: Path
) -> None:
    home = open_home(config_of(grown.testnet))
    backup_in_a_child(grown, tmp_path / "backup")
    home.store.apply([Write(ChainTable.META, b"later", b"1")], [])
    home.close()
    manifest = check_backup(tmp_path / "backup")
    assert (manifest.height, manifest.node) == (grown.tip, "node0")
    assert manifest.cluster_id == grown.testnet.cluster_id.hex()
    assert not list((tmp_path / "backup").rglob("*.key"))
    assert not list((tmp_path / "backup").rglob("*.guard"))


def test_a_restored_backup_may_sign_only_above_what_the_guard_reserved(grown: Grown, tmp_path: Path) -> None:
    config = config_of(grown.testnet)
    write_backup(grown.home, "node0", tmp_path / "backup", 1)
    guard = GuardFile.open(grown.home.guard_file)
    reserved = GuardRecord.from_value(decode(guard.payload))
    guard.close()
    home = str(grown.home.path)
    assert run(["db", "restore", str(tmp_path / "backup"), "--home", home]) == Exit.OK
    (kept,) = grown.home.path.glob("data.before-restore-*")
    assert (kept / "journal").exists()
    checked = check_data(config)
    assert checked.findings == []
    (sentence,) = checked.expected
    assert "signs again only above what its guard reserved" in sentence
    opened = open_home(config)
    try:
        assert opened.recovered.tip.height == grown.tip
        assert opened.floor is not None
        assert opened.floor.kind is StartKind.BEHIND
        assert opened.safety is not None
        record = opened.safety.record
        assert (record.floor_round, record.floor_height) == (reserved.round_bound, reserved.height_bound)
        assert record.last_vote is None
    finally:
        opened.close()


def test_what_was_just_restored_is_in_order_and_says_what_to_expect(
    grown: Grown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_backup(grown.home, "node0", tmp_path / "backup", 1)
    home = str(grown.home.path)
    assert run(["db", "restore", str(tmp_path / "backup"), "--home", home]) == Exit.OK
    capsys.readouterr()
    assert run(["db", "check", "--home", home]) == Exit.OK
    text = " ".join(capsys.readouterr().out.split())
    assert "as after `isthmus db restore`: the node can be started" in text
    assert "is in order" in text
    assert run(["db", "check", "--home", home, "--json"]) == Exit.OK, "and again"
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["findings"], len(told["expected"])) == (True, [], 1)


def test_a_backup_of_another_validator_of_the_cluster_is_as_good_and_as_mute(tmp_path: Path) -> None:
    """What it brings of the other's signing record must not be taken for one's own."""
    testnet = written(tmp_path / "net", 2)
    first, second = config_of(testnet, 0), config_of(testnet, 1)
    for config in (first, first, second):
        open_home(config).close()
    write_backup(first.home, "node0", tmp_path / "backup", 1)
    assert run(["db", "restore", str(tmp_path / "backup"), "--home", str(second.home.path)]) == Exit.OK
    opened = open_home(second)
    try:
        assert opened.floor is not None
        assert opened.floor.kind is StartKind.BEHIND
    finally:
        opened.close()


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_damaged_foreign_and_unreadable_backups_are_refused_and_nothing_is_touched(
    grown: Grown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup"
    write_backup(grown.home, "node0", backup, 1)

    def refused(source: Path, word: str, exit_code: Exit = Exit.STORAGE) -> None:
        assert run(["db", "restore", str(source), "--home", str(grown.home.path)]) == exit_code
        assert word in capsys.readouterr().err
        assert (grown.home.journal_dir).exists()

    shutil.copytree(backup, tmp_path / "rotten")
    damage(tmp_path / "rotten" / "chain" / "data.mdb")
    refused(tmp_path / "rotten", "is not what was written")
    shutil.copytree(backup, tmp_path / "short")
    (tmp_path / "short" / "state" / "data.mdb").unlink()
    refused(tmp_path / "short", "cannot be read")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "is no backup")
    shutil.copytree(backup, tmp_path / "newer")
    manifest = json.loads((backup / "backup.json").read_text())
    (tmp_path / "newer" / "backup.json").write_text(json.dumps(manifest | {"version": 9}))
    refused(tmp_path / "newer", "version 9")
    for name, text in (("deep", "[" * 60_000), ("endless", json.dumps(manifest | {"height": float("inf")}))):
        shutil.copytree(backup, tmp_path / name)
        (tmp_path / name / "backup.json").write_text(text)
        refused(tmp_path / name, "is no backup")
    other = written(tmp_path / "other")
    open_home(config_of(other)).close()
    write_backup(other.nodes[0].home, "node0", tmp_path / "foreign", 1)
    refused(tmp_path / "foreign", "of cluster")
    opened = open_home(config_of(grown.testnet))
    refused(backup, "stop it first", Exit.KEYS)
    opened.close()


def test_a_backup_never_goes_over_something_else_and_leaves_nothing_half_done(
    grown: Grown, tmp_path: Path
) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(MaintenanceError, match="exists already"):
        write_backup(grown.home, "node0", tmp_path / "taken", 1)
    assert run(["db", "backup", str(tmp_path / "nowhere" / "b"), "--home", str(grown.home.path)]) != Exit.OK
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(IsADirectoryError), complete_or_absent(tmp_path / "broken") as partial:
        partial.write_bytes(bytes(10))
    assert not list(tmp_path.glob("broken*")), "a copy that filled the disk gives it back"
    shutil.rmtree(grown.home.data_dir)
    assert run(["db", "backup", str(tmp_path / "b"), "--home", str(grown.home.path)]) == Exit.NEGATIVE
