"""Telling other clusters what their members ask, as far as our operators granted it; bounded, logged first.

Each fact is read in a thread and leaves in its own task. One cluster has at most a few under way, and who
asks faster than its pace waits; beyond that it is told to come back. Access is written to the log before
anything is sent (F15); a refusal is one word, the same whether what was asked for exists or not.
"""

from collections.abc import Callable
from typing import Protocol

import structlog
import trio

from node.anchoring.exchange import Declined, FactQuestion, FactTold, Reply
from node.anchoring.questions import FactAsked, MemberAsked, Question, StateAsked
from node.ledger.federation.reading import ReadRefused
from node.storage import SnapshotExpired, SnapshotLimit
from p2p import Pace, PeerId

FACTS_AT_ONCE_MAX = 16
FACTS_TO_ONE_CLUSTER_MAX = 4
FACTS_PER_SECOND = 20
"""What the members of one cluster may ask, all its nodes together."""
BYTES_PER_SECOND = 2 * 1024 * 1024
PACE_WAIT_SECONDS_MAX = 2.0
"""Who would have to wait longer is declined."""

_log = structlog.get_logger("isthmus")


class Tells(Protocol):
    """Our ledger; `ReadingsInThreads` is one."""

    async def tell(self, cluster_id: bytes, asked: FactAsked, now_ms: int) -> bytes:
        """What the cluster is told. Raises ReadRefused, SnapshotLimit, SnapshotExpired."""
        ...


class Telling:
    """The server's side of questions."""

    def __init__(
        self,
        spawn: Callable[..., None],
        ledger: Tells,
        reply: Callable[[PeerId, Reply], None],
        wall_ms: Callable[[], int],
    ) -> None:
        """`spawn(task, *args)` starts a task and sees to it that its failure ends nothing else."""
        self._spawn = spawn
        self._ledger = ledger
        self._reply = reply
        self._wall_ms = wall_ms
        self._under_way: dict[bytes, int] = {}
        self._paces: dict[bytes, Pace] = {}
        self.told_bytes = 0
        self.outcomes: dict[str, int] = {"told": 0}
        """Questions of other clusters, by what became of them: told, busy, or the word of the refusal."""

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("federation_facts", sum(self._under_way.values()), FACTS_AT_ONCE_MAX),)

    def forget(self, clusters: frozenset[bytes]) -> None:
        """Keep the pace of these clusters only."""
        self._paces = {each: pace for each, pace in self._paces.items() if each in clusters}

    def take(self, peer: PeerId, cluster_id: bytes, question: FactQuestion) -> None:
        """Answer in a task of its own, or decline at once."""
        if (
            sum(self._under_way.values()) >= FACTS_AT_ONCE_MAX
            or self._under_way.get(cluster_id, 0) >= FACTS_TO_ONE_CLUSTER_MAX
        ):
            self._decline(peer, question.ticket, "busy")
            return
        self._under_way[cluster_id] = self._under_way.get(cluster_id, 0) + 1
        self._spawn(self._tell, peer, cluster_id, question)

    async def _tell(self, peer: PeerId, cluster_id: bytes, question: FactQuestion) -> None:
        try:
            if not await self._is_in_pace(cluster_id, 0):
                self._decline(peer, question.ticket, "busy")
                return
            fact = await self._ledger.tell(cluster_id, question.asked, self._wall_ms())
            if isinstance(question.asked, MemberAsked):
                _log_access(cluster_id, question.asked.question)
            self._count("told")
            self.told_bytes += len(fact)
            self._reply(peer, FactTold(question.ticket, fact))
            await self._is_in_pace(cluster_id, len(fact))
        except ReadRefused as refused:
            self._decline(peer, question.ticket, refused.refusal.value)
        except (SnapshotLimit, SnapshotExpired):
            self._decline(peer, question.ticket, "busy")
        finally:
            self._under_way[cluster_id] -= 1
            if not self._under_way[cluster_id]:
                del self._under_way[cluster_id]

    async def _is_in_pace(self, cluster_id: bytes, size: int) -> bool:
        """Wait for the cluster's pace; False when that would take too long."""
        pace = self._paces.setdefault(cluster_id, Pace(FACTS_PER_SECOND, BYTES_PER_SECOND))
        wait_ms = pace.take(size, int(trio.current_time() * 1000))
        if wait_ms > PACE_WAIT_SECONDS_MAX * 1000:
            return False
        if wait_ms > 0:
            await trio.sleep(wait_ms / 1000)
        return True

    def _decline(self, peer: PeerId, ticket: int, reason: str) -> None:
        self._count(reason)
        self._reply(peer, Declined(ticket, reason))

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def _log_access(cluster_id: bytes, data: bytes) -> None:
    """Who is about to be told what; the question was read before, or it would have been refused."""
    question = Question.decode(data)
    subject = question.subject
    what = subject.resource if isinstance(subject, StateAsked) else f"catalogue {subject.text!a}"
    _log.info("member_answered", cluster=cluster_id.hex()[:12], member=question.member.hex(), what=what)
