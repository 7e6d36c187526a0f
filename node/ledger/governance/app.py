"""Governance: operators change the validators, members and policies of their cluster (F13, C4).

Always present, whatever applications a cluster runs. An operator is the admin key of a validator in the
current roster; it need not be a member. A proposal takes effect, once, in the transaction that completes it:
more than two thirds of the current weight have approved, judged anew each time, and every consensus key that
it brings has proved that its holder is synced. What changes validators ends the epoch with its block; another
such proposal in the same block waits, and any later approval, proof or `execute` completes it.

    propose  [[change, ...], sweeping]                              approves too; changes: `changes.py`
    approve  [id]
    withdraw [id]                                                   by its proposer
    revoke   [id]                                                   takes an approval back
    ready    [id, consensus_key, height, header_hash, signature]    the signature is over `ready_digest`
    execute  [id]                                                   tries again what waited

All but withdraw answer `[id, executed 0 | 1, approving weight, total weight, joiners that are not ready]`.
`revoke` is there when feature `revocable-approvals` is in force; until then no such method exists.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from consensus import (
    Digest,
    PublicKey,
    Signature,
    Value,
    as_bytes,
    as_int,
    as_tuple,
)
from node.ledger import methods
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.features import REVOCABLE_APPROVALS
from node.ledger.governance.changes import Change, brought_keys, changes_of, joining_keys
from node.ledger.governance.history import RECENT_KEY, RECENT_MAX, first_recent, recent_hash
from node.ledger.governance.outcome import close, judge, settle
from node.ledger.governance.proposals import (
    OPEN_KEY,
    OPEN_MAX,
    OPEN_PER_OPERATOR_MAX,
    PROPOSAL_LIFETIME_MS,
    OpenProposal,
    Proposal,
    Readiness,
    encode_open,
    proposal_key,
    ready_digest,
)
from node.ledger.governance.session import Session
from node.ledger.methods import Arguments, Deed

NAME = "governance"


@dataclass(frozen=True, slots=True)
class Propose:
    """Parsed arguments of `propose`."""

    changes: tuple[Change, ...]
    sweeping: bool


@dataclass(frozen=True, slots=True)
class Ready:
    """Parsed arguments of `ready`: a joining validator's proof that it has the header of a height."""

    proposal_id: Digest
    consensus_key: PublicKey
    height: int
    header_hash: Digest
    signature: Signature


def propose(session: Session, call: Propose) -> Value:
    """Open a proposal, approved by its proposer."""
    session.require_operator()
    entries = []
    for entry in session.open_proposals():
        if session.time_ms < entry.expires_at_ms:
            entries.append(entry)
        else:
            session.put(proposal_key(entry.id), None)
    own = sum(entry.proposer == session.sender for entry in entries)
    if len(entries) >= OPEN_MAX or own >= OPEN_PER_OPERATOR_MAX:
        raise RejectedTransaction(
            Code.TOO_MANY_PROPOSALS,
            f"{len(entries)} of at most {OPEN_MAX} are open, "
            f"{own} of at most {OPEN_PER_OPERATOR_MAX} by this key",
        )
    parent = session.sitting.parent
    proposal = Proposal(
        session.sender,
        session.tx_id,
        call.sweeping,
        call.changes,
        parent.height + 1,
        session.time_ms + PROPOSAL_LIFETIME_MS,
        approvals=(session.sender,),
    )
    judge(session, proposal)
    proposal_id = proposal.id
    has_joiners = bool(brought_keys(call.changes))
    if has_joiners and session.get(RECENT_KEY) is None:
        session.put(RECENT_KEY, first_recent(parent))
    entries.append(OpenProposal(proposal_id, session.sender, proposal.expires_at_ms, has_joiners))
    session.put(OPEN_KEY, encode_open(entries))
    return settle(session, proposal_id, proposal).to_value()


def approve(session: Session, proposal_id: Digest) -> Value:
    """Count the weight of the sender's validator for the proposal."""
    roster = session.require_operator()
    proposal = session.open_proposal(proposal_id)
    if session.sender in proposal.approvals:
        raise RejectedTransaction(Code.ALREADY_APPROVED, f"by {session.sender.hex()}")
    current = tuple(key for key in proposal.approvals if roster.operated_by(key) is not None)
    return settle(
        session, proposal_id, replace(proposal, approvals=current).with_approval(session.sender)
    ).to_value()


def withdraw(session: Session, proposal_id: Digest) -> Value:
    """Forget the proposal."""
    proposal = session.open_proposal(proposal_id)
    if proposal.proposer != session.sender:
        raise RejectedTransaction(Code.NOT_PROPOSER, f"it was {proposal.proposer.hex()}")
    close(session, proposal_id)
    session.put(proposal_key(proposal_id), None)
    return proposal_id


