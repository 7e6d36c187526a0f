"""Refusals of light clients and lanes as codes of transactions: the same everywhere, and stable.

The detail of a receipt begins with the finer label of whoever refused.
"""

from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.refusals import Code as Reason
from node.anchoring.refusals import Refused
from node.ledger.codes import Code, RejectedTransaction

OF_CLIENT: dict[Reason, Code] = {
    Reason.WRONG_CLUSTER: Code.HEADER_REFUSED,
    Reason.WRONG_INCARNATION: Code.HEADER_REFUSED,
    Reason.WRONG_EPOCH: Code.HEADER_REFUSED,
    Reason.WRONG_VALIDATORS: Code.HEADER_REFUSED,
    Reason.CERTIFICATE_MISMATCH: Code.HEADER_REFUSED,
    Reason.CERTIFICATE_INVALID: Code.HEADER_REFUSED,
    Reason.TIME_NOT_LATER: Code.HEADER_REFUSED,
    Reason.TIME_AHEAD: Code.HEADER_REFUSED,
    Reason.LINK_NOT_AN_END: Code.LINK_REFUSED,
    Reason.LINK_NEXT_SET: Code.LINK_REFUSED,
    Reason.LINK_HEIGHT: Code.LINK_REFUSED,
    Reason.EPOCH_ENDED: Code.LINK_REFUSED,
    Reason.NOT_NEWER: Code.NOTHING_NEW,
    Reason.NOT_CONSISTENT: Code.NOT_CONSISTENT,
    Reason.TIP_NOT_INCLUDED: Code.NOT_CONSISTENT,
    Reason.NEEDS_WITNESSES: Code.NEEDS_CORROBORATION,
    Reason.NEEDS_APPROVAL: Code.NEEDS_CORROBORATION,
    Reason.BAD_WITNESS: Code.NEEDS_CORROBORATION,
    Reason.CLIENT_FROZEN: Code.CLUSTER_NOT_ACTIVE,
    Reason.CLIENT_RETIRED: Code.CLUSTER_NOT_ACTIVE,
    Reason.CLIENT_NOT_PENDING: Code.CLUSTER_KNOWN,
    Reason.NO_CONFLICT: Code.EVIDENCE_REFUSED,
    Reason.UNKNOWN_SET: Code.EVIDENCE_REFUSED,
    Reason.LEAF_NOT_INCLUDED: Code.EVIDENCE_REFUSED,
    Reason.PAST_EPOCH: Code.EVIDENCE_REFUSED,
    Reason.ACCUSED_FULL: Code.EVIDENCE_REFUSED,
    Reason.ROSTER_MISMATCH: Code.RECOVERY_REFUSED,
    Reason.RECOVERY_BASE: Code.RECOVERY_REFUSED,
    Reason.RECOVERY_EVIDENCE: Code.RECOVERY_REFUSED,
    Reason.RECOVERY_ACCUSED: Code.RECOVERY_REFUSED,
    Reason.RECOVERY_SIGNERS: Code.RECOVERY_REFUSED,
    Reason.RECOVERY_WEIGHT: Code.RECOVERY_REFUSED,
}
OF_LANE: dict[Refusal, Code] = {
    Refusal.CLIENT_NOT_ACTIVE: Code.CLUSTER_NOT_ACTIVE,
    Refusal.PEER_PARKED: Code.CLUSTER_NOT_ACTIVE,
    Refusal.RECOVERY_PENDING: Code.CLUSTER_NOT_ACTIVE,
    Refusal.WRONG_LANE: Code.LANE_REFUSED,
    Refusal.MALFORMED_LEAF: Code.LANE_REFUSED,
    Refusal.UNKNOWN_INCARNATION: Code.LANE_REFUSED,
    Refusal.PROOF_FAILED: Code.PROOF_REFUSED,
    Refusal.ALREADY_RECEIVED: Code.NOTHING_NEW,
    Refusal.SEQUENCE_GAP: Code.LANE_WAITS,
    Refusal.FLOOR_AHEAD: Code.LANE_WAITS,
    Refusal.DEADLINE_PASSED: Code.DEADLINE_REFUSED,
    Refusal.DEADLINE_NOT_REACHED: Code.DEADLINE_REFUSED,
    Refusal.OVER_QUOTA: Code.QUOTA_USED,
    Refusal.WINDOW_FULL: Code.LANE_FULL,
    Refusal.PAYLOAD_TOO_LARGE: Code.LANE_REFUSED,
    Refusal.DEADLINE_TOO_FAR: Code.DEADLINE_REFUSED,
    Refusal.DEADLINE_TOO_SOON: Code.DEADLINE_REFUSED,
    Refusal.NOT_PERMITTED: Code.LANE_FORBIDDEN,
    Refusal.LANES_FULL: Code.LANE_FULL,
    Refusal.SEQUENCES_EXHAUSTED: Code.LANE_FULL,
    Refusal.UNKNOWN_SEQUENCE: Code.LANE_REFUSED,
    Refusal.ALREADY_ACKNOWLEDGED: Code.NOTHING_NEW,
    Refusal.OTHER_MESSAGE: Code.LANE_REFUSED,
}
DETAIL_CHARACTERS_MAX = 400


def by_client(refused: Refused, code: Code | None = None) -> RejectedTransaction:
    """What a light client refused, as a failed transaction; `code` where the table's does not say it."""
    detail = f"{refused.code}: {refused.detail}"
    return RejectedTransaction(code or OF_CLIENT[refused.code], detail[:DETAIL_CHARACTERS_MAX])


def by_lane(refused: LaneRefused) -> RejectedTransaction:
    """What a lane refused, as a failed transaction."""
    detail = f"{refused.refusal.label}: {refused.detail}"
    return RejectedTransaction(OF_LANE[refused.refusal], detail[:DETAIL_CHARACTERS_MAX])
