"""A chain as a file: executed again offline and in an empty home, refuted wherever a byte was changed."""

import errno
import json
import os
from pathlib import Path

import pytest

from consensus import StartKind
from node.cli.exits import Exit
from node.cli.main import run
from node.daemon.backup import write_backup
from node.daemon.chainfile import export_chain, read_beginning
from node.daemon.maintenance import MaintenanceError
from node.daemon.pruning import KEEP_MIN
from node.daemon.reading import open_view
from node.daemon.startup import check_data, open_home
from node.genesis import Genesis
from node.home import Home
from node.storage import ChainTable, StateTable, Table, height_key
from node.validator import Tuning, pool_config
from tests.node.daemon.grown import Grown, copy_of
from tests.node.daemon.running import config_of, written


def chain_of(grown: Grown, file: Path, *more: str) -> int:
    return run(["db", "export", str(file), "--home", str(grown.home.path), *more])


def verified(file: Path, grown: Grown) -> int:
    return run(["db", "verify", str(file), "--trust", grown.testnet.cluster_id.hex(), "--json"])


def wiped(grown: Grown, directory: Path) -> Grown:
    """The same node, without data."""
    moved = copy_of(grown, directory)
    moved.home.data_dir.rename(directory / "old")
    return moved


def contents(home: Home, table: Table) -> list[tuple[bytes, bytes]]:
    with open_view(home.data_dir) as view:
        return view.snapshot.scan(table, b"", limit=100_000)


