"""What the holder keeps of the federation beside its light clients: small canonical leaves (`keys.py`)."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias, TypeVar

from consensus import (
    VALIDATORS_MAX,
    CodecError,
    Digest,
    LocalError,
    PublicKey,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    encode_trusted,
)
from node.anchoring.client.lightclient import STALE_AFTER_MS
from node.anchoring.client.state import ClientState
from node.ledger.federation.keys import CLUSTERS_KEY, PARAMS_KEY, client_key, nodes_key, peer_key

CLUSTERS_MAX = 1024
"""Clusters ever admitted, retired ones included."""
ADDRESSES_MAX = 32
HOST_CHARACTERS_MAX = 253
WITNESSES_DEFAULT = 2
HEARTBEAT_DEFAULT_MS = 60_000
HEARTBEAT_RANGE_MS = (1_000, 6 * 3_600_000)
STALE_RANGE_MS = (60_000, 30 * 24 * 3_600_000)
WINDOW_RANGE_MS = (1_000, 7 * 24 * 3_600_000)
QUOTA_MAX = 2**31

Get: TypeAlias = Callable[[bytes], bytes | None]
"""The state leaf under a key, None when there is none."""
Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node of another cluster may be dialled; who answers must prove to hold `node_key`."""

    node_key: PublicKey
    host: str
    port: int

    def to_value(self) -> Value:
        """`[node key, host, port]`."""
        return (self.node_key, self.host, self.port)

    @staticmethod
    def from_value(value: Value) -> "Address":
        """The inverse of `to_value`; raises CodecError."""
        key, host, port = as_tuple(value, 3, "address")
        text = as_text(host, "host", max_length=HOST_CHARACTERS_MAX)
        if not text or not text.isascii() or not text.isprintable() or " " in text:
            raise CodecError("a host is a name or an address without spaces")
        return Address(
            PublicKey(as_bytes(key, "node key", length=32)),
            text,
            as_int(port, "port", low=1, high=65_535),
        )


def addresses_of(value: Value) -> tuple[Address, ...]:
    """`[[node key, host, port], ...]`; raises CodecError."""
    return tuple(map(Address.from_value, as_array(value, ADDRESSES_MAX, "addresses")))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A header of another cluster that our operators vouch for (F8)."""

    height: int
    header_hash: Digest


@dataclass(frozen=True, slots=True)
class Peering:
    """What only the holder knows of a cluster: `anchored_ms` and `anchored_height` are its own block's when
    it last anchored, `recovery` the digest of the recovery that its operators approved for the incarnation
    that comes next, `checkpoint` the header they vouch for."""

    addresses: tuple[Address, ...] = ()
    anchored_ms: int = 0
    anchored_height: int = 0
    recovery: Digest | None = None
    checkpoint: Checkpoint | None = None

    def to_value(self) -> Value:
        """`[[address, ...], anchored_ms, anchored height, recovery | nil, [height, hash] | nil]`."""
        point = self.checkpoint
        return (
            tuple(address.to_value() for address in self.addresses),
            self.anchored_ms,
            self.anchored_height,
            self.recovery,
            None if point is None else (point.height, point.header_hash),
        )

    @staticmethod
    def from_value(value: Value) -> "Peering":
        """The inverse of `to_value`; raises CodecError."""
        addresses, time_ms, height, recovery, checkpoint = as_tuple(value, 5, "peering")
        point = None
        if checkpoint is not None:
            at, header_hash = as_tuple(checkpoint, 2, "checkpoint")
            point = Checkpoint(as_int(at, "height"), Digest(as_bytes(header_hash, "hash", length=32)))
        return Peering(
            addresses_of(addresses),
            as_int(time_ms, "anchored_ms"),
            as_int(height, "anchored height"),
            None if recovery is None else Digest(as_bytes(recovery, "recovery", length=32)),
            point,
        )


@dataclass(frozen=True, slots=True)
class Nodes:
    """The keys of a cluster's nodes, by the roster of this epoch as its state proved it."""

    epoch: int = 0
    keys: tuple[PublicKey, ...] = ()

    def to_value(self) -> Value:
        """`[epoch, [node key, ...]]`."""
        return (self.epoch, self.keys)

    @staticmethod
    def from_value(value: Value) -> "Nodes":
        """The inverse of `to_value`; raises CodecError."""
        epoch, keys = as_tuple(value, 2, "nodes")
        listed = as_array(keys, VALIDATORS_MAX, "node keys")
        found = tuple(PublicKey(as_bytes(key, "node key", length=32)) for key in listed)
        return Nodes(as_int(epoch, "epoch"), found)


