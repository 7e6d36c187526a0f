"""What others were shown of a cluster, compared with what we hold: split views are found, and convict (F4).

A bundle from one cluster brings its views of others (`node/anchoring/forks/views.py`). A certified header
that it took and that we have not met is a *claim*: the subject's own next bundle must show what stands at
that height of its history. The same hash settles the claim; another one is evidence, and freezes. A claim
that the subject does not answer stays, and is shown. Views of a cluster that nobody watched are kept as its
witnesses (F8).

    federation/certified/<id>   [header bytes, certificate]          the tip that we hold of it
    federation/claim/<id>       [seer, header bytes, certificate]    a certified header not met in its history
    federation/seen/<id>        [[seer, anchor], ...]                what others hold of it
"""

from dataclasses import dataclass

from consensus import CodecError, Digest, Value, as_array, as_bytes, as_tuple, encode_trusted
from node.anchoring.client.lightclient import Corroboration, Update, required_witnesses, watch
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import Anchor, ClientStatus, Point, Witness
from node.anchoring.cluster.certified import Certified
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Leaf, Statement
from node.anchoring.forks.views import PLACES_MAX, Place, View
from node.anchoring.refusals import Refused
from node.ledger.federation.convicting import convict, is_kept
from node.ledger.federation.keys import certified_key, claim_key, seen_key
from node.ledger.federation.records import (
    Checkpoint,
    Get,
    client_of,
    cluster_ids,
    params_of,
    peering_of,
    read,
)
from node.ledger.federation.session import Session
from node.proofs import ProofError

SEEN_MAX = PLACES_MAX - 2
"""Witnesses kept of one cluster; a place is asked for each, one for a claim, one for a header vouched for."""
ABOUT_MAX = 4
_FOLLOWED = (ClientStatus.PENDING, ClientStatus.ACTIVE, ClientStatus.STALE)
_WATCHED = (*_FOLLOWED, ClientStatus.FROZEN)
"""Of whom others are asked: of the frozen ones for evidence that we do not have."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A certified header of a cluster that `seer` took."""

    seer: Digest
    certified: Certified

    @staticmethod
    def from_value(value: Value) -> "Claim":
        """`[seer, header bytes, certificate]`; raises CodecError."""
        seer, *certified = as_tuple(value, 3, "claim")
        return Claim(Digest(as_bytes(seer, "seer", length=32)), Certified.from_value(tuple(certified)))


def claim_of(get: Get, cluster_id: bytes) -> Claim | None:
    """What another cluster was shown of this one and its history has not confirmed; None while all agree."""
    return read(get, claim_key(cluster_id), Claim.from_value)


def seen_of(get: Get, cluster_id: bytes) -> tuple[tuple[Digest, Anchor], ...]:
    """What others hold of a cluster that nobody watched."""
    return read(get, seen_key(cluster_id), _seen) or ()


def about_of(get: Get, peer: ClientState) -> tuple[Digest, ...]:
    """The clusters of which `peer` is asked: those in need of witnesses, and one of all, which its tip's hash
    chooses: heights go in steps, and whoever falls between them would never be asked about."""
    found = (client_of(get, each) for each in cluster_ids(get) if each != peer.cluster_id)
    others = [client for client in found if client is not None and client.status in _WATCHED]
    if not others:
        return ()
    urgent = [client.cluster_id for client in others if client.needs_others][: ABOUT_MAX - 1]
    turn = others[int.from_bytes(peer.last.header_hash[:8], "big") % len(others)].cluster_id
    return tuple(urgent) if turn in urgent else (*urgent, turn)


def places_of(get: Get, client: ClientState) -> tuple[int, ...]:
    """The heights at which a cluster's history is asked for: of a claim, of a header that operators vouch
    for, and of its witnesses."""
    claim = claim_of(get, client.cluster_id)
    heights = [] if claim is None else [claim.certified.header.height]
    vouched = peering_of(get, client.cluster_id).checkpoint
    if vouched is not None and client.needs_others:
        heights.append(vouched.height)
    heights += [anchor.point.height for _, anchor in seen_of(get, client.cluster_id)]
    return tuple(dict.fromkeys(heights))[:PLACES_MAX]


