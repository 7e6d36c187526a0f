"""Sharing records between clusters: the first users of lanes, two methods and two ports of `records`.

    share    [record id, destination cluster id, deadline_ms]    its owner sends what the newest version is
    request  [record id, cluster id]                             anybody asks another cluster for one

Only commitments travel (F15): hash, size, schema, location, links and labels, never content. The destination
keeps the newest version it was sent; the source, beside each record, what became of the last share of it. A
request is answered by a share; it arrives on a port of its own, so that the operators' lane policy says which
clusters may ask at all. State keys below `records/`:

    shared/<source hex>/<record id>     [1, number, owner, content, height, time_ms]   from others
    share/<cluster hex>/<record id>     [sequence, number, result | 0, answer]         of our shares
    asked/<cluster hex>/<record id>     [sequence, 0, result | 0, answer]              of our requests
    sent/<port>/<cluster hex>/<seq>     record id, until its result is heard

Payloads: share [1, record id, number, owner, content]; request [1, record id].
"""

from dataclasses import dataclass

from consensus import (
    CodecError,
    Digest,
    LocalError,
    Value,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    encode_trusted,
    immutable,
)
from node.anchoring.lanes.messages import SEQUENCE_MAX, Message, Mode, Result
from node.anchoring.lanes.rules import HandlerFailed
from node.ledger.apps.app import Arguments, Context, Method
from node.ledger.apps.records import (
    VERSIONS_MAX,
    Content,
    Entry,
    check_record_id,
    current_key,
)
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.messaging import MessageContext, Port, Sent
from node.ledger.policy import Policy
from node.ledger.transactions import EXPIRY_MS_MAX

SHARE_PORT = "records"
REQUEST_PORT = "records.request"
MODE = Mode.UNORDERED
"""A record waits for no other."""
REQUEST_LASTS_MS = 3_600_000
PAYLOAD_VERSION = 1