@dataclass(frozen=True, slots=True)
class LanePolicy:
    """What operators allow on the lanes of one cluster, port and mode. `quota` is how many messages a window
    lets in, None for any number. Without a policy nothing is allowed."""

    may_send: bool = False
    may_receive: bool = False
    quota: int | None = None
    window_ms: int = 60_000

    def to_value(self) -> Value:
        """`[send 0 | 1, receive 0 | 1, quota | nil, window_ms]`."""
        return (int(self.may_send), int(self.may_receive), self.quota, self.window_ms)

    @staticmethod
    def from_value(value: Value) -> "LanePolicy":
        """The inverse of `to_value`; raises CodecError."""
        send, receive, quota, window_ms = as_tuple(value, 4, "lane policy")
        return LanePolicy(
            as_int(send, "send", high=1) == 1,
            as_int(receive, "receive", high=1) == 1,
            None if quota is None else as_int(quota, "quota", high=QUOTA_MAX),
            as_int(window_ms, "window_ms", low=WINDOW_RANGE_MS[0], high=WINDOW_RANGE_MS[1]),
        )


@dataclass(frozen=True, slots=True)
class Quota:
    """How many messages the window (counted from 1970 in its own width) has let in."""

    window: int
    used: int

    def to_value(self) -> Value:
        """`[window, used]`."""
        return (self.window, self.used)

    @staticmethod
    def from_value(value: Value) -> "Quota":
        """The inverse of `to_value`; raises CodecError."""
        window, used = as_tuple(value, 2, "quota")
        return Quota(as_int(window, "window"), as_int(used, "used"))


@dataclass(frozen=True, slots=True)
class FederationParams:
    """How many other clusters must see a branch after a silence across epochs (m of F8), how often a tip is
    anchored when nothing is said (F11), and after how long a silent cluster is STALE."""

    witnesses: int = WITNESSES_DEFAULT
    heartbeat_ms: int = HEARTBEAT_DEFAULT_MS
    stale_after_ms: int = STALE_AFTER_MS

    def to_value(self) -> Value:
        """`[witnesses, heartbeat_ms, stale_after_ms]`."""
        return (self.witnesses, self.heartbeat_ms, self.stale_after_ms)

    @staticmethod
    def from_value(value: Value) -> "FederationParams":
        """The inverse of `to_value`; raises CodecError, also for a heartbeat that is not well below."""
        witnesses, heartbeat_ms, stale_after_ms = as_tuple(value, 3, "federation parameters")
        low, high = HEARTBEAT_RANGE_MS
        beat = as_int(heartbeat_ms, "heartbeat_ms", low=low, high=high)
        low, high = STALE_RANGE_MS
        stale = as_int(stale_after_ms, "stale_after_ms", low=low, high=high)
        if 4 * beat > stale:
            raise CodecError(f"a heartbeat of {beat} ms is not well below stale_after_ms, {stale} ms")
        return FederationParams(as_int(witnesses, "witnesses", high=CLUSTERS_MAX), beat, stale)


def read(get: Get, key: bytes, parse: Callable[[Value], Record]) -> Record | None:
    """The record under `key`; LocalError when it cannot be one, for nobody but this program writes here."""
    data = get(key)
    if data is None:
        return None
    try:
        return parse(decode(data))
    except CodecError as error:
        raise LocalError(f"the federation record {key!a} cannot be read: {error}") from error


def stored(record: Address | Peering | Nodes | LanePolicy | Quota | FederationParams) -> bytes:
    """The bytes of a record's leaf."""
    return encode_trusted(record.to_value())


def params_of(get: Get) -> FederationParams:
    """The parameters as operators set them, or the defaults."""
    return read(get, PARAMS_KEY, FederationParams.from_value) or FederationParams()


def peering_of(get: Get, cluster_id: bytes) -> Peering:
    """What is known of a cluster beside its client."""
    return read(get, peer_key(cluster_id), Peering.from_value) or Peering()


def nodes_of(get: Get, cluster_id: bytes) -> Nodes:
    """The nodes that a cluster's roster names; of epoch 0 and none where no roster was brought yet: then
    those of its genesis are meant."""
    return read(get, nodes_key(cluster_id), Nodes.from_value) or Nodes()


def cluster_ids(get: Get) -> tuple[Digest, ...]:
    """Every cluster ever admitted, in that order."""
    return read(get, CLUSTERS_KEY, ids_from_value) or ()


def client_of(get: Get, cluster_id: bytes) -> ClientState | None:
    """The light client of a cluster, None when it was never admitted."""
    data = get(client_key(cluster_id))
    return None if data is None else decode_client(data)


@lru_cache(maxsize=1024)
def decode_client(data: bytes) -> ClientState:
    """The client of a stored leaf; cached by the bytes, of which it is a function. Raises LocalError."""
    try:
        return ClientState.decode(data)
    except CodecError as error:
        raise LocalError(f"a stored light client cannot be read: {error}") from error


def ids_from_value(value: Value) -> tuple[Digest, ...]:
    """`[id, ...]`; raises CodecError."""
    listed = as_array(value, CLUSTERS_MAX, "ids")
    return tuple(Digest(as_bytes(item, "id", length=32)) for item in listed)
