"""What the API tells of governance, and how it is read from one snapshot."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

from consensus import LocalError, Value, decode, encode
from node.anchoring.lanes.messages import Mode
from node.api.faults import Fault, fault
from node.api.queries import proven_header, state_height
from node.ledger.features import FEATURES, FEATURES_KEY, decode_features
from node.ledger.federation.changes import (
    AdmitCluster,
    ApproveRecovery,
    RetireCluster,
    SetAddresses,
    SetFederation,
    SetLanePolicy,
    SetReaders,
    VouchForHeader,
)
from node.ledger.federation.grants import Grant
from node.ledger.federation.records import Address, FederationParams, LanePolicy
from node.ledger.governance.changes import (
    AddValidator,
    Change,
    EnableFeature,
    RemoveMember,
    RemoveValidator,
    Reweigh,
    RotateKeys,
    SetMember,
    SetPolicy,
    changes_of,
)
from node.ledger.governance.queries import ProposalView, find_proposal, open_ids
from node.ledger.members import Member
from node.ledger.policy import Policy
from node.ledger.roster import ROSTER_KEY, Roster, ValidatorRecord
from node.proofs.header import Header
from node.storage import Snapshot, StateTable

KINDS: dict[type, str] = {
    AddValidator: "add-validator",
    RemoveValidator: "remove-validator",
    Reweigh: "weight",
    RotateKeys: "rotate",
    SetMember: "set-member",
    RemoveMember: "remove-member",
    SetPolicy: "set-policy",
    AdmitCluster: "admit-cluster",
    RetireCluster: "retire-cluster",
    ApproveRecovery: "approve-recovery",
    SetLanePolicy: "lane-policy",
    SetFederation: "federation",
    VouchForHeader: "vouch-for-header",
    SetReaders: "readers",
    SetAddresses: "addresses",
    EnableFeature: "enable-feature",
}
"""How each change is called in words, in the order of their numbers."""
_NESTED = ValidatorRecord | Member | Policy | Address | FederationParams | LanePolicy | Grant


@dataclass(frozen=True, slots=True)
class ValidatorAnswer:
    """One validator of the current epoch; `public_key` is its consensus key."""

    index: int
    name: str
    organisation: str
    public_key: bytes
    weight: int
    node_key: bytes
    operator_key: bytes


@dataclass(frozen=True, slots=True)
class ValidatorsAnswer:
    """The validators that certify the headers above `height`, of `epoch`."""

    epoch: int
    total_weight: int
    validators: tuple[ValidatorAnswer, ...]
    height: int


@dataclass(frozen=True, slots=True)
class ApprovalAnswer:
    """One approval; `validator` is None and the weight 0 when its operator operates none any more."""

    operator_key: bytes
    validator: str | None
    weight: int


@dataclass(frozen=True, slots=True)
class JoinerAnswer:
    """A consensus key that a proposal brings, and whether its holder has proved that it is synced."""

    consensus_key: bytes
    is_ready: bool


@dataclass(frozen=True, slots=True)
class ProposalAnswer:
    """One proposal: `state` is open, executed or expired; `changes` is the canonical array of its changes.

    It takes effect when more than two thirds of `total_weight` approve and all joiners are ready."""

    proposal_id: bytes
    state: str
    proposer: bytes
    tx_id: bytes
    sweeping: bool
    changes: bytes
    height: int
    expires_at_ms: int
    executed_height: int | None
    approving_weight: int
    total_weight: int
    approvals: tuple[ApprovalAnswer, ...]
    joiners: tuple[JoinerAnswer, ...]

    def readable(self) -> Mapping[str, object]:
        """The changes in words."""
        return {"decoded_changes": [change_fields(change) for change in changes_of(decode(self.changes))]}


@dataclass(frozen=True, slots=True)
class FeatureAnswer:
    """A change of the rules. `epoch` is the first in which it is in force, None while it is not enabled;
    `since_protocol` the first protocol version whose software knows it, None when this node's does not."""

    name: str
    epoch: int | None
    since_protocol: int | None
    words: str


@dataclass(frozen=True, slots=True)
class GovernanceAnswer:
    """The open proposals at `height`, oldest first, weighed by the roster of `epoch`; `features` are those
    that are enabled, in that order, and then those that this node knows besides."""

    height: int
    epoch: int
    total_weight: int
    proposals: tuple[ProposalAnswer, ...]
    features: tuple[FeatureAnswer, ...]


