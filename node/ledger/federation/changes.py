"""What operators decide about other clusters: changes of a governance proposal (node/ledger/governance).

    [8, genesis body, [[node key, host, port], ...]]               a cluster is admitted
    [9, cluster id]                                                a cluster is retired, for ever
    [10, cluster id, incarnation, recovery digest]                 a recovery to it is approved
    [11, cluster id, port, mode, send, receive, quota | nil, window_ms]       a lane's policy
    [12, witnesses, heartbeat_ms, stale_after_ms]                  the federation's parameters
    [13, cluster id, height, header hash]                          operators vouch for a header (F8)
    [14, cluster id, [grant, ...]]                                 what its members may read (`grants.py`)
    [15, cluster id, [[node key, host, port], ...]]                where its nodes are dialled

They are judged together and in order, so that one proposal admits a cluster and opens its lanes. An admitted
cluster is held from its genesis, of which nothing but the hash need be believed: it is ACTIVE at once, and
STALE with the next block if its genesis is old; epochs that passed then need witnesses or a header vouched
for. A cluster is admitted under the name in its genesis, once; no two have one name, and none has ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from consensus import CodecError, Digest, Value, as_bytes, as_int, as_text, as_tuple, encode_trusted
from node.anchoring.client.lightclient import Corroboration, admit, register, retire
from node.anchoring.client.state import CLIENT_BYTES_MAX
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.lanes.messages import PORT_CHARACTERS_MAX, Mode
from node.anchoring.lanes.recovery import park
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.federation.draft import Draft
from node.ledger.federation.grants import Grant, grants_from_value, stored_grants
from node.ledger.federation.keys import (
    CLUSTERS_KEY,
    PARAMS_KEY,
    client_key,
    genesis_key,
    name_key,
    peer_key,
    policy_key,
    readers_key,
)
from node.ledger.federation.records import (
    CLUSTERS_MAX,
    Address,
    Checkpoint,
    FederationParams,
    Get,
    LanePolicy,
    Peering,
    addresses_of,
    client_of,
    cluster_ids,
    peering_of,
    stored,
)
from node.ledger.names import check_name

GENESIS_BYTES_MAX = 48 * 1024
"""Largest genesis body that can be admitted: a proposal is one transaction, and keeps it until it ends."""


@dataclass(frozen=True, slots=True)
class AdmitCluster:
    """A cluster is admitted; `addresses` are where couriers may dial its nodes."""

    body: bytes
    addresses: tuple[Address, ...]
    identity: ClusterIdentity

    def to_value(self) -> tuple[Value, ...]:
        """`[8, genesis body, [address, ...]]`."""
        return (8, self.body, tuple(address.to_value() for address in self.addresses))


@dataclass(frozen=True, slots=True)
class RetireCluster:
    """A cluster is retired."""

    cluster_id: Digest

    def to_value(self) -> tuple[Value, ...]:
        """`[9, cluster id]`."""
        return (9, self.cluster_id)


@dataclass(frozen=True, slots=True)
class ApproveRecovery:
    """A recovery is approved: `digest` is its `RecoveryCertificate.digest`, of the incarnation it begins."""

    cluster_id: Digest
    incarnation: int
    digest: Digest

    def to_value(self) -> tuple[Value, ...]:
        """`[10, cluster id, incarnation, recovery digest]`."""
        return (10, self.cluster_id, self.incarnation, self.digest)


@dataclass(frozen=True, slots=True)
class SetLanePolicy:
    """The lanes with a cluster on one port and in one mode get a policy."""

    cluster_id: Digest
    port: str
    mode: Mode
    policy: LanePolicy

    def to_value(self) -> tuple[Value, ...]:
        """`[11, cluster id, port, mode, send, receive, quota | nil, window_ms]`."""
        policy = self.policy
        allowed = (int(policy.may_send), int(policy.may_receive), policy.quota, policy.window_ms)
        return (11, self.cluster_id, self.port, int(self.mode), *allowed)


@dataclass(frozen=True, slots=True)
class SetFederation:
    """The federation gets other parameters."""

    params: FederationParams

    def to_value(self) -> tuple[Value, ...]:
        """`[12, witnesses, heartbeat_ms, stale_after_ms]`."""
        params = self.params
        return (12, params.witnesses, params.heartbeat_ms, params.stale_after_ms)


@dataclass(frozen=True, slots=True)
class VouchForHeader:
    """Operators vouch for a header of another cluster."""

    cluster_id: Digest
    height: int
    header_hash: Digest

    def to_value(self) -> tuple[Value, ...]:
        """`[13, cluster id, height, header hash]`."""
        return (13, self.cluster_id, self.height, self.header_hash)


@dataclass(frozen=True, slots=True)
class SetReaders:
    """Members of a cluster get these grants and no others."""

    cluster_id: Digest
    grants: tuple[Grant, ...]

    def to_value(self) -> tuple[Value, ...]:
        """`[14, cluster id, [grant, ...]]`."""
        return (14, self.cluster_id, tuple(grant.to_value() for grant in self.grants))


@dataclass(frozen=True, slots=True)
class SetAddresses:
    """The nodes of a cluster are dialled at these addresses and no others."""

    cluster_id: Digest
    addresses: tuple[Address, ...]

    def to_value(self) -> tuple[Value, ...]:
        """`[15, cluster id, [address, ...]]`."""
        return (15, self.cluster_id, tuple(address.to_value() for address in self.addresses))


FederationChange: TypeAlias = (
    AdmitCluster
    | RetireCluster
    | ApproveRecovery
    | SetLanePolicy
    | SetFederation
    | VouchForHeader
    | SetReaders
    | SetAddresses
)
FEDERATION_KINDS = range(8, 16)


def federation_change_of(kind: int, value: Value) -> FederationChange:
    """The change that `value` writes. Raises CodecError."""
    match kind:
        case 8:
            _, body, addresses = as_tuple(value, 3, "admitted cluster")
            data = as_bytes(body, "genesis body", max_length=GENESIS_BYTES_MAX)
            return AdmitCluster(data, addresses_of(addresses), _identity(data))
        case 9:
            return RetireCluster(_id(as_tuple(value, 2, "retired cluster")[1]))
        case 10:
            _, cluster_id, incarnation, approved = as_tuple(value, 4, "approved recovery")
            number = as_int(incarnation, "incarnation", low=1)
            return ApproveRecovery(_id(cluster_id), number, _id(approved))
        case 11:
            _, cluster_id, port, mode, *allowed = as_tuple(value, 8, "lane policy")
            return SetLanePolicy(
                _id(cluster_id),
                _port(as_text(port, "port", max_length=PORT_CHARACTERS_MAX)),
                Mode(as_int(mode, "mode", low=1, high=2)),
                LanePolicy.from_value(tuple(allowed)),
            )
        case 12:
            return SetFederation(FederationParams.from_value(as_tuple(value, 4, "parameters")[1:]))
        case 13:
            _, cluster_id, height, header_hash = as_tuple(value, 4, "header vouched for")
            return VouchForHeader(_id(cluster_id), as_int(height, "height", low=1), _id(header_hash))
        case 14:
            _, cluster_id, grants = as_tuple(value, 3, "readers")
            return SetReaders(_id(cluster_id), grants_from_value(grants))
        case 15:
            _, cluster_id, addresses = as_tuple(value, 3, "addresses of a cluster")
            return SetAddresses(_id(cluster_id), addresses_of(addresses))
        case _:
            raise CodecError(f"kind of change {kind} is none of the federation's")


def _identity(body: bytes) -> ClusterIdentity:
    identity = ClusterIdentity.from_body(body)
    try:
        check_name(identity.name, "cluster name")
    except ValueError as error:
        raise CodecError(str(error)) from error
    if len(register(identity).encode()) > CLIENT_BYTES_MAX // 2:
        raise CodecError("a cluster of so many validators leaves no room for evidence")
    return identity


def _id(value: Value) -> Digest:
    return Digest(as_bytes(value, "id", length=32))


def _port(text: str) -> str:
    try:
        return check_name(text, "port")
    except ValueError as error:
        raise CodecError(str(error)) from error


@dataclass(frozen=True, slots=True)
class Own:
    """What our own cluster is called."""

    cluster_id: bytes
    name: str


def leaves_after(
    get: Get, own: Own, time_ms: int, height: int, changes: Sequence[FederationChange]
) -> dict[bytes, bytes | None]:
    """The leaves that `changes` come to above `get`, in the block of this time and height.

    Raises RejectedTransaction: GENESIS_REFUSED, CLUSTER_UNKNOWN, CLUSTER_KNOWN, NAME_TAKEN, NO_CHANGE,
    RECOVERY_REFUSED, CLUSTERS_FULL.
    """
    draft = Draft(get)
    for change in changes:
        match change:
            case AdmitCluster():
                _admit(draft, own, time_ms, height, change)
            case RetireCluster():
                _retire(draft, change.cluster_id)
            case ApproveRecovery():
                _approve(draft, change)
            case SetLanePolicy():
                _require_known(draft, change.cluster_id)
                draft.put(policy_key(change.cluster_id, change.port, change.mode), stored(change.policy))
            case SetFederation():
                draft.put(PARAMS_KEY, stored(change.params))
            case SetReaders():
                _require_known(draft, change.cluster_id)
                key = readers_key(change.cluster_id)
                if change.grants:
                    draft.put(key, stored_grants(change.grants))
                else:
                    draft.delete(key)
            case SetAddresses():
                _require_known(draft, change.cluster_id)
                moved = replace(peering_of(draft.get, change.cluster_id), addresses=change.addresses)
                draft.put(peer_key(change.cluster_id), stored(moved))
            case VouchForHeader():
                _require_known(draft, change.cluster_id)
                known = peering_of(draft.get, change.cluster_id)
                vouched = replace(known, checkpoint=Checkpoint(change.height, change.header_hash))
                draft.put(peer_key(change.cluster_id), stored(vouched))
    return draft.writes


def _admit(draft: Draft, own: Own, time_ms: int, height: int, change: AdmitCluster) -> None:
    identity = change.identity
    cluster_id = identity.cluster_id
    if cluster_id == own.cluster_id:
        raise RejectedTransaction(Code.GENESIS_REFUSED, "it is our own genesis")
    if client_of(draft.get, cluster_id) is not None:
        raise RejectedTransaction(Code.CLUSTER_KNOWN, f"cluster {cluster_id.hex()}")
    claimed = own.cluster_id if identity.name == own.name else draft.get(name_key(identity.name))
    if claimed is not None:
        raise RejectedTransaction(
            Code.NAME_TAKEN,
            f"{identity.name} is cluster {claimed.hex()}, and is claimed by cluster {cluster_id.hex()}",
        )
    ids = cluster_ids(draft.get)
    if len(ids) >= CLUSTERS_MAX:
        raise RejectedTransaction(Code.CLUSTERS_FULL, f"{len(ids)} of at most {CLUSTERS_MAX}")
    client = admit(register(identity), Corroboration(is_approved=True))
    draft.put(CLUSTERS_KEY, encode_trusted((*ids, cluster_id)))
    draft.put(client_key(cluster_id), client.encode())
    draft.put(genesis_key(cluster_id), change.body)
    draft.put(name_key(identity.name), cluster_id)
    draft.put(peer_key(cluster_id), stored(Peering(change.addresses, time_ms, height)))


def _retire(draft: Draft, cluster_id: Digest) -> None:
    client = client_of(draft.get, cluster_id)
    if client is None:
        raise RejectedTransaction(Code.CLUSTER_UNKNOWN, f"cluster {cluster_id.hex()}")
    retired = retire(client)
    if retired == client:
        raise RejectedTransaction(Code.NO_CHANGE, f"{client.name} is retired already")
    draft.put(client_key(cluster_id), retired.encode())
    park(draft, cluster_id, client.incarnation)


def _approve(draft: Draft, change: ApproveRecovery) -> None:
    client = client_of(draft.get, change.cluster_id)
    if client is None:
        raise RejectedTransaction(Code.CLUSTER_UNKNOWN, f"cluster {change.cluster_id.hex()}")
    if change.incarnation <= client.incarnation:
        raise RejectedTransaction(
            Code.RECOVERY_REFUSED,
            f"{client.name} is in incarnation {client.incarnation}, approved would be {change.incarnation}",
        )
    known = peering_of(draft.get, change.cluster_id)
    draft.put(peer_key(change.cluster_id), stored(replace(known, recovery=change.digest)))


def _require_known(draft: Draft, cluster_id: Digest) -> None:
    if client_of(draft.get, cluster_id) is None:
        raise RejectedTransaction(Code.CLUSTER_UNKNOWN, f"cluster {cluster_id.hex()}")
