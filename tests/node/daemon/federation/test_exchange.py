"""Questions and answers: an answer counts for who was asked, once, in time; the rest is scored or dropped."""

import pytest
import trio
import trio.testing

from node import wire
from node.anchoring.exchange import BundleSent, Declined, OfferAsked, Offered, Question
from node.anchoring.lanes.courier import Offer
from node.daemon.federation.exchange import UNASKED_WEIGHT, AskFailed, Exchange
from node.wire import Code
from p2p import Delivery, PeerId
from tests.node.daemon.federation.fakes import NODES, THEM, FakeLinks

STRANGER = PeerId(b"?" * 32)


def deliver(links: FakeLinks, peer: PeerId, message: Offered | BundleSent | Declined | OfferAsked) -> None:
    links.inbox.put(Delivery(peer, Code.FEDERATION, wire.frame_of_exchange(message)[1]))


async def test_others_questions_are_handed_on_with_the_cluster_of_who_asks(
    autojump_clock: trio.testing.MockClock,
) -> None:
    taken: list[tuple[PeerId, bytes, Question]] = []
    links = FakeLinks(lambda peer, question: None)
    exchange = Exchange(links, lambda *question: taken.append(question))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        deliver(links, NODES[0], OfferAsked(1, 0, 0, 0, 0))
        deliver(links, STRANGER, OfferAsked(2, 0, 0, 0, 0))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert taken == [(NODES[0], THEM, OfferAsked(1, 0, 0, 0, 0))]
    assert links.reports == []


async def test_an_answer_from_somebody_else_or_to_nobody_is_dropped_and_scored(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def somebody_else(peer: PeerId, question: Question) -> None:
        deliver(links, NODES[1], Offered(question.ticket, Offer(0, 99, 99)))
        deliver(links, NODES[2], Offered(question.ticket + 5, Offer(0, 99, 99)))
        deliver(links, peer, Offered(question.ticket, Offer(0, 1, 1)))
        deliver(links, peer, Offered(question.ticket, Offer(0, 2, 2)))

    links = FakeLinks(somebody_else)
    exchange = Exchange(links, lambda *question: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        reply = await exchange.ask_offer(NODES[0], (0, 0, 0), 0, 5)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert reply.offer == Offer(0, 1, 1)
    assert links.reports == [(node, "unasked", UNASKED_WEIGHT) for node in (NODES[1], NODES[2], NODES[0])]
    assert exchange.faults == {"unasked": 3}
    assert exchange.open == 0


async def test_garbage_is_scored_and_the_next_message_is_read(autojump_clock: trio.testing.MockClock) -> None:
    links = FakeLinks(lambda peer, question: None)
    exchange = Exchange(links, lambda *question: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        for body in (b"\xc1", b"\x00" * 500, b"\x94\x01\x05\x01\xc0"):
            links.inbox.put(Delivery(NODES[0], Code.FEDERATION, body))
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert [report[1] for report in links.reports] == ["malformed"] * 3


async def test_who_is_not_connected_cannot_be_asked(autojump_clock: trio.testing.MockClock) -> None:
    exchange = Exchange(FakeLinks(lambda peer, question: None, ()), lambda *question: None)
    with pytest.raises(AskFailed, match="unreachable: 010101010101 is not connected"):
        await exchange.ask_offer(NODES[0], (0, 0, 0), 0, 5)
    assert exchange.limits() == (("federation_questions", 0, 4096),)
