"""Couriers against nodes that are slow, lying, silent, gone, or have nothing: each costs one round."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
import trio.testing

from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.exchange import BundleAsked, BundleSent, Declined, OfferAsked, Offered, Question, Reply
from node.anchoring.lanes.courier import Offer
from node.anchoring.lanes.inbound import InboundBundle
from node.daemon.federation.barren import BARREN_MAX, BarrenOffers
from node.daemon.federation.courier import (
    BUNDLES_AT_ONCE_MAX,
    HURRY_SECONDS,
    PATIENCE_MS,
    PAUSE_MAX_MS,
    Courier,
    SubmitFailed,
)
from node.daemon.federation.exchange import Exchange
from node.daemon.federation.ledgerside import BundleFault, Seat, Standing
from node.daemon.federation.turns import (
    STEP_MS,
    STEP_MS_MAX,
    TURN_MS,
    backoff_ms,
    rank,
    step_ms,
    turn_of,
    usual_ms,
    wait_ms,
)
from p2p import PeerId
from tests.node.daemon.federation.fakes import (
    FIRST,
    HEARTBEAT_MS,
    NODES,
    NOW_MS,
    OTHERS,
    THEM,
    FakeLedger,
    FakeLinks,
    Server,
    a_bundle,
    client,
    standing,
)

NEWS = Offer(0, 9, 3)
"""Height 9, and three leaves for us, of which our ledger took none."""
SILENCE = Offer(0, 5, 0)


@dataclass
class Office:
    """One courier under test, on virtual time."""

    links: FakeLinks
    ledger: FakeLedger
    exchange: Exchange
    courier: Courier
    submitted: list[InboundBundle] = field(default_factory=list)
    waited: list[int] = field(default_factory=list)
    unreachable: int = 0

    def asked(self, kind: type[Question]) -> list[PeerId]:
        return [peer for peer, question in self.links.asked if isinstance(question, kind)]


@asynccontextmanager
async def office(
    server: Server,
    *,
    ledger: FakeLedger | None = None,
    takes: bool = True,
    nodes: tuple[PeerId, ...] = NODES,
    seconds: float = 120,
) -> AsyncIterator[Office]:
    """A courier that runs for `seconds` of virtual time; what it did is looked at afterwards."""
    links, own = FakeLinks(server, nodes), ledger or FakeLedger()
    exchange = Exchange(links, lambda peer, cluster, question: None)
    began = trio.current_time()

    async def submit(bundle: InboundBundle) -> bytes:
        made.submitted.append(bundle)
        if takes:
            own.moves(9)
        return b"%d" % len(made.submitted)

    async def final(transaction_id: bytes) -> None:
        made.waited.append(int(transaction_id))

    def unreachable(cluster_id: bytes) -> None:
        assert cluster_id == THEM
        made.unreachable += 1

    courier = Courier(
        THEM,
        own,
        exchange,
        links,
        own,
        submit,
        final,
        lambda: own.own_seat,
        unreachable,
        lambda: NOW_MS + int((trio.current_time() - began) * 1000),
    )
    made = Office(links, own, exchange, courier)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        nursery.start_soon(courier.run)
        yield made
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()


def honest(offer: Offer = NEWS) -> Server:
    def answer(peer: PeerId, question: Question) -> Reply | None:
        if isinstance(question, OfferAsked):
            # Whoever knows as much already waits until its patience is over, which these tests cut short.
            return Offered(question.ticket, offer) if offer.height > question.height else None
        return BundleSent(question.ticket, a_bundle())

    return answer


async def test_news_are_asked_for_verified_and_submitted_once(autojump_clock: trio.testing.MockClock) -> None:
    async with office(honest()) as made:
        pass
    assert [bundle.source for bundle in made.submitted] == [THEM]
    assert made.courier.counts.submitted == 1
    assert made.courier.counts.bundle_bytes == len(a_bundle())
    assert made.links.reports == []
    (request,) = [question for _, question in made.links.asked if isinstance(question, BundleAsked)]
    assert request.request.height == 5


async def test_verification_is_counted_however_short(autojump_clock: trio.testing.MockClock) -> None:
    ledger = FakeLedger(after=grown(1), check_seconds=0.000_4)
    async with office(honest(Offer(0, 9, 99)), ledger=ledger, takes=False, seconds=0.1) as made:
        pass
    counts = made.courier.counts
    assert counts.bundles == BUNDLES_AT_ONCE_MAX
    assert counts.verify_seconds == pytest.approx(0.000_4 * BUNDLES_AT_ONCE_MAX, abs=0.000_01)


async def test_an_idle_federation_is_asked_patiently_and_nothing_is_submitted(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def patient(peer: PeerId, question: Question) -> Reply:
        assert isinstance(question, OfferAsked)
        assert question.patience_ms <= PATIENCE_MS
        return Offered(question.ticket, SILENCE)

    async with office(patient, seconds=20) as made:
        pass
    assert made.submitted == []
    # An answer before its time cannot make the courier spin; and every node is asked in turn.
    assert len(made.links.asked) <= 8
    assert set(made.asked(OfferAsked)) == set(NODES)


async def test_a_cluster_that_stands_still_beyond_the_heartbeat_is_asked_as_patiently_as_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Each node is asked once whether it has gone on; after that news come by themselves."""

    def keeping(peer: PeerId, question: Question) -> Reply | None:
        assert isinstance(question, OfferAsked)
        if not question.patience_ms:
            return Offered(question.ticket, SILENCE)
        nursery.start_soon(later, peer, Offered(question.ticket, SILENCE), question.patience_ms)
        return None

    async def later(peer: PeerId, reply: Reply, patience_ms: int) -> None:
        await trio.sleep(patience_ms / 1000)
        made.links.answer(peer, reply)

    ledger = FakeLedger(standing(anchored_ms=NOW_MS - 10 * HEARTBEAT_MS))
    async with trio.open_nursery() as nursery, office(keeping, ledger=ledger, seconds=60) as made:
        pass
    asked = [question.patience_ms for _, question in made.links.asked if isinstance(question, OfferAsked)]
    assert asked[: len(NODES)] == [0] * len(NODES)
    assert set(asked[len(NODES) + 1 :]) == {PATIENCE_MS}
    assert len(asked) <= len(NODES) + 1 + 60_000 / PATIENCE_MS


