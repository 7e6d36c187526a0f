"""Questions to nodes of other clusters and their answers: who asked what, of whom, and until when.

One task reads the foreign inbox. An answer counts when it comes from the peer that was asked, to a question
that is still open, and is of its kind; everything else is dropped, and scored where no honest peer sends it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import trio

from consensus import CodecError
from node import wire
from node.anchoring.exchange import (
    BundleAsked,
    BundleSent,
    Declined,
    Exchanged,
    FactQuestion,
    FactTold,
    OfferAsked,
    Offered,
    Question,
    Reply,
)
from node.anchoring.questions import FactAsked
from p2p import Delivery, Inbox, PeerConnected, PeerId

MALFORMED_WEIGHT = 60
UNASKED_WEIGHT = 10
"""Of an answer to nobody: an honest one may be late, but not again and again."""
OPEN_MAX = 4096
"""Questions open at once: couriers ask one at a time each."""


_log = structlog.get_logger("isthmus")


class Links(Protocol):
    """The foreign side of the network, as far as it is needed here; `p2p.ForeignLinks` is one."""

    @property
    def inbox(self) -> Inbox:
        """Events of foreign peers."""
        ...

    def send(self, peer: PeerId, topic_code: int, body: bytes, *, key: bytes | None = None) -> bool:
        """Queue a message; False when the peer is not connected."""
        ...

    def report(self, peer: PeerId, code: str, weight: int) -> None:
        """Score the peer."""
        ...

    def connected(self, network_id: bytes) -> tuple[PeerId, ...]:
        """The connected nodes of a cluster."""
        ...

    def cluster_of(self, peer: PeerId) -> bytes | None:
        """The cluster for which a known peer speaks."""
        ...


NOTHING = "nothing"
"""The word of a server that has none of what a request lacks."""


class AskFailed(Exception):
    """A question without a usable answer. `code`: unreachable, disconnected, silent, declined, nothing, busy
    or wrong-answer."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


@dataclass(slots=True)
class _Open:
    peer: PeerId
    done: trio.Event = field(default_factory=trio.Event)
    reply: Reply | None = None


class Exchange:
    """The only reader of the foreign inbox."""

    def __init__(self, links: Links, answer: Callable[[PeerId, bytes, Question], None]) -> None:
        """`answer(peer, its cluster, question)` takes what others ask; it returns at once."""
        self._links = links
        self._answer = answer
        self._open: dict[int, _Open] = {}
        self._ticket = 0
        self._news = trio.Event()
        self.faults: dict[str, int] = {}
        """What peers sent and should not have, by code."""

    @property
    def open(self) -> int:
        """Questions without answer, at most OPEN_MAX."""
        return len(self._open)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("federation_questions", len(self._open), OPEN_MAX),)

    async def run(self) -> None:
        """Take events until the network is closed."""
        async for event in self._links.inbox:
            if isinstance(event, Delivery):
                self._take(event.peer, event.body)
            elif isinstance(event, PeerConnected):
                cluster_id = self._links.cluster_of(event.peer) or b""
                _log.info("foreign_connected", peer=event.peer.hex()[:12], cluster=cluster_id.hex()[:12])
                self._news.set()
                self._news = trio.Event()
            else:
                _log.info("foreign_disconnected", peer=event.peer.hex()[:12], reason=event.reason)
                self._end(event.peer)

    async def peer_arrives(self) -> None:
        """Returns when the next foreign peer is connected."""
        await self._news.wait()

    def reply(self, peer: PeerId, reply: Reply) -> None:
        """Send an answer; a peer that is gone asks again."""
        topic, body = wire.frame_of_exchange(reply)
        self._links.send(peer, topic, body)

    async def ask_offer(
        self, peer: PeerId, held: tuple[int, int, int], patience_ms: int, seconds: float
    ) -> Offered:
        """What `peer` offers beyond `held` (incarnation, height, log size). Raises AskFailed."""
        reply = await self._ask(peer, lambda ticket: OfferAsked(ticket, *held, patience_ms), seconds)
        if not isinstance(reply, Offered):
            raise self._wrong(peer, reply)
        return reply

    async def ask_bundle(self, peer: PeerId, question: Callable[[int], BundleAsked], seconds: float) -> bytes:
        """The bundle that `peer` makes for the request, unchecked. Raises AskFailed."""
        reply = await self._ask(peer, question, seconds)
        if not isinstance(reply, BundleSent):
            raise self._wrong(peer, reply)
        return reply.bundle

    async def ask_fact(self, peer: PeerId, asked: FactAsked, seconds: float) -> bytes:
        """What `peer` tells, unchecked. Raises AskFailed, whose code is the peer's word where it declined."""
        reply = await self._ask(peer, lambda ticket: FactQuestion(ticket, asked), seconds)
        if isinstance(reply, Declined):
            raise AskFailed(reply.reason, f"{peer.hex()[:12]} declined")
        if not isinstance(reply, FactTold):
            raise self._wrong(peer, reply)
        return reply.fact

    def blame(self, peer: PeerId, code: str, weight: int) -> None:
        """Count and score what a peer must not send."""
        self._blame(peer, code, weight)

    async def _ask(self, peer: PeerId, question: Callable[[int], Question], seconds: float) -> Reply:
        if len(self._open) >= OPEN_MAX:
            raise AskFailed("busy", f"{OPEN_MAX} questions are open")
        self._ticket += 1
        ticket, entry = self._ticket, _Open(peer)
        topic, body = wire.frame_of_exchange(question(ticket))
        self._open[ticket] = entry
        try:
            if not self._links.send(peer, topic, body):
                raise AskFailed("unreachable", f"{peer.hex()[:12]} is not connected")
            with trio.move_on_after(seconds):
                await entry.done.wait()
        finally:
            del self._open[ticket]
        if entry.reply is not None:
            return entry.reply
        if entry.done.is_set():
            raise AskFailed("disconnected", f"{peer.hex()[:12]} went away")
        raise AskFailed("silent", f"{peer.hex()[:12]} did not answer within {seconds:g} s")

    def _wrong(self, peer: PeerId, reply: Reply) -> AskFailed:
        if isinstance(reply, Declined):
            words = f"{peer.hex()[:12]} said {reply.reason!a}"
            return AskFailed("nothing", words) if reply.reason == NOTHING else AskFailed("declined", words)
        self._blame(peer, "wrong-answer", MALFORMED_WEIGHT)
        return AskFailed("wrong-answer", f"{peer.hex()[:12]} answered with {type(reply).__name__}")

    def _take(self, peer: PeerId, body: bytes) -> None:
        cluster_id = self._links.cluster_of(peer)
        if cluster_id is None:
            return  # it was dismissed after it had sent this
        try:
            message: Exchanged = wire.exchanged_message(body)
        except CodecError:
            self._blame(peer, "malformed", MALFORMED_WEIGHT)
            return
        if isinstance(message, OfferAsked | BundleAsked | FactQuestion):
            self._answer(peer, cluster_id, message)
            return
        entry = self._open.get(message.ticket)
        if entry is None or entry.peer != peer or entry.done.is_set():
            self._blame(peer, "unasked", UNASKED_WEIGHT)
            return
        entry.reply = message
        entry.done.set()

    def _end(self, peer: PeerId) -> None:
        for entry in self._open.values():
            if entry.peer == peer:
                entry.done.set()

    def _blame(self, peer: PeerId, code: str, weight: int) -> None:
        self.faults[code] = self.faults.get(code, 0) + 1
        self._links.report(peer, code, weight)
