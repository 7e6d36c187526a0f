"""What a node tells another cluster of third ones: its views, and where headers stand in its own history.

Of a cluster that it froze it tells the evidence, one piece at a time: all that is kept comes round, in turns
that follow the own height, so that those who know the first piece only learn of every key that is accused
(F4). After a recovery that evidence still comes round, as long as it may taint the recovery elsewhere, and
the certified header as often as all of it together: forks of the new incarnation are found by that.
"""

from hashlib import sha256

from consensus import Digest
from node.anchoring.cluster.anchors import AnchorProof, ClientStatus
from node.anchoring.cluster.certified import Certified
from node.anchoring.forks.views import VIEW_EVIDENCE_BYTES_MAX, View
from node.ledger.federation.keys import certified_key, evidence_key, evidence_list_key
from node.ledger.federation.records import Get, client_of, ids_from_value, read
from node.ledger.federation.tables import anchor_nodes
from node.proofs import smt
from node.storage import HEIGHT_KEY, Reader, StateTable


def view_of_other(reader: Reader, subject: Digest) -> View | None:
    """What we hold of a cluster, proven under our tip's anchors root: the certified header that we anchored,
    or evidence against it. None where there is neither."""

    def get(key: bytes) -> bytes | None:
        return reader.get(StateTable.STATE, key)

    client = client_of(get, subject)
    if client is None:
        return None
    proof = AnchorProof(subject, client.anchor.encode(), smt.prove(anchor_nodes(reader), subject))
    certified = read(get, certified_key(subject), Certified.from_value)
    turn, half = divmod(_turn(reader), 2)
    kept = _fitting(get, subject) if client.status is ClientStatus.FROZEN or client.may_be_tainted else []
    is_told = (
        client.status is not ClientStatus.FROZEN
        and certified is not None
        and certified.header.hash == client.last.header_hash
    )
    if is_told and (half or not kept):
        return View(proof, certified, None)
    return View(proof, None, kept[turn % len(kept)]) if kept else None


def _fitting(get: Get, subject: Digest) -> list[bytes]:
    """The evidence that is kept, but for what is too long for a view."""
    listed = read(get, evidence_list_key(subject), ids_from_value) or ()
    kept = (get(evidence_key(subject, each)) for each in listed)
    return [each for each in kept if each is not None and len(each) <= VIEW_EVIDENCE_BYTES_MAX]


def _turn(reader: Reader) -> int:
    """A number that goes with the own height in no rhythm: others ask in one of theirs."""
    height = reader.get(StateTable.META, HEIGHT_KEY) or b""
    return int.from_bytes(sha256(height).digest()[:8], "big")
