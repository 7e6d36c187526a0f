"""What a node tells couriers: what it could prove to another cluster, the proofs, and what it holds of it.

Everything is read from one snapshot and proven against the certified header whose state the snapshot shows:
the outbox map keeps its latest version only. Reads are bounded by the lanes with that cluster and by the
request.
"""

from collections.abc import Iterator

from consensus import CodecError, Digest, HeaderCertificate, LocalError, as_bytes, as_tuple, decode
from node.anchoring.client.lightclient import Update
from node.anchoring.cluster.anchors import AnchorProof
from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import EpochLink
from node.anchoring.cluster.operators import ROSTER_KEY, read_nodes, read_roster
from node.anchoring.forks.views import Place, View
from node.anchoring.lanes.courier import BundleRequest, Held, LeafName, Offer, wanted
from node.anchoring.lanes.inbound import (
    INBOUND_UPDATE_BYTES_MAX,
    BundledLeaf,
    InboundBundle,
    RosterProof,
    pack,
)
from node.anchoring.lanes.inbound import takes_any as lanes_take_any
from node.anchoring.lanes.messages import Lane
from node.anchoring.lanes.outbox import OUTBOX_PROOF_BYTES_MAX, prove_log
from node.anchoring.lanes.progress import disputed_at, progress_with, receipt_of
from node.anchoring.lanes.views import AnchoredView, OwnBlock
from node.ledger.federation.draft import Draft
from node.ledger.federation.posting import admits
from node.ledger.federation.records import Get, client_of, nodes_of, peering_of
from node.ledger.federation.tables import StoredOutbox, anchor_nodes, log_of
from node.ledger.federation.telling import view_of_other
from node.ledger.federation.watching import about_of, places_of
from node.proofs import rfc6962, smt
from node.proofs.header import Header
from node.storage import (
    HEIGHT_KEY,
    ChainTable,
    Reader,
    StateTable,
    epoch_key,
    height_key,
    history_key,
)

_LEAVES_LOOKED_AT_MAX = 4
"""Leaves looked for, for each that a request may take: places point past the state only for a moment."""


def offer(reader: Reader, peer_id: bytes) -> Offer:
    """What this node can prove to cluster `peer_id`."""
    tip = tip_of(reader)
    return Offer(tip.incarnation, tip.height, log_of(_state(reader), peer_id).size)


def held(reader: Reader, peer_id: bytes) -> Held | None:
    """What our ledger holds of cluster `peer_id`; None when it was never admitted."""
    get = _state(reader)
    client = client_of(get, peer_id)
    if client is None:
        return None
    lanes = progress_with(Draft(get), tip_of(reader).cluster_id, peer_id)
    return Held(
        client.incarnation,
        client.last.height,
        peering_of(get, peer_id).anchored_ms,
        lanes.received,
        lanes.answered,
        lanes.besides,
        client.epoch,
        nodes_of(get, peer_id).epoch,
        about_of(get, client),
        places_of(get, client),
    )


def answer(reader: Reader, peer_id: bytes, request: BundleRequest) -> InboundBundle | None:
    """What cluster `peer_id` lacks by its request, as much as fits; None when there is nothing to bring.

    Who follows another branch than ours, or a later incarnation, gets nothing. One that is many epochs behind
    gets links first, and leaves once it holds our epoch.
    """
    tip = tip_of(reader)
    if request.incarnation != tip.incarnation or request.height > tip.height:
        return None
    bytes_max = min(request.bytes_max - OUTBOX_PROOF_BYTES_MAX, INBOUND_UPDATE_BYTES_MAX)
    update = None if request.height == tip.height else _update(reader, tip, request.height, bytes_max)
    data = None if update is None else update.encode()
    outbox = StoredOutbox(reader)
    log = None
    if update is None or update.certified.header.height == tip.height:
        log = prove_log(outbox, peer_id)
    leaves = () if log is None else _leaves(reader, outbox, tip.cluster_id, peer_id, request, log.size)
    top = tip if update is None else update.certified.header
    known = roster(reader) if top.height == tip.height else None
    return pack(
        tip.cluster_id,
        data,
        log,
        leaves,
        leaves_max=request.leaves_max,
        bytes_max=request.bytes_max,
        roster=known if known is not None and _is_news(known.leaf, tip.epoch, request) else None,
        views=tuple(_views(reader, request)) if top.height == tip.height else (),
        places=tuple(_places(reader, request, top.height)),
    )


