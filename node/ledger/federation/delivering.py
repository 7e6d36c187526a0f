"""`deliver`: what a courier brings from another cluster, in one transaction.

    deliver  [bundle]
             [bundle, [witness, ...], path | nil]
    bundle   `node/anchoring/lanes/inbound.py`
    witness  [seer cluster id, [subject, anchor, state proof], path]   another cluster's anchor of it (F8)
    path     from the header that operators vouch for to the bundle's
    answers  [anchored height | 0, why it was not anchored | "", [[leaf index, outcome], ...]]

The light client goes first, then a roster (`renewing.py`) and views of others (`watching.py`); then each leaf
is taken by its lane, in order. A leaf that is a repetition, early or over a quota is passed over, with the
lane's label as its outcome, and costs the others nothing. A bundle that brings nothing new at all, evidence
included, fails with the code of its first refusal and writes nothing.
"""

from dataclasses import dataclass

from consensus import (
    CodecError,
    Digest,
    Value,
    as_array,
    as_bytes,
    as_tuple,
)
from node.anchoring.client.lightclient import Corroboration, Update, required_witnesses
from node.anchoring.client.lightclient import update as updated
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import AnchorProof, ClientStatus, Point, Witness, path_from_value
from node.anchoring.lanes.destination import Verdict, pass_over
from node.anchoring.lanes.destination import deliver as take_message
from node.anchoring.lanes.inbound import InboundBundle
from node.anchoring.lanes.messages import Acknowledgement, Closing, Gap, Message, decode_leaf
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import Arrival
from node.anchoring.lanes.source import acknowledge, close
from node.anchoring.lanes.views import AnchoredView
from node.anchoring.refusals import Code as Reason
from node.anchoring.refusals import Refused
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.federation.keys import evidence_list_key
from node.ledger.federation.posting import admits, view_of
from node.ledger.federation.records import CLUSTERS_MAX, peering_of
from node.ledger.federation.refused import by_client, by_lane
from node.ledger.federation.renewing import renew_by
from node.ledger.federation.session import Session
from node.ledger.federation.watching import (
    corroboration_of,
    note_certified,
    take_places,
    take_views,
    watch_by,
)
from node.proofs import ProofError

CLOSING_TAKEN = "lane-closed"
"""The outcome of a leaf by which the other cluster closed a part of a lane."""
GAP_TAKEN = "gap-passed"
"""The outcome of a leaf by which the other cluster told where it says nothing."""


_EVIDENCE = evidence_list_key(b"")


@dataclass(frozen=True, slots=True)
class Seen:
    """A witness as it is claimed: `view` is to be proven at our own client of the seer."""

    seer: Digest
    view: AnchorProof
    path: tuple[bytes, ...]

    def to_value(self) -> Value:
        """`[seer, [subject, anchor, state proof], path]`."""
        return (self.seer, self.view.to_value(), self.path)

    @staticmethod
    def from_value(value: Value) -> "Seen":
        """The inverse of `to_value`; raises CodecError."""
        seer, view, path = as_tuple(value, 3, "witness")
        return Seen(
            Digest(as_bytes(seer, "seer", length=32)),
            AnchorProof.from_value(view),
            path_from_value(path, "witness path"),
        )


@dataclass(frozen=True, slots=True)
class Deliver:
    """Parsed arguments of `deliver`."""

    bundle: InboundBundle
    update: Update | None
    seen: tuple[Seen, ...] = ()
    approval_path: tuple[bytes, ...] | None = None


def parse_deliver(args: tuple[Value, ...]) -> Deliver:
    """Raises CodecError."""
    bundle, listed, vouched = as_tuple(
        (*args, (), None) if len(args) == 1 else args, 3, "arguments of deliver"
    )
    seen = tuple(map(Seen.from_value, as_array(listed, CLUSTERS_MAX, "witnesses")))
    path = None if vouched is None else path_from_value(vouched, "approval path")
    opened = InboundBundle.decode(as_bytes(bundle, "bundle"))
    update = None if opened.update is None else Update.decode(opened.update)
    return Deliver(opened, update, seen, path)


