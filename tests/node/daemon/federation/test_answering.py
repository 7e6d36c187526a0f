"""What other clusters ask: news at once, patience kept, and every bound held against who asks too much."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
import trio.testing

from node.anchoring.exchange import BundleAsked, BundleSent, Declined, OfferAsked, Offered, Reply
from node.anchoring.lanes.courier import BundleRequest, Offer
from node.daemon.federation import answering as module
from node.daemon.federation.answering import QUESTIONS_PER_SECOND, Answering
from node.daemon.waiters import Waiters
from node.storage import SnapshotLimit
from p2p import PeerId
from tests.node.daemon.federation.fakes import NODES, OTHERS, THEM, FakeLedger

REQUEST = BundleRequest(0, 5, (), (), 64, 64 * 1024)


@dataclass
class Desk:
    """A server under test, and what left it."""

    served: FakeLedger
    waiters: Waiters
    answering: Answering
    replies: list[tuple[PeerId, Reply]]

    def ask_offer(self, peer: PeerId, ticket: int, *, log_size: int = 0, patience_ms: int = 1_000) -> None:
        self.answering.take(peer, THEM, OfferAsked(ticket, 0, 5, log_size, patience_ms))

    def ask_bundle(self, peer: PeerId, ticket: int, cluster: bytes = THEM) -> None:
        self.answering.take(peer, cluster, BundleAsked(ticket, REQUEST))


@asynccontextmanager
async def desk(served: FakeLedger | None = None) -> AsyncIterator[Desk]:
    async with trio.open_nursery() as nursery:
        own = served or FakeLedger(offered={THEM: Offer(0, 5, 0)}, bundle=b"bundle")
        waiters = Waiters(5)
        replies: list[tuple[PeerId, Reply]] = []
        answering = Answering(
            lambda task, *args: nursery.start_soon(task, *args),
            own,
            waiters,
            lambda peer, reply: replies.append((peer, reply)),
        )
        made = Desk(own, waiters, answering, replies)
        yield made
        assert all(current <= bound for _, current, bound in made.answering.limits())
        nursery.cancel_scope.cancel()


class Stuck(FakeLedger):
    """Storage that takes for ever."""

    async def answer(self, cluster_id: bytes, request: BundleRequest) -> bytes | None:
        await trio.sleep_forever()


class Busy(FakeLedger):
    """Storage with too many readers."""

    async def answer(self, cluster_id: bytes, request: BundleRequest) -> bytes | None:
        raise SnapshotLimit("too many")

    async def offers(self, cluster_ids: tuple[bytes, ...]) -> dict[bytes, Offer]:
        raise SnapshotLimit("too many")


async def test_news_are_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with desk() as made:
        made.served.offered[THEM] = Offer(0, 5, 3)
        made.ask_offer(NODES[0], 7, log_size=2)
        await trio.testing.wait_all_tasks_blocked()
        assert made.replies == [(NODES[0], Offered(7, Offer(0, 5, 3)))]


async def test_without_news_the_question_waits_for_them(autojump_clock: trio.testing.MockClock) -> None:
    async with desk() as made:
        made.ask_offer(NODES[0], 7, patience_ms=5_000)
        await trio.sleep(1)
        made.waiters.certified((), 6)
        await trio.sleep(1)
        assert made.replies == []
        made.served.offered[THEM] = Offer(0, 7, 1)
        made.waiters.certified((), 7)
        await trio.testing.wait_all_tasks_blocked()
        assert made.replies == [(NODES[0], Offered(7, Offer(0, 7, 1)))]


async def test_when_patience_is_over_the_offer_is_told_as_it_is(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with desk() as made:
        made.ask_offer(NODES[0], 7, patience_ms=5_000)
        await trio.sleep(4.9)
        assert made.replies == []
        await trio.sleep(0.2)
        assert made.replies == [(NODES[0], Offered(7, Offer(0, 5, 0)))]


async def test_all_who_wait_share_one_look_at_each_height(autojump_clock: trio.testing.MockClock) -> None:
    async with desk() as made:
        for ticket, node in enumerate(NODES):
            made.ask_offer(node, ticket, patience_ms=9_000)
        await trio.sleep(1)
        before = made.served.looks
        made.waiters.certified((), 6)
        await trio.sleep(1)
        assert made.served.looks == before + 1


async def test_a_second_question_of_a_peer_takes_the_place_of_its_first(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with desk() as made:
        for ticket in range(20):
            made.ask_offer(NODES[0], ticket, patience_ms=1_000)
        await trio.sleep(5)
        assert made.replies == [(NODES[0], Offered(19, Offer(0, 5, 0)))]


async def test_who_was_never_admitted_is_offered_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with desk(FakeLedger()) as made:
        made.ask_offer(NODES[0], 1, patience_ms=9_000)
        await trio.testing.wait_all_tasks_blocked()
        assert made.replies == [(NODES[0], Declined(1, "unknown-cluster"))]


async def test_a_bundle_is_sent_or_there_is_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with desk() as made:
        made.ask_bundle(NODES[0], 1)
        await trio.testing.wait_all_tasks_blocked()
        made.served.bundle = None
        made.ask_bundle(NODES[0], 2)
        await trio.testing.wait_all_tasks_blocked()
        assert [reply for _, reply in made.replies] == [BundleSent(1, b"bundle"), Declined(2, "nothing")]
        assert (made.answering.served, made.answering.served_bytes) == (1, len(b"bundle"))


async def test_one_cluster_cannot_take_what_another_needs(autojump_clock: trio.testing.MockClock) -> None:
    async with desk(Stuck()) as made:
        for ticket, node in enumerate(NODES):
            made.ask_bundle(node, ticket)
        await trio.testing.wait_all_tasks_blocked()
        assert [current for _, current, _ in made.answering.limits()] == [2, 2, 0]
        made.ask_bundle(NODES[3], 99, OTHERS)
        await trio.testing.wait_all_tasks_blocked()
        assert [current for _, current, _ in made.answering.limits()] == [3, 2, 0]
        assert made.replies == []


async def test_one_node_has_one_bundle_made_at_a_time_and_one_question_waiting(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with desk(Stuck()) as made:
        for ticket in range(4):
            made.ask_bundle(NODES[0], ticket)
        made.ask_bundle(NODES[1], 9)
        await trio.testing.wait_all_tasks_blocked()
        assert made.replies == [(NODES[0], Declined(1, "busy")), (NODES[0], Declined(2, "busy"))]


@dataclass
class Slow(FakeLedger):
    """Storage that takes its time for each bundle."""

    seconds: float = 0.2

    async def answer(self, cluster_id: bytes, request: BundleRequest) -> bytes | None:
        await trio.sleep(self.seconds)
        return self.bundle


async def test_nodes_that_ask_without_end_keep_no_bundle_from_another_of_their_cluster(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Three ask all the time; another one waits for what is being made, and then it is its turn."""
    async with (
        desk(Slow(offered={THEM: Offer(0, 5, 0)}, bundle=bytes(64 * 1024))) as made,
        trio.open_nursery() as nursery,
    ):
        for node in NODES[:3]:
            nursery.start_soon(_flood, made, node)
        for ticket in range(900, 910):
            await trio.sleep(1)
            made.ask_bundle(NODES[3], ticket)
            await trio.sleep(0.45)
            assert made.replies.count((NODES[3], BundleSent(ticket, bytes(64 * 1024)))) == 1
        nursery.cancel_scope.cancel()


