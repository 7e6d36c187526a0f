"""Opaque batches of a benchmark cluster: valid by their shape, at every validator alike, and nowhere else."""

from dataclasses import replace

import pytest

from consensus import CodecError, Digest, Epoch, ValidatorIndex, encode
from node.ledger.codes import Code, RejectedTransaction
from node.pool.batches import Batch, BatchContent, BatchRules, verify_batch
from node.pool.chunks import CHUNKS_MAX, Chunk, batch_items, check_items, count_transactions
from node.pool.config import PoolConfig
from node.pool.effects import (
    Broadcast,
    ChunksAnswered,
    Penalise,
    PersistBatch,
    PoolEffect,
    VerifyBatch,
)
from node.pool.messages import Acknowledge, PushBatch
from node.pool.pool import BatchPool
from tests.node.pool.world import CLUSTER, KEYS, START_MS, transaction, validator_set

RULES = BatchRules(CLUSTER, transaction_bytes_max=262_144, content=BatchContent.CHUNKS)
CONFIG = PoolConfig(RULES)
LARGE = 102_400


def chunk(size: int = 1_024, transaction_bytes: int = 512, ticket: int = 1) -> Chunk:
    return Chunk.make(ticket, bytes(size), transaction_bytes, RULES.batch_bytes_max)


def batch(*items: bytes, author: int = 1) -> Batch:
    return Batch.make(
        cluster_id=CLUSTER,
        author=ValidatorIndex(author),
        epoch=Epoch(0),
        created_ms=START_MS,
        expires_at_ms=START_MS + 60_000,
        transactions=items,
    )


def opaque_pool(me: int | None = 0, config: PoolConfig = CONFIG) -> BatchPool:
    pool = BatchPool(config, validator_set(), None if me is None else ValidatorIndex(me))
    pool.recover((), (), START_MS, START_MS)
    return pool


def answers(effects: list[PoolEffect]) -> list[ChunksAnswered]:
    return [effect for effect in effects if isinstance(effect, ChunksAnswered)]


def test_a_batch_of_chunks_counts_its_transactions_without_looking_into_them() -> None:
    items = batch_items(7, (chunk(1_024, 512), chunk(300, 100), chunk(5, 5)))
    assert check_items(items) == 1_024 + 300 + 5
    assert count_transactions(items) == (2 + 3 + 1, 1_329)
    made = batch(*items)
    assert Batch.decode(made.encoded, RULES) == made
    assert verify_batch(made.encoded, RULES).ok


def test_equal_bytes_in_two_batches_have_two_names() -> None:
    one, other = (batch(*batch_items(sequence, (chunk(),))) for sequence in (1, 2))
    assert one.digest != other.digest


GOOD = batch_items(1, (chunk(),))


@pytest.mark.parametrize(
    ("items", "words"),
    [
        ((), "empty batch"),
        ((bytes(8),), "1 to 512 chunks, not 0"),
        ((bytes(8), bytes(4)), "a manifest of 8 bytes is not of 1 chunks"),
        ((*GOOD, bytes(512)), "a manifest of 12 bytes is not of 2 chunks"),
        ((GOOD[0], b""), "a chunk of 0 bytes"),
        ((GOOD[0], bytes(513)), "a chunk of 513 bytes is no transactions of 512 bytes"),
        ((bytes(12), bytes(512)), "is no transactions of 0 bytes"),
        ((bytes(8 + 4 * 513), *(b"x",) * 513), "1 to 512 chunks, not 513"),
    ],
)
def test_bad_shapes_are_refused_with_what_is_wrong(items: tuple[bytes, ...], words: str) -> None:
    with pytest.raises(CodecError, match=words):
        Batch.decode(batch(*items).encoded, RULES)
    assert not verify_batch(batch(*items).encoded, RULES).ok


def test_the_bound_of_a_batch_counts_its_chunks_and_not_its_manifest() -> None:
    full = batch(*batch_items(1, (chunk(262_144, 512),)))
    assert Batch.decode(full.encoded, RULES) == full
    over = (*batch_items(1, (chunk(262_144, 512), chunk(512, 512))),)
    with pytest.raises(CodecError, match="262656 bytes of transactions exceed the limit of 262144"):
        Batch.decode(batch(*over).encoded, RULES)
    many = batch(*batch_items(1, tuple(chunk(512, 512) for _ in range(CHUNKS_MAX))))
    assert Batch.decode(many.encoded, RULES) == many


