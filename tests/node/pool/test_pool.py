"""The life of a batch, rule by rule."""

from dataclasses import replace

import pytest

from consensus import Digest, ValidatorIndex, Verdict, encode
from node.pool.batches import Batch, BatchRules, batch_digest
from node.pool.config import PoolConfig
from node.pool.effects import Broadcast, PersistBatch, Wake
from node.pool.messages import (
    Acknowledge,
    BatchesUnavailable,
    FetchBatches,
    FetchedBatch,
    PushBatch,
    SyncRequest,
    decode_message,
    encode_message,
)
from node.pool.payload import Payload, Reference
from node.pool.pool import BatchPool
from tests.node.pool.world import (
    CLIENT,
    CLUSTER,
    CONFIG,
    KEYS,
    START_MS,
    Node,
    World,
    batch,
    block,
    committed,
    naming,
    transaction,
    validator_set,
)

BIG = 20_000
"""An argument that makes a batch too big to go inline."""


def node(index: int = 0, config: PoolConfig = CONFIG) -> Node:
    return Node(index, validator_set(), config)


def held(n: Node, b: Batch, *acknowledged_by: int) -> None:
    """`b` was pushed by its author to `n`, and these acknowledged it."""
    n.receive(b.author, PushBatch(b.encoded))
    for index in acknowledged_by:
        n.receive(index, Acknowledge((b.digest,)))


def proposed(n: Node, round: int = 1) -> Payload:
    return Payload.decode(n.propose(round=round).payload, n.config.payload)


# --- own batches ---------------------------------------------------------------------------------------


def test_a_big_batch_is_journalled_and_then_pushed() -> None:
    pool = BatchPool(CONFIG, validator_set(), ValidatorIndex(0))
    effects = pool.on_transactions([transaction(1, size=BIG)], START_MS)
    kinds = [type(effect) for effect in effects]
    assert kinds.index(PersistBatch) < kinds.index(Broadcast)


def test_a_lone_transaction_is_pushed_at_once_and_acknowledged_by_its_author_when_it_is_on_disk() -> None:
    n = node()
    n.submit(transaction(1))
    ((_, push),) = n.out
    assert isinstance(push, PushBatch)
    assert n.disk == {}
    n.now_ms += 2 * CONFIG.ack_delay_ms
    n.tick()
    name = Batch.decode(push.data, CONFIG.batch).digest
    assert list(n.disk) == [name]
    assert n.out[1:] == [(None, Acknowledge((name,)))]


def test_a_lone_transaction_that_is_ordered_in_time_is_not_journalled_again() -> None:
    n = node()
    n.submit(transaction(1))
    n.commit(committed(n.propose()))
    n.now_ms += 2 * CONFIG.ack_delay_ms
    n.tick()
    assert (n.disk, len(n.out)) == ({}, 1)


def test_the_push_of_a_small_batch_acknowledges_nothing() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    held(n, small, 2)
    n.now_ms += CONFIG.ack_delay_ms
    n.tick()
    assert proposed(n).inline == (small.encoded,)
    n.receive(1, Acknowledge((small.digest,)))
    assert proposed(n, 2) == naming(small)


def test_under_load_transactions_wait_for_company_at_most_the_delay() -> None:
    n = node()
    n.submit(transaction(1))
    n.submit(transaction(2))
    n.submit(transaction(3))
    assert len(n.out) == 1
    n.now_ms += CONFIG.seal_delay_ms
    n.tick()
    pushed = [m for _, m in n.out if isinstance(m, PushBatch)]
    assert [len(Batch.decode(m.data, CONFIG.batch).transactions) for m in pushed] == [1, 2]


def test_one_that_comes_a_delay_after_the_last_batch_has_no_company_to_wait_for() -> None:
    n = node()
    n.submit(transaction(1))
    n.now_ms += CONFIG.seal_delay_ms
    n.submit(transaction(2))
    assert len(n.out) == 2
    n.now_ms += CONFIG.seal_delay_ms - 1
    n.submit(transaction(3))
    assert len(n.out) == 2
    n.now_ms += 1
    n.tick()
    assert len(n.out) == 3


