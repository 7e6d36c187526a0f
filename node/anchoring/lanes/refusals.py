"""Why a lane operation was not done: one closed table of stable codes.

A refusal writes nothing and blames nobody: whoever brought the message may be early, late or wrong. It
never freezes a client (F3). The labels are shown to people and counted; none is reused or renamed.
"""

from enum import Enum


class Refusal(Enum):
    """(stable label, whether the same operation may succeed later, what to do about it)."""

    CLIENT_NOT_ACTIVE = ("client-not-active", True, "wait until the other cluster's client is active")
    PEER_PARKED = ("peer-parked", True, "the other cluster is frozen or retired; wait for its recovery")
    RECOVERY_PENDING = ("recovery-pending", True, "apply the other cluster's recovery to its lanes first")
    WRONG_LANE = ("wrong-lane", False, "bring it to the cluster that its lane names")
    MALFORMED_LEAF = ("malformed-leaf", False, "bring the leaf exactly as the other outbox holds it")
    UNKNOWN_INCARNATION = ("unknown-incarnation", False, "bring a message of the branch that is anchored")
    PROOF_FAILED = ("proof-failed", False, "prove the leaf against an outbox root that is anchored here")
    ALREADY_RECEIVED = ("already-received", False, "nothing is left to do; its receipt stands")
    SEQUENCE_GAP = ("sequence-gap", True, "deliver the sequences before it first")
    FLOOR_AHEAD = ("floor-ahead", True, "deliver the sequences up to its acked floor first")
    DEADLINE_PASSED = ("deadline-passed", False, "expire it instead")
    DEADLINE_NOT_REACHED = ("deadline-not-reached", True, "deliver it instead, or wait for the deadline")
    OVER_QUOTA = ("over-quota", True, "bring it again later; it waits until its deadline")
    WINDOW_FULL = ("window-full", True, "wait until earlier messages are acknowledged")
    PAYLOAD_TOO_LARGE = ("payload-too-large", False, "send a hash and let the receiver fetch the content")
    DEADLINE_TOO_FAR = ("deadline-too-far", False, "choose a deadline inside the cap")
    DEADLINE_TOO_SOON = ("deadline-too-soon", False, "choose a deadline in the other cluster's future")
    NOT_PERMITTED = ("not-permitted", False, "this cluster's policy must admit the lane first")
    LANES_FULL = ("lanes-full", False, "use a lane that exists")
    SEQUENCES_EXHAUSTED = ("sequences-exhausted", False, "use another lane")
    UNKNOWN_SEQUENCE = ("unknown-sequence", False, "nothing with this sequence was sent")
    ALREADY_ACKNOWLEDGED = ("already-acknowledged", False, "nothing is left to do; its result stands")
    OTHER_MESSAGE = ("other-message", False, "it answers another message than the one that was sent")

    @property
    def label(self) -> str:
        """The stable name for JSON, metrics and logs."""
        return self.value[0]

    @property
    def may_succeed_later(self) -> bool:
        """Whether the same operation, repeated unchanged, may succeed."""
        return self.value[1]

    @property
    def way_out(self) -> str:
        """What to do about it, for a person."""
        return self.value[2]


class LaneRefused(Exception):
    """An operation that was refused before it wrote anything; `detail` names the compared values."""

    def __init__(self, refusal: Refusal, detail: str) -> None:
        super().__init__(refusal, detail)
        self.refusal = refusal
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.refusal.label}: {self.detail}; {self.refusal.way_out}"
