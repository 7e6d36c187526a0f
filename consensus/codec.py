"""The one strict canonical codec: msgpack arrays, integers, byte strings, text and nil.

Signed and hashed things must have exactly one encoding, and msgpack alone does not give that: its
decoders accept non-minimal headers, duplicate map keys, floats, extension types and trailing bytes.
So maps, floats, booleans and extensions do not exist here, and bytes are accepted only when encoding
what was decoded gives the same bytes back. Hash the bytes as received, never a re-encoding.
Source: the msgpack specification; the acceptance table was measured (see DESIGN.md, "Encoding").
"""

from typing import Any, TypeAlias

import msgpack

from consensus.errors import CodecError
from consensus.keys import DIGEST_BYTES, SIGNATURE_BYTES, Digest, Signature

Value: TypeAlias = "int | bytes | str | tuple[Value, ...] | None"
"""What can be encoded. Lists are accepted by `encode`; `decode` always answers with tuples."""

MAX_BYTES_DEFAULT = 16 * 1024 * 1024
MAX_DEPTH_DEFAULT = 16
"""Deepest nesting of arrays; the deepest real object (a block with a timeout certificate) has 4."""

LARGE_BYTES = 16 * 1024
"""Byte strings from here on are not copied more often than they must be; above 255, where their headers
have one form less."""

WALKED_ITEMS_MAX = 1024
"""Longer arrays are compared at once: a peer's array of many small items costs no more than it did."""

MAX_ITEMS_DEFAULT = 2**24
"""Items of all arrays together; whoever decodes a peer's message sets its own, far smaller bound: a byte each
is sent in no time and takes 170 ns to look at, so megabytes of them would hold up the loop."""

_PLAIN = frozenset((bytes, int, str, type(None)))
"""Exactly these types; `bool` is none of them. The packer itself refuses integers beyond 64 bits."""


def encode(value: object) -> bytes:
    """The canonical bytes of `value` (nested tuples or lists of int, bytes, str, None).

    Raises CodecError for any other type, for integers beyond 64 bits and for nesting beyond the limit.
    """
    _check(value, MAX_DEPTH_DEFAULT, MAX_ITEMS_DEFAULT)
    return encode_trusted(value)


def encode_trusted(value: object) -> bytes:
    """`encode` without the walk, for values this process built from typed fields (the hot path)."""
    try:
        packed: bytes = msgpack.Packer().pack(value)  # all that `packb` does, in 0.6 of its time
    except OverflowError as error:
        raise CodecError("an integer does not fit 64 bits") from error
    except (ValueError, TypeError) as error:
        raise CodecError(f"cannot be encoded: {error}") from error
    return packed


def encode_around(fields: tuple[Value, ...], content: bytes) -> bytes:
    """`encode_trusted((*fields, content))`, copying `content` once if it is large."""
    if len(content) < LARGE_BYTES:
        return encode_trusted((*fields, content))
    packer = msgpack.Packer(autoreset=False)
    packer.pack_array_header(len(fields) + 1)
    for field in fields:
        packer.pack(field)
    return b"".join((packer.bytes(), _bytes_header(len(content)), content))


def decode(
    data: bytes,
    *,
    max_bytes: int = MAX_BYTES_DEFAULT,
    max_depth: int = MAX_DEPTH_DEFAULT,
    max_items: int = MAX_ITEMS_DEFAULT,
) -> Value:
    """The value whose canonical encoding is `data`; arrays come back as tuples.

    Raises CodecError when `data` is too long, malformed, too deeply nested, followed by other bytes, has
    arrays of more than `max_items` items together, holds a type outside the canonical set, or is not the
    canonical encoding of its own value.
    """
    if len(data) > max_bytes:
        raise CodecError(f"{len(data)} bytes exceed the limit of {max_bytes}")
    try:
        value: Value = msgpack.unpackb(
            data,
            use_list=False,
            raw=False,
            object_pairs_hook=_refuse_map,
            ext_hook=_refuse_extension,
            max_map_len=0,
            max_ext_len=0,
        )
    except CodecError:
        raise
    except (ValueError, msgpack.UnpackException, OverflowError, RecursionError) as error:
        raise CodecError(f"not canonical msgpack: {_found(error)}") from error
    _check(value, max_depth, max_items)
    if len(data) < LARGE_BYTES:
        is_canonical = encode_trusted(value) == data
    else:
        is_canonical = _end_of_canonical(value, data, 0) == len(data)
    if not is_canonical:
        raise CodecError("not the canonical encoding of its value (non-minimal header)")
    return value


def _end_of_canonical(value: Value, data: bytes, start: int) -> int:
    """Where the canonical encoding of `value` at `start` ends in `data`, or -1 when it is not there.

    `value` was decoded from these bytes. As long as every header is the canonical one, the decoder took what
    follows it from the same place, so a large byte string need not be compared with itself, let alone be
    copied to be. Only arrays that hold one are walked; all else is compared at once.
    """
    if isinstance(value, bytes) and len(value) >= LARGE_BYTES:
        return _end_of(_bytes_header(len(value)), data, start, len(value))
    if isinstance(value, tuple) and len(value) <= WALKED_ITEMS_MAX and (not start or _has_large(value)):
        end = _end_of(msgpack.Packer().pack_array_header(len(value)), data, start)
        for item in value:
            if end < 0:
                break
            end = _end_of_canonical(item, data, end)
        return end
    return _end_of(encode_trusted(value), data, start)


