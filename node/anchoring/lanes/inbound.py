"""The inbound bundle: what a courier brings from another cluster in one piece.

A light client update and the leaves that it proves travel together, so that no proof is made against a root
that the next block will have replaced. The log's place in the outbox is proven once for all leaves.
Canonical msgpack:

    [version, source cluster id, update bytes | nil, log proof | nil, [[index, leaf, path], ...],
     [roster leaf, state proof] | nil, [view, ...], [place, ...]]    views, places: `forks/views.py`

Without an update leaves and roster are proven against the header that is anchored already. `check` is what
can be verified of lanes before a bundle is pooled; the ledger verifies it again when it is executed.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from consensus import (
    CodecError,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    encode,
)
from node.anchoring.cluster.operators import ROSTER_BYTES_MAX
from node.anchoring.forks.views import PLACES_MAX, VIEWS_MAX, Place, View
from node.anchoring.lanes.destination import ReceivePolicy, deliver, pass_over
from node.anchoring.lanes.messages import (
    CLUSTER_ID_BYTES,
    LEAF_BYTES_MAX,
    Acknowledgement,
    Closing,
    Gap,
    Message,
    decode_leaf,
)
from node.anchoring.lanes.outbox import OUTBOX_PROOF_BYTES_MAX, LogProof, OutboxProof, as_path
from node.anchoring.lanes.refusals import LaneRefused
from node.anchoring.lanes.rules import Arrival
from node.anchoring.lanes.source import acknowledge, close
from node.anchoring.lanes.state import LaneState, WriteSet
from node.anchoring.lanes.views import AnchoredView, OwnBlock
from node.proofs import ProofError, SmtProof, rfc6962

INBOUND_VERSION = 2
INBOUND_LEAVES_MAX = 64
INBOUND_BYTES_MAX = 512 * 1024
INBOUND_UPDATE_BYTES_MAX = 256 * 1024
"""Whoever is further behind asks for updates of some epochs at a time."""
_DEPTH_MAX = 6
_ITEMS_MAX = 256 + INBOUND_LEAVES_MAX * (4 + 64) + PLACES_MAX * (4 + 64)


@dataclass(frozen=True, slots=True)
class BundledLeaf:
    """One leaf of the source's log to us, and its path in that log."""

    index: int
    leaf: bytes
    path: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        """An upper bound on what it adds to a bundle."""
        return len(self.leaf) + 34 * len(self.path) + 24


@dataclass(frozen=True, slots=True)
class RosterProof:
    """The roster of the source's validators, and its place under the state root of the bundle's header: by it
    the holder learns of operators and nodes that an epoch of the source installed."""

    leaf: bytes
    proof: SmtProof

    @property
    def size_bytes(self) -> int:
        """An upper bound on what it adds to a bundle."""
        return len(self.leaf) + len(encode(self.proof.to_value())) + 8

    def to_value(self) -> Value:
        """`[leaf, state proof]`."""
        return (self.leaf, self.proof.to_value())

    @staticmethod
    def from_value(value: Value) -> "RosterProof":
        """The inverse of `to_value`; raises CodecError."""
        leaf, proof = as_tuple(value, 2, "roster")
        data = as_bytes(leaf, "roster leaf", max_length=ROSTER_BYTES_MAX)
        return RosterProof(data, SmtProof.from_value(proof))


@dataclass(frozen=True, slots=True)
class InboundBundle:
    """An update, leaves, a roster, or some of these, from cluster `source`; nothing in it is believed until
    checked. The light client judges update and roster, lanes the leaves."""

    source: bytes
    update: bytes | None
    log: LogProof | None
    leaves: tuple[BundledLeaf, ...]
    roster: RosterProof | None = None
    views: tuple[View, ...] = ()
    places: tuple[Place, ...] = ()

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode(
            (
                INBOUND_VERSION,
                self.source,
                self.update,
                None if self.log is None else self.log.to_value(),
                tuple((leaf.index, leaf.leaf, leaf.path) for leaf in self.leaves),
                None if self.roster is None else self.roster.to_value(),
                tuple(view.to_value() for view in self.views),
                tuple(place.to_value() for place in self.places),
            )
        )

    @staticmethod
    def decode(data: bytes) -> "InboundBundle":
        """The inverse of `encode`; raises CodecError for every other shape, length or order of leaves."""
        value = decode(data, max_bytes=INBOUND_BYTES_MAX, max_depth=_DEPTH_MAX, max_items=_ITEMS_MAX)
        version, source, update, log, listed, roster, views, places = as_tuple(value, 8, "inbound bundle")
        if version != INBOUND_VERSION:
            raise CodecError(f"inbound bundle version {version!r:.20} is not {INBOUND_VERSION}")
        leaves = tuple(_leaf(item) for item in as_array(listed, INBOUND_LEAVES_MAX, "leaves"))
        if (log is None) != (not leaves):
            raise CodecError("leaves and the proof of their log come together or not at all")
        if update is None and not leaves and roster is None:
            raise CodecError("an inbound bundle brings an update, leaves, or a roster")
        indices = [leaf.index for leaf in leaves]
        if len(set(indices)) != len(indices):
            raise CodecError("an inbound bundle brings each leaf once")
        return InboundBundle(
            as_bytes(source, "source cluster id", length=CLUSTER_ID_BYTES),
            None if update is None else as_bytes(update, "update", max_length=INBOUND_UPDATE_BYTES_MAX),
            None if log is None else LogProof.from_value(log),
            leaves,
            None if roster is None else RosterProof.from_value(roster),
            tuple(View.from_value(item) for item in as_array(views, VIEWS_MAX, "views")),
            tuple(Place.from_value(item) for item in as_array(places, PLACES_MAX, "places")),
        )

    def arrivals(self) -> tuple[Arrival, ...]:
        """The leaves, each with its whole proof, as lanes take them."""
        if self.log is None:
            return ()
        log = self.log
        return tuple(Arrival(leaf.leaf, OutboxProof(log, leaf.index, leaf.path)) for leaf in self.leaves)


