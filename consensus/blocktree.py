"""The blocks above the root, what of them is committed, and the ledger height each stands at.

Every block in the tree is connected to its root, so walks end. A block enters only after its parent;
those that arrive earlier wait outside (fetching.py). Header heights are counted here, along each block's
own ancestry: agreement knows them without executing anything (C24). Memory is bounded by `blocks_max`:
the root moves up to the newest certified block, and committed blocks below are served from storage.
"""

from collections.abc import Iterable, Iterator

from consensus.blocks import Block, CommittedBlock
from consensus.keys import Digest, Signature
from consensus.messages import Proposal
from consensus.standing import Standing
from consensus.validators import Height, Round
from consensus.values import immutable

BRANCH_BLOCKS_MIN = 32
"""Uncommitted blocks below which nobody looks for failed branches; a good round has two."""


@immutable(frozen=True, slots=True)
class Node:
    """A block with its place: `height` and `header_time_ms` are of the header it yields or, when
    `yields_header` is False, of the last header before it. The genesis root has no block."""

    id: Digest
    round: Round
    time_ms: int
    height: Height
    header_time_ms: int
    yields_header: bool
    block: Block | None
    signature: Signature | None

    @property
    def standing(self) -> Standing:
        """What the chain up to this block shows of failed leaders; an epoch begins with nothing (C4, C12)."""
        return () if self.block is None else self.block.standing


def yields_header(block: Block, last_header_time_ms: int, heartbeat_ms: int) -> bool:
    """A block yields a header iff it has payload or is an overdue heartbeat (C24)."""
    return block.has_payload or block.time_ms >= last_header_time_ms + heartbeat_ms


