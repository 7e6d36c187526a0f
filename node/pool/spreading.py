"""Making batches known and safe: journal, push, acknowledge, and repeat until ordered.

A large batch of ours is journalled, then pushed to all: the push is the author's acknowledgement. One of
somebody else is journalled once verified and acknowledged once durable (C2, C9). A small one of anybody waits
a little first: it usually goes inline and is ordered meanwhile, durable with the block at every voter, which
saves a journal write and a message at every node. So the push of a small one acknowledges nothing.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from consensus import Digest, ValidatorIndex, ValidatorSet
from node.pool.config import PoolConfig
from node.pool.effects import Broadcast, PersistBatch, PoolEffect, Send
from node.pool.messages import DIGESTS_MAX, Acknowledge, PushBatch
from node.pool.shelf import FOREIGN, HeldBatch, Shelf


class Spreading:
    """What is to be journalled, pushed and acknowledged; times are elapsed milliseconds."""

    def __init__(
        self, config: PoolConfig, shelf: Shelf, validators: ValidatorSet, me: ValidatorIndex | None
    ) -> None:
        self._config = config
        self._shelf = shelf
        self._validators = validators
        self._me = me
        self._late: list[tuple[int, Digest]] = []  # a heap: when, and which small batch
        self._acks: list[Digest] = []
        self._repeat_due_ms: int | None = None
        self._acknowledged_at_ms = 0
        self.connected: dict[bytes, None] = {}

    def send_own(self, held: HeldBatch, elapsed_ms: int) -> list[PoolEffect]:
        """A batch of ours, everywhere; a large one durable first."""
        held.pushed_at_ms = elapsed_ms
        if held.small:
            # It is ordered here as late as anywhere else, and its way to the others comes first.
            self.acknowledge_later(held, elapsed_ms + self._config.ack_delay_ms)
            return [Broadcast(PushBatch(held.batch.encoded))]
        return [*self.persist(held), Broadcast(PushBatch(held.batch.encoded))]

    def on_verified(self, held: HeldBatch, elapsed_ms: int, *, needed: bool) -> list[PoolEffect]:
        """A batch of another validator passed; `needed` when a block waits for it to be durable."""
        if needed or not held.small:
            return self.persist(held)
        if held.group != FOREIGN:
            self.acknowledge_later(held, elapsed_ms)
        return []

    def acknowledge_later(self, held: HeldBatch, elapsed_ms: int) -> None:
        """Journal and acknowledge a small batch unless it is ordered within the delay."""
        held.ack_due_ms = elapsed_ms + self._config.ack_delay_ms
        heappush(self._late, (held.ack_due_ms, held.batch.digest))

    def persist(self, held: HeldBatch) -> list[PoolEffect]:
        """Journal a batch, once."""
        if held.durable or held.persisting:
            return []
        held.persisting, held.ack_due_ms = True, None
        return [PersistBatch(held.batch.digest, held.batch.encoded)]

    def on_durable(self, held: HeldBatch) -> None:
        """A batch is on disk: our acknowledgement counts, and goes out with the others of this step. What a
        block brought in is not acknowledged: that would pin what its author never pushed to us."""
        held.durable, held.persisting, held.ack_due_ms = True, False, None
        if self._me is not None and held.group != FOREIGN:
            self._shelf.acknowledge(held.batch.digest, self._me)
            if (held.small or held.group != self._me) and not held.ordered:
                self._acks.append(held.batch.digest)
        self._shelf.refresh(held)

    def acknowledge_again(self, peer: bytes, held: HeldBatch) -> list[PoolEffect]:
        """The author pushed what we hold: it missed our acknowledgement."""
        return [Send(peer, Acknowledge((held.batch.digest,)))] if held.durable else []

    def on_connected(self, peer: bytes, index: ValidatorIndex) -> list[PoolEffect]:
        """A validator's link came up: repeat all our acknowledgements, so that a full restart loses none
        (C9), and push what is ours and unordered."""
        self.connected[peer] = None
        effects: list[PoolEffect] = [
            Send(peer, Acknowledge(names)) for names in _chunks(self._acknowledged())
        ]
        return effects + self._push_to(peer, index, self._own_unordered())

    def flush(self) -> list[PoolEffect]:
        """The acknowledgements of this step, coalesced."""
        names, self._acks = self._acks, []
        return [Broadcast(Acknowledge(chunk)) for chunk in _chunks(names)]

    def run(self, elapsed_ms: int) -> list[PoolEffect]:
        """What is due: late acknowledgements, and the repetition of what may have been lost."""
        effects: list[PoolEffect] = []
        while self._late and self._late[0][0] <= elapsed_ms:
            held = self._shelf.get(heappop(self._late)[1])
            if held is not None and held.ack_due_ms is not None:
                effects += self.persist(held)
        if self._repeat_due_ms is not None and self._repeat_due_ms <= elapsed_ms:
            self._repeat_due_ms = None
            effects += self._repeat(elapsed_ms)
        return effects

    def due_ms(self, elapsed_ms: int) -> int | None:
        """When `run` has something to do next; None while nothing is unordered."""
        if self._repeat_due_ms is None and self._shelf.unordered_count:
            self._repeat_due_ms = elapsed_ms + self._config.repush_ms
        late = self._late[0][0] if self._late else None
        return min((due for due in (late, self._repeat_due_ms) if due is not None), default=None)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        bound = len(self._validators) * self._config.author_batches_max
        return (("pool_late_acknowledgements", len(self._late), bound),)

    def _repeat(self, elapsed_ms: int) -> list[PoolEffect]:
        effects: list[PoolEffect] = []
        old_enough = [
            held
            for held in self._own_unordered()
            if held.pushed_at_ms + self._config.repush_ms <= elapsed_ms
            and not self._shelf.may_reference(held)
        ]
        for peer in self.connected:
            index = self._validators.index_of(peer)
            if index is not None:
                effects += self._push_to(peer, index, old_enough)
        if elapsed_ms >= self._acknowledged_at_ms + self._config.reacknowledge_ms:
            self._acknowledged_at_ms = elapsed_ms
            effects += [Broadcast(Acknowledge(names)) for names in _chunks(self._acknowledged())]
        return effects

    def _push_to(self, peer: bytes, index: ValidatorIndex, batches: Iterable[HeldBatch]) -> list[PoolEffect]:
        effects: list[PoolEffect] = []
        bytes_left = self._config.repush_bytes_max
        for held in batches:
            if held.acknowledged >> index & 1 or not (held.durable or held.small):
                continue
            bytes_left -= len(held.batch.encoded)
            if bytes_left < 0:
                break
            effects.append(Send(peer, PushBatch(held.batch.encoded)))
        return effects

    def _own_unordered(self) -> list[HeldBatch]:
        return (
            [h for h in self._shelf if h.group == self._me and not h.ordered] if self._me is not None else []
        )

    def _acknowledged(self) -> list[Digest]:
        if self._me is None:
            return []
        bit = 1 << self._me
        return [h.batch.digest for h in self._shelf if h.acknowledged & bit and not h.ordered]


def _chunks(names: list[Digest]) -> Iterator[tuple[Digest, ...]]:
    for start in range(0, len(names), DIGESTS_MAX):
        yield tuple(names[start : start + DIGESTS_MAX])
