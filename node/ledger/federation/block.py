"""The federation in one block: clients grow stale by its time, and its end sets the two roots of the header.

`Federation` is what a ledger remembers between blocks: when the next client grows stale. It is a function of
the state, read anew when a ledger begins and whenever operators changed the clusters or the parameters.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from consensus import Digest, encode_trusted
from node.anchoring.client.lightclient import tick
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.lanes.outbox import LogUpdate, append
from node.ledger.federation.keys import CLIENT_PREFIX, CLUSTERS_KEY, PARAMS_KEY, client_key, outbox_key
from node.ledger.federation.records import Get, client_of, cluster_ids, decode_client, params_of
from node.ledger.federation.tables import ANCHORS, OUTBOX, MapNodes, StateOutbox, map_key
from node.ledger.state import BlockState
from node.proofs import smt
from node.proofs.header import Header

_NEVER_MS = 2**63


class Federation:
    """When the ACTIVE clients grow stale: the only thing that happens without a transaction."""

    __slots__ = ("_ends", "_stale_after_ms", "next_tick_ms")

    def __init__(self, get: Get) -> None:
        self._ends: dict[bytes, int] = {}
        self._stale_after_ms = 0
        self.next_tick_ms = _NEVER_MS
        """The first block time at which some client is stale."""
        self._read(get)

    def due(self, time_ms: int) -> tuple[bytes, ...]:
        """The clusters whose clients are stale at a block's time, in order of their ids."""
        return tuple(sorted(cluster_id for cluster_id, end in self._ends.items() if time_ms > end))

    def note(self, writes: Mapping[bytes, bytes | None], get: Get) -> None:
        """The leaves that a block's federation wrote."""
        if CLUSTERS_KEY in writes or PARAMS_KEY in writes:
            self._read(get)
            return
        for key, value in writes.items():
            if key.startswith(CLIENT_PREFIX) and value is not None:
                self._watch(decode_client(value))
        self._find_next()

    def _read(self, get: Get) -> None:
        self._ends.clear()
        self._stale_after_ms = params_of(get).stale_after_ms
        for cluster_id in cluster_ids(get):
            client = client_of(get, cluster_id)
            if client is not None:
                self._watch(client)
        self._find_next()

    def _watch(self, client: ClientState) -> None:
        self._ends.pop(client.cluster_id, None)
        if client.status is ClientStatus.ACTIVE:
            self._ends[client.cluster_id] = client.last.time_ms + self._stale_after_ms

    def _find_next(self) -> None:
        self.next_tick_ms = min(self._ends.values(), default=_NEVER_MS - 1) + 1


def grow_stale(state: BlockState, federation: Federation, time_ms: int) -> dict[bytes, bytes | None]:
    """The clients that are stale at the block's time, as leaves to write before its transactions."""
    stale_after_ms = params_of(state.get_state).stale_after_ms
    writes: dict[bytes, bytes | None] = {}
    for cluster_id in federation.due(time_ms):
        client = client_of(state.get_state, cluster_id)
        if client is not None:
            writes[client_key(cluster_id)] = tick(client, time_ms, stale_after_ms).encode()
    return writes


@dataclass(frozen=True, slots=True)
class FederationRoots:
    """The two roots of a header, and what the chain stores of the outbox."""

    anchors: Digest
    outbox: Digest
    logs: tuple[LogUpdate, ...] = ()


def close(
    state: BlockState,
    parent: Header,
    clients: Mapping[bytes, bytes | None],
    said: list[tuple[bytes, bytes]],
) -> FederationRoots:
    """The roots after a block that wrote these client leaves and said these leaves; the maps' nodes and the
    logs' compact ranges become writes of the block, so that the state tree is updated after this."""
    anchors, outbox = parent.anchors_root, parent.outbox_root
    logs: tuple[LogUpdate, ...] = ()
    views = [decode_client(leaf) for leaf in clients.values() if leaf is not None]
    if views:
        changes = [(view.cluster_id, view.anchor.encode()) for view in views]
        made = smt.update(MapNodes(state.get, ANCHORS), changes)
        state.nodes.update((map_key(ANCHORS, key), value) for key, value in made.writes)
        anchors = Digest(made.root)
    if said:
        update = append(StateOutbox(state.get_state, state.get), said)
        state.nodes.update((map_key(OUTBOX, key), value) for key, value in update.map_writes)
        for log in update.logs:
            state.state[outbox_key(log.destination)] = encode_trusted(log.log.to_value())
        outbox, logs = update.root, update.logs
    return FederationRoots(anchors, outbox, logs)