def test_neither_kind_of_cluster_takes_the_others_batches() -> None:
    opaque = batch(*GOOD)
    assert not verify_batch(opaque.encoded, BatchRules(CLUSTER)).ok
    signed = batch(transaction(1).encoded)
    assert not verify_batch(signed.encoded, RULES).ok
    with pytest.raises(CodecError):
        Batch.decode(encode((1, CLUSTER, 1, 0, START_MS, START_MS + 1, (5,))), RULES)


@pytest.mark.parametrize(
    ("size", "transaction_bytes", "code"),
    [
        (0, 512, Code.MALFORMED),
        (512, 0, Code.MALFORMED),
        (512, -1, Code.MALFORMED),
        (1_000, 512, Code.MALFORMED),
        (262_145, 1, Code.OVERSIZED),
    ],
)
def test_a_chunk_that_no_batch_can_hold_is_refused(size: int, transaction_bytes: int, code: Code) -> None:
    with pytest.raises(RejectedTransaction) as refused:
        chunk(size, transaction_bytes)
    assert refused.value.code is code


def test_a_lone_chunk_is_sealed_at_once_and_answered_with_the_name_of_its_batch() -> None:
    effects = opaque_pool().on_chunk(5, bytes(LARGE), 512, START_MS)
    (answer,) = answers(effects)
    (persist,) = (effect for effect in effects if isinstance(effect, PersistBatch))
    assert answer == ChunksAnswered((5,), persist.digest)
    assert effects.index(persist) < effects.index(answer)
    assert count_transactions(Batch.decode(persist.data, RULES).transactions) == (200, LARGE)


def test_under_load_chunks_share_a_batch_up_to_its_size() -> None:
    pool = opaque_pool()
    pool.on_chunk(1, bytes(LARGE), 512, START_MS)
    told: list[ChunksAnswered] = []
    for ticket in range(2, 6):
        told += answers(pool.on_chunk(ticket, bytes(LARGE), 512, START_MS + 1))
    assert [answer.tickets for answer in told] == [(2, 3)], (
        "a third would not fit, the rest waits for company"
    )
    late = answers(pool.on_tick(START_MS + 1 + CONFIG.seal_delay_ms))
    assert [answer.tickets for answer in late] == [(4, 5)]


def test_what_cannot_be_taken_is_answered_at_once() -> None:
    def code_of(pool: BatchPool, size: int = 512) -> object:
        (answer,) = answers(pool.on_chunk(1, bytes(size), 512, START_MS))
        assert isinstance(answer.outcome, RejectedTransaction)
        return answer.outcome.code

    assert code_of(opaque_pool(), 513) is Code.MALFORMED
    assert code_of(opaque_pool(None)) is Code.NOT_READY
    assert code_of(opaque_pool(config=PoolConfig(BatchRules(CLUSTER)))) is Code.UNKNOWN_APP
    assert code_of(opaque_pool(config=replace(CONFIG, unsealed_bytes_max=100))) is Code.POOL_FULL


def test_a_pushed_batch_is_journalled_without_asking_anybody() -> None:
    pool = opaque_pool()
    pushed = batch(*batch_items(1, (chunk(LARGE),)))
    effects = pool.on_message(KEYS[1].public_key, PushBatch(pushed.encoded), START_MS)
    assert PersistBatch(pushed.digest, pushed.encoded) in effects
    assert not any(isinstance(effect, VerifyBatch) for effect in effects)
    assert Broadcast(Acknowledge((pushed.digest,))) in pool.on_persisted([pushed.digest], START_MS)


def test_a_pushed_batch_of_a_bad_shape_is_its_senders_fault() -> None:
    pushed = batch(*GOOD, bytes(512))
    effects = opaque_pool().on_message(KEYS[1].public_key, PushBatch(pushed.encoded), START_MS)
    assert [type(effect) for effect in effects if isinstance(effect, Penalise)] == [Penalise]


def test_expired_chunks_are_not_sealed_again() -> None:
    pool = opaque_pool()
    (answer,) = answers(pool.on_chunk(1, bytes(LARGE), 512, START_MS))
    assert isinstance(answer.outcome, bytes)
    name = Digest(answer.outcome)
    pool.on_persisted([name], START_MS)
    effects = pool.on_synced(1, (), START_MS + 61_000, START_MS + 61_000)
    assert not any(isinstance(effect, PersistBatch) for effect in effects)
    assert dict((entry, now) for entry, now, _ in pool.limits())["pool_unsealed_bytes"] == 0
