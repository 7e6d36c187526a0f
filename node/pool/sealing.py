"""Own admitted transactions on their way into a batch.

Alone, a transaction must not wait: with nothing of ours in flight a batch is sealed at once. Under load,
batches form by themselves while earlier ones are in flight: part-filled ones are sealed at most once in a
delay, which grows with the backlog, so that one which comes after a pause of that length has no company to
wait for. Sealing stops when what is under way takes far longer than it needs (`window.py`), and when our
share of everybody's memory is used. What waits here waits by sender (`fairqueue.py`); when admission is full
of it, clients are told to wait. Who sends little does not wait for others' room: beside a closed window one
small batch of theirs is under way (the sparse flows of FQ-CoDel, RFC 8290). Nor does what this node has to
say itself, the bundles of other clusters, which are larger than a narrow window: beside it one bundle is
under way, and four where nothing is slow. More would make all that clients send slow, and so the window as
small as it gets.
"""

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from consensus import Digest, Epoch, PublicKey, ValidatorIndex
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.transactions import Transaction
from node.pool.batches import Batch, BatchContent
from node.pool.chunks import CHUNKS_MAX, Chunk, batch_items
from node.pool.config import PoolConfig
from node.pool.effects import ChunksAnswered, PoolEffect, VerifyChunk
from node.pool.fairqueue import FairQueue
from node.pool.shelf import HeldBatch, Shelf
from node.pool.spreading import Spreading
from node.pool.window import Window

Item: TypeAlias = Transaction | Chunk
"""What waits: on a benchmark cluster chunks, on all others transactions."""


BACKLOG_STEP = 4
"""Own batches in flight for each further delay: who waits behind many gains nothing by being sealed at once,
and every validator checks, holds and names a small batch at nearly the cost of a large one."""
BACKLOG_DELAYS_MAX = 8
_NO_SENDER = b""
"""Chunks wait in the order they came: none is one sender's."""


