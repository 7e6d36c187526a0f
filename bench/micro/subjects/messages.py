"""The agreement codec: bytes to types and back, of messages recorded from four running replicas."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

from bench.micro.ring import recorded
from bench.micro.subject import Sampler, Subject, Workshop, prepared
from consensus import (
    Blocks,
    BlocksRequest,
    Certificates,
    CertificatesRequest,
    HeaderSignature,
    Message,
    Proposal,
    Received,
    Round,
    Status,
    Timeout,
    Vote,
    decode_message,
    encode_message,
)

NODES, ROUNDS = 4, 60
_BLOCKS = 8


def received(kind: type[Message]) -> tuple[Message, ...]:
    """Every message of a kind that the recorded replica got."""
    events = (told.event for told in recorded(NODES, ROUNDS))
    messages = (event.message for event in events if isinstance(event, Received))
    return tuple(message for message in messages if isinstance(message, kind))


def _blocks(kind: type[Message]) -> tuple[Message, ...]:
    proposals = tuple(message for message in received(Proposal) if isinstance(message, Proposal))
    return (Blocks(proposals[:_BLOCKS]),)


def _blocks_requests(kind: type[Message]) -> tuple[Message, ...]:
    votes = (message for message in received(Vote) if isinstance(message, Vote))
    return tuple(BlocksRequest(vote.block_id, _BLOCKS) for vote in votes)


def _certificates_requests(kind: type[Message]) -> tuple[Message, ...]:
    return tuple(CertificatesRequest(Round(number)) for number in range(1, 65))


_SOURCES: tuple[tuple[str, type[Message], Callable[[type[Message]], tuple[Message, ...]]], ...] = (
    ("proposal", Proposal, received),
    ("vote", Vote, received),
    ("timeout", Timeout, received),
    ("header-signature", HeaderSignature, received),
    ("status", Status, received),
    ("certificates-request", CertificatesRequest, _certificates_requests),
    ("certificates", Certificates, received),
    ("blocks-request", BlocksRequest, _blocks_requests),
    (f"blocks-{_BLOCKS}", Blocks, _blocks),
)


def _encode(
    kind: type[Message], source: Callable[[type[Message]], tuple[Message, ...]], workshop: Workshop
) -> Sampler:
    messages = source(kind)

    def fresh(count: int) -> Iterable[Message]:  # a copy each: what an object may remember is not measured
        return [replace(message) for message in islice(cycle(messages), count)]

    return prepared(workshop.clock, fresh, encode_message)


def _decode(
    kind: type[Message], source: Callable[[type[Message]], tuple[Message, ...]], workshop: Workshop
) -> Sampler:
    encoded = [encode_message(message) for message in source(kind)]
    return prepared(workshop.clock, lambda count: islice(cycle(encoded), count), decode_message)


SUBJECTS = tuple(
    Subject(f"codec/{how}/{name}", "message", partial(make, kind, source))
    for how, make in (("encode", _encode), ("decode", _decode))
    for name, kind, source in _SOURCES
)
