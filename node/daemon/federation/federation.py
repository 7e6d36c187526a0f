"""The federation of a running node: a courier for each cluster that governance admitted, and whom to expect.

The stored state alone decides. When it changes, couriers start and end and the links are told anew which keys
speak for which cluster; while nothing is stored, nothing here wakes up. What goes wrong in a task that other
clusters can reach is written down and counted, and ends that task; the node it ends only where that says that
its own data is broken.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import structlog
import trio

from consensus import LocalError, Signer, digest
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.exchange import FactQuestion, Question
from node.anchoring.lanes.inbound import InboundBundle
from node.daemon.federation.answering import Answering, Heights, Served
from node.daemon.federation.asking import Asking, Reads
from node.daemon.federation.barren import BARREN_MAX
from node.daemon.federation.courier import Courier, OwnLedger, SubmitFailed
from node.daemon.federation.directory import ConfiguredAddress, foreign_peers
from node.daemon.federation.exchange import Exchange, Links
from node.daemon.federation.ledgerside import Neighbour, Seat
from node.daemon.federation.telling import Telling, Tells
from node.ledger.codes import RejectedTransaction
from node.ledger.federation.queries import ClusterView
from node.ledger.transactions import Transaction
from node.storage import SnapshotExpired, SnapshotLimit, StoreFailed, StoreForeign
from p2p import ForeignPeer, ForeignRefused, PeerId

APP, DELIVER = "federation", "deliver"
EXPIRY_MS = 30_000
"""A bundle that was not ordered within this time is made anew."""
FINAL_SECONDS = 10.0
"""How long a courier waits for its transaction before it looks at the ledger again."""
WATCH_SECONDS = 1.0
"""The shortest time between two looks at which clusters there are."""
RESTART_SECONDS = 10.0
_ENDING = (LocalError, StoreFailed, StoreForeign)
_UNIQUE_DOMAIN = "isthmus/courier-transaction/v1"

_log = structlog.get_logger("isthmus")


class ForeignSide(Links, Protocol):
    """The links, and who is expected on them; `p2p.ForeignLinks` is one."""

    def update(self, peers: tuple[ForeignPeer, ...]) -> tuple[ForeignRefused, ...]:
        """Accept exactly these; answers with those that cannot be."""
        ...


class Ledger(Served, OwnLedger, Protocol):
    """Our ledger; `InThreads` is one."""

    async def clusters(self, now_ms: int) -> tuple[Neighbour, ...]:
        """Every cluster ever admitted, in that order."""
        ...

    async def seat(self, node_key: bytes) -> Seat | None:
        """Where the validator with this node key sits."""
        ...


class Reading(Tells, Reads, Protocol):
    """Our ledger as questions of members need it; `ReadingsInThreads` is one."""


class Door(Protocol):
    """How couriers submit, as clients do."""

    async def submit_one(self, transaction: bytes) -> str | None:
        """Admit; answers why not, or None."""
        ...

    async def wait_certified(self, transaction_id: bytes) -> None:
        """Returns once the transaction is certified and readable, or nobody more can wait."""
        ...


@dataclass(slots=True)
class _Running:
    courier: Courier
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)


class Federation:
    """Made once a node; `run` never returns normally."""

    def __init__(
        self,
        own_id: bytes,
        node_key: Signer,
        transaction_bytes_max: int,
        links: ForeignSide,
        ledger: Ledger,
        reading: Reading,
        heights: Heights,
        door: Door,
        configured: tuple[ConfiguredAddress, ...],
        wall_ms: Callable[[], int],
    ) -> None:
        self._own_id = own_id
        self._node_key = node_key
        self._transaction_bytes_max = transaction_bytes_max
        self._links = links
        self._ledger = ledger
        self._reading = reading
        self._heights = heights
        self._door = door
        self._configured = configured
        self._wall_ms = wall_ms
        self._seat: Seat | None = None
        self._known: tuple[Neighbour, ...] = ()
        self._shifts: dict[bytes, int] = {}
        self._told: tuple[ForeignPeer, ...] = ()
        self._running: dict[bytes, _Running] = {}
        self.exchange = Exchange(links, self._take)
        self.answering: Answering | None = None
        self.telling: Telling | None = None
        self.asking = Asking(own_id, links, self.exchange, reading, heights, self._hurry, wall_ms)
        self.internal_faults = 0
        """Bugs of ours that other clusters' bytes have reached; above zero should alarm."""

    @property
    def couriers(self) -> dict[bytes, Courier]:
        """The couriers that run, by cluster."""
        return {cluster_id: running.courier for cluster_id, running in self._running.items()}

    @property
    def known(self) -> tuple[tuple[ClusterView, int], ...]:
        """Every cluster ever admitted as the last look found it, and how many messages to it wait."""
        return tuple((each.view, each.pending) for each in self._known)

    def links_to(self, cluster_id: bytes) -> int:
        """How many of a cluster's nodes are connected."""
        return len(self._links.connected(cluster_id))

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        answering = () if self.answering is None else self.answering.limits()
        telling = () if self.telling is None else self.telling.limits()
        barren = sum(courier.barren_offers for courier in self.couriers.values())
        most = BARREN_MAX * max(1, len(self.couriers))
        own = (("federation_barren_offers", barren, most),)
        return (*self.exchange.limits(), *self.asking.limits(), *answering, *telling, *own)

    async def run(self) -> None:
        """Serve, follow the stored state, and keep the couriers, until cancelled."""
        async with trio.open_nursery() as nursery:

            def spawn(task: Callable[..., Awaitable[None]], *args: object) -> None:
                nursery.start_soon(self._contained, task, *args)

            self.answering = Answering(spawn, self._ledger, self._heights, self.exchange.reply)
            self.telling = Telling(spawn, self._reading, self.exchange.reply, self._wall_ms)
            nursery.start_soon(self._again, self.exchange.run)
            while True:
                height = self._heights.readable_height
                is_done = await self._look(spawn)
                await trio.sleep(WATCH_SECONDS)
                if is_done:
                    await self._heights.wait_readable(height + 1)

    def _take(self, peer: PeerId, cluster_id: bytes, question: Question) -> None:
        if isinstance(question, FactQuestion):
            if self.telling is not None:
                self.telling.take(peer, cluster_id, question)
        elif self.answering is not None:
            self.answering.take(peer, cluster_id, question)

    # --- which clusters there are ----------------------------------------------------------------------

    async def _look(self, spawn: Callable[..., None]) -> bool:
        """Read the clusters, and let couriers and links be as they say; False when storage is too busy."""
        try:
            self._known = await self._ledger.clusters(self._wall_ms())
            self._seat = await self._ledger.seat(self._node_key.public_key)
        except (SnapshotLimit, SnapshotExpired):
            return False
        wanted = {each.view.client.cluster_id for each in self._known if _is_followed(each.view)}
        for cluster_id in [each for each in self._running if each not in wanted]:
            self._running.pop(cluster_id).scope.cancel()
            _log.info("courier_ended", cluster=cluster_id.hex()[:12])
        for cluster_id in sorted(wanted - self._running.keys()):
            running = self._running[cluster_id] = _Running(self._courier(cluster_id))
            spawn(self._keep, running)
            _log.info("courier_started", cluster=cluster_id.hex()[:12])
        self._shifts = {each: shift for each, shift in self._shifts.items() if each in wanted}
        if self.answering is not None:
            self.answering.forget(frozenset(wanted))
        if self.telling is not None:
            self.telling.forget(frozenset(wanted))
        self._tell_links()
        return True

    def _tell_links(self) -> None:
        """Whom to expect, and whom of them to dial: only validators dial."""
        seat = self._seat
        peers: list[ForeignPeer] = []
        for each in self._known:
            client = each.view.client
            if _is_followed(each.view):
                first = None if seat is None else seat.index + self._shifts.get(client.cluster_id, 0)
                peers += foreign_peers(
                    client.cluster_id,
                    client.name,
                    each.node_keys,
                    each.view.peering.addresses,
                    self._configured,
                    first_dialled=first,
                )
        told = tuple(peers)
        if told == self._told:
            return
        self._told = told
        for refused in self._links.update(told):
            _log.warning("foreign_peer_refused", peer=refused.peer_id.hex()[:12], reason=refused.reason)

    def _unreachable(self, cluster_id: bytes) -> None:
        """No node of it is connected: dial other ones."""
        self._shifts[cluster_id] = self._shifts.get(cluster_id, 0) + 1
        self._tell_links()

    def _hurry(self, cluster_id: bytes, height: int) -> None:
        running = self._running.get(cluster_id)
        if running is not None:
            running.courier.hurry(height)

    # --- couriers --------------------------------------------------------------------------------------

    def _courier(self, cluster_id: bytes) -> Courier:
        return Courier(
            cluster_id,
            self._ledger,
            self.exchange,
            self._links,
            self._heights,
            self._submit,
            self._final,
            lambda: self._seat,
            self._unreachable,
            self._wall_ms,
        )

    async def _keep(self, running: _Running) -> None:
        with running.scope:
            await self._again(running.courier.run)

    async def _again(self, task: Callable[[], Awaitable[None]]) -> None:
        """A task that must go on: started again some time after a bug ended it."""
        while True:
            await self._contained(task)
            await trio.sleep(RESTART_SECONDS)

    async def _contained(self, task: Callable[..., Awaitable[None]], *args: object) -> None:
        """A task that other clusters' bytes reach: its bugs are ours to know, and not the node's end. What
        says that our own data is broken is no such bug, and ends the node as it does everywhere."""
        try:
            await task(*args)
        except Exception as error:
            if ExceptionGroup("", [error]).subgroup(_ENDING) is not None:
                raise
            logging.getLogger("federation").exception("bug reached by another cluster")
            self.internal_faults += 1

    async def _submit(self, bundle: InboundBundle) -> bytes:
        """Submit a bundle with our node key; its transaction's id. Raises SubmitFailed."""
        encoded = bundle.encode()
        try:
            transaction = Transaction.sign(
                self._node_key,
                self._own_id,
                # The same bundle twice is one transaction as long as the first may still be ordered.
                digest(_UNIQUE_DOMAIN, encoded)[:16],
                self._wall_ms() + EXPIRY_MS,
                APP,
                DELIVER,
                (encoded,),
                self._transaction_bytes_max,
            )
        except RejectedTransaction as rejected:
            raise SubmitFailed("not-submitted", str(rejected)) from rejected
        reason = await self._door.submit_one(transaction.encoded)
        if reason is not None:
            raise SubmitFailed("not-submitted", reason)
        return transaction.id

    async def _final(self, transaction_id: bytes) -> None:
        with trio.move_on_after(FINAL_SECONDS):
            await self._door.wait_certified(transaction_id)


def _is_followed(view: ClusterView) -> bool:
    """Whether we keep links with it. A frozen cluster is not followed, but it may come back."""
    return view.client.status is not ClientStatus.RETIRED