def change_fields(change: Change) -> dict[str, object]:
    """A change as names and values, `kind` first."""
    named: dict[str, object] = {"kind": KINDS[type(change)]}
    if isinstance(change, AdmitCluster):
        # The genesis itself may be large; its hash, the cluster's id, is what operators compare.
        identity = change.identity
        addresses = tuple(map(_plain, change.addresses))
        return {**named, "cluster_id": identity.cluster_id, "name": identity.name, "addresses": addresses}
    return {**named, **{field.name: _plain(getattr(change, field.name)) for field in fields(change)}}


def _plain(value: object) -> object:
    """A nested dataclass as names and values, several as an array of these, an enumeration as its name."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, Mode):
        return value.name.lower()
    return {f.name: getattr(value, f.name) for f in fields(value)} if isinstance(value, _NESTED) else value


def validators(snapshot: Snapshot) -> ValidatorsAnswer:
    """Who certifies what comes above the state's height."""
    roster = _roster(snapshot)
    listed = tuple(
        ValidatorAnswer(index, v.name, v.organisation, v.consensus_key, v.weight, v.node_key, v.operator_key)
        for index, v in enumerate(roster.validators)
    )
    return ValidatorsAnswer(roster.epoch, roster.total_weight, listed, state_height(snapshot))


def governance(snapshot: Snapshot) -> GovernanceAnswer:
    """The open proposals."""
    roster, get = _roster(snapshot), _leaves(snapshot)
    height, time_ms = _moment(snapshot)
    found = (find_proposal(get, proposal_id, roster, time_ms) for proposal_id in open_ids(get))
    listed = tuple(_answer(view) for view in found if view is not None)
    return GovernanceAnswer(height, roster.epoch, roster.total_weight, listed, _features(get))


def _features(get: Callable[[bytes], bytes | None]) -> tuple[FeatureAnswer, ...]:
    enabled = {feature.name: feature.epoch for feature in decode_features(get(FEATURES_KEY))}
    known = {feature.name: feature for feature in FEATURES}
    found = []
    for name in (*enabled, *(name for name in known if name not in enabled)):
        feature = known.get(name)
        since, words = (
            (None, "unknown to this node") if feature is None else (feature.since_protocol, feature.words)
        )
        found.append(FeatureAnswer(name, enabled.get(name), since, words))
    return tuple(found)


def proposal(snapshot: Snapshot, proposal_id: bytes) -> ProposalAnswer:
    """One proposal, open, executed or expired. Raises ApiFault NOT_FOUND."""
    _, time_ms = _moment(snapshot)
    view = find_proposal(_leaves(snapshot), proposal_id, _roster(snapshot), time_ms)
    if view is None:
        raise fault(
            Fault.NOT_FOUND,
            f"There is no proposal {proposal_id.hex()} (any more): withdrawn ones, and expired ones some "
            "time later, are forgotten.",
        )
    return _answer(view)


def _answer(view: ProposalView) -> ProposalAnswer:
    proposed = view.proposal
    content: tuple[Value, ...] = tuple(change.to_value() for change in proposed.changes)
    return ProposalAnswer(
        view.id,
        view.state,
        proposed.proposer,
        proposed.tx_id,
        proposed.sweeping,
        encode(content),
        proposed.height,
        proposed.expires_at_ms,
        proposed.executed_height,
        view.approving_weight,
        view.total_weight,
        tuple(
            ApprovalAnswer(key, None if by is None else by.name, 0 if by is None else by.weight)
            for key, by in view.approvals
        ),
        tuple(JoinerAnswer(key, is_ready) for key, is_ready in view.joiners),
    )


def _leaves(snapshot: Snapshot) -> Callable[[bytes], bytes | None]:
    return lambda key: snapshot.get(StateTable.STATE, key)


def _roster(snapshot: Snapshot) -> Roster:
    stored = snapshot.get(StateTable.STATE, ROSTER_KEY)
    if stored is None:
        raise LocalError("the store lacks the roster of validators")
    return Roster.decode(stored)


def _moment(snapshot: Snapshot) -> tuple[int, int]:
    """The state's height and its time."""
    height = state_height(snapshot)
    return height, Header.decode(proven_header(snapshot, height).header).time_ms
