"""Members ask another cluster through real ledgers of both: whoever is silent, lies or lags costs little."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
import trio
import trio.testing

from consensus import as_array, as_int, decode, encode
from node.anchoring.bundles.bundle import Bundle
from node.anchoring.bundles.message import verify_message
from node.anchoring.bundles.verification import verify
from node.anchoring.lanes.courier import LeafName
from node.anchoring.lanes.messages import Lane, Mode
from node.anchoring.lanes.records import Closed, Commitment
from node.anchoring.lanes.state import closed_key, commitment_key, load, out_key
from node.anchoring.questions import (
    CatalogueAsked,
    FactAsked,
    PathAsked,
    Question,
    Refusal,
    StateAsked,
    Subject,
)
from node.daemon.federation import asking as module
from node.daemon.federation.asking import ANSWER_SECONDS, ATTEMPTS_MAX, PAUSE_SECONDS, Asking
from node.daemon.federation.exchange import AskFailed
from node.daemon.federation.readings import NO_ANSWER, NoAnswer, Readings
from node.daemon.federation.told import HeldProof
from node.daemon.waiters import Waiters
from node.ledger.federation.changes import RetireCluster, SetReaders
from node.ledger.federation.draft import Draft
from node.ledger.federation.grants import Grant
from node.ledger.federation.reading import ReadRefused
from node.proofs.header import Header
from node.storage import StateTable, Write
from p2p import PeerId
from tests.node.daemon.federation.fakes import NODES
from tests.node.ledger.federation.cluster import Cluster, federate, key_of
from tests.node.ledger.federation.test_anchoring import next_epoch

MANIFEST = "records/port/manifest"
Lie = Callable[[FactAsked, bytes], bytes | AskFailed]
"""What a node makes of a question and the true answer."""


class Here:
    """`Readings` in this thread: virtual time knows nothing of others."""

    def __init__(self, cluster: Cluster) -> None:
        self.readings = Readings(cluster.store, cluster.id, cluster.genesis.body)

    async def credential(self, public_key: bytes) -> bytes:
        return self.readings.credential(public_key)

    async def held(self, cluster_id: bytes) -> HeldProof:
        return self.readings.held(cluster_id)

    async def check_state(self, cluster_id: bytes, key: bytes, data: bytes) -> tuple[Bundle, Header]:
        return self.readings.check_state(cluster_id, key, data)

    async def sent(self, cluster_id: bytes, name: LeafName) -> Bundle:
        return self.readings.sent(cluster_id, name)

    async def require_open(self, cluster_id: bytes, name: LeafName) -> None:
        self.readings.require_open(cluster_id, name)

    async def check_answered(self, cluster_id: bytes, sent: Bundle, data: bytes) -> tuple[bytes, Header]:
        return self.readings.check_answered(cluster_id, sent, data)


@dataclass
class World:
    """alpha's alice asks beta; beta's nodes tell what its ledger tells, but for those that lie."""

    a: Cluster
    b: Cluster
    waiters: Waiters
    asking: Asking = field(init=False)
    nodes: tuple[PeerId, ...] = NODES
    lies: dict[PeerId, Lie] = field(default_factory=dict)
    asked: list[PeerId] = field(default_factory=list)
    blamed: list[tuple[PeerId, str]] = field(default_factory=list)
    hurried: list[int] = field(default_factory=list)
    news: trio.Event = field(default_factory=trio.Event)

    def connected(self, network_id: bytes) -> tuple[PeerId, ...]:
        return self.nodes if network_id == self.b.id else ()

    async def peer_arrives(self) -> None:
        await self.news.wait()

    def blame(self, peer: PeerId, code: str, weight: int) -> None:
        self.blamed.append((peer, code))

    async def ask_fact(self, peer: PeerId, asked: FactAsked, seconds: float) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append(peer)
        try:
            told: bytes = Here(self.b).readings.tell(self.a.id, asked, self.b.now_ms)
        except ReadRefused as refused:
            raise AskFailed(refused.refusal.value, "declined") from refused
        answer = self.lies[peer](asked, told) if peer in self.lies else told
        if isinstance(answer, AskFailed):
            await trio.sleep(seconds if answer.code == "silent" else 0)
            raise answer
        return answer

    def hurry(self, cluster_id: bytes, height: int) -> None:
        assert cluster_id == self.b.id
        self.hurried.append(height)

    def anchor(self) -> None:
        assert self.a.pull(self.b) is not None
        self.waiters.certified((), self.a.ledger.tip.height)

    def question(self, subject: Subject | None = None, **changes: object) -> bytes:
        asked = {
            "key": self.a.alice,
            "asking": self.a.id,
            "asked": self.b.id,
            "unique": bytes(16),
            "expires_at_ms": self.b.now_ms + 60_000,
            "subject": subject or StateAsked(MANIFEST),
        }
        return Question.sign(**(asked | changes)).encoded  # type: ignore[arg-type]  # each test names real ones


@pytest.fixture
def world() -> World:
    a, b = Cluster("ports.alpha"), Cluster("ports.beta")
    federate(a, b)
    b.put("port/manifest")
    assert b.govern(SetReaders(a.id, (Grant("records/", True),))).ok
    assert a.pull(b) is not None
    made = World(a, b, Waiters(a.ledger.tip.height))
    made.asking = Asking(a.id, made, made, Here(a), made.waiters, made.hurry, lambda: b.now_ms)
    return made


@asynccontextmanager
async def refused(code: str) -> AsyncIterator[None]:
    with pytest.raises(NoAnswer) as none:
        yield
    assert none.value.code == code
    assert code in {*NO_ANSWER, *(refusal.value for refusal in Refusal)}


async def test_an_answer_comes_with_all_that_proves_it(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    told = await world.asking.state(world.b.id, world.question(), 30)
    assert verify(told.bundle, trust=world.b.id).height == told.held.client.last.height
    assert (told.path, world.hurried, world.blamed) == ((), [], [])
    assert world.asking.outcomes == {"answered": 1}


async def test_an_answer_that_is_not_anchored_yet_hurries_the_courier_and_waits(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.b.put("port/other")
    wanted = world.b.ledger.tip.height
    async with trio.open_nursery() as nursery:

        async def anchor_later() -> None:
            await trio.sleep(3)
            world.b.put("port/third")
            world.anchor()

        nursery.start_soon(anchor_later)
        told = await world.asking.state(world.b.id, world.question(), 30)
    assert world.hurried == [wanted]
    assert told.held.client.last.height > wanted
    assert told.path


async def test_an_answer_that_is_never_anchored_ends_in_a_code(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.b.put("port/other")
    began = trio.current_time()
    async with refused("not-anchored"):
        await world.asking.state(world.b.id, world.question(), 30)
    assert trio.current_time() - began == pytest.approx(30)
    assert world.asking.outcomes["not-anchored"] == 1


async def test_a_silent_node_costs_one_attempt(world: World, autojump_clock: trio.testing.MockClock) -> None:
    for peer in NODES[:2]:
        world.lies[peer] = lambda asked, told: AskFailed("silent", "no answer")
    for _ in range(4):
        await world.asking.state(world.b.id, world.question(), 30)
    assert trio.current_time() <= 4 * 2 * ANSWER_SECONDS


async def test_when_all_are_silent_only_a_few_are_asked_and_the_time_is_kept(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    for peer in NODES:
        world.lies[peer] = lambda asked, told: AskFailed("silent", "no answer")
    began = trio.current_time()
    async with refused("silent"):
        await world.asking.state(world.b.id, world.question(), 60)
    assert len(world.asked) == ATTEMPTS_MAX
    async with refused("silent"):
        await world.asking.state(world.b.id, world.question(), 2)
    assert trio.current_time() - began <= ATTEMPTS_MAX * ANSWER_SECONDS + 2


@pytest.mark.parametrize("code", ["silent", "busy", "disconnected", "unreachable"])
async def test_the_only_node_of_a_cluster_is_asked_again_where_it_had_no_time(
    world: World, autojump_clock: trio.testing.MockClock, code: str
) -> None:
    world.nodes = NODES[:1]
    excuses = [AskFailed(code, "not now")] * (ATTEMPTS_MAX - 1)
    world.lies[NODES[0]] = lambda asked, told: excuses.pop() if excuses else told
    await world.asking.state(world.b.id, world.question(), 30)
    assert world.asked == [NODES[0]] * ATTEMPTS_MAX
    assert world.asking.outcomes == {"answered": 1}
    assert world.blamed == []


async def test_who_is_busy_is_given_time_and_no_more_than_there_is(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.nodes = NODES[:1]
    world.lies[NODES[0]] = lambda asked, told: AskFailed("busy", "not now")
    async with refused("busy"):
        await world.asking.state(world.b.id, world.question(), 30)
    assert trio.current_time() == pytest.approx((ATTEMPTS_MAX - 1) * PAUSE_SECONDS)
    async with refused("busy"):
        await world.asking.state(world.b.id, world.question(), 1.5)
    assert trio.current_time() == pytest.approx((ATTEMPTS_MAX - 1) * PAUSE_SECONDS + 1.5)


async def test_the_only_node_is_not_asked_again_for_what_it_refused_or_lied_about(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.nodes = NODES[:1]
    world.lies[NODES[0]] = lambda asked, told: told[:-1]
    async with refused("false-answer"):
        await world.asking.state(world.b.id, world.question(), 30)
    assert world.b.govern(SetReaders(world.a.id, ())).ok
    async with refused("denied"):
        await world.asking.state(world.b.id, world.question(), 30)
    assert world.asked == [NODES[0]] * 2
    assert trio.current_time() == 0


@pytest.mark.parametrize("code", ["wrong-answer", "nothing", "unknown-cluster", "no word of ours"])
async def test_only_who_had_no_time_is_asked_again(
    world: World, autojump_clock: trio.testing.MockClock, code: str
) -> None:
    """Who answers with another kind is scored for each of them (`exchange.py`), and a word is an answer."""
    world.nodes = NODES[:1]
    world.lies[NODES[0]] = lambda asked, told: AskFailed(code, "so it said")
    async with refused("false-answer" if code == "wrong-answer" else "silent"):
        await world.asking.state(world.b.id, world.question(), 30)
    assert world.asked == [NODES[0]]
    assert trio.current_time() == 0


async def test_a_liar_is_scored_and_another_node_is_asked(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    for peer in NODES[:2]:
        world.lies[peer] = lambda asked, told: told[:-1]
    for _ in range(2):
        await world.asking.state(world.b.id, world.question(), 30)
    assert world.blamed
    assert all(code == "false-answer" and peer in NODES[:2] for peer, code in world.blamed)


async def test_a_value_that_was_changed_on_the_way_is_never_believed(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    def forge(asked: FactAsked, told: bytes) -> bytes:
        bundle = Bundle.decode(told)
        return replace(bundle, statement=replace(bundle.statement, value=b"forged")).encode()  # type: ignore[arg-type]  # a state statement

    world.lies = dict.fromkeys(NODES, forge)
    async with refused("false-answer"):
        await world.asking.state(world.b.id, world.question(), 30)


async def test_a_root_above_the_anchored_one_counts_only_when_validators_certified_it(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.b.put("port/other")

    def unsigned(asked: FactAsked, told: bytes) -> bytes:
        bundle = Bundle.decode(told)
        certificate = bundle.certificate
        bare = replace(certificate, signatures=bytes(len(certificate.signatures)))
        return replace(bundle, certificate=bare).encode()

    world.lies = dict.fromkeys(NODES, unsigned)
    async with refused("false-answer"):
        await world.asking.state(world.b.id, world.question(), 30)
    assert world.hurried == []


async def test_a_fork_below_the_anchored_tip_is_not_believed(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    fork = world.b.branch()
    fork.put("port/other")
    world.b.put("port/manifest2")
    world.b.put("port/manifest3")
    world.anchor()

    def other_branch(asked: FactAsked, told: bytes) -> bytes:
        if isinstance(asked, PathAsked):
            return told
        honest: bytes = Here(fork).readings.tell(world.a.id, asked, world.b.now_ms)
        return honest

    world.lies = dict.fromkeys(NODES, other_branch)
    async with refused("false-answer"):
        await world.asking.state(world.b.id, world.question(), 30)


async def test_who_gave_a_false_answer_is_scored_and_never_who_only_gave_its_path(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    fork = world.b.branch()
    fork.put("port/other")
    world.b.put("port/manifest2")
    world.b.put("port/manifest3")
    world.anchor()
    liar = NODES[0]

    def false_below_the_tip(asked: FactAsked, told: bytes) -> bytes:
        if isinstance(asked, PathAsked):
            return told
        honest: bytes = Here(fork).readings.tell(world.a.id, asked, world.b.now_ms)
        return honest

    world.lies[liar] = false_below_the_tip
    for _ in NODES:
        await world.asking.state(world.b.id, world.question(), 30)
    assert {peer for peer, _ in world.blamed} == {liar}


async def test_a_path_comes_from_another_node_where_the_first_is_gone(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.b.put("port/other")
    first: list[PeerId] = []

    def gone(peer: PeerId) -> Lie:
        def answer(asked: FactAsked, told: bytes) -> bytes | AskFailed:
            if not isinstance(asked, PathAsked):
                first.append(peer)
                return told
            return AskFailed("unreachable", "gone") if peer == first[0] else told

        return answer

    world.lies = {peer: gone(peer) for peer in NODES}
    async with trio.open_nursery() as nursery:

        async def anchor_later() -> None:
            await trio.sleep(3)
            world.b.put("port/third")
            world.anchor()

        nursery.start_soon(anchor_later)
        told = await world.asking.state(world.b.id, world.question(), 30)
    assert told.path
    assert world.blamed == []


async def test_a_refusal_of_the_other_cluster_is_its_own_word(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    assert world.b.govern(SetReaders(world.a.id, ())).ok
    world.lies[NODES[0]] = lambda asked, told: AskFailed("silent", "no answer")
    for _ in range(4):
        async with refused("denied"):
            await world.asking.state(world.b.id, world.question(), 30)


async def test_what_is_no_question_of_ours_leaves_nothing_to_ask(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    async with refused("malformed"):
        await world.asking.state(world.b.id, b"\x90", 30)
    async with refused("misdirected"):
        await world.asking.state(world.b.id, world.question(asking=world.b.id), 30)
    async with refused("expired"):
        await world.asking.state(world.b.id, world.question(expires_at_ms=world.b.now_ms), 30)
    async with refused("not-a-member"):
        await world.asking.state(world.b.id, world.question(key=key_of("x", "mallory")), 30)
    async with refused("malformed"):
        await world.asking.state(world.b.id, world.question(StateAsked("nothing/at-all")), 30)
    async with refused("malformed"):
        await world.asking.state(world.b.id, world.question(CatalogueAsked("")), 30)
    async with refused("malformed"):
        await world.asking.catalogue(world.b.id, world.question(), 30)
    async with refused("unknown-cluster"):
        await world.asking.state(bytes(32), world.question(asked=bytes(32)), 30)
    assert world.asked == []


async def test_a_retired_cluster_is_not_asked(world: World, autojump_clock: trio.testing.MockClock) -> None:
    assert world.a.govern(RetireCluster(world.b.id)).ok
    async with refused("not-active"):
        await world.asking.state(world.b.id, world.question(), 30)
    assert world.asked == []


async def test_without_links_one_is_waited_for_within_bounds(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    world.nodes = ()
    async with refused("unreachable"):
        await world.asking.state(world.b.id, world.question(), 60)
    assert trio.current_time() <= ANSWER_SECONDS + 1


async def test_no_more_questions_are_under_way_than_may_be(
    world: World, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ASKED_AT_ONCE_MAX", 1)
    world.lies = dict.fromkeys(NODES, lambda asked, told: AskFailed("silent", "no answer"))
    async with trio.open_nursery() as nursery:

        async def first() -> None:
            async with refused("silent"):
                await world.asking.state(world.b.id, world.question(), 30)

        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        async with refused("busy"):
            await world.asking.state(world.b.id, world.question(), 30)
    assert world.asking.limits()[0][1] == 0


async def test_a_catalogue_is_what_the_other_cluster_lists(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    page = await world.asking.catalogue(world.b.id, world.question(CatalogueAsked("mani")), 30)
    assert [one.resource for one in page.listed] == [MANIFEST]


async def test_a_message_is_proven_from_end_to_end_once_it_is_answered(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    a, b = world.a, world.b
    name = LeafName(False, "records", Mode.UNORDERED, 1)
    async with refused("not-sent"):
        await world.asking.message(b.id, name, 30)
    a.put("port/tide")
    a.share("port/tide", b)
    async with refused("not-answered"):
        await world.asking.message(b.id, name, 30)
    assert b.pull(a) is not None
    file = await world.asking.message(b.id, name, 30)
    assert verify_message(file, trust=a.id).acknowledgement.result.name == "OK"
    for lie in (lambda asked, told: told[:-1], unsigned):
        world.lies = dict.fromkeys(NODES, lie)
        async with refused("false-answer"):
            await world.asking.message(b.id, name, 30)


async def test_of_a_closed_place_there_is_no_proof_and_nobody_is_to_blame(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    a, b = world.a, world.b
    name = LeafName(False, "records", Mode.UNORDERED, 1)
    key = out_key(Lane(a.id, b.id, name.port, name.mode))
    dropped = a.branch()
    for branch, record in ((a, "port/tide"), (dropped, "port/ebb")):
        assert branch.put(record).ok
        assert branch.share(record, b).ok

    def close(closed: Closed) -> None:
        a.store.apply([], [Write(StateTable.STATE, closed_key(key), encode(closed.to_value()))])

    waiting = load(Draft(a.state), commitment_key(key, 1), Commitment.from_value)
    assert waiting is not None
    a.store.apply([], [Write(StateTable.STATE, commitment_key(key, 1), None)])
    close(Closed(closed=3, waiting=((1, waiting),)))
    async with refused("place-closed"):  # nothing is acknowledged there
        await world.asking.message(b.id, name, 30)
    assert b.pull(dropped) is not None
    async with refused("place-closed"):  # what is acknowledged there is another message
        await world.asking.message(b.id, name, 30)
    assert world.blamed == []
    close(Closed())
    async with refused("false-answer"):
        await world.asking.message(b.id, name, 30)
    assert world.blamed
    asked = len(world.asked)
    close(Closed(closed=3, gaps=((1, 3),)))
    async with refused("not-sent"):
        await world.asking.message(b.id, name, 30)
    assert len(world.asked) == asked


def unsigned(asked: FactAsked, told: bytes) -> bytes:
    """The answer, of a header that nobody certified."""
    if isinstance(asked, PathAsked):
        return told
    bundle = Bundle.decode(told)
    certificate = bundle.certificate
    return replace(
        bundle, certificate=replace(certificate, signatures=bytes(len(certificate.signatures)))
    ).encode()


async def test_an_acknowledgement_of_a_branch_that_is_not_the_anchored_one_is_no_answer(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    """By the same keys, below the tip that we hold: certified, and false."""
    a, b = world.a, world.b
    a.put("port/tide")
    a.share("port/tide", b)
    fork = b.branch()
    assert fork.pull(a) is not None
    for number in range(3):
        b.put(f"port/more-{number}")
    world.anchor()

    def other_branch(asked: FactAsked, told: bytes) -> bytes:
        if isinstance(asked, PathAsked):
            return told
        honest: bytes = Here(fork).readings.tell(a.id, asked, b.now_ms)
        return honest

    world.lies = dict.fromkeys(NODES, other_branch)
    b.pull(a)
    async with refused("false-answer"):
        await world.asking.message(b.id, LeafName(False, "records", Mode.UNORDERED, 1), 30)


async def test_an_answer_of_an_epoch_to_come_is_waited_for_only_when_its_validators_follow_from_ours(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    next_epoch(world.b, 4)
    world.b.put("port/other")
    async with trio.open_nursery() as nursery:

        async def anchor_later() -> None:
            await trio.sleep(1)
            world.anchor()

        nursery.start_soon(anchor_later)
        told = await world.asking.state(world.b.id, world.question(), 30)
    assert told.held.client.epoch == 1
    next_epoch(world.b, 5)
    world.b.put("port/third")
    began = trio.current_time()

    def linkless(asked: FactAsked, told: bytes) -> bytes:
        return replace(Bundle.decode(told), links=()).encode()

    for lie, code in ((unsigned, "false-answer"), (linkless, "not-anchored")):
        world.lies = dict.fromkeys(NODES, lie)
        async with refused(code):
            await world.asking.state(world.b.id, world.question(), 30)
    assert trio.current_time() == began


async def test_an_answer_of_an_incarnation_that_is_not_known_here_holds_nobody_up(
    world: World, autojump_clock: trio.testing.MockClock
) -> None:
    def later(asked: FactAsked, told: bytes) -> bytes:
        bundle = Bundle.decode(told)
        version, _, cluster_id, epoch, height, *rest = as_array(decode(bundle.header), 32, "header")
        header = (version, 9, cluster_id, epoch, as_int(height, "height") + 1, *rest)
        return replace(bundle, header=encode(header)).encode()

    world.lies = dict.fromkeys(NODES, later)
    began = trio.current_time()
    async with refused("not-anchored"):
        await world.asking.state(world.b.id, world.question(), 30)
    assert (trio.current_time(), world.hurried) == (began, [])
