"""`accuse`, `recover` and `renew`: how a cluster that forked is stopped here, and how it comes back.

    accuse   [evidence]
             [evidence, [seer cluster id, [subject, anchor, state proof], their path, our path,
                         link path | nil, 0 | 1: ours is the second statement]]
    recover  [recovery certificate, common prefix | nil]
             [recovery certificate, common prefix | nil, tip path]
    renew    [cluster id, roster leaf, state proof]
    answers  accuse: [evidence id, accused keys]; recover: [incarnation, leaves that both share | nil: all];
             renew: the number of operators

Evidence freezes by itself, whoever brings it (F3); a recovery also needs that our operators approved exactly
it (F6), and one that the evidence here taints leaves the cluster frozen, in the incarnation that it begins
(`node/anchoring/client/recovering.py`). The tip path is for a recovery that replaces one where nobody is
convicted, on a higher header: from the base that we took before to that. A frozen cluster's lanes are parked.
What both branches said to us is proven by the common prefix of their logs; without one nothing counts as
shared, and more is disputed than must be. `renew` takes over the operators and nodes of the other cluster's
roster (`renewing.py`), as a bundle does.
"""

from dataclasses import dataclass, replace

from consensus import CodecError, Digest, Value, as_bytes, as_int, as_tuple
from node.anchoring.client.lightclient import recover as recovered
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import AnchorProof, ClientStatus, path_from_value
from node.anchoring.forks.evidence import ForkEvidence, HeldBranch
from node.anchoring.forks.recovery import RecoveryCertificate
from node.anchoring.lanes.inbound import RosterProof
from node.anchoring.lanes.outbox import CommonPrefix
from node.anchoring.lanes.recovery import heard_of, park, resume
from node.anchoring.lanes.refusals import LaneRefused
from node.anchoring.refusals import Code as Reason
from node.anchoring.refusals import Refused
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.federation.convicting import convict
from node.ledger.federation.records import client_of, peering_of
from node.ledger.federation.refused import by_client, by_lane
from node.ledger.federation.renewing import renew_by
from node.ledger.federation.session import Session
from node.ledger.federation.watching import forget, note_certified
from node.proofs import ProofError
from node.proofs.rfc6962 import MAX_SIZE


@dataclass(frozen=True, slots=True)
class OtherBranch:
    """Where another cluster holds the other branch, for evidence of an epoch that is over (F5)."""

    seer: Digest
    view: AnchorProof
    their_path: tuple[bytes, ...]
    our_path: tuple[bytes, ...]
    link_path: tuple[bytes, ...] | None
    ours_is_second: bool

    @staticmethod
    def from_value(value: Value) -> "OtherBranch":
        """`[seer, view, their path, our path, link path | nil, 0 | 1]`; raises CodecError."""
        seer, view, theirs, ours, link, second = as_tuple(value, 6, "other branch")
        return OtherBranch(
            Digest(as_bytes(seer, "seer", length=32)),
            AnchorProof.from_value(view),
            path_from_value(theirs, "their path"),
            path_from_value(ours, "our path"),
            None if link is None else path_from_value(link, "link path"),
            as_int(second, "ours is second", high=1) == 1,
        )


@dataclass(frozen=True, slots=True)
class Accuse:
    """Parsed arguments of `accuse`."""

    evidence: ForkEvidence
    encoded: bytes
    other: OtherBranch | None


@dataclass(frozen=True, slots=True)
class Recover:
    """Parsed arguments of `recover`."""

    recovery: RecoveryCertificate
    prefix: CommonPrefix | None
    tip_path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Renew:
    """Parsed arguments of `renew`."""

    cluster_id: Digest
    roster: RosterProof


def parse_renew(args: tuple[Value, ...]) -> Renew:
    """Raises CodecError."""
    cluster_id, roster, proof = as_tuple(args, 3, "arguments of renew")
    return Renew(
        Digest(as_bytes(cluster_id, "cluster id", length=32)),
        RosterProof.from_value((roster, proof)),
    )


def renew(session: Session, call: Renew) -> Value:
    """Take over the operators and nodes of another cluster's current roster."""
    session.require_courier()
    before = session.client(call.cluster_id)
    try:
        after, is_new = renew_by(session, before, call.roster)
    except Refused as error:
        raise by_client(error) from error
    if not is_new:
        raise RejectedTransaction(Code.NOTHING_NEW, f"this is the roster of {before.name} already")
    return len(after.operators)