def test_an_exported_chain_is_verified_offline_and_imported_byte_for_byte(
    grown: Grown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "harbour.chain"
    assert chain_of(grown, file) == Exit.OK
    beginning = read_beginning(file)
    assert (beginning.height, beginning.genesis.cluster_id) == (grown.tip, grown.testnet.cluster_id)
    capsys.readouterr()
    assert verified(file, grown) == Exit.OK
    assert json.loads(capsys.readouterr().out)["height"] == grown.tip
    empty = wiped(grown, tmp_path / "empty")
    assert run(["db", "import", str(file), "--home", str(empty.home.path)]) == Exit.OK
    tables = (ChainTable.HEADERS, ChainTable.BODIES, ChainTable.TRANSACTIONS, ChainTable.HISTORY)
    for table in (*tables, StateTable.STATE, StateTable.NODES):
        assert contents(empty.home, table) == contents(grown.home, table), table
    assert check_data(config_of(empty.testnet)).findings == []
    opened = open_home(config_of(empty.testnet))
    try:
        assert opened.recovered.tip.height == grown.tip
        assert opened.floor is not None
        assert opened.floor.kind is StartKind.BEHIND, "a file tells nobody what the key has signed"
    finally:
        opened.close()


def test_a_pruned_node_exports_what_it_has_which_is_checked_and_not_executed(
    grown: Grown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, first = tmp_path / "part", grown.tip - KEEP_MIN + 1
    assert run(["db", "prune", "--keep", str(KEEP_MIN), "--home", str(grown.home.path)]) == Exit.OK
    capsys.readouterr()
    assert chain_of(grown, file, "--json") == Exit.OK
    told = capsys.readouterr()
    assert (json.loads(told.out)["first"], json.loads(told.out)["height"]) == (first, grown.tip)
    assert "can be checked, not executed" in told.err
    beginning = read_beginning(file)
    assert (beginning.first, beginning.height) == (first, grown.tip)
    assert verified(file, grown) == Exit.OK
    found = json.loads(capsys.readouterr().out)
    assert (found["verified"], found["executed"]) == (True, False)
    assert (found["first"], found["height"]) == (first, grown.tip)
    assert run(["db", "verify", str(file), "--trust", grown.testnet.cluster_id.hex()]) == Exit.OK
    assert "Nothing was executed" in " ".join(capsys.readouterr().out.split())
    empty = wiped(grown, tmp_path / "empty")
    assert run(["db", "import", str(file), "--home", str(empty.home.path)]) == Exit.STORAGE
    assert f"begins at height {first}" in capsys.readouterr().err
    sound = file.read_bytes()
    last = sound.index(grown.transactions[grown.tip - 1].encoded)
    for place in (3, 9, last + 60, len(sound) - 3, sound.index(b"isthmus-links/1") + 20):
        data = bytearray(sound)
        data[place] ^= 1
        file.write_bytes(data)
        assert verified(file, grown) not in (Exit.OK, Exit.BUG), place
    for length in (0, 200, len(sound) - 36, len(sound) - 1):
        file.write_bytes(sound[:length])
        assert verified(file, grown) == Exit.STORAGE, length
    capsys.readouterr()


def test_part_of_a_chain_ends_at_a_certified_height(grown: Grown, tmp_path: Path) -> None:
    file = tmp_path / "part"
    assert chain_of(grown, file, "--to", "70") == Exit.OK
    assert 70 <= read_beginning(file).height < grown.tip
    assert verified(file, grown) == Exit.OK


def test_a_changed_byte_anywhere_is_found(
    grown: Grown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "part"
    assert chain_of(grown, file, "--to", "3") == Exit.OK
    sound = file.read_bytes()
    start = sound.index(grown.transactions[0].encoded)
    for place in (3, 9, 40, start + 60, start + len(grown.transactions[0].encoded) - 5, len(sound) - 3):
        data = bytearray(sound)
        data[place] ^= 1
        file.write_bytes(data)
        code = verified(file, grown)
        assert code not in (Exit.OK, Exit.BUG), place
    for length in (0, 4, 200, len(sound) - 36, len(sound) - 1):
        file.write_bytes(sound[:length])
        assert verified(file, grown) == Exit.STORAGE, length
    file.write_bytes(sound + b"x")
    assert verified(file, grown) == Exit.STORAGE
    file.write_bytes(sound)
    assert verified(file, grown) == Exit.OK
    capsys.readouterr()


def test_other_clusters_full_homes_and_pruned_nodes_are_refused_in_words(
    grown: Grown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, home = tmp_path / "chain", str(grown.home.path)
    assert chain_of(grown, file) == Exit.OK
    assert chain_of(grown, file) == Exit.STORAGE, "never over a file"
    assert run(["db", "verify", str(file), "--trust", "00" * 32]) == Exit.STORAGE
    assert "is of cluster" in capsys.readouterr().err
    assert run(["db", "import", str(file), "--home", home]) == Exit.STORAGE
    assert "is not empty" in capsys.readouterr().err
    other = written(tmp_path / "other").nodes[0].home
    assert run(["db", "import", str(file), "--home", str(other.path)]) == Exit.STORAGE
    assert "is of cluster" in capsys.readouterr().err
    assert run(["db", "prune", "--keep", str(KEEP_MIN), "--home", home]) == Exit.OK
    assert chain_of(grown, tmp_path / "pruned", "--to", "3") == Exit.STORAGE
    assert "were pruned here" in capsys.readouterr().err
    assert not (tmp_path / "pruned").exists()
    fresh = written(tmp_path / "fresh")
    open_home(config_of(fresh)).close()
    assert run(["db", "export", str(tmp_path / "x"), "--home", str(fresh.nodes[0].home.path)]) == Exit.STORAGE
    assert "no certified height" in capsys.readouterr().err


def test_a_backup_and_an_import_are_of_the_same_chain(grown: Grown, tmp_path: Path) -> None:
    manifest = write_backup(grown.home, "node0", tmp_path / "backup", 1)
    assert chain_of(grown, tmp_path / "chain") == Exit.OK
    assert read_beginning(tmp_path / "chain").height == manifest.height
    assert contents(grown.home, ChainTable.HEADERS)[-1][0] == height_key(manifest.height)


def test_an_export_that_fails_leaves_nothing_and_a_full_disk_is_a_sentence(
    grown: Grown, tmp_path: Path
) -> None:
    genesis = Genesis.from_json(grown.testnet.genesis_file.read_text())
    rules, file = pool_config(genesis, Tuning()), tmp_path / "harbour.chain"

    def fill_up(_done: int, _of: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    does_not_fit = pytest.raises(MaintenanceError, match=r"chain does not fit: \d+ bytes were left")
    with open_view(grown.home.data_dir) as view, does_not_fit:
        export_chain(view.snapshot, rules, genesis, None, file, fill_up)
    assert list(tmp_path.glob("harbour*")) == []