def _end_of(expected: bytes, data: bytes, start: int, content_bytes: int = 0) -> int:
    return start + len(expected) + content_bytes if data.startswith(expected, start) else -1


def _has_large(items: tuple[Value, ...]) -> bool:
    return any(type(item) is bytes and len(item) >= LARGE_BYTES for item in items)


def _bytes_header(size: int) -> bytes:
    """The canonical header of a byte string of at least LARGE_BYTES bytes: msgpack's bin 16 or bin 32."""
    if size < 2**16:
        return b"\xc5" + size.to_bytes(2, "big")
    return b"\xc6" + size.to_bytes(4, "big")


def decode_shape(data: bytes, shape: tuple[type, ...], max_depth: int) -> tuple[Any, ...] | None:
    """The array whose canonical encoding is `data`, if its items are exactly of these types (only the last an
    array) and it is nested no deeper than `max_depth`; else None: `decode` says why, or finds another shape.

    What `decode` accepts, for the one kind of value of which every node opens thousands a second.
    """
    try:
        value = msgpack.unpackb(data, use_list=False)
        if type(value) is not tuple or tuple(map(type, value)) != shape:
            return None
        return value if _is_plain(value[-1], max_depth - 1) and encode_trusted(value) == data else None
    except (ValueError, msgpack.UnpackException, OverflowError, RecursionError):
        return None


def _is_plain(items: tuple[Any, ...], depth_left: int) -> bool:
    """Whether `items` hold nothing but canonical types, nested no deeper than `depth_left` counts them."""
    if depth_left == 0:
        return False
    if not _PLAIN.issuperset(map(type, items)):
        for item in items:
            kind = type(item)
            if kind in _PLAIN or (kind is tuple and not item and depth_left > 1):
                continue
            if kind is not tuple or not _is_plain(item, depth_left - 1):
                return False
    return True


def _found(error: Exception) -> str:
    """What is wrong with the bytes, told without the decoder's own words."""
    if isinstance(error, msgpack.ExtraData):
        return "other bytes follow the value"
    if isinstance(error, msgpack.StackError | RecursionError):
        return "arrays are nested too deeply"
    if "incomplete" in str(error):
        return "the bytes end inside a value"
    return str(error) or "the bytes hold no value"


def _refuse_map(pairs: object) -> object:
    raise CodecError("maps have no canonical form here")


def _refuse_extension(code: int, data: bytes) -> object:
    raise CodecError(f"extension type {code} is not canonical")


def _check(value: object, depth_left: int, items_left: int) -> int:
    """Raises CodecError; answers how many more items there may be."""
    kind = type(value)
    if kind is tuple or kind is list:
        if depth_left == 0:
            raise CodecError("arrays are nested too deeply")
        items_left -= len(value)  # type: ignore[arg-type]  # kind is tuple or list
        if items_left < 0:
            raise CodecError("arrays of too many items")
        if not _PLAIN.issuperset(map(type, value)):  # type: ignore[call-overload]  # kind is tuple or list
            for item in value:  # type: ignore[attr-defined]  # kind is tuple or list
                if type(item) not in _PLAIN:
                    items_left = _check(item, depth_left - 1, items_left)
        return items_left
    if kind not in _PLAIN:
        raise CodecError(f"{kind.__name__} has no canonical form here")
    return items_left


# --- bytes become types once: the field readers every decoder uses -------------------------------


def as_tuple(value: object, length: int, what: str) -> tuple[Value, ...]:
    """`value` as an array of exactly `length` items, or CodecError naming `what`."""
    if type(value) is not tuple or len(value) != length:
        raise CodecError(f"{what} must be an array of {length} items")
    return value


def as_array(value: object, max_length: int, what: str) -> tuple[Value, ...]:
    """`value` as an array of at most `max_length` items, or CodecError naming `what`."""
    if type(value) is not tuple or len(value) > max_length:
        raise CodecError(f"{what} must be an array of at most {max_length} items")
    return value


def as_int(value: object, what: str, *, low: int = 0, high: int = 2**63 - 1) -> int:
    """`value` as an integer in [low, high], or CodecError naming `what`."""
    if type(value) is not int or not low <= value <= high:
        raise CodecError(f"{what} must be an integer from {low} to {high}")
    return value


def as_bytes(value: object, what: str, *, length: int | None = None, max_length: int = 2**32) -> bytes:
    """`value` as a byte string of `length` (or at most `max_length`) bytes, or CodecError."""
    if type(value) is not bytes or len(value) > max_length or (length is not None and len(value) != length):
        wanted = f"exactly {length}" if length is not None else f"at most {max_length}"
        raise CodecError(f"{what} must be {wanted} bytes")
    return value


def as_digest(value: object, what: str) -> Digest:
    """`value` as a digest, or CodecError naming `what`."""
    if type(value) is not bytes or len(value) != DIGEST_BYTES:
        raise CodecError(f"{what} must be exactly {DIGEST_BYTES} bytes")
    return Digest(value)


def as_signature(value: object, what: str) -> Signature:
    """`value` as a signature, or CodecError naming `what`."""
    if type(value) is not bytes or len(value) != SIGNATURE_BYTES:
        raise CodecError(f"{what} must be exactly {SIGNATURE_BYTES} bytes")
    return Signature(value)


def as_text(value: object, what: str, *, max_length: int = 256) -> str:
    """`value` as text of at most `max_length` characters, or CodecError naming `what`."""
    if type(value) is not str or len(value) > max_length:
        raise CodecError(f"{what} must be text of at most {max_length} characters")
    return value
