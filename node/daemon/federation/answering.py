"""What nodes of other clusters ask, answered from storage: bounded a peer, a cluster, and in all.

A question for an offer waits, at no cost, until there is more to say to its cluster than it knows of, or
until its patience is over. All who wait share one look at each height, in one thread. Bundles are
made in threads, two at a time whoever asks; who makes whom wait is decided in `slots.py`.
"""

from collections.abc import Callable
from typing import Protocol

import trio

from node.anchoring.exchange import BundleAsked, BundleSent, Declined, OfferAsked, Offered, Reply
from node.anchoring.lanes.courier import BundleRequest, Offer
from node.daemon.federation.exchange import NOTHING
from node.daemon.federation.slots import Slots, Waits
from node.storage import SnapshotExpired, SnapshotLimit
from p2p import Pace, PeerId

BUNDLES_AT_ONCE_MAX = 8
BUNDLES_TO_ONE_CLUSTER_MAX = 2
BUNDLES_WAITING_MAX = 2_048
"""Questions that wait for a slot, at most one a node."""
BUNDLE_WAIT_SECONDS_MAX = 4.0
"""Who asked longer ago has asked somebody else meanwhile."""
OFFERS_WAITING_MAX = 2_048
QUESTIONS_PER_SECOND = 50
"""What one node may ask; who asks faster waits, and keeps nobody else of its cluster waiting."""
BYTES_PER_SECOND = 8 * 1024 * 1024
"""What one node is sent."""
PACE_WAIT_SECONDS_MAX = 2.0
"""Who would have to wait longer is declined, and owes nothing for that question."""


class Served(Protocol):
    """Where answers come from; `InThreads` is one. Both raise SnapshotLimit and SnapshotExpired."""

    async def offers(self, cluster_ids: tuple[bytes, ...]) -> dict[bytes, Offer]:
        """What can be proven to each of these clusters that was ever admitted."""
        ...

    async def answer(self, cluster_id: bytes, request: BundleRequest) -> bytes | None:
        """An encoded bundle; None when there is nothing to bring."""
        ...


class Heights(Protocol):
    """What is certified and can be read, and waiting for more; `Waiters` is one."""

    readable_height: int

    async def wait_readable(self, height: int) -> int:
        """The readable height once it is at least `height`."""
        ...


class ReplyTo(Protocol):
    """How answers leave."""

    def __call__(self, peer: PeerId, reply: Reply) -> None:
        """Send; a peer that is gone is no error."""
        ...


