"""Reading the federation from stored state: clusters, lanes, what a message waits for, evidence, names.

`Get` is a state leaf by its key (of a snapshot, or of the overlay). Reads are bounded: by the clusters ever
admitted, by the lanes of one, by the window of a lane.
"""

from dataclasses import dataclass

from consensus import CodecError, Digest, PublicKey
from node.anchoring.client.lightclient import tick
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.cluster.identity import ClusterIdentity, nodes_of_genesis
from node.anchoring.forks.evidence import ForkEvidence
from node.anchoring.lanes.messages import Lane, Mode
from node.anchoring.lanes.records import Commitment, InLane, OutLane, Peer, PeerStatus
from node.anchoring.lanes.recovery import Disputed, disputed
from node.anchoring.lanes.state import in_key, load, out_key, peer_key
from node.anchoring.lanes.tracing import Explanation, Sightings, commitment_of, explain, limits, pending
from node.ledger.federation.draft import Draft
from node.ledger.federation.keys import evidence_key, evidence_list_key, genesis_key, name_key, policy_key
from node.ledger.federation.records import (
    FederationParams,
    Get,
    LanePolicy,
    Peering,
    client_of,
    cluster_ids,
    ids_from_value,
    nodes_of,
    params_of,
    peering_of,
    read,
)
from node.ledger.federation.watching import Claim, claim_of
from node.ledger.names import NAME_CHARACTERS_MAX

__all__ = [
    "ClusterView",
    "LaneView",
    "Resolved",
    "claim",
    "cluster",
    "clusters",
    "disputes",
    "evidence",
    "explain_message",
    "genesis_body",
    "identity",
    "lane_limits",
    "lanes",
    "node_keys",
    "parameters",
    "policy",
    "resolve",
]


@dataclass(frozen=True, slots=True)
class ClusterView:
    """One cluster as our ledger holds it: `client.status` is as of `now_ms`, `is_parked` whether its lanes
    wait for a recovery, `age_ms` how old its tip is."""

    client: ClientState
    peering: Peering
    is_parked: bool
    age_ms: int

    @property
    def is_active(self) -> bool:
        """Whether messages pass."""
        return self.client.status is ClientStatus.ACTIVE and not self.is_parked


@dataclass(frozen=True, slots=True)
class LaneView:
    """One lane. Of one that we send on: `sent` and `acked` (the floor), how many wait, and the oldest of
    those with its commitment. Of one that we receive on: `received`, contiguous, and `highest`."""

    lane: Lane
    is_outgoing: bool
    sent: int = 0
    acked: int = 0
    pending: int = 0
    oldest: int | None = None
    commitment: Commitment | None = None
    received: int = 0
    highest: int = 0


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a name `sector.cluster/app/resource` leads to; `app` and `resource` are empty where not given."""

    cluster_id: Digest
    status: ClientStatus
    app: str
    resource: str


def parameters(get: Get) -> FederationParams:
    """Witnesses, heartbeat and staleness, as operators set them."""
    return params_of(get)


def clusters(get: Get, now_ms: int) -> tuple[ClusterView, ...]:
    """Every cluster ever admitted, in that order."""
    found = (cluster(get, cluster_id, now_ms) for cluster_id in cluster_ids(get))
    return tuple(view for view in found if view is not None)


def cluster(get: Get, cluster_id: bytes, now_ms: int) -> ClusterView | None:
    """One cluster at our time `now_ms`; None when it was never admitted."""
    client = client_of(get, cluster_id)
    if client is None:
        return None
    peer = load(Draft(get), peer_key(cluster_id), Peer.from_value)
    return ClusterView(
        tick(client, now_ms, params_of(get).stale_after_ms),
        peering_of(get, cluster_id),
        peer is not None and peer.status is PeerStatus.PARKED,
        max(0, now_ms - client.last.time_ms),
    )


def genesis_body(get: Get, cluster_id: bytes) -> bytes | None:
    """The genesis body with which a cluster was admitted."""
    return get(genesis_key(cluster_id))


def node_keys(get: Get, cluster_id: bytes) -> tuple[PublicKey, ...]:
    """The keys of a cluster's nodes: of its newest proven roster, before the first of its genesis."""
    known = nodes_of(get, cluster_id)
    body = None if known.keys else genesis_body(get, cluster_id)
    return known.keys if body is None else nodes_of_genesis(body)


