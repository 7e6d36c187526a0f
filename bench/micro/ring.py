"""Real events, recorded from replicas that run: what one replica of a cluster was told, in order.

The replicas run in virtual time on a network of fixed latency, order payload every other round, execute at
once and lose every sixth round's proposal, so that timeouts happen. A replica is a function of what it is
told: told the same again, a fresh one does the same work, which is how one step can be timed many times.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from heapq import heappop, heappush

from consensus import (
    Broadcast,
    CancelTimer,
    CheckPayload,
    Commit,
    Digest,
    Effect,
    Epoch,
    Event,
    GuardRecord,
    HeaderComputed,
    PayloadChecked,
    PayloadReady,
    PendingPayload,
    Persist,
    Persisted,
    Proposal,
    Received,
    RecoveredState,
    Replica,
    ReplicaConfig,
    RequestPayload,
    SafetyRules,
    Send,
    SetTimer,
    SigningKey,
    Started,
    Timer,
    TimerFired,
    TimerKind,
    Validator,
    ValidatorIndex,
    ValidatorSet,
    Verdict,
    admit,
    decode_message,
    encode_message,
    root_certificate,
    root_id,
)

CLUSTER_ID = sha256(b"a ring of replicas").digest()
START_MS = 1_700_000_000_000
_LATENCY_MS = 20
_PERSIST_MS = 1
_LOST_EVERY = 6
_EVENTS_MAX = 1_000_000
_OBSERVED = 0
"""Which replica's events are recorded."""


def keys_of(count: int) -> tuple[SigningKey, ...]:
    """The same keys every time."""
    return tuple(SigningKey(sha256(b"ring %d" % number).digest()) for number in range(count))


def validators_of(keys: tuple[SigningKey, ...]) -> ValidatorSet:
    """Epoch 0 of these keys, of equal weight."""
    return ValidatorSet(Epoch(0), tuple(Validator(key.public_key, 1) for key in keys))


def fresh_replica(count: int, number: int) -> Replica:
    """Replica `number` of `count` before its first event."""
    keys = keys_of(count)
    floor = admit(None, GuardRecord.initial(Epoch(0)), Epoch(0))
    if floor.record is None or floor.guard is None:
        raise AssertionError("a first start may sign")
    index = ValidatorIndex(number)
    safety = SafetyRules(keys[number], CLUSTER_ID, index, floor.record, floor.guard)
    root = root_certificate(Epoch(0), root_id(CLUSTER_ID, 0, bytes(32)))
    config = ReplicaConfig(CLUSTER_ID, idle_interval_ms=0)
    return Replica(config, validators_of(keys), index, safety, RecoveredState(root, START_MS))


@dataclass(frozen=True, slots=True)
class Told:
    """An event with the wall clock the replica was given beside it."""

    event: Event
    now_ms: int


class _Ring:
    def __init__(self, count: int) -> None:
        self._names: list[bytes] = [key.public_key for key in keys_of(count)]
        self._replicas = [fresh_replica(count, number) for number in range(count)]
        self._due: list[tuple[int, int, int, Callable[[], Event | None]]] = []
        self._pushed = 0
        self._now_ms = START_MS
        self._timers: list[dict[TimerKind, tuple[Timer, int]]] = [{} for _ in range(count)]
        self.told: list[Told] = []

    def run(self, rounds: int) -> tuple[Told, ...]:
        """Until the observed replica is past `rounds`."""
        for number in range(len(self._replicas)):
            self._later(0, number, lambda: Started())
            self._later(0, number, lambda: PendingPayload(True))  # so that a lost proposal is waited for
        for _ in range(_EVENTS_MAX):
            if self._replicas[_OBSERVED].view().round > rounds:
                return tuple(self.told)
            self._now_ms, _, number, make = heappop(self._due)
            event = make()
            if event is None:
                continue
            if number == _OBSERVED:
                self.told.append(Told(event, self._now_ms))
            for effect in self._replicas[number].step(event, self._now_ms):
                self._perform(number, effect)
        raise AssertionError(f"the ring stood still at round {self._replicas[_OBSERVED].view().round}")

    def _later(self, delay_ms: int, number: int, make: Callable[[], Event | None]) -> None:
        self._pushed += 1
        heappush(self._due, (self._now_ms + delay_ms, self._pushed, number, make))

    def _answer(self, number: int, event: Event) -> None:
        self._later(0, number, lambda: event)

    def _perform(self, number: int, effect: Effect) -> None:
        """The driver's duty; a message leaves one persist time after its step, which is late enough."""
        match effect:
            case Persist(seq):
                self._later(_PERSIST_MS, number, lambda: Persisted(seq))
            case Broadcast(message):
                if isinstance(message, Proposal) and message.block.round % _LOST_EVERY == 0:
                    return
                data = encode_message(message)
                for other in range(len(self._names)):
                    if other != number:
                        self._deliver(number, other, data)
            case Send(peer, message) if peer in self._names:
                self._deliver(number, self._names.index(peer), encode_message(message))
            case SetTimer(timer, delay_ms):
                self._set_timer(number, timer, delay_ms)
            case CancelTimer(timer):
                self._timers[number].pop(timer.kind, None)
            case RequestPayload():
                payload = b"payload %d" % effect.round if effect.round % 2 else b""
                self._answer(number, PayloadReady(effect.round, payload))
            case CheckPayload(block):
                self._answer(number, PayloadChecked(block.id, Verdict.AVAILABLE, None, ""))
            case Commit(blocks):
                for committed in blocks:
                    if committed.yields_header:
                        block_id = committed.block.id
                        header_hash = Digest(sha256(b"header" + block_id).digest())
                        self._answer(number, HeaderComputed(committed.height, block_id, header_hash))
            case _:
                pass  # nothing else asks for an answer

    def _deliver(self, number: int, other: int, data: bytes) -> None:
        sender = self._names[number]
        self._later(_PERSIST_MS + _LATENCY_MS, other, lambda: Received(sender, decode_message(data)))

    def _set_timer(self, number: int, timer: Timer, delay_ms: int) -> None:
        running = self._timers[number]
        stamp = (timer, self._pushed)
        running[timer.kind] = stamp

        def fire() -> Event | None:
            if running.get(timer.kind) != stamp:
                return None
            del running[timer.kind]
            return TimerFired(timer)

        self._later(delay_ms, number, fire)


@lru_cache(maxsize=4)
def recorded(count: int, rounds: int) -> tuple[Told, ...]:
    """What the first of `count` replicas was told from its start until `rounds` rounds were done."""
    return _Ring(count).run(rounds)
