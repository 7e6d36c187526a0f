"""The outbox: everything a cluster ever said to each other cluster, under one root in its header.

For each destination there is one RFC 6962 log of leaves (`messages.py`) that only grows; a sparse Merkle
tree maps each destination's id to its log:

    key     destination cluster id, 32 bytes
    value   [size, root]
    root    the header's `outbox_root`, 32 zero bytes while nothing was ever sent

Logs are cumulative, so that whatever was said long ago is proven against the newest anchored header; the
size stands beside the root in the map, because paths of RFC 6962 do not bind it. A log is kept as its
compact range and the complete subtrees that appending hands out, as header history is.

    log proof     [size, root, state proof]            the destination's log in the map
    outbox proof  [log proof, index, path]             one leaf in that log
    common prefix [log proof, size, root, path, path]  what the log shares with that of a dropped branch

Sources: federation 3.1, 3.8 and section 4; RFC 9162 2.1.3 and 2.1.4; ICS-23 `SmtSpec`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from consensus import (
    CodecError,
    Digest,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    encode,
    encode_trusted,
)
from node.anchoring.lanes.messages import CLUSTER_ID_BYTES, LEAF_BYTES_MAX
from node.proofs import CompactRange, ProofError, SmtProof, rfc6962, smt
from node.proofs.rfc6962 import MAX_PATH_HASHES, MAX_SIZE

OUTBOX_PROOF_BYTES_MAX = 16 * 1024
"""Generously: 64 hashes of a path and 256 siblings of a map with as many levels as there can be."""
_PROOF_DEPTH_MAX = 4


# --- proving ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LogProof:
    """The log of one destination has `size` leaves (at least one) under `root`; nothing believed yet."""

    size: int
    root: Digest
    map_proof: SmtProof

    def verify(self, outbox_root: bytes, destination: bytes) -> None:
        """Raises ProofError unless the map under `outbox_root` says so of `destination`."""
        _check_id(destination)
        smt.verify_presence(outbox_root, destination, _entry(self.size, self.root), self.map_proof)

    def to_value(self) -> Value:
        """`[size, root, [depth, bitmap, siblings, nil]]`."""
        return (self.size, self.root, self.map_proof.to_value())

    @staticmethod
    def from_value(value: Value) -> "LogProof":
        """The inverse of `to_value`; raises CodecError."""
        size, root, map_proof = as_tuple(value, 3, "log proof")
        proof = SmtProof.from_value(map_proof)
        if proof.other_leaf is not None:
            raise CodecError("a log proof is of presence and names no other leaf")
        return LogProof(
            as_int(size, "log size", low=1, high=MAX_SIZE),
            Digest(as_bytes(root, "log root", length=32)),
            proof,
        )


@dataclass(frozen=True, slots=True)
class OutboxProof:
    """Leaf `index` of a destination's log, from the leaf to the header's outbox root."""

    log: LogProof
    index: int
    path: tuple[bytes, ...]

    def verify(self, outbox_root: bytes, destination: bytes, leaf: bytes) -> None:
        """Raises ProofError unless `leaf` is leaf `index` of what is said to `destination`."""
        if len(leaf) > LEAF_BYTES_MAX:
            raise ProofError(f"a leaf of {len(leaf)} bytes exceeds the limit of {LEAF_BYTES_MAX}")
        self.log.verify(outbox_root, destination)
        leaf_hash = rfc6962.leaf_hash(leaf)
        rfc6962.verify_inclusion(leaf_hash, self.index, self.log.size, self.path, self.log.root)

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode((self.log.to_value(), self.index, self.path))

    @staticmethod
    def decode(data: bytes) -> "OutboxProof":
        """The inverse of `encode`; raises CodecError for every other shape or length."""
        value = decode(data, max_bytes=OUTBOX_PROOF_BYTES_MAX, max_depth=_PROOF_DEPTH_MAX, max_items=128)
        log, index, path = as_tuple(value, 3, "outbox proof")
        return OutboxProof(LogProof.from_value(log), as_int(index, "leaf index"), as_path(path, "leaf path"))


@dataclass(frozen=True, slots=True)
class CommonPrefix:
    """What two branches of one cluster both said to us: the first `size` leaves of either log (F6).

    The dropped branch's log is the one in which we were proven what we took: the holder knows its size and
    root, so that nobody need prove it again. Claiming less than they share is no lie, and does no harm but
    more disputes.
    """

    chosen: LogProof
    size: int
    root: Digest
    path_to_dropped: tuple[bytes, ...]
    path_to_chosen: tuple[bytes, ...]

    def verify(
        self, dropped_size: int, dropped_root: bytes, chosen_outbox_root: bytes, destination: bytes
    ) -> None:
        """Raises ProofError unless the prefix is one of the dropped log of this size and root, and of the log
        that stands under the chosen outbox root."""
        self.chosen.verify(chosen_outbox_root, destination)
        for size, root, path in (
            (dropped_size, dropped_root, self.path_to_dropped),
            (self.chosen.size, self.chosen.root, self.path_to_chosen),
        ):
            rfc6962.verify_consistency(self.size, self.root, size, root, path)

    def encode(self) -> bytes:
        """The canonical bytes."""
        paths = (self.path_to_dropped, self.path_to_chosen)
        return encode((self.chosen.to_value(), self.size, self.root, *paths))

    @staticmethod
    def decode(data: bytes) -> "CommonPrefix":
        """The inverse of `encode`; raises CodecError for every other shape or length."""
        value = decode(data, max_bytes=2 * OUTBOX_PROOF_BYTES_MAX, max_depth=_PROOF_DEPTH_MAX, max_items=256)
        chosen, size, root, to_dropped, to_chosen = as_tuple(value, 5, "common prefix")
        return CommonPrefix(
            LogProof.from_value(chosen),
            as_int(size, "common size", low=1, high=MAX_SIZE),
            Digest(as_bytes(root, "common root", length=32)),
            as_path(to_dropped, "path to the dropped log"),
            as_path(to_chosen, "path to the chosen log"),
        )


def as_path(value: Value, what: str) -> tuple[bytes, ...]:
    """An RFC 6962 path: at most 64 hashes of 32 bytes; raises CodecError naming `what`."""
    hashes = as_array(value, MAX_PATH_HASHES, what)
    return tuple(as_bytes(item, f"hash of the {what}", length=32) for item in hashes)


# --- writing ------------------------------------------------------------------------------------------


class OutboxReader(Protocol):
    """The outbox as stored: the map's nodes, and each log's compact range and complete subtrees."""

    def get(self, key: bytes) -> bytes | None:
        """The stored node of the map (a `smt.NodeReader`)."""
        ...

    def log(self, destination: bytes) -> CompactRange:
        """The log of `destination`; an empty range when nothing was ever said to it."""
        ...

    def node(self, destination: bytes, level: int, index: int) -> bytes:
        """The 32-byte hash of a complete subtree of that log."""
        ...


@dataclass(frozen=True, slots=True)
class LogUpdate:
    """What one block adds to one log: its leaves from index `first` on, and what must be stored."""

    destination: bytes
    first: int
    leaves: tuple[bytes, ...]
    log: CompactRange
    nodes: tuple[rfc6962.StoredNode, ...]


@dataclass(frozen=True, slots=True)
class OutboxUpdate:
    """What one block adds to the outbox: the new root, one entry a log, and the map's writes."""

    root: Digest
    logs: tuple[LogUpdate, ...]
    map_writes: tuple[tuple[bytes, bytes | None], ...]


