"""What a courier asks another cluster for, and what a server picks for it: all planning, no waiting.

A courier knows its own lanes and what a server offers, and nothing else: no events, no cursor of its own,
so a restart, a lost answer or another courier's success change nothing but what is asked next. Lanes take
turns, so that a backlog on one delays no other. Who anchors when is one rule (F11): at once for outbox
content, else at the heartbeat, so two idle clusters do not keep each other awake. Canonical msgpack:

    offer     [version, incarnation, certified height, size of the server's log to us]
    request   [version, incarnation, anchored height, [progress, ...], [progress, ...], leaves max, bytes max,
               epoch of the roster that is known, [id of a cluster asked about, ...], [height, ...]]
              of lanes from the server (messages wanted), and to it (answers wanted)
    progress  `progress.py`
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from consensus import CodecError, Digest, Value, as_array, as_bytes, as_int, as_tuple, decode, encode
from node.anchoring.forks.views import PLACES_MAX, VIEWS_MAX
from node.anchoring.lanes.inbound import INBOUND_BYTES_MAX, INBOUND_LEAVES_MAX
from node.anchoring.lanes.messages import (
    CLUSTER_ID_BYTES,
    PORT_CHARACTERS_MAX,
    Acknowledgement,
    Closing,
    Gap,
    Gaps,
    Leaf,
    Mode,
)
from node.anchoring.lanes.progress import BITMAP_BYTES_MAX, Progress
from node.anchoring.lanes.records import LANES_PER_PEER_MAX
from node.proofs.rfc6962 import MAX_SIZE

COURIER_VERSION = 2
OFFER_BYTES_MAX = 64
REQUEST_BYTES_MAX = 2 * LANES_PER_PEER_MAX * (PORT_CHARACTERS_MAX + BITMAP_BYTES_MAX + 32) + 512
_BYTES_MIN = 64 * 1024
"""No request allows less, so that one leaf of any length always fits."""


@dataclass(frozen=True, slots=True)
class Held:
    """What our ledger holds of another cluster: its anchored tip, and the lanes.

    `anchored_ms` is our block time when that tip was anchored. `incoming` are lanes from it, `outgoing`
    lanes to it (what it has answered): `received` and `answered` of `progress_with`, and `besides`. The
    roster that we know of it is of `roster_epoch`; that of its genesis is of epoch 0. Along with what
    else there is, it is asked for its views of the clusters `about`, and for the `places` (heights) in its
    history.
    """

    incarnation: int
    height: int
    anchored_ms: int
    incoming: tuple[Progress, ...] = ()
    outgoing: tuple[Progress, ...] = ()
    besides: int = 0
    epoch: int = 0
    roster_epoch: int = 0
    about: tuple[Digest, ...] = ()
    places: tuple[int, ...] = ()

    @property
    def leaves_taken(self) -> int:
        """How many leaves of its log to us were taken."""
        return max(0, sum(progress.count for progress in (*self.incoming, *self.outgoing)) + self.besides)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server of another cluster says that it can prove; believed only as a reason to ask."""

    incarnation: int
    height: int
    log_size: int

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode((COURIER_VERSION, self.incarnation, self.height, self.log_size))

    @staticmethod
    def decode(data: bytes) -> "Offer":
        """The inverse of `encode`; raises CodecError."""
        fields = as_tuple(decode(data, max_bytes=OFFER_BYTES_MAX, max_depth=1), 4, "offer")
        _check_version(fields[0], "offer")
        return Offer(
            as_int(fields[1], "incarnation"),
            as_int(fields[2], "height"),
            as_int(fields[3], "log size", high=MAX_SIZE),
        )


class AnchorReason(Enum):
    """Why another cluster's tip is anchored now."""

    NOTHING = "nothing"
    """It is not: nothing new, or nothing that cannot wait for the heartbeat."""
    OUTBOX = "outbox"
    """It says something to us."""
    HEARTBEAT = "heartbeat"
    """It has gone on, and it is time."""


def should_anchor(
    held: Held, incarnation: int, height: int, *, says_something: bool, now_ms: int, every_ms: int
) -> AnchorReason:
    """The rule against ping-pong (F11), of a tip that is offered and again of a bundle before it is pooled.

    `says_something`: there is a leaf for us that our lanes would take; of a bundle, `inbound.takes_any`
    knows. `now_ms` is our block time, `every_ms` the heartbeat. A block that only anchors adds nothing to
    an outbox, so it is no reason to anchor at once; it waits for the heartbeat like everything else, and
    two clusters that only anchor do so once per heartbeat each.
    """
    if (incarnation, height) <= (held.incarnation, held.height):
        return AnchorReason.NOTHING
    if says_something:
        return AnchorReason.OUTBOX
    return AnchorReason.HEARTBEAT if now_ms - held.anchored_ms >= every_ms else AnchorReason.NOTHING


