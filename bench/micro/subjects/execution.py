"""Executing blocks: authority, application, receipts and the state tree, over a state in memory."""

from functools import partial

from bench.micro.cluster import FreshLedger, blocks_of, transactions
from bench.micro.subject import Sampler, Subject, Workshop

_DISTINCT = 2_000


def _execute(size: int, workshop: Workshop) -> Sampler:
    """Blocks of `size` new records each; the ledger begins anew when all records exist."""
    now = workshop.clock.now

    def run(count: int) -> tuple[float, int]:
        fresh, seconds, done = FreshLedger.begin(), 0.0, 0
        for block in blocks_of(transactions(_DISTINCT), size):
            started = now()
            execution = fresh.ledger.execute(block)
            seconds += now() - started
            if len(execution.receipts) != size or execution.receipts[0].status:
                raise AssertionError("a good transaction was not executed")
            fresh.state.apply(execution.state_writes)
            fresh.ledger.flushed(block.height)
            done += 1
            if done == count:
                break
        return seconds, done

    def sample(count: int) -> float:
        seconds = 0.0
        while count > 0:
            spent, done = run(count)
            seconds += spent
            count -= done
        return seconds

    return sample


SUBJECTS = tuple(
    Subject(f"ledger/execute/{size}tx", "transaction", partial(_execute, size), per=size)
    for size in (1, 100, 500)
)
