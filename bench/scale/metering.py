"""A shipped validator under measurement: the CPU of its steps by what it was told, and of its signatures.

The validator is the shipped one, behind a door that reads a clock before and after each step. Its scheme and
its key are the shipped ones behind counters. Everything else in the simulated world is outside of the door.
"""

import time
from collections.abc import Collection, Sequence
from cProfile import Profile
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast

from bench.sim.seams import Parts
from consensus import (
    ED25519,
    Digest,
    GuardRecord,
    PublicKey,
    SafetyRecord,
    SafetyRules,
    Signature,
    SignatureScheme,
    Signer,
    ValidatorIndex,
)
from node import wire
from node.validator import Frame, Input, Output, Validator, assemble

_KINDS_REMEMBERED = 8_192


@dataclass(slots=True)
class Cost:
    """Events of one kind: how many, their CPU seconds, and the signatures among them."""

    events: int = 0
    seconds: float = 0.0
    verifies: int = 0
    verify_seconds: float = 0.0
    signs: int = 0
    sign_seconds: float = 0.0

    def add(self, other: "Cost") -> None:
        """Another kind's on top."""
        self.events += other.events
        self.seconds += other.seconds
        self.verifies += other.verifies
        self.verify_seconds += other.verify_seconds
        self.signs += other.signs
        self.sign_seconds += other.sign_seconds

    @property
    def crypto_seconds(self) -> float:
        """Of signatures, made and checked."""
        return self.verify_seconds + self.sign_seconds

    @property
    def rest_seconds(self) -> float:
        """Of everything else."""
        return self.seconds - self.crypto_seconds


@dataclass(slots=True)
class Meter:
    """What the measured replicas cost together since `reset`. With a profiler the steps run under it and
    are only counted: clocks are themselves a burden, and would be profiled."""

    profiler: Profile | None = None
    kinds: dict[str, Cost] = field(default_factory=dict)
    _now: Cost = field(default_factory=Cost)

    def reset(self) -> None:
        """Forget everything so far."""
        self.kinds.clear()
        if self.profiler is not None:
            self.profiler.clear()

    def rest(self) -> None:
        """What is checked and signed until the next step counts for nothing."""
        self._now = Cost()

    def total(self) -> Cost:
        """Of all kinds."""
        total = Cost()
        for cost in self.kinds.values():
            total.add(cost)
        return total

    def step(self, validator: Validator, item: Input, now_ms: int) -> list[Output]:
        """A step, counted under the kind of its input."""
        kind = kind_of(item)
        cost = self._now = self.kinds.setdefault(kind, Cost())
        cost.events += 1
        if self.profiler is not None:
            return self.profiler.runcall(validator.step, item, now_ms)
        started = time.process_time()
        outputs = validator.step(item, now_ms)
        cost.seconds += time.process_time() - started
        return outputs

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Ed25519, counted."""
        started = time.process_time()
        is_good = ED25519.verify(public_key, message, signature)
        self._now.verify_seconds += time.process_time() - started
        self._now.verifies += 1
        return is_good

    def sign(self, key: Signer, message: Digest) -> Signature:
        """Counted."""
        started = time.process_time()
        signature = key.sign(message)
        self._now.sign_seconds += time.process_time() - started
        self._now.signs += 1
        return signature

    def parts(self, measured: Collection[int], keys: Sequence[PublicKey]) -> Parts:
        """What the hosts of a world are made of when those at these indices are measured by this meter."""
        names = [keys[index] for index in measured]
        is_timed = self.profiler is None
        scheme = SignatureScheme(ED25519.name, self.verify) if is_timed else ED25519

        def safety(
            key: Signer, cluster_id: bytes, index: ValidatorIndex, record: SafetyRecord, guard: GuardRecord
        ) -> SafetyRules:
            signer: Signer = MeteredSigner(key, self) if is_timed and key.public_key in names else key
            return SafetyRules(signer, cluster_id, index, record, guard)

        def build(*arguments: Any, **named: Any) -> Validator:
            if named["consensus_key"] not in names:
                return assemble(*arguments, **named)
            validator = assemble(*arguments, **(named | {"scheme": scheme}))
            return cast(Validator, MeteredValidator(validator, self))

        return Parts(safety=safety, assemble=build)


@dataclass(frozen=True, slots=True)
class MeteredSigner:
    """Signs as the key does."""

    key: Signer
    meter: Meter

    @property
    def public_key(self) -> PublicKey:
        """The key's."""
        return self.key.public_key

    def sign(self, message: Digest) -> Signature:
        """The key's signature."""
        return self.meter.sign(self.key, message)


class MeteredValidator:
    """A validator whose steps are counted; whatever else is asked of it, the validator answers."""

    def __init__(self, validator: Validator, meter: Meter) -> None:
        self._validator = validator
        self._meter = meter

    def step(self, item: Input, now_ms: int) -> list[Output]:
        """The validator's outputs."""
        return self._meter.step(self._validator, item, now_ms)

    def __getattr__(self, name: str) -> object:
        return getattr(self._validator, name)


def kind_of(item: Input) -> str:
    """What a replica was told, as a word or two; of a frame the message in it."""
    return message_kind(item.topic, item.body) if isinstance(item, Frame) else _words(type(item).__name__)


@lru_cache(maxsize=_KINDS_REMEMBERED)
def message_kind(topic: int, body: bytes) -> str:
    """Of a well-formed frame; raises PeerError for another."""
    if topic in (wire.Code.AGREEMENT, wire.Code.BLOCKS):
        return _words(type(wire.agreement_message(topic, body)).__name__)
    if topic in (wire.Code.DATA, wire.Code.BATCHES, wire.Code.SYNC):
        return _words(type(wire.pool_message(topic, body)).__name__)
    return f"gossip: {wire.Code(topic).name.lower()}"


def _words(name: str) -> str:
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name).strip()
