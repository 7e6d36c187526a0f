"""Freezing a cluster on evidence, whoever brought it and however: its lanes are parked, evidence is kept.

What is kept is told to others (`telling.py`), so nobody may fill the place with what matters less: each piece
names keys that those before it did not, and where there are too many the one of the oldest incarnation goes,
of these the one of the latest epoch, which is the one that forkers can invent at will.
"""

from consensus import VALIDATORS_MAX, encode_trusted
from node.anchoring.client.lightclient import freeze
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import ForkEvidence, HeldBranch, Verdict
from node.anchoring.forks.views import VIEW_EVIDENCE_BYTES_MAX
from node.anchoring.lanes.recovery import park
from node.ledger.federation.keys import evidence_key, evidence_list_key
from node.ledger.federation.records import Get, ids_from_value, read
from node.ledger.federation.session import Session

EVIDENCE_KEPT_MAX = VALIDATORS_MAX
"""Pieces of evidence kept of one cluster: of one set there are fewer, since each accuses a new key of it."""
LONG_KEPT_MAX = 16
"""Of these, pieces that are too long to be told to others."""


def convict(
    session: Session, before: ClientState, encoded: bytes, held: HeldBranch | None = None
) -> tuple[Verdict, bool]:
    """The verdict on evidence in these bytes, and whether it said anything new. Then the client is FROZEN,
    but for evidence of the incarnation before that does not touch the recovery since. Raises Refused for what
    convicts nobody, CodecError for what is no evidence."""
    evidence = ForkEvidence.decode(encoded)
    after, verdict = freeze(before, evidence, session.cache, held)
    if after == before:
        return verdict, False
    session.put_client(after)
    if before.status is not ClientStatus.FROZEN and after.status is ClientStatus.FROZEN:
        park(session.draft, before.cluster_id, before.incarnation)
    _keep(session, before.cluster_id, evidence, encoded)
    return verdict, True


def is_kept(get: Get, cluster_id: bytes, evidence_id: bytes) -> bool:
    """Whether this piece of evidence was judged here before, and is kept."""
    return get(evidence_key(cluster_id, evidence_id)) is not None


def _keep(session: Session, cluster_id: bytes, evidence: ForkEvidence, encoded: bytes) -> None:
    key = evidence_list_key(cluster_id)
    listed = read(session.get, key, ids_from_value) or ()
    if is_kept(session.get, cluster_id, evidence.id):
        return
    kept = [(each, session.get(evidence_key(cluster_id, each)) or b"") for each in listed]
    rivals = [each for each in kept if len(each[1]) > VIEW_EVIDENCE_BYTES_MAX]
    bound = LONG_KEPT_MAX
    if len(encoded) <= VIEW_EVIDENCE_BYTES_MAX:
        rivals, bound = kept, EVIDENCE_KEPT_MAX
    if len(rivals) >= bound:
        worst, data = max(rivals, key=lambda each: _age(ForkEvidence.decode(each[1])))
        if _age(ForkEvidence.decode(data)) <= _age(evidence):
            return
        listed = tuple(each for each in listed if each != worst)
        session.draft.delete(evidence_key(cluster_id, worst))
    session.draft.put(key, encode_trusted((*listed, evidence.id)))
    session.draft.put(evidence_key(cluster_id, evidence.id), encoded)


def _age(evidence: ForkEvidence) -> tuple[int, int]:
    """The higher, the less it matters: of a newer incarnation and of an earlier epoch is more."""
    header = evidence.first.certified.header
    return -header.incarnation, header.epoch