async def _flood(made: Desk, node: PeerId) -> None:
    ticket = 0
    while True:
        ticket += 1
        made.ask_bundle(node, ticket)
        await trio.sleep(0.03)


async def test_who_may_not_be_sent_more_for_now_holds_no_slot(autojump_clock: trio.testing.MockClock) -> None:
    """Two nodes ask faster than their pace; what is made for them waits, and nobody else does."""
    async with desk(FakeLedger(offered={THEM: Offer(0, 5, 0)}, bundle=bytes(512 * 1024))) as made:
        for ticket in range(40):
            for node in NODES[:2]:
                made.ask_bundle(node, ticket)
            await trio.testing.wait_all_tasks_blocked()
        sent = sum(isinstance(reply, BundleSent) for _, reply in made.replies)
        assert sent < 40
        made.ask_bundle(NODES[2], 99)
        await trio.testing.wait_all_tasks_blocked()
        assert made.replies[-1] == (NODES[2], BundleSent(99, bytes(512 * 1024)))


async def test_a_question_that_waited_too_long_is_declined(autojump_clock: trio.testing.MockClock) -> None:
    async with desk(Slow(bundle=b"late", seconds=module.BUNDLE_WAIT_SECONDS_MAX + 1)) as made:
        for ticket, node in enumerate(NODES[:3]):
            made.ask_bundle(node, ticket)
        await trio.sleep(module.BUNDLE_WAIT_SECONDS_MAX + 2)
        assert (NODES[2], Declined(2, "busy")) in made.replies
        assert [reply for peer, reply in made.replies if peer == NODES[0]] == [BundleSent(0, b"late")]
        made.ask_bundle(NODES[2], 3)
        await trio.sleep(module.BUNDLE_WAIT_SECONDS_MAX + 2)
        assert made.replies[-1] == (NODES[2], BundleSent(3, b"late"))