async def test_the_tip_of_a_silent_cluster_is_anchored_at_the_heartbeat(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def gone_on(peer: PeerId, question: Question) -> Reply:
        if isinstance(question, OfferAsked):
            return Offered(question.ticket, Offer(0, 9, 0))
        return BundleSent(question.ticket, a_bundle())

    async with office(gone_on, seconds=HEARTBEAT_MS / 1000 - 1) as made:
        pass
    assert made.submitted == []
    ledger = FakeLedger(standing(anchored_ms=NOW_MS - HEARTBEAT_MS))
    async with office(gone_on, ledger=ledger, seconds=5) as made:
        pass
    assert len(made.submitted) == 1


async def test_a_height_that_somebody_waits_for_is_brought_without_patience_turn_or_heartbeat(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def gone_on(peer: PeerId, question: Question) -> Reply | None:
        if isinstance(question, OfferAsked):
            # It says nothing to us, so an honest server keeps the question until the patience is over.
            return None if question.patience_ms else Offered(question.ticket, Offer(0, 9, 0))
        return BundleSent(question.ticket, a_bundle())

    async with office(gone_on, ledger=FakeLedger(own_seat=seat(3)), seconds=0) as made:
        await trio.sleep(1)
        assert made.submitted == []
        made.courier.hurry(9)
        await trio.sleep(1)
        assert len(made.submitted) == 1
        made.courier.hurry(9)
        await trio.sleep(3)
        assert len(made.submitted) == 1


async def test_a_height_that_never_comes_is_hurried_after_for_a_while_only(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def goes_on(peer: PeerId, question: Question) -> Reply:
        if isinstance(question, OfferAsked):
            return Offered(question.ticket, Offer(0, question.height + 1, 0))
        return BundleSent(question.ticket, a_bundle())

    async with office(goes_on, takes=False, seconds=0) as made:
        made.courier.hurry(10**9)
        await trio.sleep(HURRY_SECONDS + 1)
        brought = len(made.submitted)
        assert brought > 0
        await trio.sleep(HEARTBEAT_MS / 2000)
        assert len(made.submitted) == brought


def seat(position: int) -> Seat:
    """Of the validator before whom so many come."""
    return Seat((FIRST + position) % 4, 4)


async def test_another_validators_turn_is_waited_for_and_its_success_is_no_work_for_us(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with office(honest(), ledger=FakeLedger(own_seat=seat(1)), seconds=STEP_MS / 1000 - 0.1) as made:
        pass
    assert made.asked(BundleAsked) == []
    assert made.submitted == []
    ledger = FakeLedger(own_seat=seat(1))
    async with office(honest(), ledger=ledger, seconds=5) as made:
        await trio.sleep(STEP_MS / 2000)
        ledger.moves(9)
    assert made.submitted == []
    assert made.courier.counts.forestalled == 1


async def test_who_sees_leaves_arrive_asks_for_more_at_once(autojump_clock: trio.testing.MockClock) -> None:
    ledger = FakeLedger(own_seat=seat(3))
    async with office(honest(), ledger=ledger, seconds=0) as made:
        await trio.sleep(0.01)
        assert len(made.asked(OfferAsked)) == 1
        ledger.moves(9)
        await trio.sleep(0.1)
        assert len(made.asked(OfferAsked)) == 2


async def test_a_courier_that_only_anchors_keeps_nobody_from_bringing_leaves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ledger = FakeLedger(own_seat=seat(1))
    async with office(honest(Offer(0, 50, 3)), ledger=ledger, seconds=0) as made:
        for height in range(6, 6 + 2 * STEP_MS // 70):
            await trio.sleep(0.07)  # never at the moment at which the turn comes
            if made.submitted:
                break
            ledger.moves(height, leaves=0)
    assert len(made.submitted) == 1


async def test_a_cluster_that_takes_its_time_is_not_given_every_bundle_by_every_validator(
    autojump_clock: trio.testing.MockClock,
) -> None:
    offered = [NEWS]
    ledger = FakeLedger(own_seat=seat(1))

    def server(peer: PeerId, asked: Question) -> Reply | bytes | None:
        return honest(offered[0])(peer, asked)

    async def final(transaction_id: bytes) -> None:
        await trio.sleep(1.5)

    async with office(server, ledger=ledger, takes=False, seconds=0) as made:
        made.courier._final = final
        for number in range(1, 12):  # whose turn it is brings three leaves, which takes 1.5 s each time
            await trio.sleep(1.5)
            offered[0] = Offer(0, 9 + number, 3 + 3 * number)
            ledger.moves(9 + number - 1, leaves=3 * number)
        submitted = len(made.submitted)
        await trio.sleep(1.4)
    assert 0 < submitted < 3, "at first we think that nobody does it"
    assert len(made.submitted) == submitted


def grown(by: int) -> Callable[[Standing], Standing]:
    """How the ledger stands once another so many leaves are taken."""
    return lambda at: standing(at.held.height + 1, leaves=at.held.leaves_taken + by)


async def test_who_has_more_to_bring_submits_it_before_the_first_is_final(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ledger = FakeLedger(after=grown(2))
    async with office(honest(Offer(0, 9, 5)), ledger=ledger, takes=False, seconds=0.1) as made:
        pass
    assert len(made.submitted) == 3
    assert made.waited == [3]
    asked = [question.request for _, question in made.links.asked if isinstance(question, BundleAsked)]
    assert [sum(lane.count for lane in request.incoming) for request in asked] == [0, 2, 4]
    assert [request.height for request in asked] == [5, 6, 7]


async def test_so_many_bundles_and_no_more_are_under_way(autojump_clock: trio.testing.MockClock) -> None:
    ledger = FakeLedger(after=grown(1))
    async with office(honest(Offer(0, 9, 99)), ledger=ledger, takes=False, seconds=0.1) as made:
        pass
    assert len(made.submitted) == BUNDLES_AT_ONCE_MAX
    assert made.waited == [BUNDLES_AT_ONCE_MAX]


async def test_what_comes_after_the_first_bundle_and_is_worth_nothing_yet_is_no_failure(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def once(at: Standing) -> Standing:
        ledger.faults[a_bundle()] = BundleFault("nothing-new", "a gap", is_blamed=False)
        return grown(1)(at)

    ledger = FakeLedger(after=once)
    async with office(honest(Offer(0, 9, 5)), ledger=ledger, seconds=0.1) as made:
        await trio.sleep(0.05)
        assert made.courier.counts.errors == {}
        assert (len(made.submitted), made.waited) == (1, [1])


async def test_who_comes_later_brings_it_when_those_before_do_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ledger = FakeLedger(own_seat=seat(3))
    async with office(honest(), ledger=ledger, seconds=wait_ms(3) / 1000 + 1) as made:
        pass
    assert len(made.submitted) == 1


def test_every_validator_has_its_turn_and_the_order_is_agreed() -> None:
    for turn in range(20):
        assert sorted(rank(index, 4, turn) for index in range(4)) == [0, 1, 2, 3]
    assert {rank(0, 4, turn_of(NOW_MS + turn * TURN_MS)) for turn in range(4)} == {0, 1, 2, 3}
    assert [wait_ms(position, 100) for position in range(4)] == [0, 100, 300, 600]
    assert [step_ms(usual) for usual in (0, STEP_MS, 10 * STEP_MS_MAX)] == [STEP_MS, 2 * STEP_MS, STEP_MS_MAX]
    assert (usual_ms(100, 4_000), usual_ms(4_000, 0)) == (4_000, 3_000)
    assert [backoff_ms(failures, 200, 1_000) for failures in (0, 1, 2, 3, 99)] == [
        200,
        400,
        800,
        1_000,
        1_000,
    ]


@pytest.mark.parametrize(
    ("bad", "code", "weight"),
    [
        (lambda ticket: None, "silent", 0),
        (lambda ticket: Declined(ticket, "busy"), "declined", 0),
        (lambda ticket: Offered(ticket, NEWS), "wrong-answer", 60),
        (lambda ticket: b"\xc1garbage", "silent", 60),
        (lambda ticket: BundleSent(ticket, b"lies"), "false-proof", 40),
        (lambda ticket: BundleSent(ticket + 1, a_bundle()), "silent", 10),
    ],
    ids=["silent", "busy", "another kind", "garbage", "lying", "another ticket"],
)
async def test_a_bad_node_costs_a_round_and_the_next_node_brings_it(
    autojump_clock: trio.testing.MockClock, bad: object, code: str, weight: int
) -> None:
    first: list[PeerId] = []

    def one_is_bad(peer: PeerId, question: Question) -> Reply | bytes | None:
        if isinstance(question, OfferAsked):
            return honest()(peer, question)
        if not first:
            first.append(peer)
        return bad(question.ticket) if peer == first[0] else BundleSent(question.ticket, a_bundle())  # type: ignore[operator]  # a table of lambdas

    ledger = FakeLedger(faults={b"lies": BundleFault("false-proof", "it does not fit", is_blamed=True)})
    async with office(one_is_bad, ledger=ledger, seconds=8) as made:
        pass
    assert len(made.submitted) == 1
    assert made.asked(BundleAsked) != [first[0]] * len(made.asked(BundleAsked))
    assert made.courier.counts.errors == {code: 1}
    assert [report[2] for report in made.links.reports] == ([weight] if weight else [])
    assert all(report[0] == first[0] for report in made.links.reports)


async def test_a_true_bundle_that_came_too_late_blames_nobody(autojump_clock: trio.testing.MockClock) -> None:
    late = BundleFault("not-newer", "held already", is_blamed=False)
    ledger = FakeLedger(faults={a_bundle(): late})
    async with office(honest(), ledger=ledger, seconds=30) as made:
        pass
    assert made.submitted == []
    assert made.links.reports == []
    assert set(made.courier.counts.errors) == {"not-newer"}


async def test_old_offers_are_no_reason_to_do_anything(autojump_clock: trio.testing.MockClock) -> None:
    def old(peer: PeerId, question: Question) -> Reply:
        assert isinstance(question, OfferAsked)
        return Offered(question.ticket, Offer(0, 2, 0))

    async with office(old) as made:
        pass
    assert made.asked(BundleAsked) == []
    assert made.courier.counts.errors == {}


@pytest.mark.parametrize("is_declined", [True, False], ids=["declined", "an empty bundle"])
async def test_a_node_that_has_none_of_what_it_offers_is_not_asked_again_until_something_changes(
    autojump_clock: trio.testing.MockClock, is_declined: bool
) -> None:
    empty = BundleFault("nothing-new", "none of it", is_blamed=False, is_empty=True)
    ledger = FakeLedger(faults={} if is_declined else {a_bundle(): empty})
    offered = [Offer(0, 5 if is_declined else 6, 3)]

    def barren(peer: PeerId, question: Question) -> Reply | None:
        if isinstance(question, OfferAsked):
            # An honest server waits until it says more than we know; here until our patience is over.
            return Offered(question.ticket, offered[0]) if offered[0].log_size > question.log_size else None
        if is_declined:
            return Declined(question.ticket, "nothing")
        return BundleSent(question.ticket, a_bundle())

    async with office(barren, ledger=ledger, seconds=0) as made:
        await trio.sleep(HEARTBEAT_MS / 1000 - 1)
        assert sorted(made.asked(BundleAsked)) == sorted(NODES), "each was asked once"
        asked = len(made.asked(OfferAsked))
        assert asked < 20
        offered[0] = Offer(0, offered[0].height, 4)
        await trio.sleep(25)
        assert len(made.asked(BundleAsked)) > len(NODES)
        again = len(made.asked(BundleAsked))
        ledger.moves(5, leaves=2)
        await trio.sleep(25)
        assert len(made.asked(BundleAsked)) > again
        assert made.courier.barren_offers <= len(NODES)


async def test_what_one_node_does_not_have_another_one_brings(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def one_has_it(peer: PeerId, question: Question) -> Reply | bytes | None:
        if isinstance(question, OfferAsked) or peer == NODES[3]:
            return honest()(peer, question)
        return Declined(question.ticket, "nothing")

    async with office(one_has_it, seconds=30) as made:
        pass
    assert len(made.submitted) == 1
    assert made.asked(BundleAsked).count(NODES[3]) == 1


async def test_a_barren_offer_delays_no_heartbeat(autojump_clock: trio.testing.MockClock) -> None:
    empty = BundleFault("nothing-new", "none of it", is_blamed=False, is_empty=True)
    ledger = FakeLedger(faults={a_bundle(): empty})
    async with office(honest(), ledger=ledger, seconds=0) as made:
        await trio.sleep(HEARTBEAT_MS / 2000)
        asked = len(made.asked(BundleAsked))
        ledger.faults.clear()
        await trio.sleep(HEARTBEAT_MS / 2000 - 1)
        assert len(made.asked(BundleAsked)) == asked
        assert made.submitted == []
        await trio.sleep(20)
        assert len(made.submitted) == 1


def test_barren_offers_are_remembered_up_to_a_bound_the_last_ones() -> None:
    known, held = BarrenOffers(), standing().held
    peers = [PeerId(number.to_bytes(32, "big")) for number in range(BARREN_MAX + 1)]
    for peer in peers:
        known.note(peer, held, NEWS)
    assert len(known) == BARREN_MAX
    assert known.without(peers[0], held, NEWS) == NEWS
    assert known.without(peers[-1], held, NEWS) == Offer(0, 9, 0)


async def test_a_bundle_that_our_ledger_takes_nothing_of_is_brought_ever_more_rarely(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with office(honest(), takes=False, seconds=100) as made:
        pass
    assert set(made.courier.counts.errors) == {"no-progress"}
    assert 5 <= len(made.submitted) <= 100_000 / PAUSE_MAX_MS + 8


async def test_a_node_that_leaves_in_between_is_not_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    def leaves(peer: PeerId, question: Question) -> Reply | bytes | None:
        if isinstance(question, OfferAsked):
            return honest()(peer, question)
        if peer == NODES[FIRST]:
            made.links.leave(peer)
            return None
        return BundleSent(question.ticket, a_bundle())

    async with office(leaves, seconds=8) as made:
        pass
    assert len(made.submitted) == 1
    assert set(made.courier.counts.errors) == {"disconnected"}


async def test_without_any_node_other_ones_are_dialled_and_the_first_that_comes_is_asked(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with office(honest(), nodes=()) as made:
        await trio.sleep(30)
        assert made.unreachable >= 2
        assert set(made.courier.counts.errors) == {"unreachable"}
        made.links.arrive(NODES[2])
    assert len(made.submitted) == 1
    assert set(made.asked(OfferAsked)) == {NODES[2]}


@pytest.mark.parametrize("status", [ClientStatus.FROZEN, ClientStatus.RETIRED])
async def test_a_frozen_cluster_is_left_alone(
    autojump_clock: trio.testing.MockClock, status: ClientStatus
) -> None:
    ledger = FakeLedger(standing(client=client(status=status)))
    async with office(honest(), ledger=ledger) as made:
        pass
    assert made.links.asked == []


@pytest.mark.parametrize(
    "ledger", [FakeLedger(own_seat=None), FakeLedger(now=None)], ids=["no seat", "unknown"]
)
async def test_who_has_no_seat_and_whom_nobody_admitted_wait(
    autojump_clock: trio.testing.MockClock, ledger: FakeLedger
) -> None:
    async with office(honest(), ledger=ledger) as made:
        pass
    assert made.links.asked == []


async def test_what_our_own_node_refuses_is_told_and_tried_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    tries: list[InboundBundle] = []

    async def refuse_twice(bundle: InboundBundle) -> bytes:
        tries.append(bundle)
        if len(tries) < 3:
            raise SubmitFailed("not-submitted", "the pool is full")
        made.ledger.moves(9)
        return b"1"

    async with office(honest(), seconds=8) as made:
        made.courier._submit = refuse_twice
    assert len(tries) == 3
    assert made.courier.counts.errors == {"not-submitted": 2}
    assert made.courier.counts.last_error == "not-submitted: the pool is full"


LARGEST = bytes(512 * 1024)
"""More than that no frame between clusters may hold; the network ends such a link before anybody reads it."""


@pytest.mark.parametrize(
    "hostile",
    [
        lambda asked: None,
        lambda asked: b"\xc1" * 4_096,
        lambda asked: BundleSent(asked.ticket, LARGEST),
        lambda asked: Offered(asked.ticket, Offer(0, 10**9, 10**9)),
        lambda asked: Declined(asked.ticket, "busy"),
    ],
    ids=["never answers", "garbage", "as large as can be", "boasts", "declines"],
)
async def test_one_bad_cluster_slows_no_other(
    autojump_clock: trio.testing.MockClock, hostile: Callable[[Question], Reply | bytes | None]
) -> None:
    offered = [Offer(0, 5, 0)]
    good, bad = FakeLedger(), FakeLedger()
    bad.faults[LARGEST] = BundleFault("malformed", "it is no bundle", is_blamed=True)
    brought: list[float] = []

    def server(peer: PeerId, asked: Question) -> Reply | bytes | None:
        if peer in NODES[2:]:
            return hostile(asked)
        if isinstance(asked, OfferAsked) and offered[0].log_size <= asked.log_size:
            kept[peer] = asked.ticket  # an honest server keeps the question until it has news
            return None
        if isinstance(asked, OfferAsked):
            return Offered(asked.ticket, offered[0])
        return BundleSent(asked.ticket, a_bundle())

    kept: dict[PeerId, int] = {}
    links = FakeLinks(server, NODES[:2], NODES[2:])
    exchange = Exchange(links, lambda peer, cluster, question: None)

    async def submit(bundle: InboundBundle) -> bytes:
        brought.append(trio.current_time())
        good.moves(offered[0].height, leaves=offered[0].log_size)
        return b"1"

    async def final(transaction_id: bytes) -> None:
        return

    async def never(bundle: InboundBundle) -> bytes:
        raise AssertionError("nothing of it may be submitted")

    def courier(cluster_id: bytes, ledger: FakeLedger, submits: Callable[..., object]) -> Courier:
        return Courier(
            cluster_id,
            ledger,
            exchange,
            links,
            ledger,
            submits,  # type: ignore[arg-type]  # one of the two above
            final,
            lambda: Seat(FIRST, 4),
            lambda cluster: None,
            lambda: NOW_MS,
        )

    worse = courier(OTHERS, bad, never)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(exchange.run)
        nursery.start_soon(worse.run)
        nursery.start_soon(courier(THEM, good, submit).run)
        for number in range(1, 20):
            await trio.sleep(9)
            said = trio.current_time()
            offered[0] = Offer(0, 5 + number, number)
            while kept:
                peer, ticket = kept.popitem()
                links.answer(peer, Offered(ticket, offered[0]))
            await trio.sleep(1)
            assert len(brought) == number
            assert brought[-1] - said < 0.3
        nursery.cancel_scope.cancel()
    assert worse.counts.submitted == 0
    assert 0 < worse.counts.rounds <= 19 * 13 / (PAUSE_MAX_MS / 1000) * 3 + 20, (
        "and it is asked ever more rarely"
    )