def test_the_more_is_in_flight_the_more_company_is_waited_for() -> None:
    n = node()

    def pushed() -> int:
        return len([m for _, m in n.out if isinstance(m, PushBatch)])

    for number in range(1, 5):
        n.submit(transaction(number))
        n.now_ms += CONFIG.seal_delay_ms
    assert pushed() == 4
    n.submit(transaction(5))
    assert pushed() == 4
    n.now_ms += CONFIG.seal_delay_ms
    n.tick()
    assert pushed() == 5


def test_waiting_transactions_leave_when_the_batch_in_flight_is_committed() -> None:
    n = node()
    n.submit(transaction(1))
    n.submit(transaction(2))
    n.commit(committed(n.propose()))
    assert len([m for _, m in n.out if isinstance(m, PushBatch)]) == 2


def test_a_flood_is_cut_into_full_batches() -> None:
    n = node(config=replace(CONFIG, commit_target_ms=0))
    n.submit(*(transaction(i, size=60_000) for i in range(9)))
    sizes = [len(m.data) for _, m in n.out if isinstance(m, PushBatch)]
    assert len(sizes) == 3
    assert all(size <= CONFIG.batch.encoded_bytes_max for size in sizes)


def test_sealing_stops_at_half_of_the_quota_and_goes_on_after_a_commit() -> None:
    config = replace(CONFIG, author_bytes_max=2 * 300_000, commit_target_ms=0)
    n = node(config=config)
    n.submit(*(transaction(i, size=60_000) for i in range(20)))
    first = len(n.out)
    assert sum(len(m.data) for _, m in n.out if isinstance(m, PushBatch)) <= config.author_bytes_max
    assert n.wake_ms is None or n.wake_ms > n.now_ms
    names = tuple(Batch.decode(m.data, CONFIG.batch) for _, m in n.out if isinstance(m, PushBatch))
    n.commit(committed(block(naming(*names))))
    assert len(n.out) > first


def test_what_expires_unordered_is_sealed_anew_as_long_as_it_lives() -> None:
    n = node()
    n.submit(transaction(1, expires_at_ms=START_MS + 300_000), transaction(2, expires_at_ms=START_MS + 1_000))
    n.now_ms += 2 * CONFIG.ack_delay_ms
    n.tick()  # it is on disk
    n.now_ms += 70_000
    n.commit(committed(block(b"", time_ms=n.now_ms)))
    pushed = [Batch.decode(m.data, CONFIG.batch) for _, m in n.out if isinstance(m, PushBatch)]
    assert len(pushed) == 2
    assert pushed[1].transactions == (transaction(1).encoded,)
    assert n.forgotten == [pushed[0].digest]


# --- acknowledgements (C2, C9) -------------------------------------------------------------------------


def test_a_big_batch_is_acknowledged_only_when_it_is_on_disk() -> None:
    big = batch(transaction(1, size=BIG), author=1)
    n = node()
    n.receive(1, PushBatch(big.encoded))
    assert n.disk == {big.digest: big.encoded}
    assert n.out == [(None, Acknowledge((big.digest,)))]


def test_nothing_is_acknowledged_before_it_is_verified() -> None:
    n = node()
    n.hold_verification = True
    big = batch(transaction(1, size=BIG), author=1)
    n.receive(1, PushBatch(big.encoded))
    assert (n.out, n.disk) == ([], {})
    assert n.check(block(naming(big))) is None


def test_a_small_batch_is_acknowledged_late_and_not_at_all_once_ordered() -> None:
    one, two = (batch(transaction(i), author=1) for i in (1, 2))
    n = node()
    held(n, one)
    held(n, two)
    n.commit(committed(block(Payload((), (one.encoded,)))))
    n.now_ms += CONFIG.ack_delay_ms
    n.tick()
    assert n.disk == {two.digest: two.encoded}
    assert n.out == [(None, Acknowledge((two.digest,)))]


