"""Batches of signed transactions that nobody executes: each signature is checked before anybody vouches."""

from dataclasses import replace

import pytest

from consensus import CodecError, Digest, SigningKey
from node.ledger.codes import Code, RejectedTransaction
from node.pool.batches import Batch, BatchContent, BatchRules, examine_batch, verify_batch
from node.pool.chunks import Chunk, batch_items, count_transactions
from node.pool.config import PoolConfig
from node.pool.effects import (
    Broadcast,
    ChunksAnswered,
    Penalise,
    PersistBatch,
    PoolEffect,
    VerifyBatch,
    VerifyChunk,
)
from node.pool.messages import Acknowledge, PushBatch
from node.pool.pool import BatchPool
from node.pool.signedchunks import SIGNED_BYTES_MIN, signed_transaction, verify_chunk
from tests.node.pool.test_chunks import answers, batch, opaque_pool
from tests.node.pool.world import CLUSTER, KEYS, START_MS, transaction

RULES = BatchRules(CLUSTER, transaction_bytes_max=262_144, content=BatchContent.SIGNED_CHUNKS)
CONFIG = PoolConfig(RULES)
SIZE = 128
OTHER_CLUSTER = bytes(31) + b"\xff"
FORGED = "transaction 5: the signature is wrong"


def signed(number: int, cluster_id: bytes) -> bytes:
    content = number.to_bytes(SIZE - SIGNED_BYTES_MIN + 1, "big")
    return signed_transaction(SigningKey(bytes([number % 7]) * 32), cluster_id, content)


def joined(count: int, *, cluster_id: bytes = CLUSTER) -> bytes:
    return b"".join(signed(number, cluster_id) for number in range(count))


def forged(count: int = 8, at: int = 5, offset: int = SIZE - 1) -> bytes:
    """As many, of which one was changed in one bit after it was signed."""
    data = bytearray(joined(count))
    data[at * SIZE + offset] ^= 1
    return bytes(data)


def sealed(*chunks: bytes, size: int = SIZE) -> Batch:
    return batch(*batch_items(1, [Chunk(1, chunk, size) for chunk in chunks]))


def pool_of(config: PoolConfig = CONFIG) -> BatchPool:
    return opaque_pool(config=config)


def persisted(effects: list[PoolEffect]) -> list[PersistBatch]:
    return [effect for effect in effects if isinstance(effect, PersistBatch)]


def test_a_batch_whose_signatures_are_good_is_valid_and_opens_nothing() -> None:
    made = sealed(joined(8), joined(3))
    report = verify_batch(made.encoded, RULES)
    assert (report.ok, report.detail, report.opened) == (True, "", ())
    assert count_transactions(Batch.decode(made.encoded, RULES).transactions) == (11, 11 * SIZE)
    assert len(list(examine_batch(made.encoded, RULES))) == 11, "one step a signature, for who takes turns"


@pytest.mark.parametrize("offset", [0, 31, 32, 95, 96, SIZE - 1], ids=lambda at: f"byte-{at}")
def test_one_bad_signature_makes_a_batch_invalid(offset: int) -> None:
    report = verify_batch(sealed(joined(2), forged(offset=offset)).encoded, RULES)
    assert not report.ok
    assert report.detail == f"chunk 1, {FORGED}"


def test_a_signature_is_good_for_one_cluster() -> None:
    assert verify_chunk(joined(2, cluster_id=OTHER_CLUSTER), SIZE, OTHER_CLUSTER, RULES.scheme) == ""
    report = verify_batch(sealed(joined(2, cluster_id=OTHER_CLUSTER)).encoded, RULES)
    assert report.detail == "chunk 0, transaction 0: the signature is wrong"


def test_a_manifest_that_tells_another_size_makes_a_batch_invalid() -> None:
    assert not verify_batch(sealed(joined(2), size=2 * SIZE).encoded, RULES).ok
    for size, words in (
        (96, "is no transactions of 96 bytes each: the smallest has 97"),
        (100, "is no transactions of 100"),
    ):
        with pytest.raises(CodecError, match=words):
            Batch.decode(sealed(joined(3), size=size).encoded, RULES)
        assert not verify_batch(sealed(joined(3), size=size).encoded, RULES).ok


def test_the_smallest_transaction_has_one_byte_that_is_signed() -> None:
    smallest = signed_transaction(SigningKey(bytes(32)), CLUSTER, b"x")
    assert len(smallest) == SIGNED_BYTES_MIN
    assert verify_batch(sealed(smallest, size=SIGNED_BYTES_MIN).encoded, RULES).ok


def test_no_other_kind_of_cluster_takes_these_batches_for_its_own() -> None:
    assert not verify_batch(sealed(joined(2)).encoded, BatchRules(CLUSTER)).ok
    assert not verify_batch(batch(transaction(1).encoded).encoded, RULES).ok
    unsigned = replace(RULES, content=BatchContent.CHUNKS)
    assert verify_batch(sealed(forged()).encoded, unsigned).ok, "there nobody looks"


