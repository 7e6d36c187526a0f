"""Reading governance from stored state: the open proposals, one proposal, and how far each is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from consensus import Digest
from node.ledger.governance.changes import joining_keys
from node.ledger.governance.proposals import OPEN_KEY, Proposal, decode_open, proposal_key
from node.ledger.roster import Roster, ValidatorRecord

Get: TypeAlias = Callable[[bytes], bytes | None]
"""The state leaf under a key, None when there is none."""


@dataclass(frozen=True, slots=True)
class ProposalView:
    """A proposal beside the roster and the cluster time that it is read with.

    `approvals` are operator keys with the validator that each operates now, None when it does no more;
    `joiners` the consensus keys that must be ready, and whether they are.
    """

    id: Digest
    proposal: Proposal
    state: str
    approving_weight: int
    total_weight: int
    approvals: tuple[tuple[bytes, ValidatorRecord | None], ...]
    joiners: tuple[tuple[bytes, bool], ...]


def open_ids(get: Get) -> tuple[Digest, ...]:
    """The proposals that are listed as open, oldest first."""
    return tuple(entry.id for entry in decode_open(get(OPEN_KEY)))


def find_proposal(get: Get, proposal_id: bytes, roster: Roster, time_ms: int) -> ProposalView | None:
    """The proposal with this id as it stands at `time_ms`, None when there is none. `state` is `open`,
    `executed` or `expired`."""
    stored = get(proposal_key(proposal_id))
    if stored is None:
        return None
    proposal = Proposal.decode(stored)
    if proposal.executed_height is not None:
        state = "executed"
    else:
        state = "open" if time_ms < proposal.expires_at_ms else "expired"
    joiners = () if state == "executed" else joining_keys(roster, proposal.changes)
    return ProposalView(
        Digest(proposal_id),
        proposal,
        state,
        roster.operator_weight(proposal.approvals),
        roster.total_weight,
        tuple((key, roster.operated_by(key)) for key in proposal.approvals),
        tuple((key, proposal.is_ready(key, time_ms)) for key in joiners),
    )
