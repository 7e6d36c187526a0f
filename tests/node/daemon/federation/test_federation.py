"""Couriers and links follow what is stored: they come and go as governance says, and contain faults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from consensus import LocalError, SigningKey
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.exchange import BundleAsked, BundleSent, OfferAsked, Offered, Question, Reply
from node.anchoring.lanes.courier import BundleRequest, Offer
from node.daemon.federation.federation import Federation
from node.daemon.federation.gauges import federation_metrics
from node.daemon.federation.ledgerside import Standing
from node.daemon.waiters import Waiters
from node.ledger.transactions import Transaction
from node.storage import StoreFailed, StoreForeign
from node.wire import Code
from p2p import Delivery, PeerId
from tests.node.daemon.federation.fakes import (
    NODES,
    NOW_MS,
    OTHERS,
    THEM,
    US,
    FakeLedger,
    FakeLinks,
    FakeReading,
    Server,
    a_bundle,
    neighbour,
)
from tests.node.daemon.federation.test_directory import THEIR_KEYS


@dataclass
class FakeDoor:
    """The node's desk: takes everything, unless it says why not."""

    taken: list[bytes] = field(default_factory=list)
    refusal: str | None = None

    async def submit_one(self, transaction: bytes) -> str | None:
        self.taken.append(transaction)
        return self.refusal

    async def wait_certified(self, transaction_id: bytes) -> None:
        await trio.sleep(0.1)


@dataclass
class Running:
    """A federation under test."""

    federation: Federation
    ledger: FakeLedger
    links: FakeLinks
    waiters: Waiters
    door: FakeDoor

    async def store(self, height: int) -> None:
        self.waiters.certified((), height)
        await trio.sleep(3)


def quiet(peer: PeerId, question: Question) -> None:
    return None