def test_acknowledgements_of_one_disk_group_are_one_message() -> None:
    pool = BatchPool(CONFIG, validator_set(), ValidatorIndex(0))
    batches = [batch(transaction(i, size=BIG), author=1) for i in range(3)]
    n = node()
    n.pool = pool
    n.hold_verification = True
    for b in batches:
        n.receive(1, PushBatch(b.encoded))
    names = [b.digest for b in batches]
    n.verifying.clear()
    effects = pool.on_persisted(names, START_MS)
    sent = [e.message for e in effects if isinstance(e, Broadcast)]
    assert sent == [Acknowledge(tuple(names))]


def test_a_batch_is_named_only_with_a_quorum_of_acknowledgements() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    n.receive(1, PushBatch(big.encoded))
    assert proposed(n) == Payload((), ())
    n.receive(1, Acknowledge((big.digest,)))
    n.receive(1, Acknowledge((big.digest,)))
    assert proposed(n) == Payload((), ())
    n.receive(2, Acknowledge((big.digest,)))
    assert proposed(n) == naming(big)


def test_a_quorum_is_weighed_not_counted() -> None:
    n = Node(0, validator_set(4, (1, 1, 1, 10)))
    big = batch(transaction(1, size=BIG), author=1)
    held(n, big, 2)
    assert proposed(n) == Payload((), ())
    n.receive(3, Acknowledge((big.digest,)))
    assert proposed(n) == naming(big)


def test_what_is_not_on_disk_here_is_not_named_whoever_else_has_it() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    held(n, small, 2, 3)
    assert n.disk == {}
    assert proposed(n) == Payload((), (small.encoded,))


def test_acknowledgements_are_repeated_while_a_batch_stays_unordered() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    held(n, big)
    n.out.clear()
    for _ in range(3):
        n.now_ms += CONFIG.repush_ms
        n.tick()
    assert n.out == [(None, Acknowledge((big.digest,)))]
    n.commit(committed(block(naming(big))))
    n.out.clear()
    for _ in range(5):
        n.now_ms += CONFIG.reacknowledge_ms
        n.tick()
    assert n.out == []


def test_acknowledgements_before_the_batch_count() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    n.receive(2, Acknowledge((big.digest,)))
    n.receive(1, PushBatch(big.encoded))
    assert proposed(n) == naming(big)


def test_acknowledgements_of_what_nobody_has_are_bounded() -> None:
    n = node(config=replace(CONFIG, early_acknowledgements_max=10))
    for i in range(50):
        n.receive(2, Acknowledge((Digest(i.to_bytes(32, "big")),)))
    assert ("pool_early_acknowledgements", 10, 10) in n.pool.limits()


def test_on_connecting_everything_acknowledged_is_repeated_and_own_batches_are_pushed() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    held(n, big)
    n.submit(transaction(2))
    own = next(m for _, m in n.out if isinstance(m, PushBatch))
    n.perform(n.pool.on_peer_connected(KEYS[3].public_key, n.now_ms))
    assert (KEYS[3].public_key, own) in n.out  # before it is on disk, too
    n.now_ms += 2 * CONFIG.ack_delay_ms
    n.tick()
    n.out.clear()
    n.perform(n.pool.on_peer_connected(KEYS[2].public_key, n.now_ms))
    acknowledged = [m for peer, m in n.out if isinstance(m, Acknowledge)]
    assert set(acknowledged[0].digests) == {big.digest, Batch.decode(own.data, CONFIG.batch).digest}
    assert (KEYS[2].public_key, own) in n.out


def test_own_batches_without_a_quorum_are_pushed_again_to_who_has_not_acknowledged() -> None:
    n = node()
    for index in (1, 2):
        n.perform(n.pool.on_peer_connected(KEYS[index].public_key, n.now_ms))
    n.submit(transaction(1, size=BIG))
    own = next(m for _, m in n.out if isinstance(m, PushBatch))
    n.receive(1, Acknowledge((Batch.decode(own.data, CONFIG.batch).digest,)))
    n.out.clear()
    n.now_ms += CONFIG.repush_ms
    n.tick()
    assert [(peer, m) for peer, m in n.out if isinstance(m, PushBatch)] == [(KEYS[2].public_key, own)]


