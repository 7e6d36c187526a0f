"""The HTTP door on a running node: `Backend` over the daemon, and the service that serves it."""

import socket
from collections.abc import Sequence
from contextlib import AbstractContextManager

import trio

from consensus import Digest
from node import wire
from node.api.app import build_api
from node.api.backend import (
    Busy,
    CommittedView,
    Location,
    NodeStatus,
    PeerStatus,
    Readiness,
    Rejected,
    Submitted,
)
from node.api.limits import ApiLimits
from node.api.server import bind_listener, serve_api
from node.config import NodeConfig
from node.daemon.daemon import Node, TooManyRequests, software_version
from node.daemon.featuregate import concerns, refusal
from node.daemon.federation.asking import Asking
from node.daemon.looking import left_out, look, pruned_below
from node.daemon.metrics import render_metrics
from node.daemon.readiness import reasons_against
from node.daemon.recent import executed_layer
from node.daemon.startup import wall_ms
from node.daemon.waiters import Found, TooManyWaiters
from node.diagnosis import NodeFacts, PeerFacts
from node.genesis import Genesis
from node.ledger.codes import Code
from node.storage import Snapshot, SnapshotExpired, SnapshotLimit
from node.validator import Refusal

RETRY_AFTER_MS = 1_000
_ADDRESS_SHARE = 4
"""One address may hold the fourth part of all connections."""
_BURST_SECONDS = 4
"""An address that paused may make so many seconds' requests at once."""
_GATED_AT_ONCE = 64
"""Transactions of governance that one request has looked at (about 30 us each) before others have a turn."""


class LiveBackend:
    """What the door may ask of this node."""

    def __init__(self, node: Node) -> None:
        self._node = node

    @property
    def genesis(self) -> Genesis:
        """The cluster's genesis."""
        return self._node.opened.genesis

    @property
    def asking(self) -> Asking:
        """The way to other clusters."""
        return self._node.federation.asking

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Submitted | Rejected, ...]:
        """Admission of each, in order. Raises Busy when nothing of this request was taken."""
        refused = await self._unfit(transactions)
        wanted = [data for place, data in enumerate(transactions) if place not in refused]
        try:
            taken = iter(await self._node.submit(wanted))
        except TooManyRequests:
            raise Busy("too many requests wait for admission; come back later", RETRY_AFTER_MS) from None
        outcomes = tuple(refused.get(place) or next(taken) for place in range(len(transactions)))
        return _taken(outcomes)

    async def _unfit(self, transactions: Sequence[bytes]) -> dict[int, Refusal]:
        """By their places, those that ask for a feature which no quorum is seen to know."""
        found: dict[int, Refusal] = {}
        for number, place in enumerate(p for p, data in enumerate(transactions) if concerns(data)):
            if number % _GATED_AT_ONCE == _GATED_AT_ONCE - 1:
                await trio.lowlevel.checkpoint()
            no = refusal(self._node, transactions[place])
            if no is not None:
                found[place] = no
        return found

    async def submit_chunks(
        self, chunks: Sequence[bytes], transaction_bytes: int, timeout_ms: int
    ) -> tuple[Submitted | Rejected, ...]:
        """Take a body's pieces on a benchmark cluster. Raises Busy."""
        outcomes: tuple[Digest | Refusal, ...] = ()
        try:
            with trio.move_on_after(timeout_ms / 1000):
                outcomes = await self._node.submit_chunks(chunks, transaction_bytes)
        except TooManyRequests:
            raise Busy("too many requests wait for admission; come back later", RETRY_AFTER_MS) from None
        if not outcomes:
            raise Busy(f"not sealed within {timeout_ms} ms; the cluster stands still", RETRY_AFTER_MS)
        return _taken(outcomes)

    async def wait_certified(self, tx_ids: Sequence[bytes], timeout_ms: int) -> tuple[Location | None, ...]:
        """Each transaction's place once all are readable, or what is known at the timeout. Raises Busy."""
        return await self._wait(tx_ids, timeout_ms, is_hasty=False)

    async def wait_committed(self, tx_ids: Sequence[bytes], timeout_ms: int) -> tuple[Location | None, ...]:
        """Each transaction's place once all are executed here or certified, or what is known at the timeout.
        Raises Busy."""
        return await self._wait(tx_ids, timeout_ms, is_hasty=True)

    async def _wait(
        self, tx_ids: Sequence[bytes], timeout_ms: int, *, is_hasty: bool
    ) -> tuple[Location | None, ...]:
        whereabouts = self._node.whereabouts
        try:
            if timeout_ms <= 0 and not is_hasty:
                found = await whereabouts.certified(tx_ids)
            else:
                found = await whereabouts.wait(tx_ids, timeout_ms / 1000, is_hasty=is_hasty)
        except TooManyWaiters:
            raise Busy("too many clients wait for receipts; come back later", RETRY_AFTER_MS) from None
        except (SnapshotLimit, SnapshotExpired) as error:
            raise Busy(f"{error}; come back later", RETRY_AFTER_MS) from error
        return tuple(_location(found.get(tx_id)) for tx_id in tx_ids)

    async def wait_height(self, height: int, timeout_ms: int) -> bool:
        """Whether `height` became readable in time."""
        with trio.move_on_after(timeout_ms / 1000):
            await self._node.waiters.wait_readable(height)
        return self._node.waiters.readable_height >= height

    async def wait_committed_height(self, height: int, timeout_ms: int) -> bool:
        """Whether `height` is executed here, or certified, in time."""
        with trio.move_on_after(timeout_ms / 1000):
            await self._node.waiters.wait_executed(height)
        return self._node.waiters.executed_height >= height

    async def wait_new_height(self, after: int) -> int:
        """The readable height as soon as it is above `after`."""
        return await self._node.waiters.wait_readable(after + 1)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """One unchanging view of what is certified."""
        return self._node.recent.over(self._node.opened.store)

    def committed(self) -> CommittedView:
        """What is executed here at this moment; what a quorum contradicts is not shown."""
        node, data = self._node, self._node.validator.data
        executed = data.line.executed if data.diverged is None else ()
        certified_height = node.waiters.readable_height
        top = executed[-1].execution.header.height if executed else certified_height
        return CommittedView(
            certified_height,
            max(top, certified_height),
            lambda: node.recent.over(node.opened.store, tuple(map(executed_layer, executed))),
        )

    def readiness(self) -> Readiness:
        """Whether this node can commit."""
        reasons = reasons_against(self._node)
        return Readiness(not reasons, reasons, _benchmark(self.genesis))

    def status(self) -> NodeStatus:
        """One look at the node."""
        node = self._node
        opened, view = node.opened, node.validator.replica.view()
        genesis = opened.genesis
        heights, progress = node.validator.data.catchup.heights(), node.validator.data.catchup.progress()
        directory = node.validator.directory
        peers = tuple(
            PeerStatus(
                peer.name or peer.peer.hex()[:12],
                bytes(peer.peer),
                peer.address or "",
                peer.connected,
                heights.get(directory.inner(peer.peer)),
            )
            for peer in node.network.status()
        )
        return NodeStatus(
            node_name=opened.config.name,
            node_key=bytes(opened.identity.peer_id),
            is_validator=node.validator.term.me is not None,
            cluster_name=genesis.name,
            cluster_id=genesis.cluster_id,
            version=software_version(),
            time_ms=wall_ms(),
            started_ms=node.started_ms,
            epoch=view.epoch,
            round=view.round,
            leader=node.validator.term.roster.validators[view.leader].name,
            committed_height=view.committed_height,
            certified_height=view.certified_height,
            stored_height=node.waiters.stored_height,
            is_diverged=node.validator.data.diverged is not None,
            pending_transactions=len(node.validator.data.desk.admission),
            peers=peers,
            benchmark=_benchmark(genesis),
            pruned_below=pruned_below(node),
            sync_from=None if progress is None else progress.from_height,
            sync_target=None if progress is None else progress.target_height,
            protocol_version=wire.PROTOCOL_VERSION,
            features=node.validator.data.line.features,
            left_out=left_out(node.validator),
        )

    def look(self) -> tuple[NodeFacts, tuple[PeerFacts, ...]]:
        """The facts that a diagnosis is made of."""
        return look(self._node)

    def metrics_text(self) -> bytes:
        """The node's metrics in the Prometheus text format."""
        return render_metrics(self._node)