def parse_accuse(args: tuple[Value, ...]) -> Accuse:
    """Raises CodecError."""
    if len(args) == 2:
        data, other = args
        branch = OtherBranch.from_value(other)
    else:
        (data,) = as_tuple(args, 1, "arguments of accuse")
        branch = None
    encoded = as_bytes(data, "evidence")
    return Accuse(ForkEvidence.decode(encoded), encoded, branch)


def parse_recover(args: tuple[Value, ...]) -> Recover:
    """Raises CodecError."""
    if len(args) == 3:
        data, prefix, path = args
    else:
        (data, prefix), path = as_tuple(args, 2, "arguments of recover"), ()
    return Recover(
        RecoveryCertificate.decode(as_bytes(data, "recovery")),
        None if prefix is None else CommonPrefix.decode(as_bytes(prefix, "common prefix")),
        path_from_value(path, "tip path"),
    )


def accuse(session: Session, call: Accuse) -> Value:
    """Write down whom evidence accuses, and freeze their cluster; what names nobody new changes nothing."""
    session.require_known()
    before = session.client(call.evidence.first.certified.header.cluster_id)
    try:
        held = None if call.other is None else _held(session, before.cluster_id, call.other)
        verdict, is_new = convict(session, before, call.encoded, held)
    except Refused as error:
        raise by_client(error, _code(error)) from error
    if not is_new:
        raise RejectedTransaction(
            Code.NOTHING_NEW, f"these {len(verdict.accused)} keys of {before.name} are accused already"
        )
    return (call.evidence.id, verdict.accused)


def _code(error: Refused) -> Code | None:
    """Whatever fails inside evidence is the evidence's fault."""
    return None if error.code is Reason.CLIENT_RETIRED else Code.EVIDENCE_REFUSED


def _held(session: Session, accused: bytes, other: OtherBranch) -> HeldBranch:
    """The other branch, as a cluster that is ACTIVE here anchored it. Raises Refused."""
    seer = client_of(session.get, other.seer)
    if seer is None or seer.status is not ClientStatus.ACTIVE or seer.cluster_id == accused:
        raise Refused(Reason.BAD_WITNESS, f"{other.seer.hex()} is no active cluster other than the accused")
    anchor = other.view.check(seer.last.anchors_root, accused)
    return HeldBranch(anchor, other.their_path, other.our_path, other.link_path, other.ours_is_second)


def recover(session: Session, call: Recover) -> Value:
    """Apply the recovery that our operators approved, to the client and to its lanes, which go through all
    incarnations up to it: of those that it passes over we heard nothing."""
    session.require_courier()
    recovery = call.recovery
    before = session.client(recovery.base.header.cluster_id)
    approved = peering_of(session.get, before.cluster_id).recovery
    if approved != recovery.digest():
        what = "none" if approved is None else approved.hex()
        raise RejectedTransaction(
            Code.RECOVERY_NOT_APPROVED, f"approved is {what}, brought {recovery.digest().hex()}"
        )
    try:
        after = recovered(before, recovery, session.time_ms, session.cache, call.tip_path)
    except Refused as error:
        code = None if error.code is Reason.CLIENT_RETIRED else Code.RECOVERY_REFUSED
        raise by_client(error, code) from error
    block = session.posting.block
    common, root = _common(session, before, after.last.outbox_root, call.prefix)
    try:
        resume(session.draft, block.cluster_id, before.cluster_id, before.incarnation + 1, common, root)
        for skipped in range(before.incarnation + 2, after.incarnation + 1):
            resume(session.draft, block.cluster_id, before.cluster_id, skipped, MAX_SIZE)
    except LaneRefused as error:
        raise by_lane(error) from error
    if after.status is ClientStatus.FROZEN:
        park(session.draft, before.cluster_id, after.incarnation)
    session.put_client(after)
    note_certified(session, recovery.base)
    forget(session, before.cluster_id)
    session.note_anchored(before.cluster_id)
    session.change_peering(before.cluster_id, lambda known: replace(known, recovery=None))
    return (after.incarnation, None if common == MAX_SIZE else common)


def _common(
    session: Session, before: ClientState, chosen: bytes, prefix: CommonPrefix | None
) -> tuple[int, Digest | None]:
    """How many of the leaves that we were proven the chosen branch said as well, and their root."""
    heard = heard_of(session.draft, before.cluster_id)
    if heard is None or before.last.outbox_root == chosen:
        return MAX_SIZE, None
    if prefix is None:
        return 0, None
    try:
        prefix.verify(heard.size, heard.root, chosen, session.posting.block.cluster_id)
    except (ProofError, CodecError) as error:
        raise RejectedTransaction(Code.PROOF_REFUSED, f"common prefix: {error}") from error
    return prefix.size, prefix.root