def _views(reader: Reader, request: BundleRequest) -> Iterator[View]:
    for subject in request.about:
        view = view_of_other(reader, subject)
        if view is not None:
            yield view


def _places(reader: Reader, request: BundleRequest, top: int) -> Iterator[Place]:
    """Where the headers asked for stand in the history of header `top`."""
    for height in dict.fromkeys(request.places):
        if height < top:
            yield Place(height, _header(reader, height).hash, history_path(reader, height, top))


def _is_news(leaf: bytes, epoch: int, request: BundleRequest) -> bool:
    """Whether a roster is of the tip's epoch, and of a later one than the requester knows of. The state of a
    tip that ended its epoch holds the roster of the next."""
    try:
        of, _ = read_nodes(leaf)
    except CodecError as error:
        raise LocalError(f"our roster cannot be read: {error}") from error
    return request.roster_epoch < of == epoch


def takes_any(reader: Reader, bundle: InboundBundle, view: AnchoredView) -> bool:
    """Whether our lanes, as they stand, would take at least one of a bundle's leaves; `view` is what
    `inbound.check` answered. A bundle that only repeats is not worth a block (F11)."""
    tip = tip_of(reader)
    block = OwnBlock(tip.cluster_id, tip.incarnation, tip.height + 1, tip.time_ms + 1)
    state = Draft(_state(reader))
    return lanes_take_any(state, block, view, bundle, lambda message: admits(state, block, message))


def anchor(reader: Reader, subject: bytes) -> AnchorProof | None:
    """What we anchored of cluster `subject`, proven under our tip's anchors root: a witness for others (F8).
    None when it was never admitted here."""
    client = client_of(_state(reader), subject)
    if client is None:
        return None
    return AnchorProof(
        client.cluster_id, client.anchor.encode(), smt.prove(anchor_nodes(reader), client.cluster_id)
    )


def roster(reader: Reader) -> RosterProof:
    """The leaf of our roster, and its proof under our tip's state root: others renew our operators and our
    nodes by it."""
    leaf = reader.get(StateTable.STATE, ROSTER_KEY)
    if leaf is None:
        raise LocalError("the state holds no roster of validators")
    return RosterProof(leaf, smt.prove(state_nodes(reader), ROSTER_KEY))


def history_path(reader: Reader, low: int, high: int) -> tuple[bytes, ...]:
    """The path of our header `low` in the history of header `high`, empty at one height: what a witness of us
    needs beside its anchor. Raises ValueError unless low <= high <= our height."""
    if high > tip_of(reader).height:
        raise ValueError(f"header {high} is not stored yet")
    return () if low == high else rfc6962.inclusion_path_from(_History(reader), low, high)


def _leaves(
    reader: Reader, outbox: StoredOutbox, own_id: bytes, peer_id: bytes, request: BundleRequest, size: int
) -> Iterator[BundledLeaf]:
    lanes = progress_with(Draft(_state(reader)), own_id, peer_id)
    nodes = _LogNodes(outbox, peer_id)
    brought: set[int] = set()
    names = wanted(request, lanes.sent, lanes.answers, lanes.closed, lanes.gaps)
    for looked_at, name in enumerate(names):
        if looked_at >= _LEAVES_LOOKED_AT_MAX * request.leaves_max:
            return
        for index in _places_of(reader, outbox, Lane(peer_id, own_id, name.port, name.mode), name):
            if index < size and index not in brought:
                brought.add(index)
                path = rfc6962.inclusion_path_from(nodes, index, size)
                yield BundledLeaf(index, outbox.leaf(peer_id, index), path)


def _places_of(reader: Reader, outbox: StoredOutbox, to_us: Lane, name: LeafName) -> Iterator[int]:
    """The leaves of this name. Of an answer it is the one to the message whose receipt stands in that place
    now, for a recovery may have brought back one that was answered before others were; where the receipt is
    forgotten the newest, and those to what was disputed there."""
    peer_id = to_us.source
    hashes: tuple[Digest, ...] = ()
    if name.is_answer:
        state = Draft(_state(reader))
        receipt = receipt_of(state, to_us, name.sequence)
        found = None if receipt is None else outbox.answer(peer_id, receipt.message_hash)
        if found is not None:
            yield found
            return
        hashes = disputed_at(state, to_us, name.sequence)
    found = outbox.place(peer_id, name)
    if found is not None:
        yield found
    for message_hash in hashes:
        found = outbox.answer(peer_id, message_hash)
        if found is not None:
            yield found


