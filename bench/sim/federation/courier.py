"""The courier of one validator for one peer cluster: asks, plans, verifies, and hands to its own pool.

Planning and checking are the shipped functions. It keeps nothing between two turns, so that its death costs
a turn. It also asks what the peer holds of others, which is how a split view is found (F4).
"""

from collections.abc import Callable
from typing import Protocol

from bench.sim.federation import app
from bench.sim.federation.cluster import Cluster, Line
from bench.sim.federation.transactions import Deliver
from consensus import CodecError
from node.anchoring.client import lightclient
from node.anchoring.client.lightclient import Update
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.lanes import (
    AnchoredView,
    BundleRequest,
    InboundBundle,
    Offer,
    OwnBlock,
    check,
    plan,
    should_anchor,
    takes_any,
)
from node.anchoring.lanes.courier import AnchorReason
from node.proofs import ProofError


class Roads(Protocol):
    """What lies between clusters; an answer may come late, damaged, untrue or never."""

    heartbeat_ms: int

    def ask_offer(self, courier: "Courier", server: int, reply: Callable[[bytes], None]) -> None:
        """What has node `server` of the peer?"""
        ...

    def ask_bundle(
        self, courier: "Courier", server: int, request: BundleRequest, reply: Callable[[bytes], None]
    ) -> None:
        """Bring this."""
        ...

    def ask_views(self, courier: "Courier", server: int) -> None:
        """What does the peer hold of others, and what evidence does it have?"""
        ...

    def carried(self, courier: "Courier", bundle: InboundBundle, size_bytes: int) -> None:
        """A bundle was verified and pooled."""
        ...

    def suspected(self, courier: "Courier", bundle: InboundBundle) -> None:
        """A bundle was not believed."""
        ...


class Courier:
    """Pulls from cluster `peer` for validator `node` of cluster `home`."""

    def __init__(self, world: Roads, home: Cluster, node: int, peer: Cluster) -> None:
        self.world, self.home, self.node, self.peer = world, home, node, peer
        self._turns = node
        self.rejected: dict[str, int] = {}

    @property
    def line(self) -> Line:
        """The branch of ours that the peer sees; an honest cluster has only one."""
        return self.home.line_for(self.peer.cluster_id)

    def turn(self) -> None:
        """Ask one of the peer's nodes, another each turn."""
        if not self.home.is_up[self.node]:
            return
        self._turns += 1
        server = self._turns % self.peer.nodes
        self.world.ask_offer(self, server, lambda offer: self._offered(server, offer))
        self.world.ask_views(self, server)

    def _offered(self, server: int, data: bytes) -> None:
        if not self.home.is_up[self.node]:
            return
        ledger = self.line.ledger
        client = ledger.clients[self.peer.cluster_id]
        if client.status in (ClientStatus.FROZEN, ClientStatus.RETIRED):
            return
        try:
            offer = Offer.decode(data)
        except CodecError:
            self._reject("offer-not-canonical")
            return
        request = plan(
            ledger.held(self.peer.cluster_id),
            offer,
            max(self.home.now_ms, ledger.now_ms),
            self.world.heartbeat_ms,
        )
        if request is not None:
            self._request(server, request)

    def _request(self, server: int, request: BundleRequest) -> None:
        self.world.ask_bundle(self, server, request, self._brought)

    def _brought(self, data: bytes) -> None:
        if not self.home.is_up[self.node]:
            return
        try:
            bundle = InboundBundle.decode(data)
        except CodecError:
            self._reject("bundle-not-canonical")
            return
        try:
            is_worth = self._is_worth(bundle)
        except (CodecError, ProofError) as error:
            self._reject(type(error).__name__)
            self.world.suspected(self, bundle)
            return
        if is_worth and not self.line.brings(self.peer.cluster_id):
            self.world.carried(self, bundle, len(data))
            self.home.submit(Deliver(self.peer.cluster_id, data), self.line)

    def _is_worth(self, bundle: InboundBundle) -> bool:
        """Verify everything, then ask whether a block would gain by it. Raises ProofError, CodecError."""
        ledger = self.line.ledger
        client = ledger.clients[self.peer.cluster_id]
        now_ms = max(self.home.now_ms, ledger.now_ms + 1)
        reached = client

        def updated(update: bytes) -> AnchoredView:
            nonlocal reached
            reached = lightclient.update(client, Update.decode(update), now_ms, ledger.cache)
            return ledger.view_of(reached)

        view = check(bundle, self.home.cluster_id, ledger.view_of(client), updated)
        history = ledger.history
        block = OwnBlock(self.home.cluster_id, history.incarnation, history.height + 1, now_ms)
        takes = takes_any(ledger, block, view, bundle, app.admits)
        if bundle.update is None:
            return takes
        reason = should_anchor(
            ledger.held(self.peer.cluster_id),
            reached.incarnation,
            reached.last.height,
            says_something=takes,
            now_ms=now_ms,
            every_ms=self.world.heartbeat_ms,
        )
        return reason is not AnchorReason.NOTHING

    def _reject(self, why: str) -> None:
        self.rejected[why] = self.rejected.get(why, 0) + 1
