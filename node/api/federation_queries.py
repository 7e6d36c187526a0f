"""What the API tells of the federation, and how it is read from one snapshot."""

from dataclasses import dataclass

from node.anchoring.forks.evidence import EvidenceFile
from node.anchoring.lanes.messages import Lane, Mode
from node.anchoring.lanes.tracing import Sightings
from node.api.faults import Fault, fault
from node.api.queries import proven_header, state_height
from node.ledger.federation import queries
from node.ledger.federation.queries import ClusterView, LaneView
from node.ledger.federation.records import Get
from node.ledger.federation.tables import log_of
from node.proofs.header import Header
from node.storage import Snapshot, StateTable

MODES = {mode.name.lower(): mode for mode in Mode}
"""What modes are called in words."""


@dataclass(frozen=True, slots=True)
class PlaceAnswer:
    """Where operators say that a node of another cluster is found."""

    node_key: bytes
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class ClusterAnswer:
    """Another cluster as this one holds it: `height`, `header_hash` and `time_ms` are its anchored tip's,
    `age_ms` how old that tip is at the time of our state; `anchored_ms` and `anchored_height` are our own
    when it was anchored. `said` counts what we ever said to it; `is_parked`: its lanes wait for recovery."""

    cluster_id: bytes
    name: str
    status: str
    incarnation: int
    epoch: int
    height: int
    header_hash: bytes
    time_ms: int
    age_ms: int
    anchored_ms: int
    anchored_height: int
    said: int
    is_parked: bool
    accused: tuple[bytes, ...]
    places: tuple[PlaceAnswer, ...]


@dataclass(frozen=True, slots=True)
class FederationAnswer:
    """Every cluster that was ever admitted, in that order, at our `height` and its time."""

    height: int
    time_ms: int
    witnesses: int
    heartbeat_ms: int
    stale_after_ms: int
    clusters: tuple[ClusterAnswer, ...]


@dataclass(frozen=True, slots=True)
class LaneAnswer:
    """One lane. Of one that we send on: `sent`, `acked` contiguously, `pending` and the oldest of these; of
    one that we receive on: `received` contiguously, and the `highest`."""

    source: bytes
    destination: bytes
    port: str
    mode: str
    is_outgoing: bool
    sent: int
    acked: int
    pending: int
    oldest: int | None
    oldest_height: int | None
    oldest_deadline_ms: int | None
    received: int
    highest: int


@dataclass(frozen=True, slots=True)
class LanesAnswer:
    """The lanes with one cluster, those that we send on first; none with a cluster nothing was said to."""

    height: int
    cluster_id: bytes
    lanes: tuple[LaneAnswer, ...]


@dataclass(frozen=True, slots=True)
class ForkAnswer:
    """One piece of evidence; `evidence` is the file that `isthmus evidence check` takes."""

    evidence_id: bytes
    epoch: int
    evidence: bytes


@dataclass(frozen=True, slots=True)
class ForksAnswer:
    """The evidence that is kept against one cluster."""

    height: int
    cluster_id: bytes
    forks: tuple[ForkAnswer, ...]


@dataclass(frozen=True, slots=True)
class ExplanationAnswer:
    """Which step a message that we sent waits for, where it was sent and until when it may be delivered while
    it waits; `result` once it is acknowledged."""

    height: int
    destination: bytes
    port: str
    mode: str
    sequence: int
    step: str
    sent_height: int | None
    deadline_ms: int | None
    result: str | None


def federation(snapshot: Snapshot) -> FederationAnswer:
    """Every cluster."""
    get = _leaves(snapshot)
    height, time_ms = _moment(snapshot)
    params = queries.parameters(get)
    return FederationAnswer(
        height,
        time_ms,
        params.witnesses,
        params.heartbeat_ms,
        params.stale_after_ms,
        tuple(_cluster(get, view) for view in queries.clusters(get, time_ms)),
    )


def lanes(snapshot: Snapshot, cluster_id: bytes) -> LanesAnswer:
    """The lanes with one cluster."""
    own_id = _header(snapshot).cluster_id
    listed = queries.lanes(_leaves(snapshot), own_id, cluster_id)
    return LanesAnswer(state_height(snapshot), cluster_id, tuple(map(_lane, listed)))


def forks(snapshot: Snapshot, cluster_id: bytes) -> ForksAnswer:
    """The evidence against one cluster."""
    get = _leaves(snapshot)
    body = queries.genesis_body(get, cluster_id) or b""
    listed = queries.evidence(get, cluster_id)
    answers = tuple(ForkAnswer(item.id, item.epoch, EvidenceFile(body, item).encode()) for item in listed)
    return ForksAnswer(state_height(snapshot), cluster_id, answers)


def explain(snapshot: Snapshot, cluster_id: bytes, port: str, mode: Mode, sequence: int) -> ExplanationAnswer:
    """What a message to that cluster waits for, as far as our own state tells. Raises ApiFault
    BAD_PARAMETER for what can be no lane."""
    height = state_height(snapshot)
    try:
        lane = Lane(_header(snapshot).cluster_id, cluster_id, port, mode)
    except ValueError as error:
        raise fault(Fault.BAD_PARAMETER, f"There is no such lane: {error}.") from error
    found = queries.explain_message(_leaves(snapshot), lane, sequence, Sightings(certified_height=height))
    result = None if found.result is None else found.result.name.lower()
    waits = found.commitment
    sent_height, deadline_ms = (None, None) if waits is None else (waits.height, waits.deadline_ms)
    return ExplanationAnswer(
        height,
        cluster_id,
        port,
        mode.name.lower(),
        sequence,
        found.step.value,
        sent_height,
        deadline_ms,
        result,
    )


def _cluster(get: Get, view: ClusterView) -> ClusterAnswer:
    client, peering = view.client, view.peering
    return ClusterAnswer(
        client.cluster_id,
        client.name,
        client.status.name.lower(),
        client.incarnation,
        client.epoch,
        client.last.height,
        client.last.header_hash,
        client.last.time_ms,
        view.age_ms,
        peering.anchored_ms,
        peering.anchored_height,
        log_of(get, client.cluster_id).size,
        view.is_parked,
        client.accused,
        tuple(PlaceAnswer(place.node_key, place.host, place.port) for place in peering.addresses),
    )


def _lane(view: LaneView) -> LaneAnswer:
    oldest = view.commitment
    return LaneAnswer(
        view.lane.source,
        view.lane.destination,
        view.lane.port,
        view.lane.mode.name.lower(),
        view.is_outgoing,
        view.sent,
        view.acked,
        view.pending,
        view.oldest,
        None if oldest is None else oldest.height,
        None if oldest is None else oldest.deadline_ms,
        view.received,
        view.highest,
    )


def _leaves(snapshot: Snapshot) -> Get:
    return lambda key: snapshot.get(StateTable.STATE, key)


def _header(snapshot: Snapshot) -> Header:
    return Header.decode(proven_header(snapshot, state_height(snapshot)).header)


def _moment(snapshot: Snapshot) -> tuple[int, int]:
    """The state's height and its time."""
    header = _header(snapshot)
    return header.height, header.time_ms
