"""Mutants of verification certificates (VC1 to VC5): who is believed too easily, and who waits too long."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from bench.sim.host import Host
from consensus import Digest, ValidatorIndex
from node import wire
from node.pool.attesting import Attesting
from node.pool.effects import PoolEffect
from node.pool.messages import Attest, PushBatch
from node.pool.shelf import HeldBatch
from node.validator import BatchChecked, Input
from tests.byzantine.forging import batch_of, forged
from tests.mutants.hunt import Hunt
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.weather import NETWORK, crash

_TOGETHER = 9
"""Transactions in a batch that is worth an attestation."""
_PAUSE_US = 120_000


class Bystander:
    """Does what it should; whoever has no seat is no validator that lies."""

    def __init__(self, seed: int) -> None:
        pass

    def started(self, host: Host) -> None:
        """Nothing is begun."""

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """The validator hears everything."""
        return (item,)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """Everything leaves."""
        yield topic, body


class ForgingAuthor(Bystander):
    """Pushes batches of forged transactions, votes for them, and attests them three times; so does its
    accomplice without a seat, at the last place."""

    def started(self, host: Host) -> None:
        """And so on."""
        host.later(_PAUSE_US, lambda: self._push(host))

    def incoming(self, host: Host, item: Input) -> Iterable[Input]:
        """Its validator finds every batch good."""
        return (replace(item, fault=None) if isinstance(item, BatchChecked) else item,)

    def _push(self, host: Host) -> None:
        world = host.world
        batch = batch_of(host, *[forged(world.transaction()) for _ in range(_TOGETHER)])
        attestation = Attest((batch.digest,))
        for target in world.hosts:
            for message in (PushBatch(batch.encoded), attestation, attestation, attestation):
                host.send(target, *wire.frame_of_pool(message))
            world.hosts[-1].send(target, *wire.frame_of_pool(attestation))
        host.later(_PAUSE_US, lambda: self._push(host))


class SilentAttester(Bystander):
    """Verifies what it should, and tells nobody."""

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        """All but attestations."""
        if topic != wire.Code.ATTESTATIONS:
            yield topic, body


_begin, _on_attest = Attesting.begin, Attesting.on_attest


def _attest_on_sight(
    self: Attesting, held: HeldBatch, pushed_by: ValidatorIndex | None, elapsed_ms: int
) -> list[PoolEffect]:
    effects = _begin(self, held, pushed_by, elapsed_ms)
    if self._is_shared(held) and not held.verified:
        self._attested.append(held.batch.digest)
    return effects


def _one_is_enough(self: Attesting, held: HeldBatch) -> bool:
    return held.attested_weight > 0


def _count_again(self: Attesting, held: HeldBatch, index: ValidatorIndex) -> bool:
    held.attested |= 1 << index
    held.attested_weight += self._validators.validators[index].weight
    return True


def _anybody_counts(
    self: Attesting, peer: bytes, names: Iterable[Digest], elapsed_ms: int
) -> list[PoolEffect]:
    if self._validators.index_of(peer) is not None:
        return _on_attest(self, peer, names, elapsed_ms)
    effects: list[PoolEffect] = []
    for name in names:
        held = self._shelf.get(name)
        if held is not None and name in self._waiting:
            held.attested_weight += 1
            if self._is_certified(held):
                effects += self._trust(held, elapsed_ms)
    return effects


def _wait_for_ever(self: Attesting, elapsed_ms: int) -> list[PoolEffect]:
    return []


def _never_due(self: Attesting) -> None:
    return None


_FORGERIES = Hunt(
    storm_ms=3_000,
    faults=(*NETWORK, crash),
    liars=((3, ForgingAuthor), (4, Bystander)),
    candidates=1,
    together=_TOGETHER,
    certificates=True,
)

ATTESTING = (
    Mutant(
        "attests-on-sight",
        "VC2: attested is what was verified here",
        "A reviewer who approves because another reviewer is known to be careful.",
        _FORGERIES,
        (Patch(Attesting, "begin", _attest_on_sight),),
        by=("validity",),
    ),
    Mutant(
        "one-attestation-is-enough",
        "VC1: a blocking set, of which one at least is honest",
        "The author's word alone: whoever admits a transaction is believed to have looked.",
        _FORGERIES,
        (Patch(Attesting, "_is_certified", _one_is_enough),),
        by=("validity",),
    ),
    Mutant(
        "an-attester-counts-twice",
        "VC3: repetition adds no weight",
        "Counters of messages, where voices were meant: asonnino/hotstuff kept a set of keys for a reason.",
        _FORGERIES,
        (Patch(Attesting, "_count", _count_again),),
        by=("validity",),
    ),
    Mutant(
        "strangers-attest",
        "VC3: attesters have a seat in this epoch",
        "A link that is let in, of an observer or of a validator that was removed, is taken for a voice.",
        _FORGERIES,
        (Patch(Attesting, "on_attest", _anybody_counts),),
        by=("validity",),
    ),
    Mutant(
        "attestations-waited-for-without-end",
        "VC5: who is silent is waited for twice at most",
        "Whoever relies on the work of another stalls with it.",
        Hunt(
            storm_ms=3_000,
            faults=NETWORK,
            liars=((3, SilentAttester),),
            inline_bytes=0,
            together=_TOGETHER,
            certificates=True,
        ),
        (Patch(Attesting, "run", _wait_for_ever), Patch(Attesting, "due_ms", _never_due)),
        by=("liveness", "promise"),
    ),
)
