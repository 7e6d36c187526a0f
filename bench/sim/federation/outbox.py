"""The outbox of a simulated cluster: every leaf ever said, where it stands, and the proofs of it."""

from consensus import Digest
from node.anchoring.lanes import LeafName, LogProof, append, decode_leaf, prove_common, prove_log
from node.anchoring.lanes.courier import name_of
from node.anchoring.lanes.inbound import BundledLeaf
from node.anchoring.lanes.outbox import CommonPrefix
from node.anchoring.lanes.records import Heard
from node.proofs import CompactRange, rfc6962


class Outbox:
    """An `OutboxReader` that remembers every leaf."""

    def __init__(self) -> None:
        self.map: dict[bytes, bytes] = {}
        self.logs: dict[bytes, CompactRange] = {}
        self.leaves: dict[bytes, list[bytes]] = {}
        self._nodes: dict[tuple[bytes, int, int], bytes] = {}
        self._places: dict[tuple[bytes, LeafName], int] = {}
        self._at: dict[bytes, tuple[dict[bytes, bytes], dict[bytes, CompactRange]]] = {}

    def get(self, key: bytes) -> bytes | None:
        """A node of the map."""
        return self.map.get(key)

    def log(self, destination: bytes) -> CompactRange:
        """What was said to `destination`, compactly."""
        return self.logs.get(destination, CompactRange())

    def node(self, destination: bytes, level: int, index: int) -> bytes:
        """A complete subtree of that."""
        return self._nodes[destination, level, index]

    def apply(self, said: list[tuple[bytes, bytes]]) -> Digest:
        """End a block in which this was said; the outbox root."""
        update = append(self, said)
        for log in update.logs:
            known = self.leaves.setdefault(log.destination, [])
            for index, leaf in enumerate(log.leaves, len(known)):
                self._places[log.destination, name_of(decode_leaf(leaf))] = index
            known += log.leaves
            self.logs[log.destination] = log.log
            for level, index, node in log.nodes:
                self._nodes[log.destination, level, index] = node
        for key, value in update.map_writes:
            if value is None:
                del self.map[key]
            else:
                self.map[key] = value
        if update.logs:
            self._at[update.root] = (dict(self.map), dict(self.logs))
        return update.root

    def at(self, root: bytes) -> "Outbox | None":
        """The outbox as it stood under an earlier root; None for a root it never had."""
        found = self._at.get(root)
        if found is None:
            return None
        other = Outbox()
        other.map, other.logs = found
        other.leaves = {
            destination: self.leaves[destination][: log.size] for destination, log in other.logs.items()
        }
        other._nodes = self._nodes
        return other

    def copy(self) -> "Outbox":
        """The same outbox, to go on another way."""
        other = Outbox()
        other.map, other.logs = dict(self.map), dict(self.logs)
        other.leaves = {destination: list(leaves) for destination, leaves in self.leaves.items()}
        other._nodes, other._places = dict(self._nodes), dict(self._places)
        other._at = dict(self._at)
        return other

    def log_proof(self, destination: bytes) -> LogProof | None:
        """The log of `destination` under the outbox root; None when nothing was said to it."""
        return prove_log(self, destination)

    def bundled(self, destination: bytes, name: LeafName) -> BundledLeaf | None:
        """The newest leaf of this name with its path."""
        index = self._places.get((destination, name))
        if index is None:
            return None
        reader = _Log(self, destination)
        path = rfc6962.inclusion_path_from(reader, index, self.log(destination).size)
        return BundledLeaf(index, self.leaves[destination][index], path)

    def common_prefix(self, dropped: "Outbox", destination: bytes, heard: Heard) -> CommonPrefix | None:
        """What this branch and the dropped one, of which `heard` was proven, both said to `destination`; None
        where that is nothing, or where another branch said what was heard."""
        mine, others = self.leaves.get(destination, []), dropped.leaves.get(destination, [])[: heard.size]
        if rfc6962.root([rfc6962.leaf_hash(leaf) for leaf in others]) != heard.root:
            return None
        size = 0
        while size < min(len(mine), len(others)) and mine[size] == others[size]:
            size += 1
        return prove_common(self, dropped, destination, size, heard.size)


class _Log:
    """One destination's log as an RFC 6962 `NodeReader`."""

    def __init__(self, outbox: Outbox, destination: bytes) -> None:
        self._outbox, self._destination = outbox, destination

    def node(self, level: int, index: int) -> bytes:
        return self._outbox.node(self._destination, level, index)
