"""What data planes say to each other: frozen types with one canonical encoding, `[kind, fields...]`.

None of these is signed: the link authenticates the sender, batches are named by their digests, and catch-up
believes certificates only. Every array and byte string is bounded before anything is built from it.
"""

from dataclasses import dataclass
from typing import TypeAlias

from consensus import (
    CodecError,
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    MalformedMessage,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    encode_around,
    encode_trusted,
)

DIGESTS_MAX = 4096
"""Most digests in one acknowledgement or attestation (128 KiB)."""
FETCH_MAX = 16
"""Most digests in one fetch: 4 MiB of batches at the default size."""
SYNC_HEIGHTS_MAX = 1024
SYNC_BATCHES_MAX = 64
SYNC_BYTES_MAX = 8 * 1024 * 1024
"""Most bytes of items and links in one catch-up response; one block with all its batches fits (4 MiB)."""
MESSAGE_BYTES_MAX = SYNC_BYTES_MAX + 512 * 1024
_ITEMS_MAX = 2 * SYNC_HEIGHTS_MAX + SYNC_HEIGHTS_MAX * (3 + SYNC_BATCHES_MAX) + 64
"""Of the longest catch-up response: heights with all their batches, and links."""
DISTANCE_MAX = 255
"""Most steps between a node and the validator that what it is fed comes from."""
_DIGEST_BYTES = 32
_HEADER_BYTES_MAX = 1024
_PROPOSAL_BYTES_MAX = 2 * 1024 * 1024
_BATCH_BYTES_MAX = 4 * 1024 * 1024 + 64 * 1024


@dataclass(frozen=True, slots=True)
class PushBatch:
    """A batch from its own author, who holds it durably: also the author's acknowledgement."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """The sender holds these batches, good and durable (C9); who verified them is not said."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Attest:
    """The sender has verified these batches itself (VC2); whether it keeps them is not said."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class FetchBatches:
    """Send me these; answered by one `FetchedBatch` each, or `BatchesUnavailable`."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class FetchedBatch:
    """The answer to a fetch; the digest of `data` says which."""

    data: bytes


@dataclass(frozen=True, slots=True)
class BatchesUnavailable:
    """The sender does not hold these, or is too busy: ask somebody else now."""

    digests: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """Send items for `from_height` and at most `count - 1` heights more, in at most `bytes_max` bytes."""

    from_height: Height
    count: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class SyncItem:
    """One height: the header's bytes, the proposal of the block it is of, and the bodies of the batches the
    block references, in payload order (inline bodies are in the block)."""

    header: bytes
    proposal: bytes
    batches: tuple[bytes, ...]

    @property
    def size(self) -> int:
        """Bytes carried, without encoding overhead."""
        return len(self.header) + len(self.proposal) + sum(map(len, self.batches))

    def to_value(self) -> tuple[Value, ...]:
        """`[header, proposal, [batch, ...]]`."""
        return (self.header, self.proposal, self.batches)

    @staticmethod
    def from_value(value: Value) -> "SyncItem":
        """The inverse of `to_value`; raises CodecError."""
        header, proposal, batches = as_tuple(value, 3, "sync item")
        return SyncItem(
            as_bytes(header, "header", max_length=_HEADER_BYTES_MAX),
            as_bytes(proposal, "proposal", max_length=_PROPOSAL_BYTES_MAX),
            tuple(
                as_bytes(item, "batch", max_length=_BATCH_BYTES_MAX)
                for item in as_array(batches, SYNC_BATCHES_MAX, "batches")
            ),
        )


@dataclass(frozen=True, slots=True)
class SyncResponse:
    """Consecutive heights from `from_height`, proven by one certificate (C25).

    `links` are the headers after the last item, up to and including the one `certificate` certifies; empty
    when the last item is certified itself. No items and no certificate: the sender has nothing to offer.
    """

    from_height: Height
    items: tuple[SyncItem, ...]
    links: tuple[bytes, ...]
    certificate: HeaderCertificate | None

    @property
    def size(self) -> int:
        """Bytes carried by its items, without encoding overhead."""
        return sum(item.size for item in self.items)


@dataclass(frozen=True, slots=True)
class Follow:
    """Who takes no part in agreement says where it stands: it has everything through `height` and is in
    `epoch`. What is certified beyond is told (`Certificates`); with `feed` it asks to be sent new heights as
    they come (`SyncResponse`, unasked)."""

    epoch: Epoch
    height: Height
    feed: bool


@dataclass(frozen=True, slots=True)
class Fed:
    """The answer to `Follow` with `feed`: the sender sends new heights, being so many steps from a validator
    itself. With None it does not, or no longer; said by whoever is fed, it wants no more."""

    distance: int | None


PoolMessage: TypeAlias = (
    PushBatch
    | Acknowledge
    | Attest
    | FetchBatches
    | FetchedBatch
    | BatchesUnavailable
    | SyncRequest
    | SyncResponse
    | Follow
    | Fed
)