def note_certified(session: Session, certified: Certified) -> None:
    """This is the tip that we hold of its cluster now."""
    header = certified.header
    session.draft.put(certified_key(header.cluster_id), encode_trusted(certified.to_value()))


def forget(session: Session, cluster_id: bytes) -> None:
    """A new incarnation begins: what was seen of the one before is no matter."""
    session.draft.delete(claim_key(cluster_id))
    session.draft.delete(seen_key(cluster_id))


# --- what a bundle brings ------------------------------------------------------------------------------


def take_views(session: Session, seer: ClientState, views: tuple[View, ...]) -> None:
    """Compare a cluster's views of others with ours. What proves nothing is passed over."""
    for view in views:
        subject = client_of(session.get, view.anchor.subject)
        if subject is None or subject.cluster_id == seer.cluster_id or subject.status not in _WATCHED:
            continue
        try:
            anchor = view.anchor.check(seer.last.anchors_root, subject.cluster_id)
            if view.evidence is not None:
                _take_evidence(session, subject, view.evidence)
            elif (
                anchor.incarnation == subject.incarnation
                and anchor.status is not ClientStatus.FROZEN
                and subject.status is not ClientStatus.FROZEN
            ):
                _compare(session, subject, seer.cluster_id, anchor, view)
        except (Refused, CodecError):
            continue


def _take_evidence(session: Session, subject: ClientState, encoded: bytes) -> None:
    """Judge evidence that was not judged before. Raises Refused and CodecError for what proves nothing."""
    if not is_kept(session.get, subject.cluster_id, ForkEvidence.decode(encoded).id):
        convict(session, subject, encoded)


def _compare(session: Session, subject: ClientState, seer: Digest, anchor: Anchor, view: View) -> None:
    """Raises Refused for a header that the cluster never certified. An open claim keeps others waiting, but
    for those that convict by themselves: whoever forked answers none."""
    if subject.needs_others and anchor.status is ClientStatus.ACTIVE:
        _note_seen(session, subject.cluster_id, seer, anchor)
    certified = view.certified
    if certified is None or Point.of(certified.header) != anchor.point or not anchor.point.height:
        return
    last, header = subject.last, certified.header
    if header.height == last.height and header.hash == last.header_hash:
        return
    if header.epoch != subject.epoch:
        return
    certified.check(subject.cluster_id, subject.incarnation, subject.validators, session.cache)
    before = claim_of(session.get, subject.cluster_id)
    if before is None or header.height == last.height:
        claim = (seer, *certified.to_value())
        session.draft.put(claim_key(subject.cluster_id), encode_trusted(claim))
        _settle(session, subject, None)
    elif header.height == before.certified.header.height and header.hash != before.certified.header.hash:
        both = Statement(before.certified), Statement(certified)
        convict(session, subject, ForkEvidence(ForkKind.TWO_HEADERS, header.height, (), *both).encode())
        session.draft.delete(claim_key(subject.cluster_id))


def take_places(session: Session, client: ClientState, places: tuple[Place, ...]) -> None:
    """Settle the claim on a cluster by what stands at its height in the history that we hold now."""
    for place in places:
        _settle(session, client, place)


def _settle(session: Session, client: ClientState, place: Place | None) -> None:
    """The claim agrees and goes, or convicts; without a place that fits it stays."""
    claim = claim_of(session.get, client.cluster_id)
    if claim is None:
        return
    header, last = claim.certified.header, client.last
    if header.incarnation != client.incarnation:
        session.draft.delete(claim_key(client.cluster_id))
        return
    leaf = None
    if header.height == last.height:
        found = last.header_hash
    elif place is not None and place.height == header.height < last.height:
        try:
            last.point.check_holds(place.height, place.header_hash, place.path)
        except ProofError:
            return
        found, leaf = place.header_hash, Leaf(place.header_hash, place.path)
    else:
        return
    if found == header.hash:
        session.draft.delete(claim_key(client.cluster_id))
        return
    own = read(session.get, certified_key(client.cluster_id), Certified.from_value)
    if own is None or own.header.hash != last.header_hash:
        return
    evidence = ForkEvidence(
        ForkKind.TWO_HEADERS, header.height, (), Statement(claim.certified), Statement(own, leaf)
    )
    try:
        convict(session, client, evidence.encode())
    except Refused:
        return
    session.draft.delete(claim_key(client.cluster_id))


