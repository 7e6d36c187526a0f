"""A stored chain, executed again without a cluster."""

from consensus import Height
from node.daemon.serving import sync_answer
from node.pool.messages import SyncRequest
from node.storage import ChainTable, Write
from node.validator import Tuning, pool_config
from node.validator.layout import height_key
from node.validator.replaying import ChainReplay
from tests.node.validator.world import world_of


def test_of_a_later_height_that_proves_a_range_nothing_is_written_before_it_is_executed() -> None:
    world = world_of(6).start()
    world.run(500)
    for _ in range(6):
        assert world.stored(world.submit(0), 5_000)
    source = world.hosts[0].disk.store
    source.apply([Write(ChainTable.CERTIFICATES, height_key(height), None) for height in (1, 2, 3)], ())
    genesis = world.setting.genesis
    rules, empty = pool_config(genesis, Tuning()), world_of(6).hosts[0].disk.store
    replay = ChainReplay(genesis, empty.reader(), rules)
    with source.snapshot() as snapshot:
        for first, last, certified in ((1, 2, None), (3, 4, 4)):
            chain, state = replay.take(sync_answer(snapshot, rules, SyncRequest(Height(first), 2, 2**20)))
            empty.apply(list(chain), list(state))
            replay.stored()
            assert replay.height == last
            assert empty.reader().get(ChainTable.HEADERS, height_key(last)) is not None
            for height in range(1, 7):
                stored = empty.reader().get(ChainTable.CERTIFICATES, height_key(height))
                assert (stored is not None) == (height == certified), height