def identity(get: Get, cluster_id: bytes) -> ClusterIdentity | None:
    """What that genesis says."""
    body = genesis_body(get, cluster_id)
    return None if body is None else ClusterIdentity.from_body(body)


def lanes(get: Get, own_id: bytes, cluster_id: bytes) -> tuple[LaneView, ...]:
    """The lanes with a cluster, those that we send on first."""
    state = Draft(get)
    peer = load(state, peer_key(cluster_id), Peer.from_value)
    if peer is None:
        return ()
    outgoing = [_outgoing(state, Lane(own_id, cluster_id, port, mode)) for port, mode in peer.outgoing]
    incoming = [_incoming(state, Lane(cluster_id, own_id, port, mode)) for port, mode in peer.incoming]
    return (*outgoing, *incoming)


def _outgoing(state: Draft, lane: Lane) -> LaneView:
    key = out_key(lane)
    known = load(state, key, OutLane.from_value) or OutLane()
    waiting = pending(state, lane)
    oldest = waiting[0] if waiting else None
    commitment = None
    if oldest is not None:
        commitment = commitment_of(state, lane, oldest)
    return LaneView(lane, True, known.sent, known.floor, len(waiting), oldest, commitment)


def _incoming(state: Draft, lane: Lane) -> LaneView:
    known = load(state, in_key(lane), InLane.from_value) or InLane()
    return LaneView(lane, False, received=known.received, highest=known.highest)


def explain_message(get: Get, lane: Lane, sequence: int, seen: Sightings | None = None) -> Explanation:
    """Which step a message of a lane that we send on waits for."""
    return explain(Draft(get), lane, sequence, seen or Sightings())


def lane_limits(get: Get, own_id: bytes, cluster_id: bytes) -> tuple[tuple[str, int, int], ...]:
    """(name, current, bound) of what lanes with one cluster hold."""
    return limits(Draft(get), own_id, cluster_id)


def disputes(get: Get, own_id: bytes, cluster_id: bytes) -> tuple[Disputed, ...]:
    """What a recovery of that cluster left disputed."""
    return disputed(Draft(get), own_id, cluster_id)


def policy(get: Get, cluster_id: bytes, port: str, mode: Mode) -> LanePolicy:
    """What operators allow on a lane; nothing where they said nothing."""
    return read(get, policy_key(cluster_id, port, mode), LanePolicy.from_value) or LanePolicy()


def claim(get: Get, cluster_id: bytes) -> Claim | None:
    """A certified header of a cluster that another one was shown, and that its own history has not confirmed:
    suspicion, no evidence. None while all views agree."""
    return claim_of(get, cluster_id)


def evidence(get: Get, cluster_id: bytes) -> tuple[ForkEvidence, ...]:
    """The evidence that is kept against a cluster, in the order in which it came."""
    listed = read(get, evidence_list_key(cluster_id), ids_from_value) or ()
    found = (get(evidence_key(cluster_id, item)) for item in listed)
    return tuple(ForkEvidence.decode(data) for data in found if data is not None)


def resolve(get: Get, name: str) -> Resolved | None:
    """The admitted cluster behind `sector.cluster/app/resource` (the latter two may be left out); None when
    no admitted cluster has that name. Raises CodecError for what can be no name."""
    cluster_name, _, rest = name.partition("/")
    app, _, resource = rest.partition("/")
    if not cluster_name or len(cluster_name) > NAME_CHARACTERS_MAX:
        raise CodecError(f"the name {name!a:.80} must be sector.cluster/app/resource")
    found = get(name_key(cluster_name))
    client = None if found is None else client_of(get, found)
    return None if client is None else Resolved(client.cluster_id, client.status, app, resource)