@asynccontextmanager
async def federation(ledger: FakeLedger, server: Server = quiet) -> AsyncIterator[Running]:
    links, waiters, door = FakeLinks(server), Waiters(1), FakeDoor()
    key = SigningKey(b"k" * 32)
    made = Federation(US, key, 65_536, links, ledger, FakeReading(), waiters, door, (), lambda: NOW_MS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        await trio.testing.wait_all_tasks_blocked()
        yield Running(made, ledger, links, waiters, door)
        assert all(current <= bound for _, current, bound in made.limits())
        nursery.cancel_scope.cancel()


async def test_without_clusters_nothing_is_told_and_nothing_wakes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with federation(FakeLedger()) as running:
        await running.store(2)
        assert running.links.told == []
        assert running.federation.couriers == {}


async def test_couriers_and_links_come_and_go_with_admissions(autojump_clock: trio.testing.MockClock) -> None:
    ledger = FakeLedger()
    async with federation(ledger) as running:
        ledger.known = (neighbour(node_keys=THEIR_KEYS),)
        await running.store(2)
        assert set(running.federation.couriers) == {THEM}
        assert len(running.links.told[-1]) == 4
        ledger.known = (neighbour(node_keys=THEIR_KEYS), neighbour(OTHERS))
        await running.store(3)
        assert set(running.federation.couriers) == {THEM, OTHERS}
        first = running.federation.couriers[THEM]
        ledger.known = (
            neighbour(THEM, ClientStatus.FROZEN, THEIR_KEYS),
            neighbour(OTHERS, ClientStatus.RETIRED),
        )
        await running.store(4)
        assert running.federation.couriers == {THEM: first}
        assert len(running.links.told[-1]) == 4
        ledger.known = (neighbour(THEM, ClientStatus.RETIRED),)
        await running.store(5)
        assert running.federation.couriers == {}
        assert len(running.links.told[-1]) == 0


async def test_a_bundle_is_submitted_as_a_transaction_signed_with_the_node_key(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def server(peer: PeerId, question: Question) -> Reply:
        if isinstance(question, OfferAsked):
            return Offered(question.ticket, Offer(0, 9, 3))
        return BundleSent(question.ticket, a_bundle())

    ledger = FakeLedger(known=(neighbour(node_keys=THEIR_KEYS),))
    async with federation(ledger, server) as running:
        await trio.sleep(60)
        taken = [Transaction.decode(data) for data in running.door.taken]
    assert len(taken) > 1
    first = taken[0]
    assert (first.app, first.method, first.args) == ("federation", "deliver", (a_bundle(),))
    assert first.sender == SigningKey(b"k" * 32).public_key
    assert first.cluster_id == US
    # The same bundle again is the same request: one of the two is executed.
    assert {transaction.unique_id for transaction in taken} == {first.unique_id}


class Broken(FakeLedger):
    """Our ledger with a bug that other clusters' bytes reach."""

    async def standing(self, cluster_id: bytes) -> Standing | None:
        raise AssertionError("a bug")

    async def answer(self, cluster_id: bytes, request: BundleRequest) -> bytes | None:
        raise AssertionError("another bug")


async def test_a_bug_that_other_clusters_reach_is_counted_and_ends_nothing_else(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ledger = Broken(known=(neighbour(node_keys=THEIR_KEYS),))
    async with federation(ledger) as running:
        await trio.sleep(25)
        assert running.federation.internal_faults == 3  # the courier, started again every ten seconds
        body = BundleAsked(1, BundleRequest(0, 5, (), (), 64, 64 * 1024))
        running.federation._take(NODES[0], THEM, body)
        await trio.testing.wait_all_tasks_blocked()
        assert running.federation.internal_faults == 4
        # Not even one in who reads all messages ends that for good.
        running.links.cluster_of = {}.__getitem__  # type: ignore[method-assign, assignment]  # a bug, on purpose
        running.links.inbox.put(Delivery(NODES[0], Code.FEDERATION, b"\xc1"))
        await trio.testing.wait_all_tasks_blocked()
        del running.links.cluster_of
        running.links.inbox.put(Delivery(NODES[0], Code.FEDERATION, b"\xc1"))
        await trio.sleep(11)
        assert running.federation.internal_faults >= 5
        assert running.links.reports[-1][1] == "malformed"


class Ending(FakeLedger):
    """Our ledger, which finds that its own data is broken."""

    def __init__(self, error: Exception) -> None:
        super().__init__(known=(neighbour(node_keys=THEIR_KEYS),))
        self.error = error

    async def standing(self, cluster_id: bytes) -> Standing | None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [
        LocalError("the record of a lane cannot be read"),
        StoreFailed("a page cannot be read"),
        StoreForeign("a newer version wrote this"),
        ExceptionGroup("of a nursery", [ValueError("a bug"), StoreFailed("a page cannot be read")]),
    ],
)
async def test_what_says_that_our_own_data_is_broken_ends_the_node(
    error: Exception, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(ExceptionGroup) as ended:
        async with federation(Ending(error)):
            await trio.sleep(60)
    assert ended.value.subgroup((LocalError, StoreFailed, StoreForeign)) is not None


async def test_metrics_tell_of_each_cluster_and_zeros_from_the_start(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ledger = FakeLedger(known=(neighbour(THEM, ClientStatus.FROZEN, THEIR_KEYS),))
    async with federation(ledger) as running:
        running.links.inbox.put(Delivery(NODES[0], Code.FEDERATION, b"\xc1"))
        await trio.testing.wait_all_tasks_blocked()
        families = federation_metrics(running.federation, NOW_MS + 500)
        samples = {
            (sample.name.removeprefix("isthmus_federation_"), *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }
    assert samples["anchor_height", "them"] == 5
    assert samples["anchor_age_ms", "them"] == 500
    assert (samples["frozen", "them"], samples["stale", "them"], samples["pending", "them"]) == (1, 0, 3)
    assert samples["links", "them"] == 4
    assert samples["courier_bundle_bytes_total", "them"] == 0
    assert samples["courier_verify_seconds_total", "them"] == 0
    assert samples["courier_errors_total", "them", "silent"] == 0
    assert samples["peer_faults_total", "malformed"] == 1
    assert samples[("internal_faults_total",)] == 0
    assert samples["questions_total", "denied"] == samples["questions_of_others_total", "denied"] == 0
    assert samples[("told_bytes_total",)] == 0