async def test_a_node_that_floods_holds_up_nobody_else_of_its_cluster(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with desk() as made:
        made.served.offered[THEM] = Offer(0, 5, 3)
        for ticket in range(20 * QUESTIONS_PER_SECOND):
            made.ask_offer(NODES[0], ticket)
            await trio.lowlevel.checkpoint()
        made.ask_bundle(NODES[0], 1)
        await trio.testing.wait_all_tasks_blocked()
        made.replies.clear()
        made.ask_offer(NODES[1], 2)
        made.ask_bundle(NODES[1], 3)
        await trio.testing.wait_all_tasks_blocked()
        told = [reply for peer, reply in made.replies if peer == NODES[1]]
        assert {type(reply) for reply in told} == {Offered, BundleSent}


async def test_who_flooded_is_answered_again_soon_after(autojump_clock: trio.testing.MockClock) -> None:
    async with desk() as made:
        made.served.offered[THEM] = Offer(0, 5, 3)
        for ticket in range(100 * QUESTIONS_PER_SECOND):
            made.ask_offer(NODES[0], ticket)
            await trio.lowlevel.checkpoint()
        await trio.sleep(module.PACE_WAIT_SECONDS_MAX + 2)
        made.replies.clear()
        made.ask_offer(NODES[0], 7)
        await trio.testing.wait_all_tasks_blocked()
        assert made.replies == [(NODES[0], Offered(7, Offer(0, 5, 3)))]


async def test_busy_storage_is_said_and_ends_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with desk(Busy()) as made:
        made.ask_bundle(NODES[0], 1)
        made.ask_offer(NODES[0], 2)
        await trio.testing.wait_all_tasks_blocked()
        assert {reply for _, reply in made.replies} == {Declined(1, "busy"), Declined(2, "busy")}
        assert [current for _, current, _ in made.answering.limits()] == [0, 0, 0]


async def test_who_asks_too_fast_is_answered_at_the_rate(autojump_clock: trio.testing.MockClock) -> None:
    async with desk() as made:
        made.served.offered[THEM] = Offer(0, 5, 3)
        for ticket in range(2 * QUESTIONS_PER_SECOND):
            made.ask_offer(NODES[0], ticket)
            await trio.testing.wait_all_tasks_blocked()
        assert len(made.replies) == QUESTIONS_PER_SECOND
        await trio.sleep(5)
        assert len(made.replies) == QUESTIONS_PER_SECOND + 1  # the last; the others were replaced
