"""The batches held and not yet executed: who holds them, who may be crowded out by whom, what may be ordered.

Acknowledgements are a bit mask and a weight for each batch (C9). Quotas count what an author's own link
pushed; what a block brought in is charged to nobody, since a block's author could name anybody. A batch goes
only by execution or by expiry: a proposal that dies returns nothing, because nothing was taken.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from consensus import Digest, ValidatorIndex, ValidatorSet
from node.ledger.transactions import Transaction
from node.pool.batches import Batch
from node.pool.config import PoolConfig
from node.pool.expiry import ExpiryIndex

FOREIGN = -1
"""The group of batches that came with a block or were fetched: charged to no author."""
OPENED_MAX = 16_384
"""Transactions kept as they were decoded when their batches were checked, about 1.5 KiB each; those of
further batches are decoded again to be executed."""
OPENED_BYTES = 256
"""Encoded, that count as one: nested arrays take near forty times their bytes, and anybody may send them."""


@dataclass(slots=True, eq=False)
class HeldBatch:
    """One batch and what is known of it; times are elapsed milliseconds.

    `group` is the author it is charged to (`FOREIGN` for none); `acknowledged` a bit for each validator;
    `verified` once this node verified it or a blocking set attests it (VC1); `attested` a bit for each that
    attests it; `ack_due_ms` when a small batch must be journalled and acknowledged after all; `pushed_at_ms`
    when we pushed it, for one of ours; `ordered` once committed.
    """

    batch: Batch
    group: int
    small: bool
    verified: bool = False
    persisting: bool = False
    durable: bool = False
    ordered: bool = False
    acknowledged: int = 0
    weight: int = 0
    attested: int = 0
    attested_weight: int = 0
    ack_due_ms: int | None = None
    pushed_at_ms: int = 0


class Shelf:
    """All held batches by digest. `orderable` lists, for each author, what this node could propose now."""

    def __init__(self, config: PoolConfig, validators: ValidatorSet) -> None:
        self._config = config
        self._validators = validators
        self._held: dict[Digest, HeldBatch] = {}
        self._expiry = ExpiryIndex()
        self._evicted: dict[Digest, int] = {}
        self._early: list[OrderedDict[Digest, None]] = [OrderedDict() for _ in range(len(validators))]
        self._group_bytes: dict[int, int] = {}
        self._group_count: dict[int, int] = {}
        self.orderable: dict[int, dict[Digest, HeldBatch]] = {}
        self.orderable_count = 0
        self.bytes = 0
        self._opened_count = 0
        self.unordered_count = 0
        self.unordered_bytes = 0
        self.became_orderable = False
        """Set when a batch becomes orderable; whoever announces it resets it."""

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[HeldBatch]:
        return iter(self._held.values())

    def get(self, name: Digest) -> HeldBatch | None:
        """The batch of this digest, if held."""
        return self._held.get(name)

    def group_usage(self, group: int) -> tuple[int, int]:
        """Bytes and number of unordered batches charged to `group`."""
        return self._group_bytes.get(group, 0), self._group_count.get(group, 0)

    def has_room(self, group: int, size: int) -> bool:
        """Whether `group` may add a batch of `size` bytes within its quota."""
        used, count = self.group_usage(group)
        config = self._config
        return used + size <= config.author_bytes_max and count < config.author_batches_max

    def add(self, batch: Batch, group: int) -> HeldBatch:
        """Hold a batch (not held before); acknowledgements that came before it count at once."""
        held = HeldBatch(batch, group, len(batch.encoded) <= self._config.payload.inline_bytes_max)
        self._held[batch.digest] = held
        self._evicted.pop(batch.digest, None)
        self._expiry.add(batch.digest, batch.expires_at_ms)
        self.bytes += len(batch.encoded)
        self._charge(held, 1)
        for index, early in enumerate(self._early):
            if batch.digest in early:
                del early[batch.digest]
                self.acknowledge(batch.digest, ValidatorIndex(index))
        return held

    def keep_opened(self, held: HeldBatch, opened: tuple[Transaction, ...]) -> None:
        """What a check decoded goes with the batch to its execution, if there is room for it."""
        if not opened or held.batch.opened:
            return
        batch = replace(held.batch, opened=opened)
        if self._opened_count + _opened_in(batch) <= OPENED_MAX:
            held.batch = batch
            self._opened_count += _opened_in(batch)

    def acknowledge(self, name: Digest, index: ValidatorIndex) -> None:
        """Validator `index` holds `name`; kept for later, within a bound, when the batch is not here."""
        held = self._held.get(name)
        if held is None:
            early = self._early[index]
            early[name] = None
            if len(early) > self._config.early_acknowledgements_max:
                early.popitem(last=False)
            return
        bit = 1 << index
        if not held.acknowledged & bit:
            held.acknowledged |= bit
            held.weight += self._validators.validators[index].weight
            self.refresh(held)

    def is_acknowledged_by(self, name: Digest, index: int) -> bool:
        """Whether validator `index` said that it holds `name`, held here or not."""
        held = self._held.get(name)
        if held is not None:
            return bool(held.acknowledged >> index & 1)
        return 0 <= index < len(self._early) and name in self._early[index]

    def holders(self, name: Digest) -> tuple[int, ...]:
        """The validators that said they hold `name`, ascending."""
        return tuple(i for i in range(len(self._validators)) if self.is_acknowledged_by(name, i))

    def may_reference(self, held: HeldBatch) -> bool:
        """Whether a block may name it: held durably here, and acknowledged by a quorum (C9)."""
        return held.durable and self._validators.is_quorum(held.weight)

    def refresh(self, held: HeldBatch) -> None:
        """Recompute whether this node could propose `held`; call after any change of its state."""
        group = held.batch.author
        able = held.verified and not held.ordered and (held.small or self.may_reference(held))
        listed = self.orderable.get(group, {})
        if able and held.batch.digest not in listed:
            self.orderable.setdefault(group, {})[held.batch.digest] = held
            self.orderable_count += 1
            self.became_orderable = True
        elif not able and held.batch.digest in listed:
            self._unlist(held)

    def adopt(self, held: HeldBatch, group: int) -> None:
        """The author itself pushed what a block had brought in: charge it to the author."""
        self._charge(held, -1)
        held.group = group
        self._charge(held, 1)

    def mark_ordered(self, name: Digest) -> HeldBatch | None:
        """A committed block orders it: it is no candidate, fills no quota and does not expire any more."""
        evicted_ms = self._evicted.pop(name, None)
        if evicted_ms is not None:
            self._expiry.remove(name, evicted_ms)
        held = self._held.get(name)
        if held is not None and not held.ordered:
            held.ordered = True
            held.ack_due_ms = None
            self._expiry.remove(name, held.batch.expires_at_ms)
            self._charge(held, -1)
            self.refresh(held)
        return held

    def remove(self, name: Digest) -> HeldBatch | None:
        """Let go of a batch: executed, expired or invalid."""
        held = self._held.pop(name, None)
        if held is None:
            return None
        self.bytes -= len(held.batch.encoded)
        self._opened_count -= _opened_in(held.batch)
        if not held.ordered:
            self._expiry.remove(name, held.batch.expires_at_ms)
            self._charge(held, -1)
            if name in self.orderable.get(held.batch.author, {}):
                self._unlist(held)
        return held

    def evict(self, held: HeldBatch) -> None:
        """Let a batch go from memory alone; a durable copy is remembered until it expires."""
        name = held.batch.digest
        self.remove(name)
        if held.durable and len(self._evicted) < self._config.evicted_max:
            self._evicted[name] = held.batch.expires_at_ms
            self._expiry.add(name, held.batch.expires_at_ms)

    def forget_early(self, name: Digest) -> None:
        """Drop acknowledgements kept for a batch that is ordered and gone."""
        for early in self._early:
            early.pop(name, None)

    def expire(self, time_ms: int) -> tuple[list[HeldBatch], list[Digest]]:
        """Remove what can no longer be ordered at cluster time `time_ms` (C24): the batches that were held,
        and the digests of which storage may have a copy."""
        expired, stored = [], []
        for key in self._expiry.take_ended(time_ms):
            name = Digest(key)
            held = self.remove(name)
            if held is not None:
                expired.append(held)
            if self._evicted.pop(name, None) is not None or (held is not None and held.durable):
                stored.append(name)
        return expired, stored

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        config, rules = self._config, self._config.payload
        groups = len(self._validators) + 1
        early = max((len(kept) for kept in self._early), default=0)
        most = max((self.group_usage(group)[0] for group in self._group_bytes if group != FOREIGN), default=0)
        return (
            (
                "pool_unordered_batches",
                self.unordered_count,
                groups * config.author_batches_max + config.checks_max * rules.batches_max,
            ),
            (
                "pool_unordered_bytes",
                self.unordered_bytes,
                groups * config.author_bytes_max + config.checks_max * rules.inline_bytes_max,
            ),
            (
                "pool_ordered_bytes",
                self.bytes - self.unordered_bytes,
                config.committed_heights_max * rules.body_bytes_max,
            ),
            ("pool_author_bytes", most, config.author_bytes_max),
            ("pool_opened_transactions", self._opened_count, OPENED_MAX),
            ("pool_evicted_batches", len(self._evicted), config.evicted_max),
            ("pool_early_acknowledgements", early, config.early_acknowledgements_max),
        )

    def _charge(self, held: HeldBatch, sign: int) -> None:
        group = held.group
        self._group_bytes[group] = self._group_bytes.get(group, 0) + sign * len(held.batch.encoded)
        self._group_count[group] = self._group_count.get(group, 0) + sign
        self.unordered_count += sign
        self.unordered_bytes += sign * len(held.batch.encoded)

    def _unlist(self, held: HeldBatch) -> None:
        group = self.orderable[held.batch.author]
        del group[held.batch.digest]
        self.orderable_count -= 1
        if not group:
            del self.orderable[held.batch.author]


def _opened_in(batch: Batch) -> int:
    return max(len(batch.opened), len(batch.encoded) // OPENED_BYTES) if batch.opened else 0