class BlockTree:
    """Blocks by id, from the root up; the committed path is the list from the root to `committed`."""

    __slots__ = (
        "_children",
        "_committed_ids",
        "_heartbeat_ms",
        "_nodes",
        "_uncommitted_headers",
        "blocks_max",
        "committed",
    )

    def __init__(self, root: Node, heartbeat_ms: int, blocks_max: int) -> None:
        self._heartbeat_ms = heartbeat_ms
        self.blocks_max = blocks_max
        self._plant(root)

    def _plant(self, root: Node) -> None:
        self._nodes: dict[Digest, Node] = {root.id: root}
        self._children: dict[Digest, list[Digest]] = {}
        self._committed_ids: dict[Digest, None] = {root.id: None}  # ordered, root first
        self.committed = root  # the newest committed block
        self._uncommitted_headers = 0

    # --- looking -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._nodes)

    def __contains__(self, block_id: object) -> bool:
        return block_id in self._nodes

    def get(self, block_id: Digest) -> Node | None:
        """The node of a block, or None."""
        return self._nodes.get(block_id)

    @property
    def root(self) -> Node:
        """The oldest block held; committed."""
        return self._nodes[next(iter(self._committed_ids))]

    @property
    def uncommitted_headers(self) -> int:
        """Blocks above the committed one, on any branch, that will yield a header: they must be driven."""
        return self._uncommitted_headers

    def is_committed(self, block_id: Digest) -> bool:
        """Whether a block of this tree is committed."""
        return block_id in self._committed_ids

    def committed_path(self) -> Iterator[Node]:
        """The committed blocks still held, newest first."""
        return (self._nodes[block_id] for block_id in reversed(self._committed_ids))

    def header_at(self, height: Height) -> Node | None:
        """The committed block still held that yields the header of `height`."""
        for node in self.committed_path():
            if node.height == height and node.yields_header:
                return node
            if node.height < height:
                return None
        return None

    def uncommitted_ancestors(self, block_id: Digest) -> tuple[Block, ...]:
        """The uncommitted blocks from `block_id` down, newest first."""
        found: list[Block] = []
        node = self._nodes[block_id]
        while node.id not in self._committed_ids and node.block is not None:
            found.append(node.block)
            node = self._nodes[node.block.parent_id]
        return tuple(found)

    def ancestor_at(self, block_id: Digest, height: Height) -> Node | None:
        """The block at or below `block_id` that yields the header of `height`, if it is still held."""
        node: Node | None = self._nodes.get(block_id)
        while node is not None and node.height >= height:
            if node.height == height and node.yields_header:
                return node
            node = None if node.block is None else self._nodes.get(node.block.parent_id)
        return None

    def highest_below(self, round: Round) -> Round:
        """The highest round below this one of which a block is held, on any branch; if there is none, that of
        the committed block."""
        held = (node.round for node in self._nodes.values() if node.round < round)
        return max(held, default=self.committed.round)

    def chain_down(self, block_id: Digest, count: int, bytes_max: int) -> tuple[Proposal, ...]:
        """At most `count` proposals from `block_id` down, of about `bytes_max` bytes, for a peer."""
        found: list[Proposal] = []
        size = 0
        node = self._nodes.get(block_id)
        while node is not None and node.block is not None and node.signature is not None:
            size += len(node.block.encoded)
            if len(found) == count or (found and size > bytes_max):
                break
            found.append(Proposal(node.block, node.signature))
            node = self._nodes.get(node.block.parent_id)
        return tuple(found)

    def proposals_of(self, blocks: Iterable[CommittedBlock]) -> tuple[Proposal, ...]:
        """Blocks just committed as they were proposed."""
        nodes = (self._nodes[committed.block.id] for committed in blocks)
        return tuple(Proposal(n.block, n.signature) for n in nodes if n.block and n.signature)

    # --- growing -------------------------------------------------------------------------------

    def insert(self, proposal: Proposal) -> Node:
        """Add a verified block whose parent is in the tree; returns its node, also when known before."""
        block = proposal.block
        known = self._nodes.get(block.id)
        if known is not None:
            return known
        parent = self._nodes[block.parent_id]
        is_header = yields_header(block, parent.header_time_ms, self._heartbeat_ms)
        node = Node(
            block.id,
            block.round,
            block.time_ms,
            Height(parent.height + 1) if is_header else parent.height,  # E5
            block.time_ms if is_header else parent.header_time_ms,
            is_header,
            block,
            proposal.signature,
        )
        self._nodes[node.id] = node
        self._children.setdefault(parent.id, []).append(node.id)
        self._uncommitted_headers += int(is_header)
        return node

    def commit(self, target: Digest) -> tuple[CommittedBlock, ...] | None:
        """Commit `target` and its uncommitted ancestors, oldest first, each once (S9).

        () when it is committed already; None when it is not in the tree: unknown here, or on a branch
        that a commit cut off. Branches that do not extend the new committed block are dropped.
        """
        if target in self._committed_ids:
            return ()
        node = self._nodes.get(target)
        if node is None:
            return None
        path: list[Node] = []
        while node.id not in self._committed_ids:
            path.append(node)
            assert node.block is not None, "only the root has no block, and the root is committed"
            node = self._nodes[node.block.parent_id]
        assert node.id == self.committed.id, "branches below the committed block were dropped"
        path.reverse()
        for step in path:
            self._drop_siblings_of(step)
            self._committed_ids[step.id] = None
            self._uncommitted_headers -= int(step.yields_header)
        self.committed = path[-1]
        return tuple(CommittedBlock(s.block, s.height, s.yields_header) for s in path if s.block is not None)

    def _drop_siblings_of(self, node: Node) -> None:
        assert node.block is not None, "a block being committed has a parent"
        siblings = self._children[node.block.parent_id]
        doomed = [child for child in siblings if child != node.id]
        self._children[node.block.parent_id] = [node.id]
        self._drop(doomed)

    def _drop(self, doomed: list[Digest]) -> None:
        """Forget these blocks and all that extend them."""
        while doomed:
            dropped = self._nodes.pop(doomed.pop())
            self._uncommitted_headers -= int(dropped.yields_header)
            doomed.extend(self._children.pop(dropped.id, ()))

    def drop_branches(self, keep: Digest, below: Round) -> None:
        """Drop uncommitted blocks of rounds before `below` that `keep` does not descend from."""
        if len(self._nodes) - len(self._committed_ids) <= BRANCH_BLOCKS_MIN:
            return
        path: dict[Digest, None] = {}
        node = self._nodes.get(keep)
        while node is not None and node.block is not None and node.id not in self._committed_ids:
            path[node.id] = None
            node = self._nodes.get(node.block.parent_id)
        failed = [
            node
            for node in self._nodes.values()
            if node.round < below and node.id not in self._committed_ids and node.id not in path
        ]
        for node in failed:
            if node.block is not None and node.id in self._nodes:  # not dropped with an earlier one
                self._children[node.block.parent_id].remove(node.id)
                self._drop([node.id])

    # --- shrinking -----------------------------------------------------------------------------

    def raise_root(self, block_id: Digest) -> None:
        """Forget the committed blocks below a committed one."""
        while next(iter(self._committed_ids)) != block_id:
            self._forget_root()

    def shrink(self) -> None:
        """Forget the oldest committed blocks while the tree is too large."""
        while len(self._nodes) > self.blocks_max and len(self._committed_ids) > 1:
            self._forget_root()

    def _forget_root(self) -> None:
        oldest = next(iter(self._committed_ids))
        del self._committed_ids[oldest]
        del self._nodes[oldest]
        self._children.pop(oldest, None)

    def replant(self, root: Node) -> None:
        """Start again from a block that catch-up reached (C25); keeps what already extends it."""
        if root.id in self._nodes:
            self.commit(root.id)
            self.raise_root(root.id)
        else:
            self._plant(root)
