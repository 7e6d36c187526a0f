"""The table of topics: a message with its topic to bytes, and a frame's bytes to a typed message."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import cycle, islice

from bench.micro.cluster import batch_of, transactions
from bench.micro.subject import Sampler, Subject, Workshop, prepared, repeated
from bench.micro.subjects.messages import received
from consensus import Message, Proposal, Vote
from node.pool.messages import Acknowledge, PoolMessage, PushBatch
from node.wire import agreement_message, frame_of_agreement, frame_of_pool, pool_message


def _encode_agreement(kind: type[Message], workshop: Workshop) -> Sampler:
    messages = received(kind)
    return prepared(
        workshop.clock,
        lambda count: [replace(message) for message in islice(cycle(messages), count)],
        frame_of_agreement,
    )


def _decode_agreement(kind: type[Message], workshop: Workshop) -> Sampler:
    frames = [frame_of_agreement(message) for message in received(kind)]
    return prepared(
        workshop.clock, lambda count: islice(cycle(frames), count), lambda frame: agreement_message(*frame)
    )


def _push() -> PoolMessage:
    return PushBatch(batch_of(transactions(2_000)[:500]).encoded)


def _acknowledge() -> PoolMessage:
    return Acknowledge((batch_of(transactions(2_000)[:1]).digest,))


def _encode_pool(make: Callable[[], PoolMessage], workshop: Workshop) -> Sampler:
    return repeated(workshop.clock, partial(frame_of_pool, make()))


def _decode_pool(make: Callable[[], PoolMessage], workshop: Workshop) -> Sampler:
    return repeated(workshop.clock, partial(pool_message, *frame_of_pool(make())))


SUBJECTS = (
    Subject("wire/encode/vote", "message", partial(_encode_agreement, Vote)),
    Subject("wire/encode/proposal", "message", partial(_encode_agreement, Proposal)),
    Subject("wire/decode/vote", "message", partial(_decode_agreement, Vote)),
    Subject("wire/decode/proposal", "message", partial(_decode_agreement, Proposal)),
    Subject("wire/encode/acknowledge", "message", partial(_encode_pool, _acknowledge)),
    Subject("wire/decode/acknowledge", "message", partial(_decode_pool, _acknowledge)),
    Subject("wire/encode/push-500tx", "message", partial(_encode_pool, _push)),
    Subject("wire/decode/push-500tx", "message", partial(_decode_pool, _push)),
)
