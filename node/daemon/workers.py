"""Signature checks in a worker process, so that the event loop never waits for them.

A busy Python thread beside the loop starves it or is starved (measured: one verification per 5 ms
switch interval); a process does neither. The work is a pure function of bytes. What costs no more than the
hop to a worker and back is checked in the loop, and so is everything until a process has shown that it
verifies: no start waits for a second interpreter. No end waits for one either.
"""

from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import structlog
import trio
import trio_parallel

from consensus import LocalError, SigningKey
from node.daemon.verifying import Signed, check_signatures, judge_batch, pace_garbage_collection
from node.ledger.transactions import Transaction
from node.pool.batches import BatchReport, BatchRules, examine_batch, verify_batch
from node.pool.signedchunks import examine_chunk, verify_chunk
from node.validator import BatchChecked

_log = structlog.get_logger("isthmus")
INLINE_TRANSACTIONS_MAX = 16
"""Up to this many signatures (0.7 to 1 ms) are checked in the loop. A hop and back costs the loop 0.15 ms and
the worker up to 0.3 ms, and where the processors are busy its answer waits for two turns of the scheduler:
measured, batches of eight have a fifth of the latency in the loop, and cost a tenth less CPU."""
SLICE_TRANSACTIONS = 32
"""Checked in the loop between two turns of everything else where there are no processes: under 2 ms."""
INLINE_BYTES_MAX = 4096
"""A batch this small holds as few transactions as that."""
AGAIN_SECONDS = 10
"""After a process that ended before it had shown anything."""
_T = TypeVar("_T")


def _answer(report: BatchReport) -> BatchChecked:
    return BatchChecked(report.digest, None if report.ok else report.detail, report.opened)


def _signed(transactions: tuple[Transaction, ...]) -> tuple[Signed, ...]:
    return tuple((transaction.sender, transaction.id, transaction.signature) for transaction in transactions)


async def _in_slices(steps: Generator[None, None, _T]) -> _T:
    """What these steps come to, a signature each, with turns of everything else in between."""
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            answer: _T = end.value
            return answer
        count += 1
        if count % SLICE_TRANSACTIONS == 0:
            await trio.lowlevel.checkpoint()


class Workers:
    """A bounded pool of verification processes; both questions may be asked concurrently."""

    def __init__(self, rules: BatchRules, processes: int, context: trio_parallel.WorkerContext) -> None:
        """Without any process the work is done in the loop, in slices."""
        self._rules = rules
        self._context = context
        self.proven = trio.Event()
        """Set once a process has told a good signature from a forged one; until then none is believed."""
        self.deaths = 0
        """Workers that ended in the middle of their work."""
        self._limiter = trio.CapacityLimiter(processes)

    @property
    def busy(self) -> tuple[int, int]:
        """Processes at work, and how many there may be."""
        return int(self._limiter.borrowed_tokens), int(self._limiter.total_tokens)

    def check_small_batch(self, data: bytes) -> BatchChecked | None:
        """The verdict on a batch so small that a task and a hop would cost more than its signatures; None
        for a larger one."""
        if len(data) > INLINE_BYTES_MAX:
            return None
        return _answer(verify_batch(data, self._rules))

    def check_few_signatures(self, transactions: tuple[Transaction, ...]) -> tuple[bool, ...] | None:
        """One bool a transaction, or None when they are more than fit between two votes."""
        if len(transactions) > INLINE_TRANSACTIONS_MAX:
            return None
        return check_signatures(_signed(transactions))

    async def check_batch(self, data: bytes) -> BatchChecked:
        """The verdict on a batch (C22), with its transactions where no other process looked at them."""
        if self.proven.is_set():
            try:
                report = await self._run(judge_batch, data, self._rules)
            except trio_parallel.BrokenWorkerError as error:
                self._lost(error)
            else:
                return _answer(report)
        return _answer(await _in_slices(examine_batch(data, self._rules)))

    async def check_signatures(self, transactions: tuple[Transaction, ...]) -> tuple[bool, ...]:
        """One bool a transaction."""
        signed = _signed(transactions)
        if self.proven.is_set():
            try:
                valid = await self._run(check_signatures, signed)
            except trio_parallel.BrokenWorkerError as error:
                self._lost(error)
            else:
                return valid
        return await self._checked_in_slices(signed)

    async def check_chunk(self, chunk: bytes, transaction_bytes: int) -> str | None:
        """The first fault of a benchmark cluster's signed chunk in words, None when it has none."""
        asked = (chunk, transaction_bytes, self._rules.cluster_id, self._rules.scheme)
        if self.proven.is_set() and len(chunk) > INLINE_BYTES_MAX:
            try:
                return await self._run(verify_chunk, *asked) or None
            except trio_parallel.BrokenWorkerError as error:
                self._lost(error)
        return await _in_slices(examine_chunk(*asked)) or None

    def _lost(self, error: Exception) -> None:
        """A worker was killed, by the kernel for want of memory perhaps: this check is made in the loop, the
        next one gets a new process."""
        self.deaths += 1
        _log.warning("verification_worker_died", detail=str(error))

    async def _checked_in_slices(self, signed: tuple[Signed, ...]) -> tuple[bool, ...]:
        valid: list[bool] = []
        for start in range(0, len(signed), SLICE_TRANSACTIONS):
            valid += check_signatures(signed[start : start + SLICE_TRANSACTIONS])
            await trio.lowlevel.checkpoint()
        return tuple(valid)

    async def prove_that_processes_verify(self) -> None:
        """Returns when one does: from then on they are asked. Raises LocalError when it does not: a process
        that failed to import our code could otherwise pass everything in silence."""
        key = SigningKey(bytes(32))
        good = Transaction.sign(key, bytes(32), bytes(16), 1, "self-test", "check", ())
        forged = Transaction.decode(good.encoded[:-1] + bytes((good.encoded[-1] ^ 1,)))
        while not self.proven.is_set():
            try:
                answers = await self._run(check_signatures, _signed((good, forged)))
            except trio_parallel.BrokenWorkerError as error:
                self._lost(error)
                await trio.sleep(AGAIN_SECONDS)
                continue
            if answers != (True, False):
                raise LocalError("the verification workers verify no signatures; the installation is broken")
            self.proven.set()

    async def _run(self, function: Callable[..., _T], *arguments: object) -> _T:
        """What a process answers. One that is still at work when the node ends is killed: nobody needs what
        it would say, and nothing but memory is its own."""
        answer: _T = await self._context.run_sync(
            function, *arguments, kill_on_cancel=True, limiter=self._limiter
        )
        return answer


@asynccontextmanager
async def open_workers(rules: BatchRules, processes: int) -> AsyncIterator[Workers]:
    """A pool that starts a process at once, others when they are needed, and ends them with the block."""
    # All that is asked goes through this context: `trio_parallel.run_sync` would ask processes that belong
    # to nobody, are not initialised, end when idle and otherwise with the interpreter.
    opened = trio_parallel.open_worker_context(
        idle_timeout=float("inf"), init=pace_garbage_collection, grace_period=0
    )
    context = await opened.__aenter__()
    try:
        async with trio.open_nursery() as nursery:
            workers = Workers(rules, processes, context)
            if processes:
                nursery.start_soon(workers.prove_that_processes_verify)
            yield workers
            nursery.cancel_scope.cancel()
    finally:
        with suppress(trio_parallel.BrokenWorkerError):  # killed, as they are to be
            await opened.__aexit__(None, None, None)
