"""Pruning: what is forgotten and what stays, told by status and code 410, and interrupted anywhere."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from consensus import Height
from node.api import queries, record_queries
from node.api.faults import ApiFault, Fault
from node.api.live import LiveBackend
from node.cli.exits import Exit
from node.cli.main import run
from node.daemon.maintenance import MaintenanceError
from node.daemon.pruning import KEEP_MIN, prune
from node.daemon.reading import compact_chain
from node.daemon.serving import sync_answer
from node.daemon.startup import check_data, open_store
from node.daemon.store import Store
from node.genesis import Genesis
from node.pool.config import PoolConfig
from node.pool.messages import SyncRequest
from node.storage import ChainTable, StateTable, Write
from node.validator import Tuning, pool_config
from tests.node.daemon.grown import LEAP_SECONDS, Grown
from tests.node.daemon.running import config_of, running_node


def quiet(_done: int, _total: int) -> None:
    """Nobody watches."""


def below(grown: Grown) -> int:
    """The lowest height that stays when as few as possible do."""
    return grown.tip - KEEP_MIN + 1


def opened(grown: Grown) -> tuple[Store, PoolConfig]:
    genesis = Genesis.from_json(grown.testnet.genesis_file.read_text())
    return open_store(config_of(grown.testnet), genesis), pool_config(genesis, Tuning())


def count(grown: Grown, table: ChainTable) -> int:
    store, _ = opened(grown)
    with store.snapshot() as view:
        found = view.count(table)
    store.close()
    return found


async def test_a_pruned_node_goes_on_proves_what_it_has_and_says_what_it_has_not(
    grown: Grown, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(grown.home.path)
    before = count(grown, ChainTable.BLOCKS)
    assert run(["db", "prune", "--keep", str(KEEP_MIN), "--home", home, "--json"]) == Exit.OK
    told = json.loads(capsys.readouterr().out)
    assert (told["below"], told["tip"], told["bodies"]) == (below(grown), grown.tip, below(grown) - 1)
    assert told["blocks"] >= below(grown) - 1
    assert count(grown, ChainTable.BLOCKS) == before - told["blocks"]
    assert told["bytes_after"] <= told["bytes_before"]
    assert check_data(config_of(grown.testnet)).findings == []
    old, new = grown.transactions[0], grown.transactions[below(grown) - 1]
    async with running_node(config_of(grown.testnet)) as node:
        backend = LiveBackend(node)
        assert backend.status().pruned_below == below(grown)
        assert backend.look()[0].pruned_below == below(grown)
        with backend.snapshot() as view:
            with pytest.raises(ApiFault) as refused:
                queries.transaction(view, old.id, with_proof=True)
            assert refused.value.kind is Fault.PRUNED.value
            assert refused.value.kind.status == 410
            assert queries.transaction(view, new.id, with_proof=True).proof is not None
            assert queries.proven_header(view, 1).certificate is not None
            assert record_queries.record(view, "grown/1", with_proof=True).entry.proof is not None
        assert await backend.wait_certified([old.id], 0) == (queries.Location(1, 0),)


def test_sync_peers_get_nothing_of_what_was_pruned_and_all_of_the_rest(grown: Grown) -> None:
    store, rules = opened(grown)
    prune(store, rules, KEEP_MIN, quiet)
    with store.snapshot() as view:
        nothing = sync_answer(view, rules, SyncRequest(Height(below(grown) - 1), 8, 1_000_000))
        assert (nothing.items, nothing.certificate) == ((), None)
        assert len(sync_answer(view, rules, SyncRequest(Height(below(grown)), 8, 1_000_000)).items) == 8
    store.close()


def test_what_was_interrupted_is_finished_by_the_next_time(grown: Grown) -> None:
    store, rules = opened(grown)

    class Interrupted(Exception):
        """As a crash between two transactions."""

    def interrupt(done: int, total: int) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        prune(store, rules, KEEP_MIN, interrupt)
    store.close()
    assert check_data(config_of(grown.testnet)).findings == []
    store, rules = opened(grown)
    prune(store, rules, KEEP_MIN, quiet)
    second = prune(store, rules, KEEP_MIN, quiet)
    assert (second.below, second.blocks, second.batches, second.bodies) == (below(grown), 0, 0, 0)
    assert prune(store, rules, grown.tip, quiet).below == below(grown), "nothing comes back by keeping more"
    store.close()


def test_too_few_heights_a_short_chain_and_a_running_node_are_sentences(
    grown: Grown, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, rules = opened(grown)
    with pytest.raises(MaintenanceError, match=f"at least {KEEP_MIN} stay"):
        prune(store, rules, KEEP_MIN - 1, quiet)
    assert prune(store, rules, grown.tip, quiet).below == 0
    store.close()
    home = str(grown.home.path)
    assert run(["db", "prune", "--keep", "5000", "--home", home]) == Exit.OK
    assert "nothing to forget" in capsys.readouterr().out
    assert run(["db", "prune", "--keep", "1", "--home", home]) == Exit.STORAGE
    assert run(["db", "prune", "--keep", "0", "--home", home]) == Exit.USAGE
    assert "keep" in capsys.readouterr().err


def test_what_a_start_looks_back_on_stays_however_few_heights_are_asked_for(grown: Grown) -> None:
    store, rules = opened(grown)
    longer = replace(rules, payload=replace(rules.payload, horizon_ms=660_000))
    kept = grown.tip + 1 - prune(store, longer, KEEP_MIN, quiet).below
    store.close()
    assert kept >= 660 // LEAP_SECONDS


READER = """
import sys
from pathlib import Path
from node.daemon.reading import open_view
from node.storage import ChainTable
with open_view(Path(sys.argv[1])) as view:
    print("open", flush=True)
    sys.stdin.read()
    print(view.snapshot.count(ChainTable.META), flush=True)
"""


@pytest.mark.parametrize("commits", [20, 21], ids=["an even count", "an odd count"])
def test_a_database_compacted_while_another_process_reads_it_opens_as_what_it_was(
    tmp_path: Path, commits: int
) -> None:
    store = Store.open(tmp_path)
    for number in range(commits):
        written = [Write(ChainTable.META, b"%d" % number, bytes(100))]
        store.apply(written, [Write(StateTable.META, b"tip", b"%d" % number)])
    store.close()
    reading = [sys.executable, "-c", READER, str(tmp_path)]
    with subprocess.Popen(reading, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        compact_chain(tmp_path)
        store = Store.open(tmp_path)
        assert store.reader().get(ChainTable.META, b"1") == bytes(100)
        store.apply([Write(ChainTable.META, b"new", b"1")], [])
        store.close()
        reader.stdin.close()
        assert reader.stdout.read() == f"{commits}\n", "its view is what it was"
    store = Store.open(tmp_path)
    assert store.reader().get(ChainTable.META, b"new") == b"1"
    assert store.reader().get(ChainTable.META, b"1") == bytes(100)
    store.close()
