"""The payload of a block: batches by digest, and small ones whole.

Agreement carries it as opaque bytes, b"" exactly when nothing is ordered. The order of execution is the order
here: references first, then inline bodies. A reference names the author beside the digest, so that a voter
who lacks the batch can say whose it is before it has seen it (C9).
"""

from consensus import (
    CodecError,
    Digest,
    ValidatorIndex,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    encode_trusted,
    immutable,
)

_DIGEST_BYTES = 32
PAYLOAD_OVERHEAD_BYTES = 16
"""At least the encoded size of an empty payload with the largest array headers."""
REFERENCE_BYTES = 40
"""At least the encoded size of one reference: array, index of at most 16 bits, 32-byte digest."""
INLINE_HEADER_BYTES = 5


@immutable(frozen=True, slots=True)
class PayloadRules:
    """What one block may order; from genesis, equal at every validator, checked before voting.

    `batches_max` bounds references and inline bodies together; `inline_bytes_max` the inline bodies together;
    `body_bytes_max` all bodies, referenced or inline, so that one block with its batches always fits one
    catch-up response; `horizon_ms` is how far beyond the block's time a batch may expire, which bounds how
    long ordered digests must be remembered.
    """

    batches_max: int = 64
    inline_bytes_max: int = 16 * 1024
    body_bytes_max: int = 4 * 1024 * 1024 + 64 * 1024
    horizon_ms: int = 120_000


@immutable(frozen=True, slots=True)
class Reference:
    """A batch by name, with the index of its author in the batch's epoch."""

    author: ValidatorIndex
    digest: Digest


@immutable(frozen=True, slots=True)
class Payload:
    """`references` and `inline` batch bodies, in order of execution."""

    references: tuple[Reference, ...]
    inline: tuple[bytes, ...]

    def encode(self) -> bytes:
        """`[[[author, digest], ...], [body, ...]]`, or b"" when empty."""
        if not self.references and not self.inline:
            return b""
        return encode_trusted((tuple((r.author, r.digest) for r in self.references), self.inline))

    @staticmethod
    def decode(data: bytes, rules: PayloadRules) -> "Payload":
        """The inverse of `encode`; raises CodecError, also for an empty payload that is not b""."""
        if data == b"":
            return Payload((), ())
        references_value, inline_value = as_tuple(
            decode(data, max_depth=3, max_items=4 * rules.batches_max + 2), 2, "payload"
        )
        references = tuple(
            _reference(item) for item in as_array(references_value, rules.batches_max, "references")
        )
        inline = tuple(
            as_bytes(item, "inline batch", max_length=rules.inline_bytes_max)
            for item in as_array(inline_value, rules.batches_max, "inline batches")
        )
        count, size = len(references) + len(inline), sum(map(len, inline))
        if count == 0:
            raise CodecError("an empty payload is no bytes at all")
        if count > rules.batches_max:
            raise CodecError(f"{count} batches exceed the limit of {rules.batches_max}")
        if size > rules.inline_bytes_max:
            raise CodecError(f"{size} inline bytes exceed the limit of {rules.inline_bytes_max}")
        return Payload(references, inline)


def _reference(value: object) -> Reference:
    author, name = as_tuple(value, 2, "reference")
    return Reference(
        ValidatorIndex(as_int(author, "reference author", high=2**16)),
        Digest(as_bytes(name, "reference digest", length=_DIGEST_BYTES)),
    )