_PUSH, _ACKNOWLEDGE, _FETCH, _FETCHED, _UNAVAILABLE, _SYNC_REQUEST, _SYNC_RESPONSE, _FOLLOW, _FED, _ATTEST = (
    range(1, 11)
)


def encode_message(message: PoolMessage) -> bytes:
    """The canonical bytes of a message."""
    match message:
        case PushBatch(data):
            return encode_around((_PUSH,), data)
        case Acknowledge(digests):
            return encode_trusted((_ACKNOWLEDGE, digests))
        case Attest(digests):
            return encode_trusted((_ATTEST, digests))
        case FetchBatches(digests):
            return encode_trusted((_FETCH, digests))
        case FetchedBatch(data):
            return encode_around((_FETCHED,), data)
        case BatchesUnavailable(digests):
            return encode_trusted((_UNAVAILABLE, digests))
        case SyncRequest(height, count, bytes_max):
            return encode_trusted((_SYNC_REQUEST, height, count, bytes_max))
        case SyncResponse(height, items, links, certificate):
            values = tuple(item.to_value() for item in items)
            proof = None if certificate is None else certificate.to_value()
            return encode_trusted((_SYNC_RESPONSE, height, values, links, proof))
        case Follow(epoch, height, feed):
            return encode_trusted((_FOLLOW, epoch, height, int(feed)))
        case Fed(distance):
            return encode_trusted((_FED, distance))


def decode_message(data: bytes) -> PoolMessage:
    """The message these bytes encode. Raises MalformedMessage, which does not know the sender yet."""
    try:
        value = decode(data, max_bytes=MESSAGE_BYTES_MAX, max_depth=4, max_items=_ITEMS_MAX)
        if type(value) is not tuple or not value:
            raise CodecError("a message is a non-empty array")
        return _from_fields(as_int(value[0], "message kind"), value)
    except CodecError as error:
        raise MalformedMessage("pool-message", str(error)) from error


def _from_fields(kind: int, value: tuple[Value, ...]) -> PoolMessage:
    if kind == _PUSH:
        return PushBatch(as_bytes(as_tuple(value, 2, "push")[1], "batch", max_length=_BATCH_BYTES_MAX))
    if kind == _ACKNOWLEDGE:
        return Acknowledge(_digests(as_tuple(value, 2, "acknowledge")[1], DIGESTS_MAX))
    if kind == _ATTEST:
        return Attest(_digests(as_tuple(value, 2, "attest")[1], DIGESTS_MAX))
    if kind == _FETCH:
        return FetchBatches(_digests(as_tuple(value, 2, "fetch")[1], FETCH_MAX))
    if kind == _FETCHED:
        return FetchedBatch(as_bytes(as_tuple(value, 2, "fetched")[1], "batch", max_length=_BATCH_BYTES_MAX))
    if kind == _UNAVAILABLE:
        return BatchesUnavailable(_digests(as_tuple(value, 2, "unavailable")[1], FETCH_MAX))
    if kind == _SYNC_REQUEST:
        _, height, count, bytes_max = as_tuple(value, 4, "sync request")
        return SyncRequest(
            Height(as_int(height, "height", low=1)),
            as_int(count, "count", low=1, high=SYNC_HEIGHTS_MAX),
            as_int(bytes_max, "bytes", low=1, high=SYNC_BYTES_MAX),
        )
    if kind == _SYNC_RESPONSE:
        return _sync_response(value)
    if kind == _FOLLOW:
        _, epoch, height, feed = as_tuple(value, 4, "follow")
        return Follow(
            Epoch(as_int(epoch, "epoch")),
            Height(as_int(height, "height")),
            as_int(feed, "feed", high=1) == 1,
        )
    if kind == _FED:
        distance = as_tuple(value, 2, "fed")[1]
        return Fed(None if distance is None else as_int(distance, "distance", high=DISTANCE_MAX))
    raise CodecError(f"message kind {kind} is not known")


def _sync_response(value: tuple[Value, ...]) -> SyncResponse:
    _, height, items, links, certificate = as_tuple(value, 5, "sync response")
    return SyncResponse(
        Height(as_int(height, "height", low=1)),
        tuple(SyncItem.from_value(item) for item in as_array(items, SYNC_HEIGHTS_MAX, "items")),
        tuple(
            as_bytes(link, "link", max_length=_HEADER_BYTES_MAX)
            for link in as_array(links, SYNC_HEIGHTS_MAX, "links")
        ),
        None if certificate is None else HeaderCertificate.from_value(certificate),
    )


def _digests(value: Value, count_max: int) -> tuple[Digest, ...]:
    items = as_array(value, count_max, "digests")
    if not items:
        raise CodecError("no digests at all")
    return tuple(Digest(as_bytes(item, "digest", length=_DIGEST_BYTES)) for item in items)
