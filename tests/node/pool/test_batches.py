"""Batches: one encoding, judged by bytes alone (C22)."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, Epoch, ValidatorIndex, as_tuple, decode, encode
from node.pool.batches import Batch, BatchRules, batch_digest, verify_batch
from tests.node.pool.world import CLUSTER, RULES, START_MS, batch, forged, transaction


def rebuilt(b: Batch, position: int, value: object) -> bytes:
    fields: list[object] = list(as_tuple(decode(b.encoded), 7, "batch"))
    fields[position] = value
    return encode(fields)


def test_a_good_batch_passes_and_round_trips() -> None:
    made = batch(transaction(1), transaction(2), author=3)
    again = Batch.decode(made.encoded, RULES)
    assert again == made
    assert (again.author, again.epoch, again.digest) == (3, 0, batch_digest(made.encoded))
    assert verify_batch(made.encoded, RULES).ok


def test_the_encoding_of_a_batch_is_pinned() -> None:
    made = Batch.make(
        cluster_id=CLUSTER,
        author=ValidatorIndex(2),
        epoch=Epoch(1),
        created_ms=1,
        expires_at_ms=2,
        transactions=(b"t",),
    )
    assert made.encoded.hex() == "9701c420" + "63" * 32 + "0201010291c40174"
    assert made.digest.hex() == "c2c95ef2bc7a6794916a2bfef88f572e637c47822adce2415725103d344c1db0"


def test_a_report_and_the_rules_travel_to_a_worker_process() -> None:
    report = verify_batch(batch(transaction(1)).encoded, RULES)
    assert pickle.loads(pickle.dumps(report)) == report
    assert pickle.loads(pickle.dumps(RULES)) == RULES


@pytest.mark.parametrize(
    ("position", "value", "words"),
    [
        (0, 2, "version"),
        (1, b"d" * 32, "another cluster"),
        (2, -1, "author"),
        (2, 2**20, "author"),
        (3, -1, "epoch"),
        (4, b"x", "created"),
        (5, START_MS, "lives at most"),
        (5, START_MS + 60_001, "lives at most"),
        (6, (), "empty"),
        (6, (1,), "transaction"),
        (6, (bytes(65_537),), "transaction"),
        (6, (bytes(65_536),) * 5, "exceed the limit"),
        (6, (b"t",) * 2049, "at most 2048"),
        (6, (b"junk",), "transaction 0"),
    ],
)
def test_a_bad_field_is_named(position: int, value: object, words: str) -> None:
    report = verify_batch(rebuilt(batch(transaction(1)), position, value), RULES)
    assert not report.ok
    assert words in report.detail


def test_what_is_not_canonical_is_refused() -> None:
    good = batch(transaction(1)).encoded
    for bad in (good + b"\0", good[:-1], b"", b"\xc1", b"\xdc\x00\x07" + good[1:], b"\x80"):
        assert not verify_batch(bad, RULES).ok


def test_an_oversized_batch_is_refused_before_it_is_parsed() -> None:
    report = verify_batch(bytes(RULES.encoded_bytes_max + 1), RULES)
    assert "exceed the limit" in report.detail


def test_every_full_batch_fits_its_encoded_bound() -> None:
    rules = BatchRules(CLUSTER, batch_bytes_max=4096, transactions_max=4096)
    full = Batch.make(
        cluster_id=CLUSTER,
        author=ValidatorIndex(65_535),
        epoch=Epoch(2**62),
        created_ms=2**52,
        expires_at_ms=2**52 + 1,
        transactions=(b"t",) * 4096,
    )
    assert Batch.decode(full.encoded, rules).transactions == full.transactions


def test_a_wrong_signature_is_found() -> None:
    report = verify_batch(rebuilt(batch(transaction(1)), 6, (forged(1),)), RULES)
    assert (report.ok, report.detail) == (False, "transaction 0: the signature is wrong")


def test_a_transaction_of_another_cluster_is_found() -> None:
    report = verify_batch(batch(transaction(1, cluster_id=b"d" * 32)).encoded, RULES)
    assert "another cluster" in report.detail


def test_a_transaction_that_was_dead_when_sealed_is_found() -> None:
    assert "expired" in verify_batch(batch(transaction(1, expires_at_ms=START_MS)).encoded, RULES).detail
    assert verify_batch(batch(transaction(1, expires_at_ms=START_MS + 1)).encoded, RULES).ok


def test_the_same_transaction_twice_is_found() -> None:
    assert "twice" in verify_batch(batch(transaction(1), transaction(1)).encoded, RULES).detail


def test_a_short_lived_transaction_does_not_shorten_the_life_of_its_batch() -> None:
    made = batch(transaction(1, expires_at_ms=START_MS + 1), transaction(2))
    assert verify_batch(made.encoded, RULES).ok
    assert not made.is_expired(START_MS + 59_999)
    assert made.is_expired(START_MS + 60_000)


@given(st.binary(max_size=300))
def test_no_bytes_make_verification_raise(data: bytes) -> None:
    assert not verify_batch(data, RULES).ok


@given(st.integers(0, 200), st.integers(0, 255))
def test_no_changed_byte_passes(position: int, value: int) -> None:
    good = bytearray(batch(transaction(1)).encoded)
    position %= len(good)
    if good[position] == value:
        return
    good[position] = value
    report = verify_batch(bytes(good), RULES)
    try:
        changed = Batch.decode(bytes(good), RULES)
    except CodecError:
        assert not report.ok
    else:
        same_transactions = changed.transactions == batch(transaction(1)).transactions
        assert report.ok == same_transactions
