"""May this replica vote for this payload? (C9, C22, C24)"""

from dataclasses import replace

import pytest

from consensus import PayloadChecked, ValidatorIndex, Verdict, encode
from node.pool.batches import Batch, batch_digest, verify_batch
from node.pool.effects import Answer, PersistBatch
from node.pool.messages import Acknowledge, FetchBatches, FetchedBatch, PushBatch
from node.pool.payload import Payload, Reference
from node.pool.pool import BatchPool
from tests.node.pool.world import (
    CONFIG,
    KEYS,
    START_MS,
    Node,
    batch,
    block,
    committed,
    forged,
    naming,
    transaction,
    validator_set,
)

BIG = 20_000


def node(config: object = CONFIG) -> Node:
    n = Node(0, validator_set(), config)  # type: ignore[arg-type]  # a PoolConfig
    for index in (1, 2, 3):
        n.perform(n.pool.on_peer_connected(KEYS[index].public_key, n.now_ms))
    return n


def broken(number: int, author: int = 1) -> Batch:
    """A batch whose one transaction carries a wrong signature."""
    good = batch(transaction(number), author=author)
    return Batch.make(
        cluster_id=good.cluster_id,
        author=good.author,
        epoch=good.epoch,
        created_ms=good.created_ms,
        expires_at_ms=good.expires_at_ms,
        transactions=(forged(number),),
    )


def test_what_is_held_verified_and_durable_is_available_at_once() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    n.receive(1, PushBatch(big.encoded))
    assert n.check(block(naming(big))) is Verdict.AVAILABLE


def test_an_empty_payload_is_available() -> None:
    assert node().check(block(b"")) is Verdict.AVAILABLE


def test_a_small_batch_named_by_digest_is_journalled_before_the_vote() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    n.receive(1, PushBatch(small.encoded))
    assert n.disk == {}
    n.check(block(naming(small)))
    assert n.disk == {small.digest: small.encoded}
    assert n.verdicts[-1].verdict is Verdict.AVAILABLE


def test_a_batch_is_on_disk_before_the_verdict_that_lets_us_vote_for_its_name() -> None:
    small = batch(transaction(1), author=1)
    pool = BatchPool(CONFIG, validator_set(), ValidatorIndex(0))
    pool.on_message(KEYS[1].public_key, PushBatch(small.encoded), START_MS)
    pool.on_batch_verified(verify_batch(small.encoded, CONFIG.batch), START_MS)
    effects = pool.on_check(block(naming(small)), (), START_MS)
    assert PersistBatch(small.digest, small.encoded) in effects
    assert not any(isinstance(e, Answer) for e in effects)
    answers = [e.event for e in pool.on_persisted((small.digest,), START_MS) if isinstance(e, Answer)]
    assert [a.verdict for a in answers if isinstance(a, PayloadChecked)] == [Verdict.AVAILABLE]


def test_an_inline_batch_needs_no_journal_of_its_own() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    assert n.check(block(Payload((), (small.encoded,)))) is Verdict.AVAILABLE
    assert n.disk == {}


def test_an_inline_batch_of_a_dead_proposal_is_proposed_by_the_next_leader() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    n.check(block(Payload((), (small.encoded,)), round=1, author=1))
    assert Payload.decode(n.propose(round=2).payload, CONFIG.payload).inline == (small.encoded,)


def test_an_inline_batch_with_a_wrong_signature_gets_no_vote() -> None:
    n = node()
    n.check(block(Payload((), (broken(1).encoded,))))
    assert n.verdicts[-1].verdict is Verdict.INVALID
    assert not n.pool.pending()


def test_no_vote_before_the_inline_batch_is_verified() -> None:
    n = node()
    n.hold_verification = True
    assert n.check(block(Payload((), (batch(transaction(1), author=1).encoded,)))) is None
    n.hold_verification = False
    n.settle()
    assert [v.verdict for v in n.verdicts] == [Verdict.AVAILABLE]


def test_a_missing_batch_is_fetched_and_then_available() -> None:
    n = node()
    lost = batch(transaction(1, size=BIG), author=1)
    assert n.check(block(naming(lost), author=2)) is Verdict.MISSING
    asked = [peer for peer, m in n.out if m == FetchBatches((lost.digest,))]
    assert asked == [KEYS[2].public_key]
    n.receive(2, FetchedBatch(lost.encoded))
    assert [v.verdict for v in n.verdicts] == [Verdict.MISSING, Verdict.AVAILABLE]
    assert n.disk == {lost.digest: lost.encoded}


def test_a_fetch_outlives_its_round_and_ends_with_the_commit_of_another_block() -> None:
    n = node()
    lost = batch(transaction(1, size=BIG), author=1)
    n.check(block(naming(lost), round=1, author=2))
    for _ in range(5):
        n.now_ms += CONFIG.fetch_retry_max_ms
        n.tick()
    assert len([m for _, m in n.out if isinstance(m, FetchBatches)]) >= 5
    n.commit(committed(block(b"", round=2)))
    n.out.clear()
    n.now_ms += CONFIG.fetch_retry_max_ms
    n.tick()
    assert n.out == []


def test_a_missing_batch_is_laid_to_its_author_only_if_the_author_claimed_it() -> None:
    lost = batch(transaction(1, size=BIG), author=1)
    n = node()
    n.check(block(naming(lost), author=2))
    assert n.verdicts[-1].blamed == 2
    n = node()
    n.receive(1, Acknowledge((lost.digest,)))
    n.check(block(naming(lost), author=2))
    assert n.verdicts[-1].blamed == 1