def test_the_author_is_told_again_when_it_pushes_again() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    held(n, big)
    n.out.clear()
    n.receive(1, PushBatch(big.encoded))
    assert n.out == [(KEYS[1].public_key, Acknowledge((big.digest,)))]


def test_an_observer_acknowledges_nothing() -> None:
    n = node()
    n.pool = BatchPool(CONFIG, validator_set(), None)
    held(n, batch(transaction(1, size=BIG), author=1))
    assert n.out == []


# --- proposing -----------------------------------------------------------------------------------------


def test_a_small_batch_goes_inline_without_waiting_for_anybody() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    held(n, small)
    assert n.pending == [True]
    assert proposed(n) == Payload((), (small.encoded,))
    assert n.disk == {}


def test_a_small_batch_that_a_quorum_has_is_named() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    held(n, small, 1, 2)
    n.now_ms += CONFIG.ack_delay_ms
    n.tick()
    assert proposed(n) == naming(small)


def test_what_the_ancestors_hold_is_passed_over_and_comes_back_when_they_die() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    held(n, small)
    parent = n.propose(round=1)
    child = n.propose(round=2, ancestors=(parent,))
    assert child.payload == b""
    sibling = n.propose(round=3)
    assert sibling.payload == parent.payload


def test_a_committed_batch_is_never_proposed_again() -> None:
    n = node()
    small = batch(transaction(1), author=1)
    held(n, small)
    n.commit(committed(n.propose()))
    assert n.propose(round=2).payload == b""
    assert n.pending == [True, False]
    n.receive(1, PushBatch(small.encoded))
    assert n.propose(round=3).payload == b""


def test_a_batch_expired_at_the_blocks_time_is_not_proposed() -> None:
    n = node()
    held(n, batch(transaction(1), author=1))
    assert n.propose(time_ms=START_MS + 60_000).payload == b""
    assert n.propose(time_ms=START_MS + 59_999).payload != b""


def test_one_author_cannot_starve_the_others() -> None:
    n = node()
    for i in range(100):
        held(n, batch(transaction(i, size=BIG), author=1), 2)
    modest = batch(transaction(1000, size=BIG), author=3)
    held(n, modest, 2)
    for round in (1, 2, 3):
        assert modest.digest in [r.digest for r in proposed(n, round).references[:2]]
    assert len(proposed(n).references) == CONFIG.payload.batches_max


def test_every_author_is_first_in_some_round() -> None:
    n = node()
    batches = [batch(transaction(i, size=BIG), author=i) for i in (1, 2, 3)]
    for b in batches:
        held(n, b, 1, 2, 3)
    firsts = [Payload.decode(n.propose(round=r, size=60).payload, CONFIG.payload) for r in (1, 2, 3)]
    assert all(len(payload.references) == 1 for payload in firsts)
    assert {payload.references[0].digest for payload in firsts} == {b.digest for b in batches}


def test_the_timer_comes_first_so_that_no_answer_in_between_is_overruled() -> None:
    pool = BatchPool(CONFIG, validator_set(), ValidatorIndex(0))
    effects = pool.on_transactions([transaction(1)], START_MS)
    assert isinstance(effects[0], Wake)
    assert [type(e) for e in effects].count(Wake) == 1


def test_the_largest_batch_genesis_allows_fits_one_block_and_one_message() -> None:
    rules = BatchRules(CLUSTER, batch_bytes_max=4 * 1024 * 1024, transaction_bytes_max=1024 * 1024)
    assert PoolConfig(rules).payload.body_bytes_max >= rules.encoded_bytes_max
    full = PushBatch(bytes(rules.encoded_bytes_max))
    assert decode_message(encode_message(full)) == full


