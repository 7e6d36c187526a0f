"""The outbox: one root for everything said to everybody, and a proof for each word of it."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import CodecError, digest, encode
from node.anchoring.lanes.messages import LEAF_BYTES_MAX
from node.anchoring.lanes.outbox import (
    OUTBOX_PROOF_BYTES_MAX,
    LogProof,
    OutboxProof,
    append,
    prove_leaf,
    prove_log,
)
from node.proofs import CompactRange, ProofError, SmtProof, rfc6962, smt
from tests.node.anchoring.lanes.islands import MemoryOutbox
from tests.node.proofs.vector_files import load

KNOWN = load("lanes_known")["outbox"]
CLUSTERS = tuple(digest("test/cluster", bytes((number,))) for number in range(6))


def root_by_hand(said: dict[bytes, list[bytes]]) -> bytes:
    """The outbox root from all leaves at once, by the definitions: a recursion over sorted paths."""
    leaves = []
    for destination, log in said.items():
        value = encode((len(log), tree_by_hand(log)))
        key_hash = sha256(destination).digest()
        leaves.append((key_hash, sha256(b"\x00" + key_hash + sha256(value).digest()).digest()))
    return map_by_hand(sorted(leaves), 0)


def tree_by_hand(leaves: list[bytes]) -> bytes:
    """RFC 9162 2.1.1, literally."""
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + tree_by_hand(leaves[:split]) + tree_by_hand(leaves[split:])).digest()


def map_by_hand(leaves: list[tuple[bytes, bytes]], depth: int) -> bytes:
    if not leaves:
        return bytes(32)
    if len(leaves) == 1:
        return leaves[0][1]
    sides: tuple[list[tuple[bytes, bytes]], ...] = ([], [])
    for key_hash, leaf in leaves:
        sides[key_hash[depth >> 3] >> 7 - (depth & 7) & 1].append((key_hash, leaf))
    left, right = (map_by_hand(side, depth + 1) for side in sides)
    return sha256(b"\x01" + left + right).digest()


blocks = st.lists(
    st.lists(st.tuples(st.sampled_from(CLUSTERS), st.binary(max_size=40)), max_size=12), max_size=8
)


@settings(max_examples=60, deadline=None)
@given(blocks)
def test_the_root_is_that_of_the_definitions_and_every_leaf_is_proven_under_it(
    said: list[list[tuple[bytes, bytes]]],
) -> None:
    box = MemoryOutbox()
    everything: dict[bytes, list[bytes]] = {}
    root = smt.EMPTY
    for block in said:
        root = box.apply(block)
        for destination, leaf in block:
            everything.setdefault(destination, []).append(leaf)
        assert root == (root_by_hand(everything) if everything else smt.EMPTY)
    assert box.leaves == everything
    for destination, leaves in everything.items():
        for index, leaf in enumerate(leaves):
            proof = OutboxProof.decode(prove_leaf(box, destination, index).encode())
            proof.verify(root, destination, leaf)
            with pytest.raises(ProofError):
                proof.verify(root, destination, leaf + b"x")
            for other in CLUSTERS:
                if other != destination:
                    with pytest.raises(ProofError):
                        proof.verify(root, other, leaf)


def test_the_known_outbox_is_rebuilt_and_its_proofs_hold() -> None:
    box = MemoryOutbox()
    logs = {bytes.fromhex(log["destination"]): log["leaves"] for log in KNOWN["said"]}
    root = box.apply([(to, bytes.fromhex(leaf)) for to, leaves in logs.items() for leaf in leaves])
    assert root.hex() == KNOWN["outbox_root"]
    for case in KNOWN["proofs"]:
        to = bytes.fromhex(case["destination"])
        proof = OutboxProof.decode(bytes.fromhex(case["proof"]))
        proof.verify(root, to, bytes.fromhex(logs[to][case["index"]]))
        assert prove_leaf(box, to, case["index"]).encode().hex() == case["proof"]


def test_nothing_said_changes_nothing() -> None:
    box = MemoryOutbox()
    update = append(box, [])
    assert (update.root, update.logs, update.map_writes) == (smt.EMPTY, (), ())
    assert prove_log(box, CLUSTERS[0]) is None
    with pytest.raises(ValueError, match="nothing was ever said"):
        prove_leaf(box, CLUSTERS[0], 0)


def test_a_leaf_that_is_not_there_cannot_be_proven() -> None:
    box = MemoryOutbox()
    box.apply([(CLUSTERS[0], b"a")])
    with pytest.raises(ValueError, match="outside"):
        prove_leaf(box, CLUSTERS[0], 1)


def test_a_destination_is_a_cluster_id() -> None:
    with pytest.raises(ValueError, match="no cluster id"):
        append(MemoryOutbox(), [(b"short", b"leaf")])
    log = LogProof(1, digest("x"), SmtProof(()))
    with pytest.raises(ProofError, match="cluster id"):
        log.verify(bytes(32), b"short")


def test_lengths_are_checked_before_anything_is_hashed() -> None:
    box = MemoryOutbox()
    root = box.apply([(CLUSTERS[0], b"a")])
    proof = prove_leaf(box, CLUSTERS[0], 0)
    with pytest.raises(ProofError, match="exceeds the limit"):
        proof.verify(root, CLUSTERS[0], bytes(LEAF_BYTES_MAX + 1))
    with pytest.raises(CodecError, match="exceed the limit"):
        OutboxProof.decode(bytes(OUTBOX_PROOF_BYTES_MAX + 1))


def test_the_largest_proof_fits_its_bound() -> None:
    siblings = tuple(bytes((1,)) * 32 for _ in range(256))
    largest = OutboxProof(LogProof(2**63 - 1, digest("x"), SmtProof(siblings)), 2**62, (bytes(32),) * 64)
    assert len(largest.encode()) <= OUTBOX_PROOF_BYTES_MAX
    assert OutboxProof.decode(largest.encode()) == largest


class LongLog:
    """A log of a million leaves that nobody wrote: its complete subtrees are as good as any."""

    size = 2**20

    def __init__(self, clusters: int) -> None:
        self.map: dict[bytes, bytes] = {}
        self.range = CompactRange(self.size, (self.node(b"", 20, 0),))
        ids = [digest("test/cluster", number.to_bytes(4, "big")) for number in range(clusters)]
        entry = encode((self.size, self.range.root()))
        for key, value in smt.update(self, [(cluster, entry) for cluster in ids]).writes:
            assert value is not None
            self.map[key] = value
        self.cluster = ids[0]

    def get(self, key: bytes) -> bytes | None:
        return self.map.get(key)

    def log(self, destination: bytes) -> CompactRange:
        return self.range

    def node(self, destination: bytes, level: int, index: int) -> bytes:
        """Subtrees of equal leaves are equal at each level, which makes a real tree cheap."""
        current = rfc6962.leaf_hash(b"the same")
        for _ in range(level):
            current = rfc6962.node_hash(current, current)
        return current


def test_a_proof_from_a_log_of_a_million_among_a_hundred_clusters_is_under_a_kilobyte() -> None:
    box = LongLog(100)
    proof = prove_leaf(box, box.cluster, 123_456)
    proof.verify(smt.root(box), box.cluster, b"the same")
    assert len(proof.path) == 20
    assert len(proof.encode()) < 1_024
