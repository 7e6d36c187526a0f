"""Asking other clusters for our members: over the couriers' links, of any of their nodes, within a time.

An answer is checked before it is believed, and believed at a root that our own ledger has anchored: where the
answer is newer, the courier is told to hurry and the answer waits for the next anchor. A node that is silent,
declines or lies costs one attempt, and the next one is asked; one that had no time, or was away for a moment,
is asked again where there is no other.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import trio

from consensus import CodecError
from node.anchoring.answers import check_anchored
from node.anchoring.bundles.bundle import Bundle
from node.anchoring.lanes.courier import LeafName
from node.anchoring.questions import (
    CatalogueAsked,
    FactAsked,
    LeafAsked,
    MemberAsked,
    Page,
    PathAsked,
    Question,
    Refusal,
    StateAsked,
    decode_path,
)
from node.daemon.federation.exchange import AskFailed
from node.daemon.federation.readings import NoAnswer
from node.daemon.federation.told import HeldProof, StateTold
from node.ledger.federation.reading import ReadRefused, state_key_of
from node.proofs import ProofError
from node.proofs.header import Header
from node.storage import SnapshotExpired, SnapshotLimit
from p2p import PeerId

ASKED_AT_ONCE_MAX = 64
ATTEMPTS_MAX = 3
"""How often a question is asked: of another node each time, or of the same where there are fewer."""
ANSWER_SECONDS = 5.0
PAUSE_SECONDS = 1.0
"""Before nodes are asked again what none of them answered."""
FALSE_ANSWER_WEIGHT = 40
_REFUSALS = frozenset(refusal.value for refusal in Refusal)
_NO_TIME = frozenset(("busy", "silent", "unreachable", "disconnected"))
"""What asking again may change; whatever else was said is that node's answer."""

T = TypeVar("T")


class Links(Protocol):
    """The links to other clusters; `p2p.ForeignLinks` is one."""

    def connected(self, network_id: bytes) -> tuple[PeerId, ...]:
        """A cluster's connected nodes."""
        ...


class Asks(Protocol):
    """How questions are asked; `Exchange` is one."""

    async def ask_fact(self, peer: PeerId, asked: FactAsked, seconds: float) -> bytes:
        """What the peer tells, unchecked. Raises AskFailed."""
        ...

    async def peer_arrives(self) -> None:
        """Returns when the next foreign peer is connected."""
        ...

    def blame(self, peer: PeerId, code: str, weight: int) -> None:
        """Count and score what a peer must not send."""
        ...


class Reads(Protocol):
    """Our ledger; `ReadingsInThreads` is one. All raise NoAnswer, SnapshotLimit and SnapshotExpired."""

    async def credential(self, public_key: bytes) -> bytes:
        """That this key is a member's of ours."""
        ...

    async def held(self, cluster_id: bytes) -> HeldProof:
        """How we hold a cluster, provably."""
        ...

    async def check_state(self, cluster_id: bytes, key: bytes, data: bytes) -> tuple[Bundle, Header]:
        """The bundle about `key`; raises ProofError and AskFailed."""
        ...

    async def sent(self, cluster_id: bytes, name: LeafName) -> Bundle:
        """The proof that we sent a message."""
        ...

    async def require_open(self, cluster_id: bytes, name: LeafName) -> None:
        """Raises NoAnswer where nobody acknowledges that message any more."""
        ...

    async def check_answered(self, cluster_id: bytes, sent: Bundle, data: bytes) -> tuple[bytes, Header]:
        """The message file, and the answer's header; raises ProofError and AskFailed."""
        ...


class Heights(Protocol):
    """What is certified and can be read, and waiting for more; `Waiters` is one."""

    readable_height: int

    async def wait_readable(self, height: int) -> int:
        """The readable height once it is at least `height`."""
        ...