def test_a_payload_keeps_within_the_bytes_it_was_given() -> None:
    n = node()
    for i in range(10):
        held(n, batch(transaction(i, size=1000), author=1))
    for size in (0, 16, 100, 2000, 5000, 20_000, 2**20):
        b = n.propose(size=size)
        assert len(b.payload) <= size
        assert sum(map(len, Payload.decode(b.payload, CONFIG.payload).inline)) <= 16 * 1024


def test_the_oldest_of_an_author_comes_first() -> None:
    n = node()
    batches = [batch(transaction(i), author=1) for i in range(5)]
    for b in batches:
        held(n, b)
    assert proposed(n).inline == tuple(b.encoded for b in batches)


def test_agreement_is_told_again_when_something_comes_after_an_empty_answer() -> None:
    n = node()
    one, two = (batch(transaction(i), author=1) for i in (1, 2))
    held(n, one)
    parent = n.propose()
    n.propose(round=2, ancestors=(parent,))
    held(n, two)
    assert n.pending == [True, True]


# --- blame (C9) ----------------------------------------------------------------------------------------


def test_one_liar_excludes_nobody_and_a_blocking_set_does_with_back_off() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    held(n, big, 2)
    author = ValidatorIndex(1)
    n.perform(n.pool.on_blamed(author, 1, n.now_ms))
    assert proposed(n) == naming(big)
    n.perform(n.pool.on_blamed(author, 2, n.now_ms))
    assert proposed(n) == Payload((), ())
    n.now_ms += CONFIG.exclusion_base_ms
    n.tick()
    assert proposed(n) == naming(big)
    n.perform(n.pool.on_blamed(author, 2, n.now_ms))
    n.now_ms += 2 * CONFIG.exclusion_base_ms - 1
    n.tick()
    assert proposed(n) == Payload((), ())
    n.now_ms += 1
    n.tick()
    assert proposed(n) == naming(big)


def test_committed_batches_make_an_authors_next_exclusion_short_again() -> None:
    n = node()
    author = ValidatorIndex(1)
    for _ in range(5):
        n.perform(n.pool.on_blamed(author, 2, n.now_ms))
        n.now_ms += CONFIG.exclusion_max_ms
    for round in range(10):
        n.commit(committed(block(naming(batch(transaction(round), author=1)), round=round + 1)))
    n.perform(n.pool.on_blamed(author, 2, n.now_ms))
    late = transaction(99, size=BIG, expires_at_ms=n.now_ms + 9_000)
    big = batch(late, author=1, created_ms=n.now_ms)
    held(n, big, 2)
    n.now_ms += CONFIG.exclusion_base_ms
    n.tick()
    references = Payload.decode(n.propose(round=20, time_ms=n.now_ms).payload, CONFIG.payload).references
    assert [r.digest for r in references] == [big.digest]


def test_an_excluded_authors_batch_that_everybody_has_and_its_small_ones_go_on() -> None:
    n = node()
    big, small = batch(transaction(1, size=BIG), author=1), batch(transaction(2), author=1)
    held(n, big, 2, 3)
    held(n, small)
    n.perform(n.pool.on_blamed(ValidatorIndex(1), 2, n.now_ms))
    assert proposed(n) == Payload(naming(big).references, (small.encoded,))


# --- what peers must not do ----------------------------------------------------------------------------


def codes(n: Node) -> list[str]:
    return [penalty.error.code for penalty in n.penalised]


@pytest.mark.parametrize(
    ("sender", "message", "code"),
    [
        (2, PushBatch(batch(transaction(1), author=1).encoded), "batch-author"),
        (1, PushBatch(b"junk"), "batch-malformed"),
        (1, PushBatch(batch(transaction(1, cluster_id=b"d" * 32), author=1).encoded), "batch-invalid"),
        (1, FetchedBatch(batch(transaction(1), author=1).encoded), "batch-unsolicited"),
        (5, PushBatch(batch(transaction(1), author=1).encoded), "not-a-validator"),
        (1, SyncRequest(1, 1, 1), "pool-topic"),  # type: ignore[arg-type]  # a plain int for a height
    ],
)
def test_a_peers_fault_is_scored_by_name_and_changes_nothing(sender: int, message: object, code: str) -> None:
    n = node()
    n.receive(sender, message)  # type: ignore[arg-type]  # any message
    assert codes(n) == [code]
    assert n.penalised[0].peer == KEYS[sender].public_key
    assert n.pool.pending() is False
    assert {name: current for name, current, _ in n.pool.limits()}["pool_unordered_batches"] == 0