def revoke(session: Session, proposal_id: Digest) -> Value:
    """Take the sender's approval back, also one that counts no more."""
    proposal = session.open_proposal(proposal_id)
    if session.sender not in proposal.approvals:
        raise RejectedTransaction(Code.NOT_APPROVED, f"by {session.sender.hex()}")
    left = tuple(key for key in proposal.approvals if key != session.sender)
    return settle(session, proposal_id, replace(proposal, approvals=left)).to_value()


def ready(session: Session, call: Ready) -> Value:
    """Count a joining validator as synced."""
    proposal = session.open_proposal(call.proposal_id)
    roster = session.roster()
    if call.consensus_key not in joining_keys(roster, proposal.changes):
        raise RejectedTransaction(Code.NOT_JOINING, f"key {call.consensus_key.hex()}")
    known = recent_hash(session.get(RECENT_KEY), call.height)
    if known != call.header_hash:
        top = session.sitting.parent.height
        what = f"height {call.height}, when the last {RECENT_MAX} up to {top} count"
        raise RejectedTransaction(Code.NOT_SYNCED, what if known is None else f"another header of {what}")
    last = proposal.readiness_of(call.consensus_key)
    if last is not None and call.height <= last.height:
        # A copy of an old proof says nothing about now.
        raise RejectedTransaction(Code.NOT_SYNCED, f"height {call.height}, proved was {last.height}")
    signed = ready_digest(session.sitting.parent.cluster_id, call.proposal_id, call.height, call.header_hash)
    if not session.sitting.scheme.verify(call.consensus_key, signed, call.signature):
        raise RejectedTransaction(Code.BAD_PROOF, f"key {call.consensus_key.hex()}")
    proof = Readiness(call.consensus_key, call.height, session.time_ms)
    return settle(session, call.proposal_id, proposal.with_ready(proof)).to_value()


def execute(session: Session, proposal_id: Digest) -> Value:
    """Try again what waited for another proposal's epoch end, or for an operator to change."""
    standing = settle(session, proposal_id, session.open_proposal(proposal_id))
    if not standing.executed:
        raise RejectedTransaction(
            Code.NOT_DUE,
            f"{standing.weight} of weight {standing.total_weight} approve, "
            f"{standing.missing_joiners} joiners are not ready",
        )
    return standing.to_value()


def _parse_propose(args: tuple[Value, ...]) -> Propose:
    changes, sweeping = as_tuple(args, 2, "arguments of propose")
    return Propose(changes_of(changes), bool(as_int(sweeping, "sweeping", high=1)))


def _parse_id(args: tuple[Value, ...]) -> Digest:
    (proposal_id,) = as_tuple(args, 1, "arguments")
    return Digest(as_bytes(proposal_id, "proposal id", length=32))


def _parse_ready(args: tuple[Value, ...]) -> Ready:
    proposal_id, key, height, header_hash, signature = as_tuple(args, 5, "arguments of ready")
    return Ready(
        Digest(as_bytes(proposal_id, "proposal id", length=32)),
        PublicKey(as_bytes(key, "consensus key", length=32)),
        as_int(height, "height"),
        Digest(as_bytes(header_hash, "header hash", length=32)),
        Signature(as_bytes(signature, "signature", length=64)),
    )


METHODS: dict[str, Deed[Session, Any]] = {
    "propose": Deed(_parse_propose, propose),
    "approve": Deed(_parse_id, approve),
    "withdraw": Deed(_parse_id, withdraw),
    "ready": Deed(_parse_ready, ready),
    "execute": Deed(_parse_id, execute),
}
FEATURED: dict[str, tuple[str, Deed[Session, Any]]] = {
    "revoke": (REVOCABLE_APPROVALS, Deed(_parse_id, revoke)),
}
"""Methods that are there only while a feature is in force: (feature, method)."""


def parse(method: str, args: Arguments, features: Sequence[str]) -> Callable[[Session], Value]:
    """The call with its arguments checked, pure in them and in the features in force: the refusal of a method
    that is not there yet is word for word that of software which never heard of it. Raises
    RejectedTransaction UNKNOWN_METHOD or INVALID_ARGUMENTS."""
    return methods.parse(NAME, _methods(tuple(features)), method, args)


@lru_cache(maxsize=16)
def _methods(features: tuple[str, ...]) -> dict[str, Deed[Session, Any]]:
    added = {method: deed for method, (feature, deed) in FEATURED.items() if feature in features}
    return {**METHODS, **added}