def _taken(outcomes: Sequence[Digest | Refusal]) -> tuple[Submitted | Rejected, ...]:
    """What admission answered, for the door. Raises Busy when it took nothing for want of room."""
    full = [o for o in outcomes if isinstance(o, Refusal) and o.code == Code.POOL_FULL]
    if full and len(full) == len(outcomes):
        raise Busy(full[0].sentence, RETRY_AFTER_MS)
    return tuple(
        Rejected(outcome.code, Code(outcome.code).label, outcome.sentence)
        if isinstance(outcome, Refusal)
        else Submitted(outcome)
        for outcome in outcomes
    )


def _benchmark(genesis: Genesis) -> str:
    kind = genesis.params.benchmark
    return "" if kind is None else kind.value


def _location(found: Found | None) -> Location | None:
    if found is None:
        return None
    return Location(found.height, found.index, found.receipt, found.is_certified)


class HttpService:
    """The door as a service of the daemon."""

    def __init__(self, config: NodeConfig) -> None:
        self._address = (config.api.host, config.api.port)
        self._limits = ApiLimits(
            connections_max=config.limits.connections,
            streams_max=config.limits.event_streams,
            waits_max=config.limits.waiting_requests,
            connections_per_address=max(1, config.limits.connections // _ADDRESS_SHARE),
            requests_per_second=config.limits.requests_per_second,
            requests_burst=max(1, _BURST_SECONDS * config.limits.requests_per_second),
        )
        self._hosts = (*config.api.allowed_hosts, *config.api.own_names)
        self._listeners: list[socket.socket] = []

    def bind(self) -> None:
        """Take the port. Raises PortInUse with a sentence."""
        self._listeners.append(bind_listener(*self._address))

    async def run(self, node: Node, ending: trio.Event) -> None:
        """Serve until the node is ending."""
        api = build_api(LiveBackend(node), shutdown=ending, limits=self._limits, allowed_hosts=self._hosts)
        await serve_api(
            api.app,
            self._listeners,
            departure=api.departure,
            limits=self._limits,
            gauges=api.gauges,
            visitors=api.visitors,
        )