class Asking:
    """The asker's side of questions."""

    def __init__(
        self,
        own_id: bytes,
        links: Links,
        exchange: Asks,
        ledger: Reads,
        heights: Heights,
        hurry: Callable[[bytes, int], None],
        wall_ms: Callable[[], int],
    ) -> None:
        """`hurry(cluster id, height)` tells the courier that somebody waits for this height."""
        self._own_id = own_id
        self._links = links
        self._exchange = exchange
        self._ledger = ledger
        self._heights = heights
        self._hurry = hurry
        self._wall_ms = wall_ms
        self._under_way = 0
        self._turn = 0
        self.outcomes: dict[str, int] = {"answered": 0}
        """What our members asked, by what became of it: answered, or the code of NoAnswer."""

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("federation_asked", self._under_way, ASKED_AT_ONCE_MAX),)

    async def state(self, cluster_id: bytes, data: bytes, seconds: float) -> StateTold:
        """The answer to a member's question about the state. Raises NoAnswer."""
        with self._one():
            cutoff = trio.current_time() + seconds
            question, asked = await self._introduced(cluster_id, data)
            if not isinstance(question.subject, StateAsked):
                raise NoAnswer("malformed", "the question is not about the state")
            try:
                key = state_key_of(question.subject.resource)
            except ReadRefused as refused:
                raise NoAnswer(
                    "malformed", f"{question.subject.resource!a:.80} can be no resource"
                ) from refused

            async def check(peer: PeerId, data: bytes) -> StateTold:
                bundle, header = await self._ledger.check_state(cluster_id, key, data)
                held = await self._anchored(cluster_id, header, cutoff)
                path = await self._path(cluster_id, peer, header, held, cutoff)
                return StateTold(bundle.of_genesis(held.genesis_body).encode(), path, held)

            return await self._ask_any(cluster_id, asked, check, cutoff)

    async def catalogue(self, cluster_id: bytes, data: bytes, seconds: float) -> Page:
        """A page of a catalogue, which proves nothing. Raises NoAnswer."""
        with self._one():
            question, asked = await self._introduced(cluster_id, data)
            if not isinstance(question.subject, CatalogueAsked):
                raise NoAnswer("malformed", "the question is not about the catalogue")

            async def check(_: PeerId, data: bytes) -> Page:
                return Page.decode(data)

            return await self._ask_any(cluster_id, asked, check, trio.current_time() + seconds)

    async def message(self, cluster_id: bytes, name: LeafName, seconds: float) -> bytes:
        """The message file of a message that we sent and that was acknowledged. The answer is certified by a
        set that we know, and where we have anchored its height already it is of that history. Raises
        NoAnswer."""
        with self._one():
            cutoff = trio.current_time() + seconds
            await self._ledger.held(cluster_id)
            sent = await self._ledger.sent(cluster_id, name)

            async def check(peer: PeerId, data: bytes) -> bytes:
                file, header = await self._ledger.check_answered(cluster_id, sent, data)
                held = await self._ledger.held(cluster_id)
                if header.height <= held.client.last.height:
                    await self._path(cluster_id, peer, header, held, cutoff)
                return file

            asked = LeafAsked(LeafName(True, name.port, name.mode, name.sequence))
            try:
                return await self._ask_any(cluster_id, asked, check, cutoff)
            except NoAnswer as none:
                if none.code == Refusal.UNAVAILABLE.value:
                    await self._ledger.require_open(cluster_id, name)
                    detail = f"message {name.sequence} has no acknowledgement there yet"
                    raise NoAnswer("not-answered", detail) from none
                raise

    @contextmanager
    def _one(self) -> Iterator[None]:
        """One of the bounded number of questions, counted by how it ends."""
        if self._under_way >= ASKED_AT_ONCE_MAX:
            self._count("busy")
            raise NoAnswer("busy", f"{ASKED_AT_ONCE_MAX} questions are under way on this node")
        self._under_way += 1
        try:
            yield
        except NoAnswer as none:
            self._count(none.code)
            raise
        except (SnapshotLimit, SnapshotExpired) as error:
            self._count("busy")
            raise NoAnswer("busy", str(error)) from error
        else:
            self._count("answered")
        finally:
            self._under_way -= 1

    async def _introduced(self, cluster_id: bytes, data: bytes) -> tuple[Question, MemberAsked]:
        """The question, as good as we can see, with its credential."""
        try:
            question = Question.decode(data)
        except CodecError as error:
            raise NoAnswer("malformed", str(error)) from error
        refusal = question.check(self._own_id, cluster_id, self._wall_ms())
        if refusal is not None:
            raise NoAnswer(refusal.value, refusal.words)
        await self._ledger.held(cluster_id)
        return question, MemberAsked(data, await self._ledger.credential(question.member))

    async def _anchored(self, cluster_id: bytes, header: Header, cutoff: float) -> HeldProof:
        """How we hold the cluster once a header of at least this height is anchored."""
        while True:
            height = self._heights.readable_height
            held = await self._ledger.held(cluster_id)
            if held.client.last.height >= header.height:
                return held
            self._hurry(cluster_id, header.height)
            with trio.move_on_after(max(0, cutoff - trio.current_time())) as scope:
                await self._heights.wait_readable(height + 1)
            if scope.cancelled_caught:
                raise NoAnswer(
                    "not-anchored",
                    f"the answer is of height {header.height}, anchored is {held.client.last.height}",
                )

    async def _path(
        self, cluster_id: bytes, peer: PeerId, header: Header, held: HeldProof, cutoff: float
    ) -> tuple[bytes, ...]:
        """Where the header that `peer` told stands in the anchored history, checked.

        It is asked itself first, for only then is a false path its own doing. Raises ProofError, which `peer`
        alone is to blame for, and AskFailed where nobody is.
        """
        high = held.client.last.height
        if high == header.height:
            check_anchored(held.client, header, ())
            return ()
        others = [node for node in self._links.connected(cluster_id) if node != peer]
        for node in (peer, *others[: ATTEMPTS_MAX - 1]):
            seconds = min(ANSWER_SECONDS, cutoff - trio.current_time())
            if seconds <= 0:
                break
            try:
                told = await self._exchange.ask_fact(node, PathAsked(header.height, high), seconds)
                path = decode_path(told)
                check_anchored(held.client, header, path)
            except AskFailed:
                continue
            except (ProofError, CodecError):
                if node == peer:
                    raise
                continue  # this path is false, or the header is: another node's answer shows it
            return path
        raise AskFailed("silent", f"nobody told where header {header.height} stands below {high}")

    async def _ask_any(
        self,
        cluster_id: bytes,
        asked: FactAsked,
        check: Callable[[PeerId, bytes], Awaitable[T]],
        cutoff: float,
    ) -> T:
        """The first good answer of a few tries. Raises NoAnswer: the other cluster's word, if it said one."""
        failure = NoAnswer("unreachable", "no node of that cluster is connected to this one")
        left: list[PeerId] = []  # whom to ask still, before anybody is asked again
        done: list[PeerId] = []  # who said a word that asking again does not change
        self._turn += 1
        for attempt in range(ATTEMPTS_MAX):
            if not left:
                nodes = [node for node in await self._nodes(cluster_id, cutoff) if node not in done]
                if attempt and nodes:
                    await trio.sleep(min(PAUSE_SECONDS, max(0, cutoff - trio.current_time())))
                left = [nodes[(self._turn + step) % len(nodes)] for step in range(len(nodes))]
            seconds = min(ANSWER_SECONDS, cutoff - trio.current_time())
            if not left or seconds <= 0:
                break
            peer = left.pop(0)
            try:
                return await check(peer, await self._exchange.ask_fact(peer, asked, seconds))
            except AskFailed as failed:
                if failure.code not in _REFUSALS:
                    failure = _failure(failed)
                if failed.code not in _NO_TIME:
                    done.append(peer)
            except (ProofError, CodecError) as error:
                self._exchange.blame(peer, "false-answer", FALSE_ANSWER_WEIGHT)
                done.append(peer)
                if failure.code not in _REFUSALS:
                    failure = NoAnswer("false-answer", f"{peer.hex()[:12]}: {error}")
        raise failure

    async def _nodes(self, cluster_id: bytes, cutoff: float) -> tuple[PeerId, ...]:
        """Connected nodes, waiting for one if there is none."""
        with trio.move_on_after(min(ANSWER_SECONDS, max(0, cutoff - trio.current_time()))):
            while not (nodes := self._links.connected(cluster_id)):
                await self._exchange.peer_arrives()
            return nodes
        return ()

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1


def _failure(failed: AskFailed) -> NoAnswer:
    """What one node's failure is called to our member."""
    if failed.code in _REFUSALS:
        return NoAnswer(failed.code, Refusal(failed.code).words)
    if failed.code in ("busy", "unreachable", "not-anchored"):
        return NoAnswer(failed.code, failed.detail)
    return NoAnswer("false-answer" if failed.code == "wrong-answer" else "silent", failed.detail)
