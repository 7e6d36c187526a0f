"""The outbox and the anchors as stored: the trees' nodes in the state, leaves and logs in the chain.

Both maps share the table of the state tree's nodes under keys of their own: a letter before, a zero behind,
in which no key of that tree ends but that of its root, which is nothing but zeros. What a log says never
changes, so leaves and nodes stand in the chain, which may be ahead of the state: readers go by the size that
the state holds. A place is found by what the leaf is about:

    OUTBOX_PLACES   destination, 1 message | 2 answer, mode u8, sequence u64 (0: closing), port -> index u64

It points to the newest such leaf: after a recovery the same may be said again. What was answered to one
message of several that stood in one place, on several branches of the other cluster, is found by its hash:

    OUTBOX_PLACES   destination, 3, message hash -> index u64
"""

from collections.abc import Iterable

from consensus import CodecError, LocalError, decode
from node.anchoring.lanes.courier import LeafName
from node.anchoring.lanes.courier import name_of as leaf_name
from node.anchoring.lanes.messages import Acknowledgement, Leaf, decode_leaf
from node.anchoring.lanes.outbox import LogUpdate
from node.ledger.federation.keys import outbox_key
from node.ledger.federation.records import Get
from node.proofs import CompactRange
from node.storage import ChainTable, Contents, Reader, StateTable, Table

ANCHORS = b"a"
"""The letter of the anchors map."""
OUTBOX = b"o"
"""The letter of the outbox map."""


def map_key(letter: bytes, key: bytes) -> bytes:
    """Where the node of a map with this key in its own tree stands in the shared table."""
    return letter + key + b"\x00"


class MapNodes:
    """One of the maps as a `NodeReader` over the shared table."""

    __slots__ = ("_get", "_letter")

    def __init__(self, get: Get, letter: bytes) -> None:
        self._get = get
        self._letter = letter

    def get(self, key: bytes) -> bytes | None:
        """The stored node."""
        return self._get(map_key(self._letter, key))


def leaf_key(destination: bytes, index: int) -> bytes:
    """Where a leaf stands in OUTBOX_LEAVES."""
    return destination + index.to_bytes(8, "big")


def node_key(destination: bytes, level: int, index: int) -> bytes:
    """Where a complete subtree stands in OUTBOX_NODES."""
    return b"%s%c%s" % (destination, level, index.to_bytes(8, "big"))


def place_key(destination: bytes, name: LeafName) -> bytes:
    """Where the index of a leaf stands in OUTBOX_PLACES."""
    kind = bytes((2 if name.is_answer else 1, name.mode))
    return destination + kind + name.sequence.to_bytes(8, "big") + name.port.encode()


def answer_key(destination: bytes, message_hash: bytes) -> bytes:
    """Where the index of the answer to a message stands in OUTBOX_PLACES."""
    return b"%s\x03%s" % (destination, message_hash)


def chain_contents(logs: Iterable[LogUpdate]) -> dict[Table, Contents]:
    """What a height adds to the outbox tables of the chain."""
    leaves: Contents = {}
    nodes: Contents = {}
    places: Contents = {}
    for log in logs:
        to = log.destination
        for index, leaf in enumerate(log.leaves, log.first):
            leaves[leaf_key(to, index)] = leaf
            decoded = _own_leaf(leaf)
            places[place_key(to, leaf_name(decoded))] = index.to_bytes(8, "big")
            if isinstance(decoded, Acknowledgement):
                places[answer_key(to, decoded.message_hash)] = index.to_bytes(8, "big")
        for level, index, node in log.nodes:
            nodes[node_key(to, level, index)] = node
    return {
        ChainTable.OUTBOX_LEAVES: leaves,
        ChainTable.OUTBOX_NODES: nodes,
        ChainTable.OUTBOX_PLACES: places,
    }


def _own_leaf(leaf: bytes) -> Leaf:
    """A leaf of ours. Raises LocalError for what lanes never say."""
    try:
        return decode_leaf(leaf)
    except CodecError as error:
        raise LocalError(f"the outbox holds what lanes never say: {error}") from error


def log_of(get: Get, destination: bytes) -> CompactRange:
    """The log of a destination as the state holds it; empty when nothing was ever said to it."""
    data = get(outbox_key(destination))
    if data is None:
        return CompactRange()
    try:
        return CompactRange.from_value(decode(data))
    except CodecError as error:
        raise LocalError(f"the outbox log of {destination.hex()} cannot be read: {error}") from error


class StateOutbox:
    """The outbox of a block under execution: an `OutboxReader` for `outbox.append`."""

    __slots__ = ("_get", "_nodes")

    def __init__(self, get: Get, get_node: Get) -> None:
        self._get = get
        self._nodes = MapNodes(get_node, OUTBOX)

    def get(self, key: bytes) -> bytes | None:
        """A node of the map."""
        return self._nodes.get(key)

    def log(self, destination: bytes) -> CompactRange:
        """The log of `destination`."""
        return log_of(self._get, destination)

    def node(self, destination: bytes, level: int, index: int) -> bytes:
        """Appending reads no nodes of logs."""
        raise LocalError(f"node {level}/{index} of the outbox log of {destination.hex()} is in the chain")


class StoredOutbox:
    """The outbox as stored, at the height that the state shows: an `OutboxReader` that can prove."""

    __slots__ = ("_map", "_reader")

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._map = MapNodes(lambda key: reader.get(StateTable.NODES, key), OUTBOX)

    def get(self, key: bytes) -> bytes | None:
        """A node of the map."""
        return self._map.get(key)

    def log(self, destination: bytes) -> CompactRange:
        """The log of `destination`."""
        return log_of(lambda key: self._reader.get(StateTable.STATE, key), destination)

    def node(self, destination: bytes, level: int, index: int) -> bytes:
        """The hash of a complete subtree. Raises LocalError when it is missing."""
        return _required(self._reader, ChainTable.OUTBOX_NODES, node_key(destination, level, index))

    def leaf(self, destination: bytes, index: int) -> bytes:
        """A leaf below the size of the log. Raises LocalError when it is missing."""
        return _required(self._reader, ChainTable.OUTBOX_LEAVES, leaf_key(destination, index))

    def place(self, destination: bytes, name: LeafName) -> int | None:
        """The index of the newest leaf about this, None while there is none in the state's log."""
        return self._place(destination, place_key(destination, name))

    def answer(self, destination: bytes, message_hash: bytes) -> int | None:
        """The index of the answer to this message, as above."""
        return self._place(destination, answer_key(destination, message_hash))

    def _place(self, destination: bytes, key: bytes) -> int | None:
        data = self._reader.get(ChainTable.OUTBOX_PLACES, key)
        if data is None:
            return None
        index = int.from_bytes(data, "big")
        return index if index < self.log(destination).size else None


def anchor_nodes(reader: Reader) -> MapNodes:
    """The anchors map as stored, at the height that the state shows."""
    return MapNodes(lambda key: reader.get(StateTable.NODES, key), ANCHORS)


def _required(reader: Reader, table: ChainTable, key: bytes) -> bytes:
    found = reader.get(table, key)
    if found is None:
        raise LocalError(f"{table.value} {key.hex()} is missing from the database")
    return found
