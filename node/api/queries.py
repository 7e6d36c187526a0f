"""Reading one storage snapshot: pure functions from a view of the tables to the API's answers.

Everything stored is certified (`levels.py` has the exception), and a query never mixes two heights: state is
read at the height that the state view names, whose header has its own certificate; transactions are read from
the chain, which is at or ahead of the state (C17). A missing row that another row promises is this node's own
fault.
"""

from collections.abc import Sequence

from consensus import LocalError, as_array, as_bytes, as_tuple, decode, encode
from node.api.backend import Location
from node.api.faults import ApiFault, Fault, fault
from node.api.views import (
    BlockAnswer,
    EvidenceAnswer,
    EvidenceItem,
    LeafProof,
    ProvenHeader,
    ReceiptAnswer,
    StateAnswer,
    StateEntry,
    TransactionAnswer,
)
from node.proofs import rfc6962, smt
from node.storage import ChainTable, Snapshot, StateTable, Table

HEIGHT_KEY = b"height"
_BODY_BYTES_MAX = 256 * 1024 * 1024
_LEAVES_MAX = 2**20


def height_key(height: int) -> bytes:
    """The key of a height in every table that has heights as keys."""
    return height.to_bytes(8, "big")


def stored_height(snapshot: Snapshot) -> int:
    """The highest header there is, or -1 in an empty store."""
    last = snapshot.scan(ChainTable.HEADERS, b"", limit=1, reverse=True)
    return int.from_bytes(last[0][0], "big") if last else -1


def state_height(snapshot: Snapshot) -> int:
    """The height that the state view is at."""
    return int.from_bytes(_required(snapshot, StateTable.META, HEIGHT_KEY, "the height of the state"), "big")


def proven_header(snapshot: Snapshot, height: int, *, uncertified: bool = False) -> ProvenHeader:
    """The header of `height` with the nearest certificate at or above it. Raises ApiFault NOT_FOUND.

    Header 0 may have none yet: it follows from the genesis document. With `uncertified` any may have none.
    """
    header = snapshot.get(ChainTable.HEADERS, height_key(height))
    certificates = snapshot.scan(ChainTable.CERTIFICATES, height_key(height), limit=1)
    if header is not None and (height == 0 or uncertified) and not certificates:
        return ProvenHeader(header, None, None, ())
    if header is None or not certificates:
        raise _no_height(snapshot, height)
    key, certificate = certificates[0]
    certified_height = int.from_bytes(key, "big")
    if certified_height == height:
        return ProvenHeader(header, certificate, None, ())
    later = _required(snapshot, ChainTable.HEADERS, key, f"the certified header {certified_height}")
    path = rfc6962.inclusion_path_from(_History(snapshot), height, certified_height)
    return ProvenHeader(header, certificate, later, path)


def locate(snapshot: Snapshot, tx_id: bytes) -> Location | None:
    """Where a certified transaction stands, or None."""
    place = snapshot.get(ChainTable.TRANSACTIONS, tx_id)
    if place is None:
        return None
    return Location(int.from_bytes(place[:8], "big"), int.from_bytes(place[8:12], "big"))


def transaction(snapshot: Snapshot, tx_id: bytes, *, with_proof: bool) -> TransactionAnswer:
    """A certified transaction. Raises ApiFault NOT_FOUND."""
    place = _found(snapshot, tx_id)
    transactions, receipts = body(snapshot, place.height)
    proof = None
    if with_proof:
        proof = LeafProof(
            len(transactions),
            rfc6962.inclusion_path([rfc6962.leaf_hash(item) for item in transactions], place.index),
            rfc6962.inclusion_path([rfc6962.leaf_hash(item) for item in receipts], place.index),
            proven_header(snapshot, place.height),
        )
    return TransactionAnswer(
        tx_id, place.height, place.index, transactions[place.index], receipts[place.index], proof
    )


def receipt(snapshot: Snapshot, tx_id: bytes) -> ReceiptAnswer:
    """The receipt of a certified transaction. Raises ApiFault NOT_FOUND."""
    place = _found(snapshot, tx_id)
    _, receipts = body(snapshot, place.height)
    return ReceiptAnswer(tx_id, place.height, place.index, receipts[place.index])