def check(
    bundle: InboundBundle,
    own_id: bytes,
    anchored: AnchoredView,
    updated: Callable[[bytes], AnchoredView],
) -> AnchoredView:
    """The view that holds once this bundle is executed; every leaf is proven against it.

    `anchored` is the source as our ledger holds it; `updated` gives the view after an update, raising what
    the light client raises. Raises ProofError for everything else that cannot be executed ever: another
    source, a failed proof, a leaf that does not concern us. Whether a lane takes a leaf now is not asked.
    """
    if bundle.source != anchored.cluster_id:
        raise ProofError(f"the bundle is of cluster {bundle.source.hex()}, not {anchored.cluster_id.hex()}")
    view = anchored if bundle.update is None else updated(bundle.update)
    if bundle.log is None:
        return view
    bundle.log.verify(view.outbox_root, own_id)
    for bundled in bundle.leaves:
        rfc6962.verify_inclusion(
            rfc6962.leaf_hash(bundled.leaf), bundled.index, bundle.log.size, bundled.path, bundle.log.root
        )
        _check_concerns(bundled, bundle.source, own_id)
    return view


def takes_any(
    state: LaneState, block: OwnBlock, view: AnchoredView, bundle: InboundBundle, policy: ReceivePolicy
) -> bool:
    """Whether our lanes, as they stand, would take at least one of the leaves; writes nothing.

    `view` is what `check` answered. A bundle of repetitions, or of messages that only wait for a quota, is
    not worth a block.
    """
    for arrival in bundle.arrivals():
        try:
            match decode_leaf(arrival.leaf):
                case Acknowledgement():
                    acknowledge(WriteSet(state), block, view, arrival, _hear_nothing)
                case Closing():
                    close(WriteSet(state), block, view, arrival, _hear_nothing)
                case Gap():
                    pass_over(WriteSet(state), block, view, arrival)
                case Message():
                    deliver(WriteSet(state), block, view, arrival, policy, _answer_nothing)
        except LaneRefused:
            continue
        return True
    return False


def pack(
    source: bytes,
    update: bytes | None,
    log: LogProof | None,
    leaves: Iterable[BundledLeaf],
    *,
    leaves_max: int = INBOUND_LEAVES_MAX,
    bytes_max: int = INBOUND_BYTES_MAX,
    roster: RosterProof | None = None,
    views: tuple[View, ...] = (),
    places: tuple[Place, ...] = (),
) -> InboundBundle | None:
    """The leading `leaves` that fit both bounds; None when nothing is left to bring.

    An update that is too long is the caller's error: ValueError.
    """
    if update is not None and len(update) > INBOUND_UPDATE_BYTES_MAX:
        raise ValueError(f"an update of {len(update)} bytes exceeds {INBOUND_UPDATE_BYTES_MAX}")
    room = min(bytes_max, INBOUND_BYTES_MAX) - len(update or b"") - OUTBOX_PROOF_BYTES_MAX
    room -= 0 if roster is None else roster.size_bytes
    room -= len(encode(tuple(view.to_value() for view in views)))
    room -= len(encode(tuple(place.to_value() for place in places)))
    taken: list[BundledLeaf] = []
    if log is not None:
        for leaf in leaves:
            room -= leaf.size_bytes
            if room < 0 or len(taken) == min(leaves_max, INBOUND_LEAVES_MAX):
                break
            taken.append(leaf)
    if update is None and not taken and roster is None:
        return None
    return InboundBundle(source, update, log if taken else None, tuple(taken), roster, views, places)


def _check_concerns(bundled: BundledLeaf, source: bytes, own_id: bytes) -> None:
    try:
        leaf = decode_leaf(bundled.leaf)
    except CodecError as error:
        raise ProofError(f"leaf {bundled.index} of the outbox is nothing that lanes say: {error}") from error
    ends = (leaf.lane.source, leaf.lane.destination)
    expected = (source, own_id) if isinstance(leaf, Message | Gap) else (own_id, source)
    if ends != expected:
        raise ProofError(f"leaf {bundled.index} is of lane {leaf.lane}, which does not concern this cluster")


def _leaf(value: Value) -> BundledLeaf:
    index, leaf, path = as_tuple(value, 3, "bundled leaf")
    return BundledLeaf(
        as_int(index, "leaf index"),
        as_bytes(leaf, "leaf", max_length=LEAF_BYTES_MAX),
        as_path(path, "leaf path"),
    )


def _answer_nothing(state: LaneState, message: Message) -> bytes:
    return b""


def _hear_nothing(state: LaneState, acknowledgement: Acknowledgement) -> None:
    return
