"""Records: who says that which bytes existed when, and what replaced them.

A record is a named commitment to off-ledger content: SHA-256, size, schema, where to find it, links to
other records, labels. Its owner is the organisation of the member who put it; only that organisation may
supersede it. Nothing is ever removed: each version carries the hash of the one before. State keys:

    records/current/<id>                      the newest version
    records/version/<id>/<number, u32>        each superseded version, byte for byte as it was current

so "this is the newest" and "there is no such record" are proofs about one key. Methods:

    put       [id, sha256, size, schema, location, [link, ...], [[label, value], ...]]       -> version
    supersede [id, previous, sha256, size, schema, location, links, labels]                  -> version
              where `previous` is the current version's number, or its sha256

Links need not exist: they may name records of another cluster, or of tomorrow.
Source: mission.md 4.1 (`record.put`); the vocabulary is W3C DCAT's where it has a word.
"""

import re
from urllib.parse import quote

from consensus import (
    CodecError,
    Digest,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    digest,
    encode_trusted,
    immutable,
)
from node.ledger.apps.app import Arguments, Context, Method
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.policy import Policy

NAME = "records"
RECORD_ID_CHARACTERS_MAX = 240
SCHEMA_CHARACTERS_MAX = 256
LOCATION_CHARACTERS_MAX = 1024
LINKS_MAX = 32
LABELS_MAX = 32
LABEL_CHARACTERS_MAX = 64
LABEL_VALUE_CHARACTERS_MAX = 256
SIZE_MAX = 2**63 - 1
VERSIONS_MAX = 2**32 - 1
ENTRY_VERSION = 1
_ENTRY_DOMAIN = "isthmus/record/v1"
_SEGMENT = r"(?!\.\.?(?:/|$))[A-Za-z0-9._@+=:~%-]+"
"""Never `.` or `..`: clients normalise those away in addresses."""
_RECORD_ID = re.compile(rf"{_SEGMENT}(?:/{_SEGMENT})+")
_SEGMENT_SAFE = "@+=:"


def make_record_id(*segments: str) -> str:
    """The record id of any texts (a namespace and a path, say), percent-encoded where needed.

    Raises RejectedTransaction when the result is too long or a segment is empty.
    """
    return check_record_id("/".join(quote(segment, safe=_SEGMENT_SAFE) for segment in segments))


def check_record_id(value: Value, what: str = "record id") -> str:
    """`value` as a record id: `namespace/name[/...]` of plain characters. Raises RejectedTransaction."""
    if type(value) is str and len(value) <= RECORD_ID_CHARACTERS_MAX and _RECORD_ID.fullmatch(value):
        return value
    raise RejectedTransaction(
        Code.INVALID_ARGUMENTS,
        f"{what} {value!a:.80} must be namespace/name of at most {RECORD_ID_CHARACTERS_MAX} characters "
        "from letters, digits and ._@+=:~%-",
    )


@immutable(frozen=True, slots=True)
class Content:
    """What a version commits to. `size` in bytes; `sha256` of the content; the rest is for finding it."""

    sha256: bytes
    size: int
    schema: str
    location: str
    links: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]

    def to_value(self) -> tuple[Value, ...]:
        """`[sha256, size, schema, location, [link, ...], [[label, value], ...]]`."""
        return (self.sha256, self.size, self.schema, self.location, self.links, self.labels)

    @staticmethod
    def from_value(items: tuple[Value, ...]) -> "Content":
        """The inverse of `to_value`. Raises CodecError or RejectedTransaction."""
        sha256, size, schema, location, links, labels = as_tuple(items, 6, "content")
        if (
            type(sha256) is bytes
            and len(sha256) == 32
            and type(size) is int
            and 0 <= size <= SIZE_MAX
            and type(schema) is str
            and len(schema) <= SCHEMA_CHARACTERS_MAX
            and type(location) is str
            and len(location) <= LOCATION_CHARACTERS_MAX
        ):
            # In order, as nearly always; what follows says of each field what is wrong.
            return Content(sha256, size, schema, location, _links(links), _labels(labels))
        return Content(
            as_bytes(sha256, "sha256", length=32),
            as_int(size, "size", high=SIZE_MAX),
            as_text(schema, "schema", max_length=SCHEMA_CHARACTERS_MAX),
            as_text(location, "location", max_length=LOCATION_CHARACTERS_MAX),
            _links(links),
            _labels(labels),
        )


@immutable(frozen=True, slots=True)
class Entry:
    """One version of a record, as it is stored. `previous` is the hash of the version before (None for
    the first); `author` the key that signed; `height`, `time_ms`, `tx_id` tell where it was accepted."""

    number: int
    owner: str
    author: bytes
    content: Content
    previous: Digest | None
    tx_id: bytes
    height: int
    time_ms: int

    def encode(self) -> bytes:
        """The canonical bytes of the state leaf."""
        return encode_trusted(
            (
                ENTRY_VERSION,
                self.number,
                self.owner,
                self.author,
                self.content.to_value(),
                self.previous,
                self.tx_id,
                self.height,
                self.time_ms,
            )
        )

    @staticmethod
    def decode(data: bytes) -> "Entry":
        """The version in a state leaf; raises CodecError."""
        version, number, owner, author, content, previous, tx_id, height, time_ms = as_tuple(
            decode(data), 9, "record"
        )
        if version != ENTRY_VERSION:
            raise CodecError(f"record format {version!a:.20} is not {ENTRY_VERSION}")
        try:
            parsed = Content.from_value(as_tuple(content, 6, "content"))
        except RejectedTransaction as error:
            raise CodecError(str(error)) from error
        return Entry(
            as_int(number, "record version", low=1, high=VERSIONS_MAX),
            as_text(owner, "owner"),
            as_bytes(author, "author", length=32),
            parsed,
            None if previous is None else Digest(as_bytes(previous, "previous", length=32)),
            as_bytes(tx_id, "transaction id", length=32),
            as_int(height, "height"),
            as_int(time_ms, "time_ms"),
        )


