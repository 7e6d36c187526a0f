"""What nodes of two clusters say to each other: three questions and their answers, or a refusal.

Who asks chooses the ticket, who answers repeats it. A question for an offer may be answered late: the server
keeps it until it has more to say than the asker knows of, or until the asker's patience is over, so that news
travels at once between clusters that otherwise say nothing. Canonical msgpack:

    [version, kind, ticket, body]
    1 offer asked    [incarnation, height, log size that the asker knows of, patience_ms]
    2 offer          offer bytes                                 (`lanes/courier.py`)
    3 bundle asked   request bytes                               (`lanes/courier.py`)
    4 bundle         inbound bundle bytes, not looked into here  (`lanes/inbound.py`)
    5 declined       reason, a word
    6 fact asked     what is asked for                           (`questions.py`)
    7 fact           fact bytes, not looked into here            (`questions.py`)
"""

from dataclasses import dataclass
from typing import TypeAlias

from consensus import CodecError, Value, as_bytes, as_int, as_text, as_tuple, decode, encode
from node.anchoring.lanes.courier import BundleRequest, Offer
from node.anchoring.lanes.inbound import INBOUND_BYTES_MAX
from node.anchoring.questions import FactAsked, fact_asked_from_value, fact_asked_value

EXCHANGE_VERSION = 1
EXCHANGE_BYTES_MAX = INBOUND_BYTES_MAX + 128
PATIENCE_MS_MAX = 20_000
REASON_CHARACTERS_MAX = 32
_OFFER_ASKED, _OFFER, _BUNDLE_ASKED, _BUNDLE, _DECLINED, _FACT_ASKED, _FACT = range(1, 8)


@dataclass(frozen=True, slots=True)
class OfferAsked:
    """What can you prove beyond this? `patience_ms`: how long the answer may wait for something new."""

    ticket: int
    incarnation: int
    height: int
    log_size: int
    patience_ms: int


@dataclass(frozen=True, slots=True)
class Offered:
    """The answer to `OfferAsked`."""

    ticket: int
    offer: Offer


@dataclass(frozen=True, slots=True)
class BundleAsked:
    """Prove me what I lack."""

    ticket: int
    request: BundleRequest


@dataclass(frozen=True, slots=True)
class BundleSent:
    """The answer to `BundleAsked`; nothing in `bundle` is believed or decoded yet."""

    ticket: int
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Declined:
    """No answer, and why: `busy`, `nothing`, `unknown-cluster`, or a word of `questions.Refusal`."""

    ticket: int
    reason: str


@dataclass(frozen=True, slots=True)
class FactQuestion:
    """Tell me one thing."""

    ticket: int
    asked: FactAsked


@dataclass(frozen=True, slots=True)
class FactTold:
    """The answer to `FactQuestion`; nothing in `fact` is believed or decoded yet."""

    ticket: int
    fact: bytes


Question: TypeAlias = OfferAsked | BundleAsked | FactQuestion
Reply: TypeAlias = Offered | BundleSent | FactTold | Declined
Exchanged: TypeAlias = Question | Reply


def encode_exchanged(message: Exchanged) -> bytes:
    """The canonical bytes of a message."""
    return encode((EXCHANGE_VERSION, *_fields(message)))


def decode_exchanged(data: bytes) -> Exchanged:
    """The inverse of `encode_exchanged`; raises CodecError for every other shape, bound or length."""
    value = decode(data, max_bytes=EXCHANGE_BYTES_MAX, max_depth=2, max_items=16)
    version, kind, number, body = as_tuple(value, 4, "message between clusters")
    if version != EXCHANGE_VERSION:
        raise CodecError(f"message version {version!r:.20} is not {EXCHANGE_VERSION}")
    ticket = as_int(number, "ticket")
    match kind:
        case 1:
            return _offer_asked(ticket, body)
        case 2:
            return Offered(ticket, Offer.decode(as_bytes(body, "offer")))
        case 3:
            return BundleAsked(ticket, BundleRequest.decode(as_bytes(body, "request")))
        case 4:
            return BundleSent(ticket, as_bytes(body, "bundle", max_length=INBOUND_BYTES_MAX))
        case 5:
            return Declined(ticket, as_text(body, "reason", max_length=REASON_CHARACTERS_MAX))
        case 6:
            return FactQuestion(ticket, fact_asked_from_value(body))
        case 7:
            return FactTold(ticket, as_bytes(body, "fact", max_length=INBOUND_BYTES_MAX))
    raise CodecError(f"message kind {kind!r:.20} is unknown")


def _fields(message: Exchanged) -> tuple[Value, ...]:
    ticket = message.ticket
    match message:
        case OfferAsked(_, incarnation, height, log_size, patience_ms):
            return (_OFFER_ASKED, ticket, (incarnation, height, log_size, patience_ms))
        case Offered(_, offer):
            return (_OFFER, ticket, offer.encode())
        case BundleAsked(_, request):
            return (_BUNDLE_ASKED, ticket, request.encode())
        case BundleSent(_, bundle):
            return (_BUNDLE, ticket, bundle)
        case Declined(_, reason):
            return (_DECLINED, ticket, reason)
        case FactQuestion(_, asked):
            return (_FACT_ASKED, ticket, fact_asked_value(asked))
        case FactTold(_, fact):
            return (_FACT, ticket, fact)


def _offer_asked(ticket: int, body: Value) -> OfferAsked:
    incarnation, height, log_size, patience_ms = as_tuple(body, 4, "offer asked")
    return OfferAsked(
        ticket,
        as_int(incarnation, "incarnation"),
        as_int(height, "height"),
        as_int(log_size, "log size"),
        as_int(patience_ms, "patience_ms", high=PATIENCE_MS_MAX),
    )