def test_an_acknowledgement_of_no_validator_counts_nothing_and_may_be_of_another_epoch() -> None:
    n = node()
    n.receive(5, Acknowledge((Digest(bytes(32)),)))
    assert codes(n) == []
    assert {name: current for name, current, _ in n.pool.limits()}["pool_early_acknowledgements"] == 0


def test_a_batch_from_a_clock_far_ahead_is_taken_in_its_time_and_nobodys_fault() -> None:
    n = node()
    early = PushBatch(batch(transaction(1), author=1, created_ms=START_MS + 70_000).encoded)
    n.receive(1, early)
    assert codes(n) == []
    assert n.pool.pending() is False
    n.now_ms += 20_000
    n.receive(1, early)
    assert codes(n) == []
    assert n.pool.pending() is True


def test_a_refused_batch_is_not_verified_twice() -> None:
    n = node()
    bad = batch(transaction(1, cluster_id=b"d" * 32), author=1)
    n.receive(1, PushBatch(bad.encoded))
    n.hold_verification = True
    n.receive(1, PushBatch(bad.encoded))
    assert n.verifying == []
    assert codes(n) == ["batch-invalid", "batch-invalid"]


def test_a_batch_of_another_epoch_or_an_expired_one_is_passed_over_without_blame() -> None:
    n = node()
    n.receive(1, PushBatch(batch(transaction(1), author=1, epoch=1).encoded))
    n.receive(1, PushBatch(batch(transaction(1), author=1, created_ms=START_MS - 60_000).encoded))
    assert (n.penalised, n.pool.pending()) == ([], False)


def test_an_author_beyond_its_quota_waits_and_harms_nobody_else() -> None:
    config = replace(CONFIG, author_bytes_max=3 * 21_000)
    n = node(config=config)
    batches = [batch(transaction(i, size=BIG), author=1) for i in range(5)]
    for b in batches:
        held(n, b, 2)
    assert n.pool.arrivals.over_quota == 2
    other = batch(transaction(9, size=BIG), author=3)
    held(n, other, 2)
    assert len(proposed(n).references) == 4
    n.commit(committed(block(naming(*batches[:3]))))
    n.receive(1, PushBatch(batches[4].encoded))
    assert batches[4].digest in n.disk


def test_an_author_beyond_its_count_waits_too() -> None:
    n = node(config=replace(CONFIG, author_batches_max=2))
    for i in range(4):
        held(n, batch(transaction(i), author=1))
    assert n.pool.arrivals.over_quota == 2


# --- expiry (C24) --------------------------------------------------------------------------------------


def test_batches_expire_by_committed_time_not_by_the_wall_clock() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    held(n, big, 2)
    n.now_ms += 600_000
    n.tick()
    assert n.pool.pending()
    n.commit(committed(block(b"", time_ms=START_MS + 62_000)))
    assert not n.pool.pending()
    assert n.forgotten == [big.digest]
    assert n.disk == {}


# --- fetching and delivery -----------------------------------------------------------------------------


def test_fetches_are_answered_from_memory_from_disk_and_with_a_refusal() -> None:
    n = node()
    one, two, three = (batch(transaction(i, size=BIG), author=1) for i in (1, 2, 3))
    held(n, one)
    n.disk[two.digest] = two.encoded
    n.out.clear()
    n.receive(2, FetchBatches((one.digest, two.digest, three.digest)))
    assert [m for _, m in n.out] == [
        FetchedBatch(one.encoded),
        FetchedBatch(two.encoded),
        BatchesUnavailable((three.digest,)),
    ]


