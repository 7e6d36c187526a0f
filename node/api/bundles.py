"""Bundles out of a storage snapshot: all there is between the genesis and one fact, for `isthmus verify`.

The smallest certificate at or above a height proves it. Whoever will check the bundle may have pinned a
checkpoint, a header by height (>= 0); a bundle made for it is certified at or above that height, too: by
the checkpoint itself where that has its own certificate, so that older facts rest on its hash alone, else
with the checkpoint's place in the same history. A missing row that another row promises is this node's own
fault (LocalError).
"""

from consensus import HeaderCertificate, LocalError, decode
from node.anchoring import (
    Bundle,
    CertifiedLater,
    CheckpointProof,
    HeaderStatement,
    StateStatement,
    TransactionStatement,
)
from node.anchoring.bundles.bundle import Statement
from node.api.faults import Fault, fault
from node.api.queries import StateNodes, body, height_key, locate, state_height
from node.daemon.epochlinks import epoch_links
from node.genesis import Genesis
from node.proofs import rfc6962, smt
from node.proofs.header import Header
from node.storage import ChainTable, Snapshot, StateTable, Table


def transaction_bundle(
    snapshot: Snapshot, genesis: Genesis, tx_id: bytes, *, checkpoint: int | None = None
) -> Bundle:
    """A certified transaction and its receipt. Raises ApiFault NOT_FOUND."""
    place = locate(snapshot, tx_id)
    if place is None:
        raise fault(Fault.NOT_FOUND, f"No certified transaction has the id {tx_id.hex()} on this node (yet).")
    transactions, receipts = body(snapshot, place.height)
    statement = TransactionStatement(
        transactions[place.index],
        receipts[place.index],
        place.index,
        len(transactions),
        rfc6962.inclusion_path([rfc6962.leaf_hash(item) for item in transactions], place.index),
        rfc6962.inclusion_path([rfc6962.leaf_hash(item) for item in receipts], place.index),
    )
    return _bundle(snapshot, genesis, place.height, statement, checkpoint)


def state_bundle(
    snapshot: Snapshot, genesis: Genesis, key: bytes, *, checkpoint: int | None = None
) -> Bundle:
    """What the state at its present height holds at `key`, or that it holds nothing there.

    Raises ApiFault NOT_FOUND as long as nothing is certified.
    """
    proof = smt.prove(StateNodes(snapshot), key)
    statement = StateStatement(key, snapshot.get(StateTable.STATE, key), proof)
    return _bundle(snapshot, genesis, state_height(snapshot), statement, checkpoint)


def header_bundle(
    snapshot: Snapshot, genesis: Genesis, height: int, *, checkpoint: int | None = None
) -> Bundle:
    """The header of `height`, 0 included. Raises ApiFault NOT_FOUND."""
    return _bundle(snapshot, genesis, height, HeaderStatement(), checkpoint)


def _bundle(
    snapshot: Snapshot, genesis: Genesis, height: int, statement: Statement, checkpoint: int | None
) -> Bundle:
    certified_height, certificate = _certificate_for(snapshot, max(height, checkpoint or 0))
    header = _header(snapshot, height)
    history = _History(snapshot)
    later = None
    if certified_height != height:
        path = rfc6962.inclusion_path_from(history, height, certified_height)
        later = CertifiedLater(_header(snapshot, certified_height), path)
    connected = None
    if checkpoint is not None and checkpoint not in (height, certified_height):
        path = rfc6962.inclusion_path_from(history, checkpoint, certified_height)
        connected = CheckpointProof(checkpoint, Header.decode(_header(snapshot, checkpoint)).hash, path)
    links = epoch_links(snapshot, certificate.epoch)
    return Bundle(genesis.body, header, certificate, later, connected, statement, links)


def _certificate_for(snapshot: Snapshot, height: int) -> tuple[int, HeaderCertificate]:
    """The smallest certificate at or above `height`, with its height."""
    found = snapshot.scan(ChainTable.CERTIFICATES, height_key(height), limit=1)
    if not found:
        raise fault(
            Fault.NOT_FOUND, f"No header at or above height {height} is certified on this node (yet)."
        )
    key, stored = found[0]
    return int.from_bytes(key, "big"), HeaderCertificate.from_value(decode(stored))


def _header(snapshot: Snapshot, height: int) -> bytes:
    return _required(snapshot, ChainTable.HEADERS, height_key(height), f"header {height}")


class _History:
    """The tree over all header hashes in one snapshot."""

    __slots__ = ("_snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        key = bytes((level,)) + index.to_bytes(8, "big")
        return _required(self._snapshot, ChainTable.HISTORY, key, f"history node {level}/{index}")


def _required(snapshot: Snapshot, table: Table, key: bytes, what: str) -> bytes:
    value = snapshot.get(table, key)
    if value is None:
        raise LocalError(f"the store lacks {what}")
    return value
