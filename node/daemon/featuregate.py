"""Who could go on if a feature came into force: what nodes told in their hello, weighed by the roster.

The ledger cannot know what software runs where, so execution asks nothing of it. A node does, before it takes
in the proposal or an approval of a feature: more than two thirds of the weight must have told it that they
speak a protocol version whose software knows the feature. A feature needs approvals of more than two thirds
of the weight; as long as less than a third lies, some of these passed through honest operators' nodes, and
each of those had seen a quorum that goes on beyond the border.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from consensus import CodecError
from node import wire
from node.daemon.daemon import Node
from node.diagnosis import ProposedFeature
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.features import FEATURES, Feature
from node.ledger.governance.app import NAME, parse
from node.ledger.governance.changes import enabled_names
from node.ledger.governance.door import features_named
from node.ledger.governance.proposals import Proposal, proposal_key
from node.ledger.governance.queries import open_ids
from node.ledger.roster import Roster
from node.ledger.transactions import Transaction
from node.storage import SnapshotLimit, StateTable
from node.validator import Refusal

_NAME_BYTES = NAME.encode()


def refusal(node: Node, encoded: bytes) -> Refusal | None:
    """Why this node does not take in a transaction that proposes or approves a feature, None for any other
    and for what admission refuses better. Nothing is signed for here yet: a stranger may send any number."""
    if not concerns(encoded):
        return None
    try:
        transaction = Transaction.decode(encoded, len(encoded))
        if transaction.app != NAME:
            return None
        parse(transaction.method, transaction.args, node.validator.data.line.features)
    except RejectedTransaction:
        return None
    try:
        with node.recent.over(node.opened.store) as snapshot:
            names = features_named(
                transaction.method, transaction.args, lambda key: snapshot.get(StateTable.STATE, key)
            )
    except SnapshotLimit as error:
        return Refusal(Code.POOL_FULL, str(error))
    if not names:
        return None
    term = node.validator.term
    detail = unsupported(names, term.roster, spoken(node))
    if detail is None:
        return None
    if term.me is None:
        detail += "; this node is no validator: ask through a validator's node, which is linked to the others"
    return Refusal(Code.FEATURE_UNSUPPORTED, str(RejectedTransaction(Code.FEATURE_UNSUPPORTED, detail)))


def concerns(encoded: bytes) -> bool:
    """Whether `refusal` has to open this transaction."""
    return _NAME_BYTES in encoded


def spoken(node: Node) -> dict[bytes, int]:
    """The newest protocol version that each node told since this one started, by node key."""
    told = {bytes(peer.peer): peer.protocol_newest for peer in node.network.status()}
    found = {key: version for key, version in told.items() if version is not None}
    return found | {bytes(node.opened.identity.peer_id): wire.PROTOCOL_VERSION}


def unsupported(
    names: Iterable[str],
    roster: Roster,
    versions: Mapping[bytes, int],
    known: Sequence[Feature] = FEATURES,
) -> str | None:
    """What is lacking for the first of these features that no quorum is seen to know, in words; features that
    this software does not know are not judged."""
    since = {feature.name: feature.since_protocol for feature in known}
    for name in names:
        if name not in since:
            continue
        lacking = [v for v in roster.validators if versions.get(bytes(v.node_key), -1) < since[name]]
        weight = roster.total_weight - sum(validator.weight for validator in lacking)
        if 3 * weight <= 2 * roster.total_weight:
            names_lacking = ", ".join(validator.name for validator in lacking)
            return (
                f"{name} needs protocol {since[name]}; weight {weight} of {roster.total_weight} is seen to "
                f"speak it, not that of {names_lacking}"
            )
    return None


def proposed_features(
    get: Callable[[bytes], bytes | None], known: Sequence[Feature] = FEATURES
) -> tuple[ProposedFeature, ...]:
    """The features that an open proposal would enable, in the order of proposals, each once."""
    since = {feature.name: feature.since_protocol for feature in known}
    found: dict[str, ProposedFeature] = {}
    for proposal_id in open_ids(get):
        stored = get(proposal_key(proposal_id))
        try:
            names = () if stored is None else enabled_names(Proposal.decode(stored).changes)
        except CodecError:
            continue  # of newer software: it changes what this one cannot read
        for name in names:
            found.setdefault(name, ProposedFeature(name, since.get(name)))
    return tuple(found.values())