@dataclass(frozen=True, slots=True)
class BundleRequest:
    """What a courier asks a server for: an update above `height`, and leaves that it lacks."""

    incarnation: int
    height: int
    incoming: tuple[Progress, ...]
    outgoing: tuple[Progress, ...]
    leaves_max: int
    bytes_max: int
    roster_epoch: int = 0
    about: tuple[Digest, ...] = ()
    places: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """The canonical bytes."""
        return encode(
            (
                COURIER_VERSION,
                self.incarnation,
                self.height,
                tuple(progress.to_value() for progress in self.incoming),
                tuple(progress.to_value() for progress in self.outgoing),
                self.leaves_max,
                self.bytes_max,
                self.roster_epoch,
                self.about,
                self.places,
            )
        )

    @staticmethod
    def decode(data: bytes) -> "BundleRequest":
        """The inverse of `encode`; raises CodecError for every other shape, bound or length."""
        value = decode(data, max_bytes=REQUEST_BYTES_MAX, max_depth=3, max_items=12 * LANES_PER_PEER_MAX)
        fields = as_tuple(value, 10, "bundle request")
        _check_version(fields[0], "bundle request")
        return BundleRequest(
            as_int(fields[1], "incarnation"),
            as_int(fields[2], "height"),
            tuple(Progress.from_value(item) for item in as_array(fields[3], LANES_PER_PEER_MAX, "lanes")),
            tuple(Progress.from_value(item) for item in as_array(fields[4], LANES_PER_PEER_MAX, "lanes")),
            as_int(fields[5], "leaves max", low=1, high=INBOUND_LEAVES_MAX),
            as_int(fields[6], "bytes max", low=_BYTES_MIN, high=INBOUND_BYTES_MAX),
            as_int(fields[7], "roster epoch"),
            tuple(
                Digest(as_bytes(item, "cluster id", length=CLUSTER_ID_BYTES))
                for item in as_array(fields[8], VIEWS_MAX, "clusters asked about")
            ),
            tuple(as_int(item, "height") for item in as_array(fields[9], PLACES_MAX, "places")),
        )


def plan(
    held: Held,
    offer: Offer,
    now_ms: int,
    every_ms: int,
    *,
    leaves_max: int = INBOUND_LEAVES_MAX,
    bytes_max: int = INBOUND_BYTES_MAX,
) -> BundleRequest | None:
    """What to ask a server that makes this offer for; None when there is nothing to ask.

    Leaves that wait here for a quota or a gap are asked for again; how soon is the caller's pace.
    """
    lacks_leaves = held.leaves_taken < offer.log_size
    reason = should_anchor(
        held,
        offer.incarnation,
        offer.height,
        says_something=lacks_leaves,
        now_ms=now_ms,
        every_ms=every_ms,
    )
    if reason is AnchorReason.NOTHING and not lacks_leaves and held.roster_epoch >= held.epoch:
        return None
    return BundleRequest(
        held.incarnation,
        held.height,
        held.incoming,
        held.outgoing,
        leaves_max,
        max(bytes_max, _BYTES_MIN),
        held.roster_epoch,
        held.about,
        held.places,
    )


@dataclass(frozen=True, slots=True)
class LeafName:
    """A leaf by what it is about: a message of a lane from the server, or its answer on a lane to it. The
    answer about CLOSING, which is no message's sequence, is what closes the lane, and the message of a gap's
    first sequence is what says that it is one."""

    is_answer: bool
    port: str
    mode: Mode
    sequence: int


def name_of(leaf: Leaf) -> LeafName:
    """What couriers call a leaf."""
    lane = leaf.lane
    if isinstance(leaf, Closing):
        return LeafName(True, lane.port, lane.mode, CLOSING)
    if isinstance(leaf, Gap):
        return LeafName(False, lane.port, lane.mode, leaf.first)
    return LeafName(isinstance(leaf, Acknowledgement), lane.port, lane.mode, leaf.sequence)


CLOSING = 0
"""The sequence of a `LeafName` that is a lane's newest closing."""
_NO_GAPS: Mapping[tuple[str, Mode], Gaps] = {}


def wanted(
    request: BundleRequest,
    sent: Sequence[Progress],
    answered: Sequence[Progress],
    closed: Sequence[Progress] = (),
    gaps: Mapping[tuple[str, Mode], Gaps] = _NO_GAPS,
) -> Iterator[LeafName]:
    """What the requester lacks and the server has, in the order to bring it.

    `sent` are the server's lanes to the requester (`done` is the last sequence), with their `gaps`,
    `answered` the lanes from it with the receipts they hold, `closed` those that a recovery closed. Closings
    and answers come first: they free the windows of senders. Then one message a lane in turn, ascending
    within its lane; the caller takes as many as fit.
    """
    lacks = {(progress.port, progress.mode): progress for progress in request.outgoing}
    for has in closed:
        if _key(has) in lacks and lacks[_key(has)].done < has.done:
            yield LeafName(True, has.port, has.mode, CLOSING)
    answers = ((has, lacks[_key(has)]) for has in answered if _key(has) in lacks)
    yield from _in_turn(True, [(has, _missing(has, known, ())) for has, known in answers])
    knows = {(progress.port, progress.mode): progress for progress in request.incoming}
    lanes = ((has, knows.get(_key(has), Progress(has.port, has.mode))) for has in sent)
    yield from _in_turn(False, [(has, _missing(has, known, gaps.get(_key(has), ()))) for has, known in lanes])


def _key(progress: Progress) -> tuple[str, Mode]:
    return progress.port, progress.mode


def _in_turn(is_answer: bool, lanes: Sequence[tuple[Progress, Iterator[int]]]) -> Iterator[LeafName]:
    queues = list(lanes)
    while queues:
        going_on = []
        for has, numbers in queues:
            number = next(numbers, None)
            if number is not None:
                yield LeafName(is_answer, has.port, has.mode, number)
                going_on.append((has, numbers))
        queues = going_on


def _missing(has: Progress, known: Progress, gaps: Gaps) -> Iterator[int]:
    """What is held here and not there, ascending; of a gap its first sequence, which stands for all."""
    held = frozenset(known.above)
    begin = known.done + 1
    for first, last in gaps:
        if last >= begin:
            yield from (number for number in range(begin, first) if number not in held)
            yield first
            begin = last + 1
    contiguous = range(begin, has.done + 1)
    beyond = (number for number in has.above if number > known.done)
    yield from (number for numbers in (contiguous, beyond) for number in numbers if number not in held)


def _check_version(version: Value, what: str) -> None:
    if version != COURIER_VERSION:
        raise CodecError(f"{what} version {version!r:.20} is not {COURIER_VERSION}")
