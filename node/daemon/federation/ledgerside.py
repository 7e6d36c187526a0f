"""What couriers and servers need of our own ledger, read from one snapshot each and typed.

Everything here takes time (disk, signatures): `InThreads` is how tasks call it.
"""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

import trio

from consensus import CodecError, PublicKey, SignatureCache
from node.anchoring.client.lightclient import Corroboration, Update, renew_operators, tick, update
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.lanes.courier import AnchorReason, BundleRequest, Held, Offer, should_anchor
from node.anchoring.lanes.inbound import InboundBundle, check, takes_any
from node.anchoring.lanes.views import AnchoredView, OwnBlock
from node.anchoring.refusals import Code, Refused
from node.daemon.federation.ahead import held_after
from node.daemon.recent import RecentHeights
from node.ledger.federation import queries, serving
from node.ledger.federation.draft import Draft
from node.ledger.federation.posting import admits, view_of
from node.ledger.federation.records import Get
from node.ledger.federation.watching import corroboration_of
from node.ledger.roster import ROSTER_KEY, Roster
from node.proofs import ProofError
from node.storage import Database, Snapshot, StateTable

FOLLOWED = (ClientStatus.PENDING, ClientStatus.ACTIVE, ClientStatus.STALE)
"""Clusters that take updates; the others wait for their operators."""
NOBODYS_FAULT = (
    Code.NOT_NEWER,
    Code.TIME_AHEAD,
    Code.CLIENT_FROZEN,
    Code.CLIENT_RETIRED,
    Code.NEEDS_APPROVAL,
    Code.NEEDS_WITNESSES,
)
"""Refusals of true updates: another courier was faster, or operators have to act."""


class Snapshots(Protocol):
    """A store that lends views of itself."""

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """A view for one reader; raises SnapshotLimit."""


class Readable:
    """The store with what is certified and not stored yet laid over it: what is final needs no sync of ours
    to be told, and waiting for one on both sides, twice a message, would be most of what a message takes."""

    def __init__(self, recent: RecentHeights, database: Database) -> None:
        self._recent = recent
        self._database = database

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """A view for one reader; raises SnapshotLimit."""
        return self._recent.over(self._database)


@dataclass(frozen=True, slots=True)
class Seat:
    """Our place among the validators of the epoch."""

    index: int
    count: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A cluster that was ever admitted: how it is held, the keys of its nodes as its newest proven roster or
    else its genesis names them, how many messages to it wait."""

    view: queries.ClusterView
    node_keys: tuple[PublicKey, ...]
    pending: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How we stand with one cluster: its client, and what a courier plans by."""

    client: ClientState
    held: Held
    heartbeat_ms: int
    stale_after_ms: int

    @property
    def view(self) -> AnchoredView:
        """The anchored tip as lanes see it."""
        return view_of(self.client)


@dataclass(frozen=True, slots=True)
class Checked:
    """A bundle that our ledger could execute; `after` is how we stand once it is, where that can be told."""

    bundle: InboundBundle
    after: Standing | None = None


class BundleFault(Exception):
    """A bundle that must not be submitted; `code` is stable, `is_blamed` whether its sender is to blame.
    `is_empty`: it is true and holds no leaf at all, so there is nothing that could be taken later."""

    def __init__(self, code: str, detail: str, *, is_blamed: bool, is_empty: bool = False) -> None:
        super().__init__(code, detail)
        self.is_empty = is_empty
        self.code = code
        self.detail = detail
        self.is_blamed = is_blamed

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