def receipts_at(snapshot: Snapshot, places: Sequence[Location]) -> tuple[bytes, ...]:
    """The receipt at each place; each height's body is decoded once. Raises ApiFault PRUNED."""
    bodies: dict[int, tuple[bytes, ...]] = {}
    found: list[bytes] = []
    for place in places:
        if place.height not in bodies:
            bodies[place.height] = body(snapshot, place.height)[1]
        found.append(bodies[place.height][place.index])
    return tuple(found)


def body(snapshot: Snapshot, height: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The transactions and receipts of a stored height, in leaf order. Raises ApiFault PRUNED."""
    leaves = leaves_stored(snapshot, height)
    if leaves is None:
        raise fault(Fault.PRUNED, f"The transactions of height {height} were pruned on this node.")
    return leaves


def leaves_stored(snapshot: Snapshot, height: int) -> tuple[tuple[bytes, ...], tuple[bytes, ...]] | None:
    """`body`, or None when it was pruned; the genesis header has no leaves and no body."""
    stored = snapshot.get(ChainTable.BODIES, height_key(height))
    if stored is None:
        return ((), ()) if height == 0 else None
    transactions, receipts = as_tuple(decode(stored, max_bytes=_BODY_BYTES_MAX), 2, "body")
    return _leaves(transactions, "transactions"), _leaves(receipts, "receipts")


def block(snapshot: Snapshot, height: int, *, uncertified: bool = False) -> BlockAnswer:
    """Everything about one height. Raises ApiFault NOT_FOUND."""
    header = proven_header(snapshot, height, uncertified=uncertified)
    transactions, receipts = body(snapshot, height)
    return BlockAnswer(height, header, transactions, receipts)


def height_of_block(snapshot: Snapshot, block_id: bytes) -> int:
    """The height at which a block was executed. Raises ApiFault NOT_FOUND."""
    height = snapshot.get(ChainTable.BLOCK_HEIGHTS, block_id)
    if height is None:
        raise fault(
            Fault.NOT_FOUND,
            f"No executed block has the id {block_id.hex()} (blocks without payload have no height).",
        )
    return int.from_bytes(height, "big")


def state(snapshot: Snapshot, key: bytes, *, with_proof: bool) -> StateAnswer:
    """One state entry, present or absent, at the state's height."""
    height = state_height(snapshot)
    header = proven_header(snapshot, height) if with_proof else None
    proof = state_proof(snapshot, key) if with_proof else None
    return StateAnswer(height, StateEntry(key, snapshot.get(StateTable.STATE, key), proof), header)


def state_proof(snapshot: Snapshot, key: bytes) -> bytes:
    """The encoded proof of what stands at `key`, or that nothing does."""
    return encode(smt.prove(StateNodes(snapshot), key).to_value())


def evidence(snapshot: Snapshot, after: bytes, limit: int) -> EvidenceAnswer:
    """Up to `limit` pieces of kept evidence with ids behind `after` (b"" for the first)."""
    found = snapshot.scan(ChainTable.EVIDENCE, after, limit=limit + 2)
    items = [EvidenceItem(key, value) for key, value in found if key != after]
    return EvidenceAnswer(snapshot.count(ChainTable.EVIDENCE), tuple(items[:limit]), len(items) > limit)


class StateNodes:
    """The sparse Merkle tree's nodes in one snapshot."""

    __slots__ = ("_snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def get(self, key: bytes) -> bytes | None:
        """The node at `key`, or None."""
        return self._snapshot.get(StateTable.NODES, key)


class _History:
    """The tree over all header hashes in one snapshot."""

    __slots__ = ("_snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        key = level.to_bytes(1, "big") + index.to_bytes(8, "big")
        return _required(self._snapshot, ChainTable.HISTORY, key, f"history node {level}/{index}")


def _leaves(value: object, what: str) -> tuple[bytes, ...]:
    return tuple(as_bytes(item, what) for item in as_array(value, _LEAVES_MAX, what))


def _found(snapshot: Snapshot, tx_id: bytes) -> Location:
    place = locate(snapshot, tx_id)
    if place is None:
        raise fault(Fault.NOT_FOUND, f"No certified transaction has the id {tx_id.hex()} on this node (yet).")
    return place


def _no_height(snapshot: Snapshot, height: int) -> ApiFault:
    return fault(
        Fault.NOT_FOUND,
        f"Height {height} is not stored here as certified; the last one is {stored_height(snapshot)}.",
    )


def _required(snapshot: Snapshot, table: Table, key: bytes, what: str) -> bytes:
    value = snapshot.get(table, key)
    if value is None:
        raise LocalError(f"the store lacks {what}")
    return value