def test_a_fetched_batch_that_breaks_the_rules_is_laid_to_nobody_but_gets_no_vote() -> None:
    n = node()
    bad = broken(1)
    n.check(block(naming(bad), author=2))
    n.receive(2, FetchedBatch(bad.encoded))
    assert (n.verdicts[-1].verdict, n.verdicts[-1].blamed) == (Verdict.INVALID, None)


def test_a_bad_batch_its_author_pushed_is_laid_to_the_author() -> None:
    n = node()
    bad = broken(1)
    n.hold_verification = True
    n.receive(1, PushBatch(bad.encoded))
    assert n.check(block(naming(bad), author=2)) is None
    n.hold_verification = False
    n.settle()
    assert (n.verdicts[-1].verdict, n.verdicts[-1].blamed) == (Verdict.INVALID, 1)


def test_bytes_that_are_no_batch_get_no_vote() -> None:
    n = node()
    body = encode((1, 2))
    reference = Reference(ValidatorIndex(1), batch_digest(body))
    n.check(block(Payload((reference,), ()), author=2))
    n.receive(2, FetchedBatch(body))
    assert n.verdicts[-1].verdict is Verdict.INVALID


@pytest.mark.parametrize(
    ("created_ms", "time_ms", "verdict"),
    [
        (START_MS, START_MS + 59_999, Verdict.AVAILABLE),
        (START_MS, START_MS + 60_000, Verdict.INVALID),
        (START_MS, START_MS - 60_001, Verdict.INVALID),
    ],
)
def test_expiry_is_judged_by_the_blocks_time(created_ms: int, time_ms: int, verdict: Verdict) -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1, created_ms=created_ms)
    n.receive(1, PushBatch(big.encoded))
    assert n.check(block(naming(big), time_ms=time_ms)) is verdict


def test_a_reference_under_a_wrong_author_gets_no_vote() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    n.receive(1, PushBatch(big.encoded))
    wrong = Payload((Reference(ValidatorIndex(3), big.digest),), ())
    assert n.check(block(wrong)) is Verdict.INVALID


def test_what_an_ancestor_or_a_committed_block_holds_gets_no_second_vote() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    first = block(Payload((), (small.encoded,)), round=1)
    again = block(naming(small), round=2)
    assert n.check(first) is Verdict.AVAILABLE
    assert n.check(again, (first,)) is Verdict.INVALID
    n.commit(committed(first))
    assert n.check(again) is Verdict.INVALID
    n.execute_all()
    assert n.check(again) is Verdict.INVALID


def test_what_a_dead_sibling_holds_may_be_ordered() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    assert n.check(block(Payload((), (small.encoded,)), round=1)) is Verdict.AVAILABLE
    assert n.check(block(Payload((), (small.encoded,)), round=2)) is Verdict.AVAILABLE


def test_more_bytes_than_one_block_may_order_get_no_vote() -> None:
    config = replace(CONFIG, payload=replace(CONFIG.payload, body_bytes_max=300_000))
    n = node(config)
    batches = [
        batch(*(transaction(10 * i + k, size=60_000) for k in range(4)), author=1) for i in range(1, 3)
    ]
    for b in batches:
        n.receive(1, PushBatch(b.encoded))
    assert n.check(block(naming(batches[0]))) is Verdict.AVAILABLE
    assert n.check(block(naming(*batches), round=2)) is Verdict.INVALID


def test_junk_gets_no_vote() -> None:
    n = node()
    assert n.check(block(b"junk")) is Verdict.INVALID
    assert n.verdicts[-1].reason


def test_checks_and_fetches_are_bounded_against_a_leader_that_names_what_does_not_exist() -> None:
    n = node(replace(CONFIG, wanted_max=100))
    for round in range(1, 200):
        references = tuple(Reference(ValidatorIndex(1), batch_digest(bytes([round, i]))) for i in range(64))
        n.check(block(Payload(references, ()), round=round, author=2))
        n.out.clear()
    bounds = dict((name, current) for name, current, _ in n.pool.limits())
    assert bounds["pool_payload_checks"] == CONFIG.checks_max
    assert bounds["pool_wanted_batches"] == 100


def test_batches_that_blocks_bring_in_are_bounded_in_memory_and_die_on_disk() -> None:
    config = replace(CONFIG, author_bytes_max=5 * 21_000)
    n = node(config)
    batches = [batch(transaction(i, size=BIG), author=1) for i in range(20)]
    for round, b in enumerate(batches, start=1):
        n.check(block(naming(b), round=round, author=2))
        n.receive(2, FetchedBatch(b.encoded))
        assert n.verdicts[-1].verdict is Verdict.AVAILABLE
    assert len(n.disk) == 20
    bounds = dict((name, current) for name, current, _ in n.pool.limits())
    assert bounds["pool_unordered_batches"] <= 5
    n.commit(committed(block(naming(batches[0]), round=21)))
    assert n.ready[-1].batches == (batches[0],)
    n.execute_all()
    n.commit(committed(block(b"", round=22, time_ms=START_MS + 62_000)))
    assert list(n.disk) == [batches[0].digest]


def test_an_author_pushing_what_a_block_brought_in_takes_it_over() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    n.check(block(Payload((), (small.encoded,))))
    n.out.clear()
    n.receive(1, PushBatch(small.encoded))
    n.now_ms += CONFIG.ack_delay_ms
    n.tick()
    assert n.disk == {small.digest: small.encoded}
    assert (None, Acknowledge((small.digest,))) in n.out
