"""S9 and C24: the order of commits, heights along each branch, and what is forgotten when."""

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import Block, Digest, Height, Round
from consensus.blocktree import BlockTree, Node
from tests.consensus.cluster import ROOT, START_MS
from tests.consensus.forge import block, certify, chain, give_up, propose

HEARTBEAT_MS = 1_000


def root() -> Node:
    return Node(ROOT.block_id, Round(0), START_MS, Height(0), START_MS, False, None, None)


def tree_of(blocks: list[Block], blocks_max: int = 100) -> BlockTree:
    tree = BlockTree(root(), HEARTBEAT_MS, blocks_max)
    for made in blocks:
        tree.insert(propose(made))
    return tree


def test_several_ancestors_are_committed_oldest_first_and_once() -> None:
    """The trap of a well-known implementation: with two or more missing it delivered newest first."""
    blocks = chain(5)
    tree = tree_of(blocks)
    committed = tree.commit(blocks[3].id)
    assert committed is not None
    assert [c.block.round for c in committed] == [1, 2, 3, 4]
    assert [c.height for c in committed] == [1, 2, 3, 4]
    assert tree.commit(blocks[3].id) == ()
    assert tree.commit(blocks[1].id) == ()
    again = tree.commit(blocks[4].id)
    assert again is not None
    assert [c.block.round for c in again] == [5]


def test_an_unknown_block_is_not_committed() -> None:
    assert tree_of([]).commit(Digest(bytes(32))) is None


def test_branches_that_do_not_extend_the_commit_are_dropped() -> None:
    blocks = chain(3)
    fork = block(2, blocks[1].qc, payload=b"fork")
    late = block(4, certify(fork), give_up(3, (2, 2, 2)))
    tree = tree_of([*blocks, fork, late])
    assert tree.uncommitted_headers == 4
    tree.commit(blocks[1].id)
    assert fork.id not in tree
    assert late.id not in tree
    assert tree.uncommitted_headers == 1


def test_heights_count_payload_and_heartbeats_along_each_branch() -> None:  # C24
    first = block(1, payload=b"p")
    empty = block(2, certify(first))
    paid = block(2, certify(first), payload=b"q")
    beat = block(3, certify(empty), time_ms=first.time_ms + HEARTBEAT_MS)
    tree = tree_of([first, empty, paid, beat])
    nodes = [tree.get(b.id) for b in (first, empty, paid, beat)]
    assert [(n.height, n.yields_header) for n in nodes if n] == [(1, True), (1, False), (2, True), (2, True)]
    assert nodes[1] is not None
    assert nodes[1].header_time_ms == first.time_ms
    assert [b.round for b in tree.uncommitted_ancestors(beat.id)] == [3, 2, 1]


def test_the_header_of_a_height_is_found_along_a_chain() -> None:
    blocks = chain(4)
    tree = tree_of(blocks)
    tree.commit(blocks[2].id)
    at_two = tree.header_at(Height(2))
    assert at_two is not None
    assert at_two.id == blocks[1].id
    assert tree.header_at(Height(4)) is None
    above = tree.ancestor_at(blocks[3].id, Height(4))
    assert above is not None
    assert above.id == blocks[3].id


def test_the_root_rises_and_the_tree_stays_bounded() -> None:
    blocks = chain(20)
    tree = tree_of(blocks, blocks_max=5)
    tree.commit(blocks[9].id)
    tree.raise_root(blocks[4].id)
    assert tree.root.id == blocks[4].id
    assert blocks[3].id not in tree
    tree.commit(blocks[18].id)
    tree.shrink()
    assert len(tree) == 5
    assert tree.committed.id == blocks[18].id


def test_a_chain_for_a_peer_is_bounded_in_blocks_and_bytes() -> None:
    blocks = chain(6)
    tree = tree_of(blocks)
    assert [p.block.round for p in tree.chain_down(blocks[5].id, 3, 10**6)] == [6, 5, 4]
    assert [p.block.round for p in tree.chain_down(blocks[5].id, 64, 1)] == [6]
    assert len(tree.chain_down(blocks[5].id, 64, 10**6)) == 6
    assert tree.chain_down(Digest(bytes(32)), 64, 10**6) == ()


def test_blocks_of_failed_rounds_are_dropped_but_not_the_certified_chain() -> None:
    """A long outage: every round's leader proposes a child of the same certified block."""
    first, second = chain(2)
    failed = [
        block(r, certify(second), give_up(r - 1, (2, 2, 2)), time_ms=START_MS + 10 + r) for r in range(4, 80)
    ]
    tree = tree_of([first, second, *failed])
    tree.drop_branches(second.id, Round(70))
    assert len(tree) == 3 + 10
    assert first.id in tree
    assert failed[-1].id in tree
    assert tree.uncommitted_headers == 2


def test_catch_up_replants_the_tree() -> None:
    blocks = chain(6)
    far = Node(blocks[4].id, Round(5), START_MS + 5, Height(5), START_MS + 5, True, blocks[4], None)
    tree = tree_of(blocks[:2])
    tree.replant(far)
    assert tree.committed.id == blocks[4].id
    assert blocks[0].id not in tree
    tree.insert(propose(blocks[5]))
    known = tree_of(blocks)
    known.replant(far)
    assert known.root.id == blocks[4].id
    assert blocks[5].id in known


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 9), max_size=12))
def test_any_order_of_commits_delivers_each_block_once_in_order(targets: list[int]) -> None:
    blocks = chain(10)
    tree = tree_of(blocks)
    delivered: list[int] = []
    for target in targets:
        delivered.extend(c.block.round for c in tree.commit(blocks[target].id) or ())
    assert delivered == list(range(1, max(targets, default=-1) + 2))
