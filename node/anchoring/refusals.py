"""Why something about another cluster was not believed: one refusal type with codes that never change.

A refusal is scored against whoever submitted, and nothing else happens (F3): no client freezes because a
proof failed. Codes are for metrics and scripts, sentences for people.
"""

from enum import StrEnum

from node.proofs import ProofError


class Code(StrEnum):
    """The stable codes; each is one counter."""

    WRONG_CLUSTER = "wrong-cluster"
    WRONG_INCARNATION = "wrong-incarnation"
    WRONG_EPOCH = "wrong-epoch"
    WRONG_VALIDATORS = "wrong-validators"
    CERTIFICATE_MISMATCH = "certificate-mismatch"
    CERTIFICATE_INVALID = "certificate-invalid"
    LINK_NOT_AN_END = "link-not-an-end"
    LINK_NEXT_SET = "link-next-set"
    LINK_HEIGHT = "link-height"
    NOT_NEWER = "not-newer"
    TIME_NOT_LATER = "time-not-later"
    TIME_AHEAD = "time-ahead"
    EPOCH_ENDED = "epoch-ended"
    NOT_CONSISTENT = "not-consistent"
    TIP_NOT_INCLUDED = "tip-not-included"
    NEEDS_WITNESSES = "needs-witnesses"
    NEEDS_APPROVAL = "needs-approval"
    BAD_WITNESS = "bad-witness"
    CLIENT_FROZEN = "client-frozen"
    CLIENT_RETIRED = "client-retired"
    CLIENT_NOT_PENDING = "client-not-pending"
    NO_CONFLICT = "no-conflict"
    UNKNOWN_SET = "unknown-set"
    LEAF_NOT_INCLUDED = "leaf-not-included"
    PAST_EPOCH = "past-epoch"
    ACCUSED_FULL = "accused-full"
    ROSTER_MISMATCH = "roster-mismatch"
    RECOVERY_BASE = "recovery-base"
    RECOVERY_EVIDENCE = "recovery-evidence"
    RECOVERY_ACCUSED = "recovery-accused"
    RECOVERY_SIGNERS = "recovery-signers"
    RECOVERY_WEIGHT = "recovery-weight"


class Refused(ProofError):
    """Not believed. `code` is stable, `detail` names the compared values in words."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
