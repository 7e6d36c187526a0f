"""A replica's steps once more, on a twin that has the core to itself: what they cost on a machine of its own.

In one process a hundred replicas take turns, and each event finds that the others have used the caches since.
So what the measured ones are told is noted while the cluster runs, and only repeated under the clock:
one replica after the other, each answer compared with the one it gave in the cluster.
"""

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, cast

from bench.scale.metering import Meter, MeteredSigner
from bench.sim.seams import Parts
from consensus import (
    ED25519,
    GuardRecord,
    PublicKey,
    SafetyRecord,
    SafetyRules,
    SignatureScheme,
    Signer,
    ValidatorIndex,
)
from node.daemon.memory_store import MemoryStore
from node.genesis import Genesis
from node.validator import Flush, Flushed, Input, Output, Recovered, Validator, assemble, first_writes
from node.validator.recorded_output import OutputMark


class NotRepeated(Exception):
    """A step came out otherwise the second time: our fault; `str()` says which."""


@dataclass(frozen=True, slots=True)
class Signing:
    """What a host's safety rules were made of."""

    key: Signer
    cluster_id: bytes
    index: ValidatorIndex
    record: SafetyRecord
    guard: GuardRecord

    def rules(self, key: Signer) -> SafetyRules:
        """The same once more, signing with `key`."""
        return SafetyRules(key, self.cluster_id, self.index, self.record, self.guard)


@dataclass(slots=True)
class Noted:
    """A replica that starts with an empty chain: what it is made of, and each step. `begins` is the first one
    that is measured."""

    genesis: Genesis
    recovered: Recovered
    named: dict[str, Any]
    signing: Signing
    steps: list[tuple[Input, int, list[Output]]] = field(default_factory=list)
    begins: int = 0


@dataclass(slots=True)
class Notes:
    """Of the replicas with these keys, in the order in which they start."""

    keys: Collection[PublicKey]
    noted: list[Noted] = field(default_factory=list)
    _signing: Signing | None = None

    def parts(self) -> Parts:
        """What the hosts of a world are made of, so that these are noted."""
        return Parts(safety=self._safety, assemble=self._assemble)

    def begin(self) -> None:
        """What is told from now on is measured."""
        for each in self.noted:
            each.begins = len(each.steps)

    def _safety(
        self, key: Signer, cluster_id: bytes, index: ValidatorIndex, record: SafetyRecord, guard: GuardRecord
    ) -> SafetyRules:
        self._signing = Signing(key, cluster_id, index, record, guard)
        return self._signing.rules(key)

    def _assemble(self, genesis: Genesis, recovered: Recovered, reader: Any, **named: Any) -> Validator:
        validator = assemble(genesis, recovered, reader, **named)
        if named["consensus_key"] not in self.keys or self._signing is None:
            return validator
        noted = Noted(genesis, recovered, named, self._signing)
        self.noted.append(noted)
        return cast(Validator, NotedValidator(validator, noted))


class NotedValidator:
    """A validator whose steps are noted; whatever else is asked of it, the validator answers."""

    def __init__(self, validator: Validator, noted: Noted) -> None:
        self._validator = validator
        self._steps = noted.steps

    def step(self, item: Input, now_ms: int) -> list[Output]:
        """The validator's outputs."""
        outputs = self._validator.step(item, now_ms)
        self._steps.append((item, now_ms, outputs.copy()))
        return outputs

    def __getattr__(self, name: str) -> object:
        return getattr(self._validator, name)


def repeat(noted: Noted, meter: Meter) -> None:
    """Each step again, those from `begins` on under the meter. Raises NotRepeated."""
    is_timed, store = meter.profiler is None, MemoryStore()
    store.apply(*first_writes(noted.genesis))
    signing = noted.signing
    changed = {
        "safety": signing.rules(MeteredSigner(signing.key, meter) if is_timed else signing.key),
        "scheme": SignatureScheme(ED25519.name, meter.verify) if is_timed else ED25519,
    }
    twin = assemble(noted.genesis, noted.recovered, store.reader(), **(noted.named | changed))
    flushes: deque[Flush] = deque()
    meter.rest()
    for number, (item, now_ms, outputs) in enumerate(noted.steps):
        if isinstance(item, Flushed):
            while flushes and flushes[0].number <= item.number:
                flush = flushes.popleft()
                store.apply(flush.chain, flush.state)
        answered = twin.step(item, now_ms) if number < noted.begins else meter.step(twin, item, now_ms)
        if answered != outputs and _marks(answered) != _marks(outputs):
            raise NotRepeated(f"step {number} of a replica, {type(item).__name__}, came out otherwise alone")
        flushes.extend(output for output in answered if isinstance(output, Flush))


def _marks(outputs: list[Output]) -> list[OutputMark]:
    """For what is only equal by what it holds: the writes of a flush."""
    return [OutputMark.of(output) for output in outputs]