def test_a_chunk_is_sealed_once_its_signatures_are_known_to_be_good() -> None:
    pool = pool_of()
    data = joined(200)
    effects = pool.on_chunk(5, data, SIZE, START_MS)
    assert VerifyChunk(5, data, SIZE) in effects
    assert not persisted(effects)
    assert not answers(effects)
    effects = pool.on_chunk_verified(5, None, START_MS)
    (batch_of_it,) = persisted(effects)
    assert answers(effects) == [ChunksAnswered((5,), batch_of_it.digest)]
    assert verify_batch(batch_of_it.data, RULES).ok


def test_a_chunk_with_a_bad_signature_is_refused_and_sealed_by_nobody() -> None:
    pool = pool_of()
    pool.on_chunk(5, forged(), SIZE, START_MS)
    effects = pool.on_chunk_verified(5, FORGED, START_MS)
    assert not persisted(effects)
    (answer,) = answers(effects)
    assert isinstance(answer.outcome, RejectedTransaction)
    assert (answer.outcome.code, FORGED in str(answer.outcome)) == (Code.BAD_SIGNATURE, True)
    assert not answers(pool.on_chunk_verified(5, None, START_MS)), "nobody waits for it any more"


def test_what_no_batch_can_hold_is_refused_before_a_signature_is_looked_at() -> None:
    for data, size, code in (
        (joined(1), 96, Code.MALFORMED),
        (joined(3), 2 * SIZE, Code.MALFORMED),
        (bytes(262_144 + SIZE), SIZE, Code.OVERSIZED),
    ):
        effects = pool_of().on_chunk(1, data, size, START_MS)
        (answer,) = answers(effects)
        assert isinstance(answer.outcome, RejectedTransaction)
        assert answer.outcome.code is code
        assert not any(isinstance(effect, VerifyChunk) for effect in effects)


def test_what_is_being_checked_counts_in_the_bounds_on_what_waits() -> None:
    pool = pool_of(replace(CONFIG, unsealed_bytes_max=10 * SIZE))

    def unsealed() -> int:
        return dict((entry, now) for entry, now, _ in pool.limits())["pool_unsealed_bytes"]

    pool.on_chunk(1, joined(8), SIZE, START_MS)
    assert unsealed() == 8 * SIZE
    (answer,) = answers(pool.on_chunk(2, joined(3), SIZE, START_MS))
    assert isinstance(answer.outcome, RejectedTransaction)
    assert answer.outcome.code is Code.POOL_FULL
    pool.on_chunk_verified(1, FORGED, START_MS)
    assert unsealed() == 0
    few = pool_of(replace(CONFIG, unsealed_count_max=1))
    few.on_chunk(1, joined(1), SIZE, START_MS)
    assert answers(few.on_chunk(2, joined(1), SIZE, START_MS))


def test_a_pushed_batch_is_acknowledged_after_every_signature_was_verified() -> None:
    pool, pushed = pool_of(), sealed(joined(200), joined(200))
    effects = pool.on_message(KEYS[1].public_key, PushBatch(pushed.encoded), START_MS)
    assert VerifyBatch(pushed.digest, pushed.encoded) in effects
    assert not persisted(effects)
    effects = pool.on_batch_verified(verify_batch(pushed.encoded, RULES), START_MS)
    assert persisted(effects) == [PersistBatch(pushed.digest, pushed.encoded)]
    assert Broadcast(Acknowledge((pushed.digest,))) in pool.on_persisted([pushed.digest], START_MS)


def test_the_author_of_a_batch_with_one_bad_signature_is_punished_and_nobody_vouches_for_it() -> None:
    pool, pushed = pool_of(), sealed(joined(200), forged())
    pool.on_message(KEYS[1].public_key, PushBatch(pushed.encoded), START_MS)
    effects = pool.on_batch_verified(verify_batch(pushed.encoded, RULES), START_MS)
    assert not persisted(effects)
    (fault,) = (effect for effect in effects if isinstance(effect, Penalise))
    assert (fault.peer, fault.error.code) == (KEYS[1].public_key, "batch-invalid")
    assert FORGED in fault.error.detail
    again = pool.on_message(KEYS[1].public_key, PushBatch(pushed.encoded), START_MS + 1)
    assert any(isinstance(effect, Penalise) for effect in again), "it was refused before"
    assert not any(isinstance(effect, VerifyBatch) for effect in again)


def test_expired_chunks_are_not_sealed_again() -> None:
    pool = pool_of()
    pool.on_chunk(1, joined(200), SIZE, START_MS)
    (answer,) = answers(pool.on_chunk_verified(1, None, START_MS))
    assert isinstance(answer.outcome, bytes)
    pool.on_persisted([Digest(answer.outcome)], START_MS)
    effects = pool.on_synced(1, (), START_MS + 61_000, START_MS + 61_000)
    assert not persisted(effects)
