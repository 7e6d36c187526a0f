"""Too much of everything: transactions, batches, requests, votes and words, valid and invalid.

Sources: neo issue 2862 (agreement starved by transactions), consensus.md 4 "Mempool/DoS": caps by count and
bytes for each author, nothing kept that its sender did not pay for. The bounds checker watches all queues.
"""

from consensus import (
    BLOCKS_COUNT_MAX,
    BlocksRequest,
    CertificatesRequest,
    Height,
    Round,
    Status,
    TimeoutReason,
    ValidatorIndex,
    Vote,
    encode_trusted,
)
from node import wire
from node.pool.messages import (
    DIGESTS_MAX,
    FETCH_MAX,
    SYNC_BYTES_MAX,
    SYNC_HEIGHTS_MAX,
    Acknowledge,
    BatchesUnavailable,
    FetchBatches,
    PushBatch,
    SyncRequest,
)
from tests.byzantine import forging
from tests.byzantine.driver import Driver

_FILLER = 180
"""Transactions of 1.3 KB that nearly fill a batch."""


def transaction_flood(seed: int) -> Driver:
    """One client's valid transactions at the driver's own door, as many as its validator takes."""

    def begins(driver: Driver) -> None:
        def flood() -> None:
            driver.strike("transactions", 10)
            key = driver.world.setting.clients[1]
            driver.host.submit(*[driver.world.transaction(key=key, life_ms=5_000) for _ in range(10)])

        driver.every(60, flood)

    return Driver(seed, begins=begins)


def gossip_flood(seed: int) -> Driver:
    """Transactions by gossip: forged, of strangers, expired, garbage, and some that are in order."""

    def begins(driver: Driver) -> None:
        def flood() -> None:
            world = driver.world
            good = world.transaction(key=driver.random.choice(world.setting.clients))
            bodies = (
                good.encoded,
                forging.forged(good),
                forging.unregistered(world, good).encoded,
                world.transaction(life_ms=-5).encoded,
                driver.random.randbytes(200),
            )
            driver.strike("transactions")
            chosen = driver.random.choice(bodies)
            driver.gossip(wire.Code.TRANSACTIONS, encode_trusted((driver.random.randint(0, 64), chosen)))

        driver.every(15, flood)

    return Driver(seed, begins=begins)


def batch_flood(seed: int) -> Driver:
    """Thousands of valid batches to each victim alone, other ones to each, so that none is ever orderable
    and all must be kept up to their author's quota."""

    def begins(driver: Driver) -> None:
        def flood() -> None:
            for target in driver.honest:
                for _ in range(12):
                    body = driver.world.transaction(size=1_000).encoded
                    driver.strike("batches")
                    driver.tell(target, PushBatch(forging.batch_of(driver.host, body).encoded))

        driver.every(50, flood)

    return Driver(seed, begins=begins)


def large_batches(seed: int) -> Driver:
    """Batches of the largest size to each victim alone, until the quota in bytes is full."""

    def begins(driver: Driver) -> None:
        filler = [driver.world.transaction(size=1_000).encoded for _ in range(_FILLER)]

        def flood() -> None:
            for target in driver.honest:
                mark = driver.world.transaction().encoded
                driver.strike("batches")
                batch = forging.batch_of(driver.host, *filler, mark, life_ms=60_000)
                driver.tell(target, PushBatch(batch.encoded))

        driver.every(15, flood)

    return Driver(seed, begins=begins)


def request_flood(seed: int) -> Driver:
    """Asks everybody for everything that exists and for much that does not."""

    def begins(driver: Driver) -> None:
        def flood() -> None:
            random, replica = driver.random, driver.host.validator.replica
            names = tuple(forging.noise(random) for _ in range(FETCH_MAX))
            tip = replica.view().hqc.block_id
            for message in (
                FetchBatches(names),
                BatchesUnavailable(names),
                BlocksRequest(tip, BLOCKS_COUNT_MAX),
                BlocksRequest(names[0], BLOCKS_COUNT_MAX),
                SyncRequest(Height(1), SYNC_HEIGHTS_MAX, SYNC_BYTES_MAX),
                SyncRequest(Height(random.randint(1, 2**62)), 1, 1),
                CertificatesRequest(Round(random.randint(1, 2**62))),
            ):
                driver.strike("requests")
                driver.tell_all(message)

        driver.every(80, flood)

    return Driver(seed, begins=begins)


def vote_flood(seed: int) -> Driver:
    """Votes, timeouts, header signatures and acknowledgements of things far ahead, properly signed."""

    def begins(driver: Driver) -> None:
        driver.every(20, lambda: _flood_votes(driver))

    return Driver(seed, begins=begins)


def _flood_votes(driver: Driver) -> None:
    host, random = driver.host, driver.random
    view = host.validator.replica.view()
    round = Round(view.round + random.randint(0, 120))
    parent = Round(max(0, round - random.randint(1, 3)))
    block, parent_id = forging.noise(random), forging.noise(random)
    commit = parent_id if round == parent + 1 else None
    vote = Vote(view.epoch, round, block, parent_id, parent, commit, host.index_in_set, forging.UNSIGNED)
    driver.strike("votes")
    driver.tell_all(forging.sign_vote(host, vote))
    height = view.certified_height + random.randint(1, 300)
    driver.tell_all(forging.header_of(host, height, block, parent_id))
    names = tuple(forging.noise(random) for _ in range(min(200, DIGESTS_MAX)))
    driver.tell_all(Acknowledge(names))
    far = Round(random.randint(1, 2**60))
    driver.tell_all(Status(view.epoch, far, far, far, Height(far), Height(far)))


def round_flood(seed: int) -> Driver:
    """Blocks and timeouts of every round to come, opened by nothing but its own word."""

    def begins(driver: Driver) -> None:
        def flood() -> None:
            host, random = driver.host, driver.random
            view = host.validator.replica.view()
            known = host.validator.replica.proposal(view.hqc.block_id)
            if known is None:
                return
            round = Round(view.round + random.randint(1, 200))
            tc = forging.own_tc(host, view.epoch, round - 1, view.hqc.round)
            block = forging.remade(known.block, round=round, qc=view.hqc, tc=tc, author=host.index_in_set)
            driver.strike("rounds")
            driver.tell_all(forging.propose(host, block))
            blamed = ValidatorIndex(random.randrange(len(driver.peers) + 1))
            lie = forging.timeout_beside(host, block, TimeoutReason.PAYLOAD_UNAVAILABLE, blamed)
            driver.tell_all(lie)

        driver.every(20, flood)

    return Driver(seed, begins=begins)