class Sealer:
    """Transactions that wait, one sender in turn, with a cut rule; times are elapsed milliseconds."""

    def __init__(
        self,
        config: PoolConfig,
        me: ValidatorIndex | None,
        epoch: Epoch,
        shelf: Shelf,
        spreading: Spreading,
        own_key: PublicKey | None,
    ) -> None:
        """`own_key` is with what this node signs what it says itself, if it is a validator."""
        self._config = config
        self._me = me
        self._own_key = own_key
        self._epoch = epoch
        self._shelf = shelf
        self._spreading = spreading
        self._waiting: FairQueue[Item] = FairQueue()
        self._own: FairQueue[Item] = FairQueue()
        self.window = Window(config, shelf, me)
        self._ran_ms = 0
        self._express: Digest | None = None  # the batch of those who send little
        self._said: dict[Digest, int] = {}  # bytes under way of what this node says itself, by batch
        self._has_chunks = config.batch.content.is_chunks
        self._items_max = CHUNKS_MAX if self._has_chunks else config.batch.transactions_max
        self._unchecked: dict[int, Chunk] = {}  # by ticket
        self._unchecked_bytes = 0
        self._sequence = 0
        self._flushed_ms: int | None = None  # when a part-filled batch was sealed last

    def succeed(self, before: "Sealer") -> None:
        """This one seals in the next epoch."""
        self.window.succeed(before.window)

    @property
    def waiting_bytes(self) -> int:
        """Of all that is not sealed yet."""
        return self._waiting.bytes + self._own.bytes

    def __len__(self) -> int:
        return len(self._waiting) + len(self._own)

    def is_own(self, sender: PublicKey) -> bool:
        """Whether this is the key of this node."""
        return sender == self._own_key

    def add(self, transactions: Iterable[Transaction]) -> None:
        """Queue what was let in; whoever lets in bounds the queue."""
        for transaction in transactions:
            line = self._own if self.is_own(transaction.sender) else self._waiting
            line.add(transaction.sender, transaction)

    def add_chunk(self, ticket: int, data: bytes, transaction_bytes: int) -> list[PoolEffect]:
        """Queue what a benchmark cluster's client sent, once its signatures are good where there are any, or
        say at once why not."""
        try:
            chunk = self._admitted(ticket, data, transaction_bytes)
        except RejectedTransaction as rejection:
            return [ChunksAnswered((ticket,), rejection)]
        if self._config.batch.content is BatchContent.SIGNED_CHUNKS:
            self._unchecked[ticket] = chunk
            self._unchecked_bytes += len(data)
            return [VerifyChunk(ticket, data, transaction_bytes)]
        self._waiting.add(_NO_SENDER, chunk)
        return []

    def chunk_verified(self, ticket: int, fault: str | None) -> list[PoolEffect]:
        """The answer to `VerifyChunk`; of an epoch that is over there is nothing to answer."""
        chunk = self._unchecked.pop(ticket, None)
        if chunk is None:
            return []
        self._unchecked_bytes -= len(chunk.encoded)
        if fault is not None:
            return [ChunksAnswered((ticket,), RejectedTransaction(Code.BAD_SIGNATURE, fault))]
        self._waiting.add(_NO_SENDER, chunk)
        return []

    def _admitted(self, ticket: int, data: bytes, transaction_bytes: int) -> Chunk:
        config = self._config
        if not self._has_chunks:
            raise RejectedTransaction(Code.UNKNOWN_APP, "this is no benchmark cluster")
        if self._me is None:
            raise RejectedTransaction(Code.NOT_READY, "an observer seals no batches")
        bytes_max, count_max = config.unsealed_bytes_max, config.unsealed_count_max
        count, size = len(self) + len(self._unchecked), self.waiting_bytes + self._unchecked_bytes
        if size + len(data) > bytes_max or count >= count_max:
            raise RejectedTransaction(
                Code.POOL_FULL,
                f"{count} chunks with {size} bytes are waiting (limits {count_max}, {bytes_max})",
            )
        rules = config.batch
        return Chunk.make(ticket, data, transaction_bytes, rules.batch_bytes_max, rules.content.least_bytes)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics; expired batches of ours may come back on top of what was let
        in."""
        config = self._config
        count_max = config.unsealed_count_max + config.author_batches_max * config.batch.transactions_max
        size = self.waiting_bytes + self._unchecked_bytes
        return (
            ("pool_unsealed_bytes", size, config.unsealed_bytes_max + config.author_bytes_max),
            ("pool_unsealed_senders", self._waiting.flows + self._own.flows, count_max),
            *self.window.limits(),
        )

    @property
    def sender_bytes_max(self) -> int:
        """What one sender may have waiting for execution here. While batches are slow that is little: what
        is taken in beyond it takes the time in which the cluster could agree."""
        config, window = self._config, self.window
        if window.is_narrow(self._ran_ms):
            most = max(config.sender_bytes_min, config.sender_windows * window.bytes_max)
            return min(config.unsealed_bytes_max, most)
        return config.unsealed_bytes_max

    def waiting(self) -> list[Transaction]:
        """What is not sealed yet, each sender's oldest first; chunks, of which clusters have one epoch alone,
        are not told."""
        return [item for item in (*self._own, *self._waiting) if isinstance(item, Transaction)]

    def take_back(self, held: HeldBatch) -> None:
        """A batch of ours expired before it was ordered: what lives longer in it is sealed anew. Of chunks
        nothing does: who sent them was told a name, and has given up waiting for it."""
        if self._has_chunks:
            return
        limit = self._config.batch.transaction_bytes_max
        self.add(Transaction.decode(data, limit) for data in held.batch.transactions)

    def executed(self, names: Iterable[Digest], elapsed_ms: int) -> None:
        """These batches are executed: own ones make room for the next."""
        executed = tuple(names)
        self.window.executed(executed, elapsed_ms)
        for name in executed:
            self._said.pop(name, None)

    def due_ms(self, elapsed_ms: int) -> int | None:
        """When a part-filled batch of what waits is sealed; None when nothing waits, or when it is overdue
        and waits for room, which a commit makes and no timer."""
        if not self._waiting or self._flushed_ms is None:
            return None
        due = self._flushed_ms + self._delay_ms()
        return due if due > elapsed_ms else None

    def run(self, created_ms: int, elapsed_ms: int) -> list[PoolEffect]:
        """Seal and send what is due, within half of what others hold for one author: they may see our
        batches ordered later than we do."""
        self._ran_ms = elapsed_ms
        self.window.run(elapsed_ms)
        if not len(self) or self._me is None:
            return []
        used, count = self._shelf.group_usage(self._me)
        config = self._config
        room = config.author_bytes_max // 2 - used if count < config.author_batches_max // 2 else 0
        effects: list[PoolEffect] = []
        said = self._seal_own(self._me, created_ms, elapsed_ms, room_bytes=room)
        room -= sum(len(batch.encoded) for batch, _ in said)
        heard = self._seal(self._me, created_ms, elapsed_ms, idle=count == 0, room_bytes=room)
        for batch, items in [*said, *heard]:
            held = self._shelf.add(batch, self._me)
            held.verified = True
            self._shelf.refresh(held)
            effects += self._spreading.send_own(held, elapsed_ms)
            tickets = tuple(item.ticket for item in items if isinstance(item, Chunk))
            if tickets:
                effects.append(ChunksAnswered(tickets, batch.digest))
        return effects

    def _delay_ms(self) -> int:
        in_flight = 0 if self._me is None else self._shelf.group_usage(self._me)[1]
        return self._config.seal_delay_ms * min(1 + in_flight // BACKLOG_STEP, BACKLOG_DELAYS_MAX)

    def _seal_own(
        self, author: ValidatorIndex, created_ms: int, elapsed_ms: int, *, room_bytes: int
    ) -> list[tuple[Batch, list[Item]]]:
        """What this node says itself, within `room_bytes`: as much as a batch holds may be under way, while
        batches are slow as much as one transaction. The window does not count it: a bundle takes longer than
        what clients send, and shows no queue."""
        batches: list[tuple[Batch, list[Item]]] = []
        if not self._own:
            return batches
        rules, is_narrow = self._config.batch, self.window.is_narrow(elapsed_ms)
        most = rules.transaction_bytes_max if is_narrow else rules.batch_bytes_max
        self._said = {name: size for name, size in self._said.items() if self._shelf.get(name) is not None}
        under_way = sum(self._said.values())
        while self._own and room_bytes >= rules.encoded_bytes_max:
            if under_way and under_way + len(self._own.head().encoded) > most:
                break
            before = self._own.bytes
            taken = _distinct(self._heads(self._own, most - under_way), created_ms)
            if taken:
                batch = self._sealed(author, taken, created_ms)
                batches.append((batch, taken))
                room_bytes -= len(batch.encoded)
                self._said[batch.digest] = before - self._own.bytes
                under_way += self._said[batch.digest]
        return batches

    def _seal(
        self, author: ValidatorIndex, created_ms: int, elapsed_ms: int, *, idle: bool, room_bytes: int
    ) -> list[tuple[Batch, list[Item]]]:
        """Full batches always, a part-filled one when `idle` (nothing of ours in flight) or overdue; none
        beyond `room_bytes`, nor beyond the window but the express one, which waits for no company.
        Transactions expired at `created_ms` are left out."""
        batches: list[tuple[Batch, list[Item]]] = []
        rules, window = self._config.batch, self.window
        due = self.due_ms(elapsed_ms)
        flush = idle or due is None
        bytes_max = window.batch_bytes_max
        while self._waiting and room_bytes >= rules.encoded_bytes_max:
            before = self._waiting.bytes
            full = before >= bytes_max or len(self._waiting) >= self._items_max
            if not full and not flush:
                break
            is_express = not window.has_room(min(before, bytes_max))
            if is_express and not self._may_express():
                break
            items = self._light() if is_express else self._heads(self._waiting, bytes_max)
            taken = _distinct(items, created_ms)
            if is_express and before == self._waiting.bytes:
                break
            if is_express or not full:
                self._flushed_ms = elapsed_ms
            if taken:
                batch = self._sealed(author, taken, created_ms)
                batches.append((batch, taken))
                window.sealed(batch.digest, before - self._waiting.bytes, elapsed_ms)
                room_bytes -= len(batch.encoded)
                if is_express:
                    self._express = batch.digest
                    break
        return batches

    def _may_express(self) -> bool:
        return self._express is None or self._express not in self.window

    def _light(self) -> list[Item]:
        """What senders of little have waiting, as much as a batch holds: it is who sends much that is held
        back, and not a load of many, however slow it is."""
        return self._waiting.take_light(self._config.batch.batch_bytes_max, self._items_max)

    def _heads(self, waiting: FairQueue[Item], bytes_max: int) -> Iterator[Item]:
        """What one batch holds, taken out as it is asked for."""
        size = 0
        for count in range(min(len(waiting), self._items_max)):
            size += len(waiting.head().encoded)
            if count and size > bytes_max:  # a large one goes alone
                return
            yield waiting.pop()

    def _sealed(self, author: ValidatorIndex, items: list[Item], created_ms: int) -> Batch:
        rules = self._config.batch
        if self._has_chunks:
            self._sequence += 1
            chunks = [item for item in items if isinstance(item, Chunk)]
            contents = batch_items(self._sequence, chunks)
        else:
            contents = tuple(item.encoded for item in items)
        return Batch.make(
            cluster_id=rules.cluster_id,
            author=author,
            epoch=self._epoch,
            created_ms=created_ms,
            expires_at_ms=created_ms + rules.lifetime_max_ms,
            transactions=contents,
        )


def _distinct(items: Iterable[Item], created_ms: int) -> list[Item]:
    """Those that live beyond `created_ms`, each once, for a batch with two of one is refused
    (`verify_batch`): what was sealed before may come again beside a copy that another validator made of our
    batch."""
    found: dict[Digest | int, Item] = {}
    for item in items:
        if item.expires_at_ms > created_ms:
            found.setdefault(item.id if isinstance(item, Transaction) else item.ticket, item)
    return list(found.values())
