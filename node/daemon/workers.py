"""Signature checks in a worker process, so that the event loop never waits for them.

A busy Python thread beside the loop starves it or is starved (measured: one verification per 5 ms
switch interval); a process does neither. The work is a pure function of bytes. One or two signatures
cost less than the hop to a worker and are checked in the loop.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio_parallel

from consensus import LocalError, SigningKey
from node.ledger.transactions import Transaction, check_signature
from node.pool.batches import BatchLimits, verify_batch

INLINE_TRANSACTIONS_MAX = 4
"""Up to this many signatures (about 0.16 ms) are checked in the loop: a hop and back costs as much."""


def check_transactions(encoded: tuple[bytes, ...], max_bytes: int) -> tuple[bool, ...]:
    """For each transaction whether it decodes and its signature is its sender's."""
    return tuple(_is_signed(data, max_bytes) for data in encoded)


def _is_signed(data: bytes, max_bytes: int) -> bool:
    return check_signature(Transaction.decode(data, max_bytes))


class Workers:
    """A bounded pool of verification processes; both questions may be asked concurrently."""

    def __init__(
        self, cluster_id: bytes, limits: BatchLimits, max_transaction_bytes: int, processes: int
    ) -> None:
        self._cluster_id = cluster_id
        self._limits = limits
        self._max_transaction_bytes = max_transaction_bytes
        self._limiter = trio.CapacityLimiter(processes)

    @property
    def busy(self) -> tuple[int, int]:
        """Processes at work, and how many there may be."""
        return int(self._limiter.borrowed_tokens), int(self._limiter.total_tokens)

    async def check_batch(self, data: bytes, transactions: int) -> str | None:
        """The first fault of a batch in words, or None (C22)."""
        if transactions <= INLINE_TRANSACTIONS_MAX:
            return verify_batch(data, self._cluster_id, self._limits).fault
        report = await trio_parallel.run_sync(
            verify_batch, data, self._cluster_id, self._limits, limiter=self._limiter
        )
        return report.fault

    async def check_signatures(self, encoded: tuple[bytes, ...]) -> tuple[bool, ...]:
        """One bool a transaction."""
        if len(encoded) <= INLINE_TRANSACTIONS_MAX:
            return check_transactions(encoded, self._max_transaction_bytes)
        return await trio_parallel.run_sync(
            check_transactions, encoded, self._max_transaction_bytes, limiter=self._limiter
        )

    async def prove_that_workers_verify(self) -> None:
        """Raises LocalError unless a worker tells a good signature from a forged one: a worker that
        failed to import our code could otherwise pass everything in silence."""
        key = SigningKey(bytes(32))
        good = Transaction.sign(key, bytes(32), bytes(16), 1, "self-test", "check", ())
        forged = good.encoded[:-1] + bytes((good.encoded[-1] ^ 1,))
        sample = (good.encoded, forged) * INLINE_TRANSACTIONS_MAX
        answers = await self.check_signatures(sample)
        if answers != (True, False) * INLINE_TRANSACTIONS_MAX:
            raise LocalError("the verification workers do not verify signatures; the installation is broken")


@asynccontextmanager
async def open_workers(
    cluster_id: bytes, limits: BatchLimits, max_transaction_bytes: int, processes: int
) -> AsyncIterator[Workers]:
    """Start the worker context (processes start on first use and end with it)."""
    async with trio_parallel.open_worker_context(idle_timeout=float("inf")):
        workers = Workers(cluster_id, limits, max_transaction_bytes, processes)
        await workers.prove_that_workers_verify()
        yield workers