def entry_hash(stored: bytes) -> Digest:
    """How a version names the one before it."""
    return digest(_ENTRY_DOMAIN, stored)


def current_key(record_id: str) -> bytes:
    """The key of the newest version, below the application's prefix."""
    return b"current/" + record_id.encode()


def version_key(record_id: str, number: int) -> bytes:
    """The key of a superseded version, below the application's prefix."""
    return b"version/" + record_id.encode() + b"/" + number.to_bytes(4, "big")


@immutable(frozen=True, slots=True)
class Put:
    """Parsed arguments of `put`."""

    record_id: str
    content: Content


@immutable(frozen=True, slots=True)
class Supersede:
    """Parsed arguments of `supersede`; `previous` is a version number or a sha256."""

    record_id: str
    previous: int | bytes
    content: Content


def parse_put(args: Arguments) -> Put:
    """Raises RejectedTransaction(INVALID_ARGUMENTS) that names the argument."""
    try:
        args = as_tuple(args, 7, "arguments of put")
        return Put(check_record_id(args[0]), Content.from_value(args[1:]))
    except CodecError as error:
        raise RejectedTransaction(Code.INVALID_ARGUMENTS, str(error)) from error


def parse_supersede(args: Arguments) -> Supersede:
    """Raises RejectedTransaction(INVALID_ARGUMENTS) that names the argument."""
    try:
        record_id, previous, *rest = as_tuple(args, 8, "arguments of supersede")
        expected: int | bytes
        if type(previous) is bytes:
            expected = as_bytes(previous, "previous sha256", length=32)
        else:
            expected = as_int(previous, "previous version", low=1, high=VERSIONS_MAX - 1)
        return Supersede(check_record_id(record_id), expected, Content.from_value(tuple(rest)))
    except CodecError as error:
        raise RejectedTransaction(Code.INVALID_ARGUMENTS, str(error)) from error


def put(context: Context, call: Put) -> Value:
    """Create a record owned by the sender's organisation; answers 1."""
    key = current_key(call.record_id)
    if context.get(key) is not None:
        raise RejectedTransaction(Code.RECORD_EXISTS, call.record_id)
    context.put(key, _entry(context, 1, call.content, None).encode())
    return 1


def supersede(context: Context, call: Supersede) -> Value:
    """Replace a record's newest version; answers the new version's number."""
    key = current_key(call.record_id)
    stored = context.get(key)
    if stored is None:
        raise RejectedTransaction(Code.RECORD_UNKNOWN, call.record_id)
    current = Entry.decode(stored)
    if current.owner != context.sender.organisation:
        raise RejectedTransaction(Code.NOT_OWNER, f"{call.record_id} is owned by {current.owner}")
    if call.previous not in (current.number, current.content.sha256):
        raise RejectedTransaction(
            Code.WRONG_PREVIOUS,
            f"{call.record_id} is at version {current.number} with sha256 {current.content.sha256.hex()}",
        )
    context.put(version_key(call.record_id, current.number), stored)
    number = current.number + 1
    context.put(key, _entry(context, number, call.content, entry_hash(stored)).encode())
    return number


def owner_of(context: Context, call: Put | Supersede) -> str | None:
    """The organisation that owns the record, None while there is none (rule SELF)."""
    stored = context.get(current_key(call.record_id))
    return None if stored is None else Entry.decode(stored).owner


def _entry(context: Context, number: int, content: Content, previous: Digest | None) -> Entry:
    sender = context.sender
    return Entry(
        number,
        sender.organisation,
        sender.public_key,
        content,
        previous,
        context.tx_id,
        context.height,
        context.time_ms,
    )


def _links(value: Value) -> tuple[str, ...]:
    if value == ():
        return ()
    links = tuple(check_record_id(link, "link") for link in as_array(value, LINKS_MAX, "links"))
    if len(set(links)) != len(links):
        raise CodecError("links name the same record twice")
    return links


def _labels(value: Value) -> tuple[tuple[str, str], ...]:
    if value == ():
        return ()
    labels = []
    for pair in as_array(value, LABELS_MAX, "labels"):
        label, text = as_tuple(pair, 2, "label")
        label = as_text(label, "label", max_length=LABEL_CHARACTERS_MAX)
        if not label:
            raise CodecError("a label must not be empty")
        labels.append((label, as_text(text, f"label {label}", max_length=LABEL_VALUE_CHARACTERS_MAX)))
    if len({label for label, _ in labels}) != len(labels):
        raise CodecError("labels repeat one name")
    return tuple(labels)


METHODS = (
    Method("put", parse_put, put, owner_of, Policy("ANY")),
    Method("supersede", parse_supersede, supersede, owner_of, Policy("ANY")),
)
