"""A governance transaction under execution: who asks, in which block, over which state."""

from collections.abc import Callable
from dataclasses import dataclass

from consensus import Digest, LocalError, PublicKey, SignatureScheme
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.features import FEATURES_KEY, Enabled, decode_features
from node.ledger.governance.proposals import (
    OPEN_KEY,
    OpenProposal,
    Proposal,
    decode_open,
    proposal_key,
)
from node.ledger.members import member_key
from node.ledger.roster import ROSTER_KEY, Roster
from node.ledger.state import BlockState
from node.proofs.header import Header


@dataclass(frozen=True, slots=True)
class Sitting:
    """What all governance transactions of a block share: the block, and what judges its proofs."""

    state: BlockState
    parent: Header
    epoch: int
    time_ms: int
    find_method: Callable[[str, str], object]
    """(app, method) -> the method; raises RejectedTransaction when the cluster has none such."""
    scheme: SignatureScheme
    own_name: str = ""
    """The name in the cluster's genesis."""
    features: tuple[str, ...] = ()
    """Those in force in this block."""


class Session:
    """One governance transaction under execution: who asks, and the state with its own writes."""

    __slots__ = ("_sitting", "sender", "tx_id", "writes")

    def __init__(self, sitting: Sitting, sender: PublicKey, tx_id: Digest) -> None:
        self._sitting = sitting
        self.sender = sender
        self.tx_id = tx_id
        self.writes: dict[bytes, bytes | None] = {}

    @property
    def sitting(self) -> Sitting:
        """What it shares with the other transactions of its block."""
        return self._sitting

    @property
    def time_ms(self) -> int:
        """Cluster time."""
        return self._sitting.time_ms

    def get(self, key: bytes) -> bytes | None:
        """The leaf under a full key, own writes included."""
        return self.writes[key] if key in self.writes else self._sitting.state.get_state(key)

    def put(self, key: bytes, value: bytes | None) -> None:
        """Write a leaf under a full key, None removes it."""
        self.writes[key] = value

    def roster(self) -> Roster:
        """The current roster; of the next epoch once a transaction of this block has ended the epoch."""
        stored = self.get(ROSTER_KEY)
        if stored is None:
            raise LocalError("the state holds no roster of validators")
        return Roster.decode(stored)

    def features(self) -> tuple[Enabled, ...]:
        """What was enabled, in force yet or not."""
        return decode_features(self.get(FEATURES_KEY))

    def require_known(self) -> None:
        """Raises RejectedTransaction unless the sender operates a validator or is a member."""
        is_operator = self.roster().operated_by(self.sender) is not None
        if not is_operator and self.get(member_key(self.sender)) is None:
            raise RejectedTransaction(Code.UNKNOWN_SENDER, f"key {self.sender.hex()}")

    def require_operator(self) -> Roster:
        """The current roster, when the sender operates one of its validators."""
        roster = self.roster()
        if roster.operated_by(self.sender) is None:
            raise RejectedTransaction(Code.NOT_OPERATOR, f"key {self.sender.hex()} in epoch {roster.epoch}")
        return roster

    def open_proposals(self) -> tuple[OpenProposal, ...]:
        """The list of open proposals, expired ones included."""
        return decode_open(self.get(OPEN_KEY))

    def open_proposal(self, proposal_id: Digest) -> Proposal:
        """The proposal that is asked for. Raises RejectedTransaction when it is not open."""
        stored = self.get(proposal_key(proposal_id))
        if stored is None:
            raise RejectedTransaction(Code.PROPOSAL_UNKNOWN, proposal_id.hex())
        proposal = Proposal.decode(stored)
        if proposal.executed_height is not None:
            raise RejectedTransaction(Code.PROPOSAL_EXECUTED, f"at height {proposal.executed_height}")
        if self.time_ms >= proposal.expires_at_ms:
            raise RejectedTransaction(
                Code.PROPOSAL_EXPIRED, f"at {proposal.expires_at_ms} ms, it is {self.time_ms} ms"
            )
        return proposal