def test_reads_for_peers_are_bounded() -> None:
    pool = BatchPool(replace(CONFIG, reads_max=2), validator_set(), ValidatorIndex(0))
    names = tuple(Digest(bytes([i]) * 32) for i in range(5))
    effects = pool.on_message(KEYS[1].public_key, FetchBatches(names), START_MS)
    assert [type(e).__name__ for e in effects] == ["ReadBatch", "ReadBatch", "Send"]


def test_committed_blocks_are_handed_over_in_order_once_each_and_whole() -> None:
    n = node()
    known, lost = (batch(transaction(i, size=BIG), author=1) for i in (1, 2))
    small = batch(transaction(3), author=2)
    held(n, known, 2)
    n.perform(n.pool.on_peer_connected(KEYS[3].public_key, n.now_ms))
    first = committed(block(Payload(naming(lost).references, (small.encoded,))), 1)
    second = committed(block(naming(known), round=2), 2)
    third = committed(block(b"", round=3), 2)
    n.out.clear()
    n.commit(first)
    n.commit(second, third)
    assert n.ready == []
    assert n.out == [(KEYS[3].public_key, FetchBatches((lost.digest,)))]
    n.receive(3, FetchedBatch(lost.encoded))
    assert [(r.block, r.batches) for r in n.ready] == [
        (first, (lost, small)),
        (second, (known,)),
        (third, ()),
    ]
    assert n.pool.resolve(second.block) == (known,)
    n.execute_all()
    assert n.pool.resolve(second.block) == (known.digest,)
    assert n.disk[lost.digest] == lost.encoded


def test_a_batch_executed_before_is_read_back_for_a_block_that_names_it_again() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    held(n, big, 2)
    n.commit(committed(block(naming(big)), 1))
    n.execute_all()
    n.commit(committed(block(naming(big), round=2), 2))
    assert [r.batches for r in n.ready] == [(big,), (big,)]


def test_a_committed_batch_that_is_none_is_left_out_at_every_node_alike() -> None:
    n = node()
    good = batch(transaction(1), author=1)
    body = encode((1,))
    junk = replace(good, encoded=body, digest=batch_digest(body))
    n.perform(n.pool.on_peer_connected(KEYS[3].public_key, n.now_ms))
    n.commit(committed(block(Payload(naming(junk).references, (good.encoded,)))))
    n.receive(3, FetchedBatch(junk.encoded))
    assert [r.batches for r in n.ready] == [(good,)]


def test_a_committed_payload_that_is_junk_executes_as_empty() -> None:
    n = node()
    n.commit(committed(block(b"junk")))
    assert [r.batches for r in n.ready] == [()]


def test_fetches_rotate_back_off_and_go_on_until_somebody_has_it() -> None:
    n = node()
    for index in (1, 2, 3):
        n.perform(n.pool.on_peer_connected(KEYS[index].public_key, n.now_ms))
    lost = batch(transaction(1, size=BIG), author=1)
    n.commit(committed(block(naming(lost))))
    asked = []
    for _ in range(40):
        asked += [peer for peer, m in n.out if isinstance(m, FetchBatches)]
        for peer in [peer for peer, m in n.out if isinstance(m, FetchBatches)]:
            sender = validator_set().index_of(peer or b"")
            assert sender is not None
            n.receive(sender, BatchesUnavailable((lost.digest,)))
            n.out = [(p, m) for p, m in n.out if p != peer]
        n.now_ms += CONFIG.fetch_retry_max_ms
        n.tick()
    assert {bytes(peer) for peer in asked if peer} == {KEYS[i].public_key for i in (1, 2, 3)}
    assert len(asked) <= 200
    n.receive(2, FetchedBatch(lost.encoded))
    assert [r.batches for r in n.ready] == [(lost,)]


