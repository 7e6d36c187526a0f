"""What a proposal comes to: judged by the state it meets, executed when it is due (F13)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from consensus import Digest, Epoch, Value, encode
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.features import FEATURES_KEY, encode_features
from node.ledger.federation.changes import FederationChange, Own, leaves_after
from node.ledger.governance.changes import (
    Change,
    RemoveMember,
    SetMember,
    SetPolicy,
    apply_changes,
    features_after,
    joining_keys,
    moves_too_much,
)
from node.ledger.governance.proposals import OPEN_KEY, Proposal, encode_open, proposal_key
from node.ledger.governance.session import Session
from node.ledger.members import (
    MEMBERS_MAX,
    ORGANISATIONS_KEY,
    Member,
    decode_member,
    encode_organisations,
    member_key,
    organisations_of,
)
from node.ledger.policy import policy_key
from node.ledger.roster import ROSTER_KEY, Roster


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a proposal is: whether it was executed, the weight that approves of the total, and how many
    joining validators have not proved that they are synced."""

    id: Digest
    executed: bool
    weight: int
    total_weight: int
    missing_joiners: int

    def to_value(self) -> tuple[Value, ...]:
        """`[id, executed 0 | 1, approving weight, total weight, joiners that are not ready]`."""
        return (self.id, int(self.executed), self.weight, self.total_weight, self.missing_joiners)


def judge(session: Session, proposal: Proposal) -> Roster | None:
    """The next roster that the proposal comes to now, None when it leaves the validators alone. Judged when
    proposed and again when executed. Raises RejectedTransaction."""
    old = session.roster()
    new = apply_changes(old, proposal.changes)
    members = _members_after(session, proposal.changes)
    if sum(_counts_after(session, members).values()) > MEMBERS_MAX:
        raise RejectedTransaction(Code.TOO_MANY_MEMBERS, f"more than {MEMBERS_MAX}")
    if new is not None:
        if not proposal.sweeping and moves_too_much(old, new):
            raise RejectedTransaction(
                Code.CHANGE_TOO_LARGE, f"from {len(old.validators)} to {len(new.validators)} validators"
            )
        _refuse_members_as_validators(session, new, members)
    for key, member in members.items():
        holder = (new or old).signed_by(key)
        if member is not None and holder is not None:
            raise RejectedTransaction(Code.KEY_IN_USE, f"key {key.hex()} is used by validator {holder.name}")
    for change in proposal.changes:
        if isinstance(change, SetPolicy):
            session.sitting.find_method(change.app, change.method)
    _federation_after(session, proposal.changes)
    features_after(session.features(), proposal.changes, Epoch(old.epoch + 1))
    return new


def _federation_after(session: Session, changes: tuple[Change, ...]) -> dict[bytes, bytes | None]:
    """The leaves that the changes about other clusters come to."""
    about = tuple(change for change in changes if isinstance(change, FederationChange))
    if not about:
        return {}
    parent = session.sitting.parent
    own = Own(parent.cluster_id, session.sitting.own_name)
    return leaves_after(session.get, own, session.time_ms, parent.height + 1, about)


def _members_after(session: Session, changes: tuple[Change, ...]) -> dict[bytes, Member | None]:
    """The members that the changes touch as they leave them, None for those removed."""
    touched: dict[bytes, Member | None] = {}
    for change in changes:
        if isinstance(change, SetMember):
            touched[change.member.public_key] = change.member
        elif isinstance(change, RemoveMember):
            key = change.public_key
            if (touched[key] if key in touched else _member(session, key)) is None:
                raise RejectedTransaction(Code.MEMBER_UNKNOWN, f"key {key.hex()}")
            touched[key] = None
    return touched


def _counts_after(session: Session, members: Mapping[bytes, Member | None]) -> dict[str, int]:
    """How many members each organisation then has."""
    counts = organisations_of(session.get(ORGANISATIONS_KEY))
    for key, member in members.items():
        before = _member(session, key)
        if before is not None:
            counts[before.organisation] -= 1
        if member is not None:
            counts[member.organisation] = counts.get(member.organisation, 0) + 1
    return counts


def _member(session: Session, key: bytes) -> Member | None:
    stored = session.get(member_key(key))
    return None if stored is None else decode_member(stored)


def _refuse_members_as_validators(
    session: Session, roster: Roster, members: Mapping[bytes, Member | None]
) -> None:
    """A consensus or node key that signs anything else would give up what its signatures prove (C18)."""
    for validator in roster.validators:
        for key in (validator.consensus_key, validator.node_key):
            member = members[key] if key in members else _member(session, key)
            if member is not None:
                raise RejectedTransaction(
                    Code.KEY_IN_USE,
                    f"key {key.hex()} of validator {validator.name} is member {member.name}'s",
                )


def _missing_joiners(session: Session, roster: Roster, proposal: Proposal) -> int:
    return sum(not proposal.is_ready(key, session.time_ms) for key in joining_keys(roster, proposal.changes))


def settle(session: Session, proposal_id: Digest, proposal: Proposal) -> Standing:
    """Execute the proposal if it is due, store it either way; where it stands then."""
    roster = session.roster()
    weight, missing = roster.operator_weight(proposal.approvals), _missing_joiners(session, roster, proposal)
    executed = False
    if 3 * weight > 2 * roster.total_weight and not missing:
        new = judge(session, proposal)
        if new is None or roster.epoch == session.sitting.epoch:
            _execute(session, proposal, new)
            proposal = replace(proposal, executed_height=session.sitting.parent.height + 1)
            close(session, proposal_id)
            executed = True
    session.put(proposal_key(proposal_id), proposal.encode())
    return Standing(proposal_id, executed, weight, roster.total_weight, missing)


def _execute(session: Session, proposal: Proposal, new: Roster | None) -> None:
    if new is not None:
        session.put(ROSTER_KEY, new.encode())
        before = session.features()
        after = features_after(before, proposal.changes, new.epoch)
        if after != before:
            session.put(FEATURES_KEY, encode_features(after))
    members = _members_after(session, proposal.changes)
    if members:
        session.put(ORGANISATIONS_KEY, encode_organisations(_counts_after(session, members)))
        for key, member in members.items():
            session.put(member_key(key), None if member is None else encode(member.to_value()))
    for change in proposal.changes:
        if isinstance(change, SetPolicy):
            session.put(policy_key(change.app, change.method), encode(change.policy.to_value()))
    for key, leaf in _federation_after(session, proposal.changes).items():
        session.put(key, leaf)


def close(session: Session, proposal_id: Digest) -> None:
    """Take the proposal off the list of open ones."""
    entries = session.open_proposals()
    session.put(OPEN_KEY, encode_open([entry for entry in entries if entry.id != proposal_id]))
