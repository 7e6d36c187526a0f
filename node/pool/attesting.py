"""Verification certificates: signatures that others have checked are not checked again here.

With `verification_certificates` (off by default) a few validators check a batch first and attest it; the
others believe a blocking set of them. consensus/DESIGN.md has the proof, the cost, and what is not given.

VC1  A batch counts as verified when this node verified it, or when a blocking set (3w > W) of the epoch's
     roster attests it: at least one of them is honest under the same f that agreement rests on.
VC2  Attested is what was verified here, and only that: trust is never passed on. The author, who verified its
     clients' signatures when it admitted them, attests with the push itself; an acknowledgement attests
     nothing.
VC3  An attestation is taken over its author's own link, of who has a seat in this epoch, and counts once.
VC4  Who verifies first is a function of author and digest: as many in turn as make a blocking set with the
     author, whose links are open and who were not silent of late. Nobody knows who does not believe, or
    speaks an older protocol: who never attests is passed over twice as long each time, up to ten minutes.
VC5  Who has waited for some times what it usually takes chooses again without the silent, and the second time
     verifies by itself; what a block under vote needs is never waited for. Who verifies heeds its own verdict
     alone.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from consensus import Digest, ValidatorIndex, ValidatorSet
from node.pool.batches import BatchContent, BatchReport
from node.pool.config import PoolConfig
from node.pool.effects import Broadcast, PoolEffect, VerifyBatch
from node.pool.exclusion import Exclusions
from node.pool.messages import DIGESTS_MAX, Attest
from node.pool.ordered import OrderedBlocks
from node.pool.shelf import HeldBatch, Shelf
from node.pool.verdicts import Verdicts

PATIENCE_FACTOR = 4
"""Times what attestations usually take of late, after which who has not attested is silent."""
_MEMORY = 8


@dataclass(slots=True)
class CheckCounts:
    """What became of batches of others, for metrics: `verified` here, `trusted` without a look, `overdue`
    waits that ended without enough attestations, `hurried` ones that a block under vote ended."""

    verified: int = 0
    trusted: int = 0
    overdue: int = 0
    hurried: int = 0


@dataclass(frozen=True, slots=True)
class Missed:
    """A validator that was waited for in vain, the last `count` times that it was asked."""

    validator: ValidatorIndex
    count: int
    is_late: bool
    """Something of it came since, too late for those."""


@dataclass(frozen=True, slots=True)
class _Wait:
    since_ms: int
    chosen: int
    """A bit for each validator that is to verify it first."""
    is_last: bool


class Attesting:
    """Who looks at a batch, and who is believed; times are elapsed milliseconds."""

    def __init__(
        self,
        config: PoolConfig,
        validators: ValidatorSet,
        me: ValidatorIndex | None,
        shelf: Shelf,
        ordered: OrderedBlocks,
        verdicts: Verdicts,
        connected: Mapping[bytes, None],
    ) -> None:
        """`connected` holds the keys of the validators whose links are open."""
        self._config = config
        self._validators = validators
        self._me = me
        self._shelf = shelf
        self._ordered = ordered
        self._verdicts = verdicts
        self._connected = connected
        has_signatures = config.batch.content is BatchContent.TRANSACTIONS
        self._is_on = config.verification_certificates and me is not None and has_signatures
        self._early: list[OrderedDict[Digest, None]] = [OrderedDict() for _ in range(len(validators))]
        self._waiting: dict[Digest, _Wait] = {}  # the longest first
        self._usual_ms = 0
        self._attested: list[Digest] = []
        self._silent = Exclusions(config.exclusion_base_ms, config.silence_max_ms)
        self._missed: dict[ValidatorIndex, Missed] = {}
        self.counts = CheckCounts()

    def begin(self, held: HeldBatch, pushed_by: ValidatorIndex | None, elapsed_ms: int) -> list[PoolEffect]:
        """Nobody here has looked at this batch yet. `pushed_by` is its author if it came over that one's
        link; for what came otherwise a block waits."""
        if not self._is_shared(held):
            return [_verify(held)]
        if pushed_by is not None:
            self._count(held, pushed_by)
        for index, early in enumerate(self._early):
            if held.batch.digest in early:
                del early[held.batch.digest]
                self._count(held, ValidatorIndex(index))
        if self._is_certified(held):
            return self._trust(held, elapsed_ms)
        return [_verify(held)] if pushed_by is None else self._share(held, elapsed_ms, is_last=False)

    def on_attest(self, peer: bytes, names: Iterable[Digest], elapsed_ms: int) -> list[PoolEffect]:
        """A validator says that it verified these (VC3)."""
        index = self._validators.index_of(peer)
        if index is None or not self._is_on:
            return []
        if (missed := self._missed.get(index)) is not None and not missed.is_late:
            self._missed[index] = replace(missed, is_late=True)
        effects: list[PoolEffect] = []
        for name in names:
            held = self._shelf.get(name)
            if held is None:
                self._keep_early(name, index)
            elif self._count(held, index) and (wait := self._waiting.get(name)) is not None:
                if wait.chosen >> index & 1:
                    self._silent.forgive(index)  # who comes late comes for nothing
                    self._missed.pop(index, None)
                if self._is_certified(held):
                    self._usual_ms += (elapsed_ms - wait.since_ms - self._usual_ms) // _MEMORY
                    effects += self._trust(held, elapsed_ms)
        return effects

    def on_report(self, report: BatchReport, elapsed_ms: int) -> list[PoolEffect]:
        """The answer to `VerifyBatch`: what passed is attested (VC2)."""
        held = self._shelf.get(report.digest)
        if held is not None and not held.verified and report.ok:
            self.counts.verified += 1
            if self._is_shared(held):
                self._attested.append(report.digest)
        return self._verdicts.on_report(report, elapsed_ms)

    def hurry(self, names: Iterable[Digest]) -> list[PoolEffect]:
        """A block under vote needs these: what is waited for is verified at once (VC5)."""
        effects: list[PoolEffect] = []
        for name in names:
            held = self._shelf.get(name) if self._waiting.pop(name, None) is not None else None
            if held is not None:
                self.counts.hurried += 1
                effects.append(_verify(held))
        return effects

    def forget(self, name: Digest) -> None:
        """This batch is ordered or gone: nobody need look at it any more."""
        self._waiting.pop(name, None)
        if self._is_on:
            for early in self._early:
                early.pop(name, None)

    def run(self, elapsed_ms: int) -> list[PoolEffect]:
        """What was waited for long enough (VC5)."""
        effects: list[PoolEffect] = []
        patience_ms = self._patience_ms()
        while self._waiting:
            name, wait = next(iter(self._waiting.items()))
            if wait.since_ms + patience_ms > elapsed_ms:
                break
            del self._waiting[name]
            held = self._shelf.get(name)
            if held is None or held.verified:
                continue
            self.counts.overdue += 1
            self._usual_ms = max(self._usual_ms, patience_ms)
            for index in _positions(wait.chosen & ~held.attested):
                self._miss(index, elapsed_ms)
                self._silent.blame(index, self._validators.total_weight, self._validators, elapsed_ms)
            effects += [_verify(held)] if wait.is_last else self._share(held, elapsed_ms, is_last=True)
        return effects

    def flush(self) -> list[PoolEffect]:
        """What this step verified, told at once: nothing of it need be durable."""
        names, self._attested = self._attested, []
        chunks = (names[start : start + DIGESTS_MAX] for start in range(0, len(names), DIGESTS_MAX))
        return [Broadcast(Attest(tuple(chunk))) for chunk in chunks]

    def due_ms(self) -> int | None:
        """When `run` has something to do next."""
        if not self._waiting:
            return None
        return next(iter(self._waiting.values())).since_ms + self._patience_ms()

    def missed(self) -> tuple[Missed, ...]:
        """Who was waited for in vain when it was asked last, in the roster's order."""
        return tuple(missed for _, missed in sorted(self._missed.items()))

    def succeed(self, before: "Attesting") -> None:
        """Go on counting where the epoch before ended."""
        self.counts = before.counts

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        early = max(map(len, self._early), default=0)
        bound = len(self._validators) * self._config.author_batches_max
        return (
            ("pool_early_attestations", early, self._config.early_acknowledgements_max),
            ("pool_awaited_attestations", len(self._waiting), bound),
        )

    # --- inside ----------------------------------------------------------------------------------------

    def _is_shared(self, held: HeldBatch) -> bool:
        """Whether the work is worth a message and a wait. What names us as its author is not: its
        transactions may be sealed anew, and that attests them."""
        is_large = len(held.batch.transactions) >= self._config.attested_transactions_min
        return self._is_on and is_large and held.batch.author != self._me

    def _is_certified(self, held: HeldBatch) -> bool:
        """Whether a blocking set attests it (VC1)."""
        return self._validators.is_blocking(held.attested_weight)

    def _count(self, held: HeldBatch, index: ValidatorIndex) -> bool:
        """Whether that is news: nobody counts twice (VC3)."""
        bit = 1 << index
        if held.attested & bit:
            return False
        held.attested |= bit
        held.attested_weight += self._validators.validators[index].weight
        return True

    def _miss(self, index: ValidatorIndex, elapsed_ms: int) -> None:
        """Batches that were waited for at once are one miss."""
        if not self._silent.is_excluded(index, elapsed_ms):
            before = self._missed.get(index)
            count, is_late = (0, False) if before is None else (before.count, before.is_late)
            self._missed[index] = Missed(index, count + 1, is_late)

    def _patience_ms(self) -> int:
        least, most = self._config.attestation_wait_ms, self._config.attestation_wait_max_ms
        return min(max(least, PATIENCE_FACTOR * self._usual_ms), most)

    def _keep_early(self, name: Digest, index: ValidatorIndex) -> None:
        if self._ordered.contains(name):
            return
        early = self._early[index]
        early[name] = None
        if len(early) > self._config.early_acknowledgements_max:
            early.popitem(last=False)

    def _trust(self, held: HeldBatch, elapsed_ms: int) -> list[PoolEffect]:
        self._waiting.pop(held.batch.digest, None)
        self.counts.trusted += 1
        return self._verdicts.accept(held, elapsed_ms)

    def _share(self, held: HeldBatch, elapsed_ms: int, *, is_last: bool) -> list[PoolEffect]:
        """Verify it if it is our turn, or wait for those whose turn it is."""
        chosen = self._chosen(held, elapsed_ms)
        if self._me is None or chosen >> self._me & 1:
            return [_verify(held)]
        self._waiting[held.batch.digest] = _Wait(elapsed_ms, chosen, is_last)
        return []

    def _chosen(self, held: HeldBatch, elapsed_ms: int) -> int:
        """Who verifies it first (VC4), as bits; with us among them where nobody else is left to wait for."""
        weight, chosen = held.attested_weight, 0
        for index in turns(held.batch.author, held.batch.digest, len(self._validators)):
            if self._validators.is_blocking(weight):
                return chosen
            validator = self._validators.validators[index]
            is_here = index == self._me or (
                validator.public_key in self._connected and not self._silent.is_excluded(index, elapsed_ms)
            )
            if is_here and not held.attested >> index & 1:
                chosen |= 1 << index
                weight += validator.weight
        if self._me is not None and not self._validators.is_blocking(weight):
            chosen |= 1 << self._me
        return chosen


def turns(author: int, name: Digest, count: int) -> Iterator[int]:
    """The validators but the author of a set of `count`, in the order in which they verify this batch."""
    others = count - 1
    first = int.from_bytes(name[:8], "big") % others if others else 0
    for place in range(others):
        yield (author + 1 + (first + place) % others) % count


def _verify(held: HeldBatch) -> VerifyBatch:
    return VerifyBatch(held.batch.digest, held.batch.encoded)


def _positions(bits: int) -> Iterator[ValidatorIndex]:
    while bits:
        low = bits & -bits
        yield ValidatorIndex(low.bit_length() - 1)
        bits ^= low
