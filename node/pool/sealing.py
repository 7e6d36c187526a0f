"""Own admitted transactions on their way into a batch.

Alone, a transaction must not wait: with nothing of ours in flight a batch is sealed at once. Under load,
batches form by themselves while earlier ones are in flight, and the delay bound only caps the wait. Sealing
stops when our share of everybody's memory is used; then admission fills up and clients are told to wait.
"""

from collections import deque
from collections.abc import Iterable

from consensus import Epoch, ValidatorIndex
from node.ledger.transactions import Transaction
from node.pool.batches import Batch
from node.pool.config import PoolConfig


class Sealer:
    """A first-in first-out queue of transactions with a cut rule; times are elapsed milliseconds."""

    def __init__(self, config: PoolConfig, me: ValidatorIndex, epoch: Epoch) -> None:
        self._config = config
        self._me = me
        self._epoch = epoch
        self._waiting: deque[tuple[Transaction, int]] = deque()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, transactions: Iterable[Transaction], elapsed_ms: int) -> None:
        """Queue transactions that `Admission` let in; it is admission that bounds the queue."""
        for transaction in transactions:
            self._waiting.append((transaction, elapsed_ms))
            self.bytes += len(transaction.encoded)

    def due_ms(self) -> int | None:
        """When the oldest waiting transaction must be sealed; None when nothing waits."""
        return self._waiting[0][1] + self._config.seal_delay_ms if self._waiting else None

    def seal(self, *, created_ms: int, elapsed_ms: int, idle: bool, room_bytes: int) -> list[Batch]:
        """The batches to send now: full ones always, a part-filled one when `idle` (nothing of ours in
        flight) or overdue; none beyond `room_bytes`. Transactions expired at `created_ms` are left out."""
        batches: list[Batch] = []
        rules = self._config.batch
        due = self.due_ms()
        flush = idle or (due is not None and due <= elapsed_ms)
        while self._waiting and room_bytes >= rules.encoded_bytes_max:
            full = self.bytes >= rules.batch_bytes_max or len(self._waiting) >= rules.transactions_max
            if not full and not flush:
                break
            taken = self._take(created_ms)
            if taken:
                batch = self._sealed(taken, created_ms)
                batches.append(batch)
                room_bytes -= len(batch.encoded)
        return batches

    def _take(self, created_ms: int) -> list[bytes]:
        rules = self._config.batch
        taken: list[bytes] = []
        size = 0
        while self._waiting and len(taken) < rules.transactions_max:
            transaction = self._waiting[0][0]
            length = len(transaction.encoded)
            if size + length > rules.batch_bytes_max:
                break
            self._waiting.popleft()
            self.bytes -= length
            if transaction.expires_at_ms > created_ms:
                taken.append(transaction.encoded)
                size += length
        return taken

    def _sealed(self, transactions: list[bytes], created_ms: int) -> Batch:
        rules = self._config.batch
        return Batch.make(
            cluster_id=rules.cluster_id,
            author=self._me,
            epoch=self._epoch,
            created_ms=created_ms,
            expires_at_ms=created_ms + rules.lifetime_max_ms,
            transactions=tuple(transactions),
        )