def deliver(session: Session, call: Deliver) -> Value:
    """Anchor, then take what the lanes take."""
    session.require_courier()
    client = session.client(call.bundle.source)
    anchored, why = 0, ""
    refused: Refused | LaneRefused | None = None
    if call.update is not None:
        try:
            client = _anchor(session, client, call, call.update)
            anchored = client.last.height
        except Refused as error:
            if error.code is not Reason.NOT_NEWER:
                raise by_client(error) from error
            refused, why = error, str(error.code)
    took = False
    if call.bundle.roster is not None:
        try:
            client, took = renew_by(session, client, call.bundle.roster)
        except Refused as error:
            if anchored or call.update is None:
                raise by_client(error) from error
    take_places(session, client, call.bundle.places)
    watch_by(session, session.client(client.cluster_id), call.bundle.places)
    take_views(session, client, call.bundle.views)
    took = took or _has_convicted(session)
    client = session.client(call.bundle.source)
    outcomes: list[tuple[int, str]] = []
    view = view_of(client)
    for arrival in call.bundle.arrivals():
        try:
            outcome = _take(session, view, arrival)
            took = True
        except LaneRefused as error:
            refused, outcome = _more_telling(refused, error), error.refusal.label
        outcomes.append((arrival.proof.index, outcome))
    if not anchored and not took:
        if isinstance(refused, LaneRefused):
            raise by_lane(refused)
        if refused is not None:
            raise by_client(refused)
        raise RejectedTransaction(Code.NOTHING_NEW, f"this is the roster of {client.name} already")
    return (anchored, why, tuple(outcomes))


def _has_convicted(session: Session) -> bool:
    """Whether evidence was found in what others hold: it stays written, whatever else the bundle brings."""
    return any(key.startswith(_EVIDENCE) for key in session.draft.writes)


def _more_telling(first: Refused | LaneRefused | None, second: LaneRefused) -> Refused | LaneRefused:
    """A leaf's refusal says more than that its header is held already, unless it is the proof's, which was
    made for that older header; of leaves the first counts."""
    if isinstance(first, LaneRefused) or (first is not None and second.refusal is Refusal.PROOF_FAILED):
        return first
    return second


def _anchor(session: Session, client: ClientState, call: Deliver, update: Update) -> ClientState:
    """The client with the update's header, stored. Raises Refused."""
    params = session.params
    state = updated(
        client,
        update,
        session.time_ms,
        session.cache,
        stale_after_ms=params.stale_after_ms,
        corroboration=_corroboration(session, client, call, update),
    )
    session.put_client(state)
    note_certified(session, update.certified)
    session.note_anchored(client.cluster_id)
    return state


def _corroboration(session: Session, client: ClientState, call: Deliver, update: Update) -> Corroboration:
    """What the bundle brings beside the update, where the client needs it: epochs passed, and nobody watched
    since it was STALE. Witnesses are those that the bundle names, and those that other couriers brought."""
    header = update.certified.header
    if not client.needs_others or header.epoch == client.epoch:
        return Corroboration()
    checkpoint = peering_of(session.get, client.cluster_id).checkpoint
    if checkpoint is not None and call.approval_path is not None:
        try:
            Point.of(header).check_holds(checkpoint.height, checkpoint.header_hash, call.approval_path)
        except ProofError as error:
            raise Refused(Reason.BAD_WITNESS, f"the header that operators vouch for: {error}") from error
        return Corroboration(0, (), True)
    others = {
        other.cluster_id: other
        for other in session.clients()
        if other.status is ClientStatus.ACTIVE and other.cluster_id != client.cluster_id
    }
    witnesses = []
    for seen in call.seen:
        seer = others.get(seen.seer)
        if seer is None:
            raise Refused(Reason.BAD_WITNESS, f"{seen.seer.hex()} is no active cluster other than these")
        anchor = seen.view.check(seer.last.anchors_root, client.cluster_id)
        witnesses.append(Witness(seen.seer, anchor, seen.path))
    if not witnesses:
        return corroboration_of(session.get, client, update, call.bundle.places)
    return Corroboration(required_witnesses(session.params.witnesses, len(others)), tuple(witnesses))


def _take(session: Session, view: AnchoredView, arrival: Arrival) -> str:
    """Let the lane of a leaf take it; how it ended. Raises LaneRefused."""
    draft, posting = session.draft, session.posting
    try:
        leaf = decode_leaf(arrival.leaf)
    except CodecError as error:
        raise LaneRefused(Refusal.MALFORMED_LEAF, str(error)) from error
    if isinstance(leaf, Acknowledgement):
        return acknowledge(draft, posting.block, view, arrival, posting.hear).standing.value
    if isinstance(leaf, Closing):
        close(draft, posting.block, view, arrival, posting.hear)
        return CLOSING_TAKEN
    if isinstance(leaf, Gap):
        pass_over(draft, posting.block, view, arrival)
        return GAP_TAKEN

    def policy(message: Message) -> Verdict:
        return admits(draft, posting.block, message)

    received = take_message(draft, posting.block, view, arrival, policy, posting.handle)
    return received.result.name.lower()
