"""`Replica.step` by kind of event: a fresh replica is told again what a running one was told.

All events are replayed, since each builds on those before; only the steps of one kind are timed. What a
calm cluster seldom says (a link that comes up, what somebody behind asks for) is told at the end.
"""

from collections.abc import Callable, Sequence
from functools import partial

from bench.micro.ring import Told, fresh_replica, recorded
from bench.micro.subject import Sampler, Subject, Workshop
from consensus import (
    BlocksRequest,
    Certificates,
    CertificatesRequest,
    Event,
    HeaderComputed,
    HeaderSignature,
    Message,
    PayloadChecked,
    PayloadReady,
    PeerConnected,
    PendingPayload,
    Persisted,
    Proposal,
    Received,
    Round,
    Send,
    Started,
    Status,
    Timeout,
    TimerFired,
    Vote,
)

_CLOCK_READS = 1_000
_TIMES = 20
_BLOCKS = 8


def _is_message(kind: type[Message], event: Event) -> bool:
    return isinstance(event, Received) and isinstance(event.message, kind)


def _is_event(kind: type[Event], event: Event) -> bool:
    return isinstance(event, kind)


def _make(nodes: int, rounds: int, is_timed: Callable[[Event], bool], workshop: Workshop) -> Sampler:
    told = recorded(nodes, rounds)
    marks = [is_timed(item.event) for item in told]
    if not any(marks):
        raise AssertionError("the recording holds no event of this kind")
    return _replaying(nodes, told, marks, workshop)


def _make_at_the_end(
    nodes: int, rounds: int, events_after: Callable[[tuple[Told, ...]], Sequence[Event]], workshop: Workshop
) -> Sampler:
    """Steps of events that come once the recording is over; each must be one that is answered."""
    told = recorded(nodes, rounds)
    more = tuple(Told(event, told[-1].now_ms) for event in events_after(told))
    replica = fresh_replica(nodes, 0)
    for item in told:
        replica.step(item.event, item.now_ms)
    for item in more:
        if not any(isinstance(effect, Send) for effect in replica.step(item.event, item.now_ms)):
            raise AssertionError(f"{item.event} is not answered")
    return _replaying(nodes, (*told, *more), [False] * len(told) + [True] * len(more), workshop)


def _replaying(nodes: int, told: tuple[Told, ...], marks: list[bool], workshop: Workshop) -> Sampler:
    now = workshop.clock.now

    def replay(count: int) -> tuple[float, int]:
        """Seconds in, and number of, timed steps: `count`, or all of the recording."""
        replica, seconds, done = fresh_replica(nodes, 0), 0.0, 0
        for item, timed in zip(told, marks, strict=True):
            if not timed:
                replica.step(item.event, item.now_ms)
                continue
            started = now()
            replica.step(item.event, item.now_ms)
            seconds += now() - started
            done += 1
            if done == count:
                break
        return seconds, done

    def sample(count: int) -> float:
        wanted, seconds = count, 0.0
        while count > 0:
            spent, done = replay(count)
            seconds += spent
            count -= done
        return max(0.0, seconds - wanted * _clock_cost(now))

    return sample


def _clock_cost(now: Callable[[], float]) -> float:
    """Seconds that one pair of clock reads adds to what lies between them."""
    started = now()
    for _ in range(_CLOCK_READS):
        now()
    return (now() - started) / _CLOCK_READS


def _links(told: tuple[Told, ...]) -> Sequence[Event]:
    return [PeerConnected(peer) for peer in _peers(told)] * _TIMES


def _asking_for_certificates(told: tuple[Told, ...]) -> Sequence[Event]:
    """Each peer is answered once in a while."""
    return [Received(peer, CertificatesRequest(Round(1))) for peer in _peers(told)]


def _asking_for_blocks(told: tuple[Told, ...]) -> Sequence[Event]:
    events = (item.event for item in reversed(told))
    messages = (event.message for event in events if isinstance(event, Received))
    proposal = next(message for message in messages if isinstance(message, Proposal))
    request = BlocksRequest(proposal.block.id, _BLOCKS)
    return [Received(peer, request) for peer in _peers(told)] * _TIMES


def _peers(told: tuple[Told, ...]) -> list[bytes]:
    events = (item.event for item in told)
    return list(dict.fromkeys(event.peer for event in events if isinstance(event, Received)))


_SMALL = (4, 60)
_LARGE = (31, 8)
_KINDS: tuple[tuple[str, tuple[int, int], Callable[[Event], bool]], ...] = (
    ("proposal", _SMALL, partial(_is_message, Proposal)),
    ("vote", _SMALL, partial(_is_message, Vote)),
    ("timeout", _SMALL, partial(_is_message, Timeout)),
    ("header-signature", _SMALL, partial(_is_message, HeaderSignature)),
    ("status", _SMALL, partial(_is_message, Status)),
    ("certificates", _SMALL, partial(_is_message, Certificates)),
    ("started", _SMALL, partial(_is_event, Started)),
    ("pending-payload", _SMALL, partial(_is_event, PendingPayload)),
    ("persisted", _SMALL, partial(_is_event, Persisted)),
    ("payload-ready", _SMALL, partial(_is_event, PayloadReady)),
    ("payload-checked", _SMALL, partial(_is_event, PayloadChecked)),
    ("header-computed", _SMALL, partial(_is_event, HeaderComputed)),
    ("timer-fired", _SMALL, partial(_is_event, TimerFired)),
    ("proposal", _LARGE, partial(_is_message, Proposal)),
    ("vote", _LARGE, partial(_is_message, Vote)),
    ("header-signature", _LARGE, partial(_is_message, HeaderSignature)),
)

_AT_THE_END: tuple[tuple[str, Callable[[tuple[Told, ...]], Sequence[Event]]], ...] = (
    ("peer-connected", _links),
    ("certificates-request", _asking_for_certificates),
    ("blocks-request", _asking_for_blocks),
)

SUBJECTS = (
    *(
        Subject(f"step/{name}/n{size[0]}", "step", partial(_make, *size, is_timed))
        for name, size, is_timed in _KINDS
    ),
    *(
        Subject(f"step/{name}/n{_SMALL[0]}", "step", partial(_make_at_the_end, *_SMALL, after))
        for name, after in _AT_THE_END
    ),
)
