"""What members of other clusters are told: each bound held, each outcome counted, nothing served unlogged."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog.testing
import trio
import trio.testing

from consensus import SigningKey
from node.anchoring.exchange import Declined, FactQuestion, FactTold, Reply
from node.anchoring.questions import FactAsked, MemberAsked, PathAsked, Question, Refusal, StateAsked
from node.daemon.federation import telling as module
from node.daemon.federation.telling import FACTS_PER_SECOND, FACTS_TO_ONE_CLUSTER_MAX, Telling
from node.storage import SnapshotLimit
from p2p import PeerId
from tests.node.daemon.federation.fakes import NODES, NOW_MS, OTHERS, THEM, US, FakeReading

PATH = PathAsked(1, 2)


@dataclass
class Desk:
    """A server under test, and what left it."""

    reading: FakeReading
    telling: Telling
    replies: list[tuple[PeerId, Reply]]

    def ask(self, ticket: int, asked: FactAsked = PATH, cluster: bytes = THEM) -> None:
        self.telling.take(NODES[0], cluster, FactQuestion(ticket, asked))

    @property
    def declined(self) -> list[str]:
        return [reply.reason for _, reply in self.replies if isinstance(reply, Declined)]


@asynccontextmanager
async def desk(reading: FakeReading | None = None) -> AsyncIterator[Desk]:
    async with trio.open_nursery() as nursery:
        own = reading or FakeReading()
        replies: list[tuple[PeerId, Reply]] = []
        telling = Telling(
            lambda task, *args: nursery.start_soon(task, *args),
            own,
            lambda peer, reply: replies.append((peer, reply)),
            lambda: NOW_MS,
        )
        yield Desk(own, telling, replies)
        assert all(current <= bound for _, current, bound in telling.limits())
        nursery.cancel_scope.cancel()


async def test_a_fact_goes_to_whoever_asked(autojump_clock: trio.testing.MockClock) -> None:
    async with desk() as made:
        made.ask(7)
        await trio.sleep(1)
        assert made.replies == [(NODES[0], FactTold(7, b"a fact"))]
        assert (made.telling.outcomes, made.telling.told_bytes) == ({"told": 1}, 6)


async def test_a_refusal_is_one_word_and_counted(autojump_clock: trio.testing.MockClock) -> None:
    async with desk(FakeReading(Refusal.DENIED)) as made:
        made.ask(7)
        await trio.sleep(1)
        assert made.replies == [(NODES[0], Declined(7, "denied"))]
        assert made.telling.outcomes["denied"] == 1


async def test_access_is_logged_before_it_is_served(autojump_clock: trio.testing.MockClock) -> None:
    question = Question.sign(
        SigningKey(b"m" * 32), THEM, US, bytes(16), NOW_MS + 1, StateAsked("records/a/b")
    )
    async with desk() as made:
        with structlog.testing.capture_logs() as logs:
            made.ask(1, MemberAsked(question.encoded, b""))
            await trio.sleep(1)
        assert [(entry["event"], entry["what"]) for entry in logs] == [("member_answered", "records/a/b")]
        assert len(made.replies) == 1


class Stuck(FakeReading):
    """Storage that takes for ever."""

    async def tell(self, cluster_id: bytes, asked: FactAsked, now_ms: int) -> bytes:
        await trio.sleep_forever()
        return b""


class Full(FakeReading):
    """Storage with too many readers."""

    async def tell(self, cluster_id: bytes, asked: FactAsked, now_ms: int) -> bytes:
        raise SnapshotLimit("too many")


async def test_one_cluster_has_only_a_few_under_way_and_keeps_none_of_the_others_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with desk(Stuck()) as made:
        for ticket in range(FACTS_TO_ONE_CLUSTER_MAX + 1):
            made.ask(ticket)
        made.ask(99, cluster=OTHERS)
        await trio.testing.wait_all_tasks_blocked()
        assert made.declined == ["busy"]


async def test_a_full_database_is_busy(autojump_clock: trio.testing.MockClock) -> None:
    async with desk(Full()) as made:
        made.ask(1)
        await trio.sleep(1)
        assert made.declined == ["busy"]


async def test_who_asks_too_fast_waits_and_then_is_declined(autojump_clock: trio.testing.MockClock) -> None:
    async with desk() as made:
        told = 0
        for ticket in range(20 * FACTS_PER_SECOND):
            made.ask(ticket)
            await trio.sleep(0.005)
        await trio.sleep(module.PACE_WAIT_SECONDS_MAX + 1)
        told = made.telling.outcomes["told"]
        assert told + made.telling.outcomes["busy"] == 20 * FACTS_PER_SECOND
        assert told <= 8 * FACTS_PER_SECOND  # four seconds and what came in advance
        made.telling.forget(frozenset())
