"""What a node tells another cluster of third ones: its views, and where headers stand in its own history."""

from consensus import Digest
from node.anchoring.cluster.anchors import AnchorProof, ClientStatus
from node.anchoring.cluster.certified import Certified
from node.anchoring.forks.views import VIEW_EVIDENCE_BYTES_MAX, View
from node.ledger.federation.keys import certified_key, evidence_key, evidence_list_key
from node.ledger.federation.records import client_of, ids_from_value, read
from node.ledger.federation.tables import anchor_nodes
from node.proofs import smt
from node.storage import Reader, StateTable


def view_of_other(reader: Reader, subject: Digest) -> View | None:
    """What we hold of a cluster, proven under our tip's anchors root: the certified header that we anchored,
    or why it is frozen. None where there is neither."""

    def get(key: bytes) -> bytes | None:
        return reader.get(StateTable.STATE, key)

    client = client_of(get, subject)
    if client is None:
        return None
    proof = AnchorProof(subject, client.anchor.encode(), smt.prove(anchor_nodes(reader), subject))
    if client.status is ClientStatus.FROZEN:
        listed = read(get, evidence_list_key(subject), ids_from_value) or ()
        kept = (get(evidence_key(subject, each)) for each in listed)
        fitting = (each for each in kept if each is not None and len(each) <= VIEW_EVIDENCE_BYTES_MAX)
        evidence = next(fitting, None)
        return None if evidence is None else View(proof, None, evidence)
    certified = read(get, certified_key(subject), Certified.from_value)
    if certified is None or certified.header.hash != client.last.header_hash:
        return None
    return View(proof, certified, None)