def append(reader: OutboxReader, said: Sequence[tuple[bytes, bytes]]) -> OutboxUpdate:
    """Append one block's (destination, leaf) pairs, each log in their order. Logs come sorted by id.

    Leaves are ours and already checked. Raises ValueError for a destination that is no cluster id.
    """
    leaves: dict[bytes, list[bytes]] = {}
    for destination, leaf in said:
        if len(destination) != CLUSTER_ID_BYTES:
            raise ValueError(f"a destination of {len(destination)} bytes is no cluster id")
        leaves.setdefault(destination, []).append(leaf)
    logs = []
    changes = []
    for destination in sorted(leaves):
        before = reader.log(destination)
        added = leaves[destination]
        log, nodes = before.append([rfc6962.leaf_hash(leaf) for leaf in added])
        logs.append(LogUpdate(destination, before.size, tuple(added), log, nodes))
        changes.append((destination, _entry(log.size, log.root())))
    update = smt.update(reader, changes)
    return OutboxUpdate(Digest(update.root), tuple(logs), update.writes)


def prove_log(reader: OutboxReader, destination: bytes) -> LogProof | None:
    """The log of `destination` in the map as stored; None when nothing was ever said to it."""
    log = reader.log(destination)
    if not log.size:
        return None
    return LogProof(log.size, Digest(log.root()), smt.prove(reader, destination))


def prove_leaf(reader: OutboxReader, destination: bytes, index: int) -> OutboxProof:
    """The proof of leaf `index` of what is said to `destination`. Raises ValueError for no such leaf."""
    log = prove_log(reader, destination)
    if log is None:
        raise ValueError(f"nothing was ever said to cluster {destination.hex()}")
    path = rfc6962.inclusion_path_from(_LogNodes(reader, destination), index, log.size)
    return OutboxProof(log, index, path)


def prove_common(
    chosen: OutboxReader, dropped: OutboxReader, destination: bytes, size: int, dropped_size: int
) -> CommonPrefix | None:
    """The first `size` leaves of both branches' logs to `destination`, of which `dropped_size` were proven to
    it on the dropped one. The subtrees of logs never change, so a node that went on after the fork can still
    prove it. None when the branches share nothing, or the chosen one says nothing.
    """
    log = prove_log(chosen, destination)
    if log is None or not 0 < size <= min(log.size, dropped_size):
        return None
    ours, theirs = _LogNodes(chosen, destination), _LogNodes(dropped, destination)
    return CommonPrefix(
        log,
        size,
        Digest(CompactRange(size, _peaks(ours, size)).root()),
        rfc6962.consistency_path_from(theirs, size, dropped_size),
        rfc6962.consistency_path_from(ours, size, log.size),
    )


def _peaks(nodes: rfc6962.NodeReader, size: int) -> tuple[bytes, ...]:
    """The subtrees of the first `size` leaves, largest first."""
    begins = (size >> level + 1 << level + 1 for level in range(size.bit_length()))
    levels = [(level, begin) for level, begin in enumerate(begins) if size >> level & 1]
    return tuple(nodes.node(level, begin >> level) for level, begin in reversed(levels))


class _LogNodes:
    """One destination's log as an RFC 6962 `NodeReader`."""

    __slots__ = ("_destination", "_reader")

    def __init__(self, reader: OutboxReader, destination: bytes) -> None:
        self._reader = reader
        self._destination = destination

    def node(self, level: int, index: int) -> bytes:
        return self._reader.node(self._destination, level, index)


def _entry(size: int, root: bytes) -> bytes:
    return encode_trusted((size, root))


def _check_id(destination: bytes) -> None:
    if type(destination) is not bytes or len(destination) != CLUSTER_ID_BYTES:
        raise ProofError(f"a destination must be a cluster id of {CLUSTER_ID_BYTES} bytes")
