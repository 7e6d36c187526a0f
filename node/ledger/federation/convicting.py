"""Freezing a cluster on evidence, whoever brought it and however: its lanes are parked, evidence is kept."""

from consensus import Digest, encode_trusted
from node.anchoring.client.lightclient import freeze
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import ForkEvidence, HeldBranch, Verdict
from node.anchoring.lanes.recovery import park
from node.ledger.federation.keys import evidence_key, evidence_list_key
from node.ledger.federation.records import ids_from_value, read
from node.ledger.federation.session import Session

EVIDENCE_KEPT_MAX = 16
"""Pieces of evidence kept of one cluster; each names keys that those before it did not."""


def convict(
    session: Session, before: ClientState, encoded: bytes, held: HeldBranch | None = None
) -> tuple[Verdict, bool]:
    """The verdict on evidence in these bytes, and whether it said anything new: then the client is FROZEN.
    Raises Refused for what convicts nobody, CodecError for what is no evidence."""
    evidence = ForkEvidence.decode(encoded)
    after, verdict = freeze(before, evidence, session.cache, held)
    if after == before:
        return verdict, False
    session.put_client(after)
    if before.status is not ClientStatus.FROZEN:
        park(session.draft, before.cluster_id, before.incarnation)
    _keep(session, before.cluster_id, evidence.id, encoded)
    return verdict, True


def _keep(session: Session, cluster_id: bytes, evidence_id: Digest, encoded: bytes) -> None:
    key = evidence_list_key(cluster_id)
    listed = read(session.get, key, ids_from_value) or ()
    if len(listed) < EVIDENCE_KEPT_MAX and evidence_id not in listed:
        session.draft.put(key, encode_trusted((*listed, evidence_id)))
        session.draft.put(evidence_key(cluster_id, evidence_id), encoded)