class LedgerSide:
    """Our ledger as the federation reads it. Any thread may use it. Methods raise SnapshotLimit and
    SnapshotExpired."""

    def __init__(self, store: Snapshots, own_id: bytes) -> None:
        self._store = store
        self._own_id = own_id

    def clusters(self, now_ms: int) -> tuple[Neighbour, ...]:
        """Every cluster ever admitted, in that order."""
        with self._store.snapshot() as snapshot:
            get = _leaves(snapshot)
            return tuple(self._neighbour(get, view) for view in queries.clusters(get, now_ms))

    def _neighbour(self, get: Get, view: queries.ClusterView) -> Neighbour:
        cluster_id = view.client.cluster_id
        lanes = queries.lanes(get, self._own_id, cluster_id)
        return Neighbour(view, queries.node_keys(get, cluster_id), sum(lane.pending for lane in lanes))

    def seat(self, node_key: bytes) -> Seat | None:
        """Where the validator with this node key sits; None when it has no seat."""
        with self._store.snapshot() as snapshot:
            leaf = snapshot.get(StateTable.STATE, ROSTER_KEY)
        if leaf is None:
            return None
        keys = [bytes(validator.node_key) for validator in Roster.decode(leaf).validators]
        return Seat(keys.index(node_key), len(keys)) if node_key in keys else None

    def standing(self, cluster_id: bytes) -> Standing | None:
        """How we stand with a cluster; None when it was never admitted."""
        with self._store.snapshot() as snapshot:
            get = _leaves(snapshot)
            view = queries.cluster(get, cluster_id, 0)
            held = serving.held(snapshot, cluster_id)
            if view is None or held is None:
                return None
            params = queries.parameters(get)
            return Standing(view.client, held, params.heartbeat_ms, params.stale_after_ms)

    def offers(self, cluster_ids: Collection[bytes]) -> dict[bytes, Offer]:
        """What we can prove to each of these clusters; those that were never admitted are left out."""
        with self._store.snapshot() as snapshot:
            get = _leaves(snapshot)
            known = [each for each in cluster_ids if queries.cluster(get, each, 0) is not None]
            return {each: serving.offer(snapshot, each) for each in known}

    def answer(self, cluster_id: bytes, request: BundleRequest) -> bytes | None:
        """What that cluster lacks, encoded; None when there is nothing to bring."""
        with self._store.snapshot() as snapshot:
            bundle = serving.answer(snapshot, cluster_id, request)
        return None if bundle is None else bundle.encode()

    def check(self, standing: Standing, data: bytes, now_ms: int) -> Checked:
        """The bundle in these bytes, if our ledger could execute it. Raises BundleFault."""
        client = standing.client

        def updated(body: bytes) -> AnchoredView:
            nonlocal client
            found = Update.decode(body)
            client = update(
                client,
                found,
                now_ms,
                SignatureCache(),
                stale_after_ms=standing.stale_after_ms,
                corroboration=self._corroboration(standing, found, bundle, now_ms),
            )
            return view_of(client)

        try:
            bundle = InboundBundle.decode(data)
            view = check(bundle, self._own_id, standing.view, updated)
            if bundle.roster is not None:
                client = renew_operators(client, bundle.roster.leaf, bundle.roster.proof)
        except Refused as refused:
            blamed = refused.code not in NOBODYS_FAULT
            raise BundleFault(refused.code.value, str(refused), is_blamed=blamed) from refused
        except CodecError as error:
            raise BundleFault("malformed", str(error), is_blamed=True) from error
        except ProofError as error:
            raise BundleFault("false-proof", str(error), is_blamed=True) from error
        if not self._is_worth_a_block(standing, bundle, view, now_ms):
            raise BundleFault(
                "nothing-new",
                "our lanes take none of it now",
                is_blamed=False,
                is_empty=not bundle.leaves,
            )
        held = held_after(standing.held, bundle, client)
        return Checked(bundle, None if held is None else replace(standing, client=client, held=held))

    def _corroboration(
        self, standing: Standing, found: Update, bundle: InboundBundle, now_ms: int
    ) -> Corroboration:
        """Who vouches for epochs that passed unwatched, as our ledger will find."""
        client = tick(standing.client, now_ms, standing.stale_after_ms)
        with self._store.snapshot() as snapshot:
            return corroboration_of(_leaves(snapshot), client, found, bundle.places)

    def _is_worth_a_block(
        self, standing: Standing, bundle: InboundBundle, view: AnchoredView, now_ms: int
    ) -> bool:
        """Whether our lanes would take a leaf, or the tip is due (F11)."""
        with self._store.snapshot() as snapshot:
            own = serving.offer(snapshot, bundle.source)
            block = OwnBlock(self._own_id, own.incarnation, own.height + 1, now_ms)
            draft = Draft(_leaves(snapshot))
            takes = takes_any(draft, block, view, bundle, lambda message: admits(draft, block, message))
        if takes or bundle.roster is not None:
            return True
        reason = should_anchor(
            standing.held,
            view.incarnation,
            view.height,
            says_something=False,
            now_ms=now_ms,
            every_ms=standing.heartbeat_ms,
        )
        return reason is not AnchorReason.NOTHING


class InThreads:
    """`LedgerSide` for tasks. Couriers and others' questions have threads of their own, so that neither
    waits for the other."""

    def __init__(self, side: LedgerSide) -> None:
        self._side = side
        self._own = trio.CapacityLimiter(2)
        self._others = trio.CapacityLimiter(2)

    async def clusters(self, now_ms: int) -> tuple[Neighbour, ...]:
        """See `LedgerSide.clusters`."""
        return await trio.to_thread.run_sync(self._side.clusters, now_ms, limiter=self._own)

    async def seat(self, node_key: bytes) -> Seat | None:
        """See `LedgerSide.seat`."""
        return await trio.to_thread.run_sync(self._side.seat, node_key, limiter=self._own)

    async def standing(self, cluster_id: bytes) -> Standing | None:
        """See `LedgerSide.standing`."""
        return await trio.to_thread.run_sync(self._side.standing, cluster_id, limiter=self._own)

    async def check(self, standing: Standing, data: bytes, now_ms: int) -> Checked:
        """See `LedgerSide.check`."""
        return await trio.to_thread.run_sync(self._side.check, standing, data, now_ms, limiter=self._own)

    async def offers(self, cluster_ids: tuple[bytes, ...]) -> dict[bytes, Offer]:
        """See `LedgerSide.offers`."""
        return await trio.to_thread.run_sync(self._side.offers, cluster_ids, limiter=self._others)

    async def answer(self, cluster_id: bytes, request: BundleRequest) -> bytes | None:
        """See `LedgerSide.answer`."""
        return await trio.to_thread.run_sync(self._side.answer, cluster_id, request, limiter=self._others)


def _leaves(snapshot: Snapshot) -> Get:
    return lambda key: snapshot.get(StateTable.STATE, key)