def test_digests_nobody_has_keep_no_other_waiting() -> None:
    n = node(config=replace(CONFIG, fetches_max=4))
    n.perform(n.pool.on_peer_connected(KEYS[1].public_key, n.now_ms))
    lies = tuple(Reference(ValidatorIndex(1), Digest(bytes([i]) * 32)) for i in range(60))
    n.check(block(Payload(lies, ()), round=9, author=2))
    lost = batch(transaction(1, size=BIG), author=1)
    n.commit(committed(block(naming(lost))))
    for _ in range(20):
        n.now_ms += CONFIG.fetch_retry_max_ms
        n.perform(n.pool.on_tick(n.now_ms))
    asked = [name for _, m in n.out if isinstance(m, FetchBatches) for name in m.digests]
    assert lost.digest in asked
    assert all(len(m.digests) <= 4 for _, m in n.out if isinstance(m, FetchBatches))


def test_a_late_second_answer_is_no_fault_but_a_third_is() -> None:
    n = node()
    n.perform(n.pool.on_peer_connected(KEYS[1].public_key, n.now_ms))
    n.perform(n.pool.on_peer_connected(KEYS[2].public_key, n.now_ms))
    lost = batch(transaction(1, size=BIG), author=1)
    n.commit(committed(block(naming(lost))))
    n.now_ms += CONFIG.fetch_retry_ms
    n.tick()
    n.receive(1, FetchedBatch(lost.encoded))
    n.receive(2, FetchedBatch(lost.encoded))
    assert codes(n) == []
    n.receive(2, FetchedBatch(lost.encoded))
    n.receive(2, FetchedBatch(lost.encoded))
    assert codes(n)[-1] == "batch-unsolicited"


def test_a_clock_set_back_stalls_no_retry() -> None:
    n = node()
    n.perform(n.pool.on_peer_connected(KEYS[1].public_key, n.now_ms))
    lost = batch(transaction(1, size=BIG), author=1)
    n.commit(committed(block(naming(lost))))
    n.now_ms -= 3_600_000
    effects = n.pool.on_tick(n.now_ms)
    assert [e.delay_ms for e in effects if isinstance(e, Wake)] == [CONFIG.fetch_retry_ms]
    n.out.clear()
    n.now_ms += CONFIG.fetch_retry_ms
    n.perform(n.pool.on_tick(n.now_ms))
    assert [m for _, m in n.out] == [FetchBatches((lost.digest,))]


# --- restart and catch-up ------------------------------------------------------------------------------


def test_after_a_restart_of_all_nodes_nothing_acknowledged_is_lost() -> None:
    world = World()
    world.nodes[0].submit(transaction(1, size=BIG))
    world.deliver()
    for n in world.nodes:
        n.restart()
    world.flying.clear()
    for n in world.nodes:
        world.connect(n)
    world.deliver()
    for n in world.nodes:
        assert len(Payload.decode(n.propose().payload, CONFIG.payload).references) == 1


def test_after_a_restart_an_executed_batch_stays_executed() -> None:
    n = node()
    big = batch(transaction(1, size=BIG), author=1)
    held(n, big, 2)
    n.commit(committed(block(naming(big))))
    n.execute_all()
    n.restart()
    assert n.propose(round=2).payload == b""
    assert n.check(block(naming(big), round=2)) is Verdict.INVALID


def test_catch_up_takes_over_what_waited_for_execution() -> None:
    n = node()
    lost = batch(transaction(1, size=BIG), author=1)
    late = batch(transaction(2), author=1)
    n.commit(committed(block(naming(lost)), 1), committed(block(Payload((), (late.encoded,)), round=2), 2))
    ordered = [(lost.digest, START_MS)]
    n.perform(n.pool.on_synced(1, ordered, START_MS, n.now_ms))
    assert [r.block.height for r in n.ready] == [2]
    assert n.check(block(naming(lost), round=3)) is Verdict.INVALID


def test_a_config_that_cannot_hold_one_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="body_bytes_max"):
        PoolConfig(BatchRules(CLIENT.public_key, batch_bytes_max=8 * 1024 * 1024))