@dataclass(frozen=True, slots=True)
class Shared:
    """A record of another cluster, as it was shared: `height` and `time_ms` are ours."""

    number: int
    owner: str
    content: Content
    height: int
    time_ms: int

    def encode(self) -> bytes:
        """The canonical bytes of the state leaf."""
        return encode_trusted(
            (PAYLOAD_VERSION, self.number, self.owner, self.content.to_value(), self.height, self.time_ms)
        )

    @staticmethod
    def decode(data: bytes) -> "Shared":
        """The inverse of `encode`; raises CodecError."""
        _, number, owner, content, height, time_ms = as_tuple(decode(data), 6, "shared record")
        return Shared(
            as_int(number, "record version", low=1, high=VERSIONS_MAX),
            as_text(owner, "owner"),
            _content(content),
            as_int(height, "height"),
            as_int(time_ms, "time_ms"),
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the last share of a record with a cluster, or request: `result` None while it waits."""

    sequence: int
    number: int
    result: Result | None = None
    answer: bytes = b""

    def encode(self) -> bytes:
        """The canonical bytes of the state leaf."""
        return encode_trusted((self.sequence, self.number, int(self.result or 0), self.answer))

    @staticmethod
    def decode(data: bytes) -> "Outcome":
        """The inverse of `encode`; raises CodecError."""
        sequence, number, result, answer = as_tuple(decode(data), 4, "outcome")
        ended = as_int(result, "result", high=3)
        return Outcome(
            as_int(sequence, "sequence", low=1, high=SEQUENCE_MAX),
            as_int(number, "record version", high=VERSIONS_MAX),
            Result(ended) if ended else None,
            as_bytes(answer, "answer"),
        )


@immutable(frozen=True, slots=True)
class Share:
    """Parsed arguments of `share`."""

    record_id: str
    cluster_id: Digest
    deadline_ms: int


@immutable(frozen=True, slots=True)
class Request:
    """Parsed arguments of `request`."""

    record_id: str
    cluster_id: Digest


def shared_key(source: bytes, record_id: str) -> bytes:
    """Where a record of cluster `source` stands, below the application's prefix."""
    return b"shared/%s/%s" % (source.hex().encode(), record_id.encode())


def outcome_key(port: str, cluster_id: bytes, record_id: str) -> bytes:
    """Where the outcome of a share or request stands, below the application's prefix."""
    kind = b"share" if port == SHARE_PORT else b"asked"
    return b"%s/%s/%s" % (kind, cluster_id.hex().encode(), record_id.encode())


def sent_key(port: str, cluster_id: bytes, sequence: int) -> bytes:
    """Where the record of a message that waits stands, below the application's prefix."""
    return b"sent/%s/%s/%016x" % (port.encode(), cluster_id.hex().encode(), sequence)


def parse_share(args: Arguments) -> Share:
    """Raises RejectedTransaction(INVALID_ARGUMENTS) that names the argument."""
    try:
        record_id, cluster_id, deadline_ms = as_tuple(args, 3, "arguments of share")
        return Share(
            check_record_id(record_id),
            Digest(as_bytes(cluster_id, "cluster id", length=32)),
            as_int(deadline_ms, "deadline_ms", high=EXPIRY_MS_MAX),
        )
    except CodecError as error:
        raise RejectedTransaction(Code.INVALID_ARGUMENTS, str(error)) from error


def parse_request(args: Arguments) -> Request:
    """Raises RejectedTransaction(INVALID_ARGUMENTS) that names the argument."""
    try:
        record_id, cluster_id = as_tuple(args, 2, "arguments of request")
        return Request(check_record_id(record_id), Digest(as_bytes(cluster_id, "cluster id", length=32)))
    except CodecError as error:
        raise RejectedTransaction(Code.INVALID_ARGUMENTS, str(error)) from error


def share(context: Context, call: Share) -> Value:
    """Send the newest version of a record; answers the message's sequence."""
    stored = context.get(current_key(call.record_id))
    if stored is None:
        raise RejectedTransaction(Code.RECORD_UNKNOWN, call.record_id)
    entry = Entry.decode(stored)
    if entry.owner != context.sender.organisation:
        raise RejectedTransaction(Code.NOT_OWNER, f"{call.record_id} is owned by {entry.owner}")
    payload = _share_payload(call.record_id, entry)
    sequence = context.send(call.cluster_id, SHARE_PORT, MODE, call.deadline_ms, payload)
    context.put(sent_key(SHARE_PORT, call.cluster_id, sequence), call.record_id.encode())
    outcome = Outcome(sequence, entry.number)
    context.put(outcome_key(SHARE_PORT, call.cluster_id, call.record_id), outcome.encode())
    return sequence


def request(context: Context, call: Request) -> Value:
    """Ask another cluster for one of its records; answers the message's sequence."""
    payload = encode_trusted((PAYLOAD_VERSION, call.record_id))
    deadline_ms = context.time_ms + REQUEST_LASTS_MS
    sequence = context.send(call.cluster_id, REQUEST_PORT, MODE, deadline_ms, payload)
    context.put(sent_key(REQUEST_PORT, call.cluster_id, sequence), call.record_id.encode())
    context.put(outcome_key(REQUEST_PORT, call.cluster_id, call.record_id), Outcome(sequence, 0).encode())
    return sequence


def owner_of(context: Context, call: Share | Request) -> str | None:
    """The organisation that owns the record that is shared (rule SELF); of a request nobody."""
    if isinstance(call, Request):
        return None
    stored = context.get(current_key(call.record_id))
    return None if stored is None else Entry.decode(stored).owner


def handle_share(context: MessageContext, message: Message) -> bytes:
    """Keep what another cluster shared, if it is newer than what is held; answers the held version."""
    try:
        version, record_id, number, owner, content = as_tuple(decode(message.payload), 5, "share")
        if version != PAYLOAD_VERSION:
            raise CodecError("share of another version")
        name = check_record_id(record_id)
        shared = Shared(
            as_int(number, "record version", low=1, high=VERSIONS_MAX),
            as_text(owner, "owner", max_length=64),
            _content(content),
            context.height,
            context.time_ms,
        )
    except (CodecError, RejectedTransaction) as error:
        raise HandlerFailed(b"malformed-share") from error
    key = shared_key(message.lane.source, name)
    held = context.get(key)
    if held is not None and Shared.decode(held).number >= shared.number:
        return encode_trusted(Shared.decode(held).number)
    context.put(key, shared.encode())
    return encode_trusted(shared.number)


def handle_request(context: MessageContext, message: Message) -> bytes:
    """Share the record that is asked for with who asks; answers the sequence of the share."""
    try:
        version, record_id = as_tuple(decode(message.payload), 2, "request")
        if version != PAYLOAD_VERSION:
            raise CodecError("request of another version")
        name = check_record_id(record_id)
    except (CodecError, RejectedTransaction) as error:
        raise HandlerFailed(b"malformed-request") from error
    stored = context.get(current_key(name))
    if stored is None:
        raise HandlerFailed(b"record-unknown")
    entry = Entry.decode(stored)
    asker = message.lane.source
    deadline_ms = context.time_ms + REQUEST_LASTS_MS
    sequence = context.send(asker, SHARE_PORT, MODE, deadline_ms, _share_payload(name, entry))
    context.put(sent_key(SHARE_PORT, asker, sequence), name.encode())
    context.put(outcome_key(SHARE_PORT, asker, name), Outcome(sequence, entry.number).encode())
    return encode_trusted(sequence)


def hear(context: MessageContext, sent: Sent, result: Result, answer: bytes) -> None:
    """Note what became of a share or request, unless a later one has taken its place."""
    port, cluster_id = sent.lane.port, sent.lane.destination
    waiting = sent_key(port, cluster_id, sent.sequence)
    name = context.get(waiting)
    if name is None:
        raise LocalError(f"nothing is known of message {sent.sequence} on {sent.lane}")
    context.delete(waiting)
    key = outcome_key(port, cluster_id, name.decode())
    stored = context.get(key)
    if stored is None:
        raise LocalError(f"the outcome of {name!a} is missing")
    known = Outcome.decode(stored)
    if known.sequence == sent.sequence:
        context.put(key, Outcome(known.sequence, known.number, result, answer).encode())


PORTS = (Port(SHARE_PORT, handle_share, hear), Port(REQUEST_PORT, handle_request, hear))


METHODS = (
    Method("share", parse_share, share, owner_of, Policy("ANY")),
    Method("request", parse_request, request, owner_of, Policy("ANY")),
)


def _share_payload(record_id: str, entry: Entry) -> bytes:
    content = entry.content.to_value()
    return encode_trusted((PAYLOAD_VERSION, record_id, entry.number, entry.owner, content))


def _content(value: Value) -> Content:
    try:
        return Content.from_value(as_tuple(value, 6, "content"))
    except RejectedTransaction as error:
        raise CodecError(str(error)) from error
