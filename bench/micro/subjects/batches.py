"""Batches of signed transactions: sealed by their author, verified by everybody else."""

from functools import partial

from bench.micro.cluster import batch_of, genesis, transactions
from bench.micro.subject import Sampler, Subject, Workshop, repeated
from node.pool.batches import Batch, BatchRules, verify_batch

_SIZES = (1, 100, 500)


def _seal(size: int, workshop: Workshop) -> Sampler:
    return repeated(workshop.clock, partial(batch_of, transactions(2_000)[:size]))


def _decode(size: int, workshop: Workshop) -> Sampler:
    data = batch_of(transactions(2_000)[:size]).encoded
    return repeated(workshop.clock, partial(Batch.decode, data, BatchRules(genesis().cluster_id)))


def _verify(size: int, workshop: Workshop) -> Sampler:
    data, rules = batch_of(transactions(2_000)[:size]).encoded, BatchRules(genesis().cluster_id)
    report = verify_batch(data, rules)
    if not report.ok:
        raise AssertionError(f"a good batch is refused: {report.detail}")
    return repeated(workshop.clock, partial(verify_batch, data, rules))


SUBJECTS = tuple(
    Subject(f"batch/{how}/{size}tx", "transaction", partial(make, size), per=size)
    for how, make in (("seal", _seal), ("decode", _decode), ("verify", _verify))
    for size in _SIZES
)