class Answering:
    """The server's side of the exchange."""

    def __init__(self, spawn: Callable[..., None], served: Served, heights: Heights, reply: ReplyTo) -> None:
        """`spawn(task, *args)` starts a task and sees to it that its failure ends nothing else."""
        self._spawn = spawn
        self._served = served
        self._heights = heights
        self._reply = reply
        self._offering: dict[PeerId, trio.CancelScope] = {}
        self._wanted: dict[bytes, int] = {}  # questions for an offer that wait, by cluster
        self._slots = Slots[BundleAsked](BUNDLES_AT_ONCE_MAX, BUNDLES_TO_ONE_CLUSTER_MAX, BUNDLES_WAITING_MAX)
        self._paces: dict[bytes, dict[PeerId, Pace]] = {}
        self._looking = trio.Lock()
        self._looked = (-1, dict[bytes, Offer]())
        self.served = 0
        self.served_bytes = 0
        self.declined = 0

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (
            ("federation_bundles", self._slots.making, BUNDLES_AT_ONCE_MAX),
            ("federation_bundles_waiting", self._slots.waiting, BUNDLES_WAITING_MAX),
            ("federation_offers", len(self._offering), OFFERS_WAITING_MAX),
        )

    def forget(self, clusters: frozenset[bytes]) -> None:
        """Keep the paces of these clusters' nodes only."""
        self._paces = {each: paces for each, paces in self._paces.items() if each in clusters}

    def take(self, peer: PeerId, cluster_id: bytes, question: OfferAsked | BundleAsked) -> None:
        """Answer in a task of its own, or decline at once."""
        pace = self._pace(peer, cluster_id)
        if pace.wait_ms(_now_ms()) > PACE_WAIT_SECONDS_MAX * 1000:
            self._decline(peer, question.ticket, "busy")
        elif isinstance(question, OfferAsked):
            self._take_offer(peer, cluster_id, question, pace)
        else:
            # One a peer: who asks again has given up the question before.
            given_up = self._slots.add(Waits(peer, cluster_id, question, _now_ms()))
            if given_up is not None:
                self._decline(peer, given_up.question.ticket, "busy")
            self._make_next()

    def _make_next(self) -> None:
        """Make what there are slots for, in turn."""
        while (waits := self._slots.take()) is not None:
            if _now_ms() - waits.since_ms < BUNDLE_WAIT_SECONDS_MAX * 1000:
                self._spawn(self._bundle, waits)
            else:
                self._slots.made(waits)
                self._slots.answered(waits)
                self._decline(waits.peer, waits.question.ticket, "busy")

    def _take_offer(self, peer: PeerId, cluster_id: bytes, question: OfferAsked, pace: Pace) -> None:
        # One a peer: who asks again has given up the question before.
        before = self._offering.pop(peer, None)
        if before is not None:
            before.cancel()
        if len(self._offering) >= OFFERS_WAITING_MAX:
            self._decline(peer, question.ticket, "busy")
            return
        scope = self._offering[peer] = trio.CancelScope()
        self._spawn(self._offer, peer, cluster_id, question, scope, pace)

    async def _offer(
        self, peer: PeerId, cluster_id: bytes, question: OfferAsked, scope: trio.CancelScope, pace: Pace
    ) -> None:
        self._wanted[cluster_id] = self._wanted.get(cluster_id, 0) + 1
        try:
            with scope:
                await _keep(pace, 0)
                offer = await self._offer_beyond(cluster_id, question)
                if offer is None:
                    self._decline(peer, question.ticket, "unknown-cluster")
                else:
                    self.served += 1
                    self._reply(peer, Offered(question.ticket, offer))
        except (SnapshotLimit, SnapshotExpired):
            self._decline(peer, question.ticket, "busy")
        finally:
            self._wanted[cluster_id] -= 1
            if not self._wanted[cluster_id]:
                del self._wanted[cluster_id]
            if self._offering.get(peer) is scope:
                del self._offering[peer]

    async def _offer_beyond(self, cluster_id: bytes, question: OfferAsked) -> Offer | None:
        """Our offer to this cluster once it says more than the question knows, or the patience is over."""
        offer = await self._look(cluster_id)
        with trio.move_on_after(question.patience_ms / 1000):
            while offer is not None and offer.log_size <= question.log_size:
                await self._heights.wait_readable(self._looked[0] + 1)
                offer = await self._look(cluster_id)
        return offer

    async def _look(self, cluster_id: bytes) -> Offer | None:
        """Our offer as of the newest height; one look for all who wait."""
        async with self._looking:
            height, offers = self._looked
            if height < self._heights.readable_height or cluster_id not in offers:
                height, wanted = self._heights.readable_height, tuple(self._wanted)
                offers = await self._served.offers(wanted)
                self._looked = (height, offers)
        return offers.get(cluster_id)

    async def _bundle(self, waits: Waits[BundleAsked]) -> None:
        """Make one bundle, and send it once the node's pace lets it."""
        try:
            try:
                bundle = await self._served.answer(waits.cluster_id, waits.question.request)
            finally:
                self._slots.made(waits)
                self._make_next()
            await _keep(self._pace(waits.peer, waits.cluster_id), len(bundle or b""))
            if bundle is None:
                self._decline(waits.peer, waits.question.ticket, NOTHING)
            else:
                self.served += 1
                self.served_bytes += len(bundle)
                self._reply(waits.peer, BundleSent(waits.question.ticket, bundle))
        except (SnapshotLimit, SnapshotExpired):
            self._decline(waits.peer, waits.question.ticket, "busy")
        finally:
            self._slots.answered(waits)
            self._make_next()

    def _pace(self, peer: PeerId, cluster_id: bytes) -> Pace:
        paces = self._paces.setdefault(cluster_id, {})
        return paces.setdefault(peer, Pace(QUESTIONS_PER_SECOND, BYTES_PER_SECOND))

    def _decline(self, peer: PeerId, ticket: int, reason: str) -> None:
        self.declined += 1
        self._reply(peer, Declined(ticket, reason))


def _now_ms() -> int:
    return int(trio.current_time() * 1000)


async def _keep(pace: Pace, size: int) -> None:
    """Count a question and what it is answered with, and wait as long as its pace says."""
    wait_ms = pace.take(size, _now_ms())
    if wait_ms > 0:
        await trio.sleep(wait_ms / 1000)