def _update(reader: Reader, tip: Header, since: int, bytes_max: int) -> Update:
    """From height `since` to the tip, or as many epochs towards it as fit. Where that is the base of the
    tip's incarnation, from the epoch in which that began: no link leads there."""
    links: list[EpochLink] = []
    room = bytes_max - _PROOFS_BYTES
    target = Certified(tip, certificate_at(reader, tip.height))
    held = _header(reader, since)
    for epoch in range(held.epoch + tip.incarnation - held.incarnation + 1, tip.epoch + 1):
        link = stored_link(reader, epoch)
        room -= len(link.validators) * _MEMBER_BYTES + len(link.ending.header.encoded) + _CERTIFICATE_BYTES
        room -= len(link.ending.certificate.signatures)
        if room < 0 and links and links[-1].ending.header.height > since:
            target = links.pop().ending
            break
        links.append(link)
    height = target.header.height
    history = _History(reader)
    return Update(
        target,
        tuple(links),
        rfc6962.consistency_path_from(history, since, height) if since else (),
        rfc6962.inclusion_path_from(history, since, height),
    )


_MEMBER_BYTES = 40
_CERTIFICATE_BYTES = 128
_PROOFS_BYTES = 20 * 1024
"""Generously: two paths of 64 hashes, and the certificate of 128 validators."""


def stored_link(reader: Reader, epoch: int) -> EpochLink:
    """The link that begins `epoch`. Raises LocalError when it is missing."""
    data = reader.get(ChainTable.EPOCHS, epoch_key(epoch))
    if data is None:
        raise LocalError(f"the link of epoch {epoch} is missing from the database")
    try:
        header, certificate, roster = as_tuple(decode(data), 3, "epoch link")
        signers, _ = read_roster(as_bytes(roster, "roster"))
        ending = Certified(
            Header.decode(as_bytes(header, "header")), HeaderCertificate.from_value(certificate)
        )
    except CodecError as error:
        raise LocalError(f"the link of epoch {epoch} cannot be read: {error}") from error
    return EpochLink(ending, signers.validators)


def _state(reader: Reader) -> Get:
    return lambda key: reader.get(StateTable.STATE, key)


def tip_of(reader: Reader) -> Header:
    """The header whose state the reader shows."""
    height = reader.get(StateTable.META, HEIGHT_KEY)
    return _header(reader, 0 if height is None else int.from_bytes(height, "big"))


def _header(reader: Reader, height: int) -> Header:
    data = reader.get(ChainTable.HEADERS, height_key(height))
    if data is None:
        raise LocalError(f"header {height} is missing from the database")
    return Header.decode(data)


def certificate_at(reader: Reader, height: int) -> HeaderCertificate:
    """The certificate of a stored header. Raises LocalError when it is missing."""
    data = reader.get(ChainTable.CERTIFICATES, height_key(height))
    if data is None:
        raise LocalError(f"the certificate of height {height} is missing from the database")
    return HeaderCertificate.from_value(decode(data))


class _History:
    """The tree over all header hashes."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        found = self._reader.get(ChainTable.HISTORY, history_key(level, index))
        if found is None:
            raise LocalError(f"history node {level}/{index} is missing from the database")
        return found


def state_nodes(reader: Reader) -> smt.NodeReader:
    """The state tree at the height that the reader shows."""
    return _StateNodes(reader)


class _StateNodes:
    """The state tree."""

    __slots__ = ("_reader",)

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def get(self, key: bytes) -> bytes | None:
        """The stored node."""
        return self._reader.get(StateTable.NODES, key)


class _LogNodes:
    """One destination's log."""

    __slots__ = ("_destination", "_outbox")

    def __init__(self, outbox: StoredOutbox, destination: bytes) -> None:
        self._outbox = outbox
        self._destination = destination

    def node(self, level: int, index: int) -> bytes:
        """The hash of a complete subtree."""
        return self._outbox.node(self._destination, level, index)


def own_id(reader: Reader) -> Digest:
    """Our cluster's id, as the tip says."""
    return Digest(tip_of(reader).cluster_id)