# --- witnesses -----------------------------------------------------------------------------------------


def watch_by(session: Session, client: ClientState, places: tuple[Place, ...]) -> None:
    """A client that healed by itself is watched again once enough others hold the branch of its tip."""
    if client.status is not ClientStatus.ACTIVE or not client.is_unwatched:
        return
    required = _required(session.get, client)
    witnesses = _witnesses(session.get, client, client.epoch, client.last.point, -1, places)
    if 0 < required <= len(witnesses):
        session.put_client(watch(client, Corroboration(required, witnesses)))


def corroboration_of(
    get: Get, client: ClientState, update: Update, places: tuple[Place, ...]
) -> Corroboration:
    """What an update across epochs of a cluster that nobody watched rests on: a header that our operators
    vouch for, or those who were seen on its branch (F8). Nothing where nothing is needed."""
    if not client.needs_others or not update.links:
        return Corroboration()
    header = update.certified.header
    point = Point.of(header)
    vouched = peering_of(get, client.cluster_id).checkpoint
    if vouched is not None and _stands(vouched, point, places):
        return Corroboration(0, (), True)
    above = update.links[-1].ending.header.height
    return Corroboration(_required(get, client), _witnesses(get, client, header.epoch, point, above, places))


def _stands(vouched: Checkpoint, point: Point, places: tuple[Place, ...]) -> bool:
    paths = [place.path for place in places if place.height == vouched.height]
    try:
        point.check_holds(vouched.height, vouched.header_hash, paths[0] if paths else ())
    except ProofError:
        return False
    return True


def _required(get: Get, client: ClientState) -> int:
    others = (client_of(get, each) for each in cluster_ids(get) if each != client.cluster_id)
    active = sum(other is not None and other.status is ClientStatus.ACTIVE for other in others)
    return required_witnesses(params_of(get).witnesses, active)


def _witnesses(
    get: Get,
    client: ClientState,
    epoch: int,
    point: Point,
    above: int,
    places: tuple[Place, ...],
) -> tuple[Witness, ...]:
    """Those who were seen to follow the branch of this point, with the paths that show it."""
    paths = {(place.height, place.header_hash): place.path for place in places}
    paths[point.height, point.header_hash] = ()
    found = []
    for seer, anchor in seen_of(get, client.cluster_id):
        path = paths.get((anchor.point.height, anchor.point.header_hash))
        holder = client_of(get, seer)
        if path is None or holder is None or holder.status is not ClientStatus.ACTIVE:
            continue
        witness = Witness(seer, anchor, path)
        try:
            witness.check_agrees(client.incarnation, epoch, point, above)
        except Refused:
            continue
        found.append(witness)
    return tuple(found)


def _note_seen(session: Session, cluster_id: Digest, seer: Digest, anchor: Anchor) -> None:
    others = [item for item in seen_of(session.get, cluster_id) if item[0] != seer]
    kept = (*others, (seer, anchor))[-SEEN_MAX:]
    value = tuple((who, held.encode()) for who, held in kept)
    session.draft.put(seen_key(cluster_id), encode_trusted(value))


def _seen(value: Value) -> tuple[tuple[Digest, Anchor], ...]:
    found = []
    for item in as_array(value, SEEN_MAX, "views of others"):
        seer, anchor = as_tuple(item, 2, "view of another")
        held = Anchor.decode(as_bytes(anchor, "anchor"))
        found.append((Digest(as_bytes(seer, "seer", length=32)), held))
    return tuple(found)
