"""A part of a chain leads from the genesis over its epoch links to who signed it, or is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.sim.operators import Operators
from bench.sim.setting import make_setting
from bench.sim.world import World
from consensus import ED25519, Height
from node.anchoring.cluster.epochs import LinksFile
from node.daemon.chainfile import check_part_of, export_chain
from node.daemon.chainpart import PartCheck
from node.daemon.epochlinks import epoch_links
from node.daemon.maintenance import MaintenanceError
from node.daemon.serving import StoredChain
from node.ledger.governance.changes import Reweigh
from node.pool.messages import SYNC_BYTES_MAX, SyncRequest, SyncResponse
from node.pool.serving import serve
from node.storage import PRUNED_KEY, ChainTable, Write, height_key
from node.validator import Tuning, pool_config
from node.validator.replaying import ReplayRefused


def quiet(_done: int, _total: int) -> None:
    """Nobody watches."""


@pytest.fixture(scope="module")
def grown() -> World:
    """Four validators in epoch 1, with heights in both epochs."""
    world = World(make_setting(4, ED25519), 1)
    world.start()
    for turn in range(4):
        assert world.stored(world.submit(turn % 4), 5_000)
    operators = Operators(world)
    chosen = operators.roster(world.hosts[0]).validators[0]
    _, proposal_id = operators.propose([Reweigh(chosen.name, 2)], 0)
    world.run(500)
    operators.approve(proposal_id, 0)
    assert world.run(10_000, lambda: all(host.validator.term.epoch == 1 for host in world.hosts))
    for turn in range(4):
        assert world.stored(world.submit(turn % 4), 5_000)
    world.settle(10_000)
    return world


@pytest.mark.parametrize("first", [2, 3, 7])
def test_a_part_is_checked_across_epochs_from_wherever_it_begins(
    grown: World, first: int, tmp_path: Path
) -> None:
    store, genesis = grown.hosts[0].disk.store, grown.genesis
    rules, file = pool_config(genesis, Tuning()), tmp_path / "part"
    store.apply([Write(ChainTable.META, PRUNED_KEY, height_key(first))], [])
    with store.snapshot() as view:
        assert len(epoch_links(view)) == 1
        begins, ends = export_chain(view, rules, genesis, None, file, quiet)
    assert begins == first < ends
    found = check_part_of(file, rules, quiet)
    assert (found.first, found.last) == (first, ends)
    with pytest.raises(MaintenanceError) as refused:
        check_part_of(file, replace(rules, batch=replace(rules.batch, cluster_id=bytes(32))), quiet)
    assert refused.value.code == "chain-refuted"


def test_links_left_out_and_ranges_out_of_order_are_refused(grown: World) -> None:
    genesis = grown.genesis
    rules = pool_config(genesis, Tuning())
    with grown.hosts[1].disk.store.snapshot() as view:
        links = LinksFile(genesis.cluster_id, epoch_links(view))
        chain = StoredChain(view, rules)

        def served(height: int, count: int = 1) -> SyncResponse:
            return serve(chain, SyncRequest(Height(height), count, SYNC_BYTES_MAX))

        border = links.links[0].ending.header.height
        check = PartCheck(genesis, links, border, rules)
        check.take(served(border))
        with pytest.raises(ReplayRefused, match="do not follow"):
            check.take(served(border + 2))
        check.take(served(border + 1))
        with pytest.raises(ReplayRefused, match="promises"):
            check.finished(border + 9)
        assert check.finished(border + 1).last == border + 1
        unlinked = PartCheck(genesis, LinksFile(genesis.cluster_id, ()), border + 1, rules)
        with pytest.raises(ReplayRefused, match="no link leads to"):
            unlinked.take(served(border + 1))
        false = replace(links.links[0], validators=links.links[0].validators[:3])
        with pytest.raises(ReplayRefused, match="epoch links"):
            PartCheck(genesis, LinksFile(genesis.cluster_id, (false,)), border + 1, rules)
