"""Verification certificates, rule by rule: who verifies, who is believed, and for how long anybody waits."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import Digest, Epoch, PublicKey, Validator, ValidatorIndex, ValidatorSet, Verdict
from node.pool.attesting import PATIENCE_FACTOR, Missed, turns
from node.pool.batches import Batch, BatchContent, verify_batch
from node.pool.config import PoolConfig
from node.pool.effects import Broadcast, PersistBatch
from node.pool.messages import Acknowledge, Attest, FetchedBatch, PushBatch
from node.pool.payload import Payload
from node.pool.pool import BatchPool
from tests.node.pool.world import (
    CLUSTER,
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

TRUSTING = replace(CONFIG, verification_certificates=True)
TOGETHER = TRUSTING.attested_transactions_min
BIG = 3_000
"""An argument of a transaction, eight of which are too big to go inline."""
WAIT_MS = TRUSTING.attestation_wait_ms
PATIENCE_MAX_MS = 2 * TRUSTING.attestation_wait_max_ms


def node(index: int = 0, validators: ValidatorSet | None = None, config: PoolConfig = TRUSTING) -> Node:
    """A node that believes certificates, linked to all others."""
    made = Node(index, validators or validator_set(), config)
    link(made, range(len(made.validators)))
    return made


def link(n: Node, others: Iterable[int]) -> None:
    for other in others:
        if other != n.index:
            n.perform(n.pool.on_peer_connected(KEYS[other].public_key, n.now_ms))
    n.out.clear()


def of(number: int, *, author: int = 1, count: int = TOGETHER, size: int = BIG, bad: bool = False) -> Batch:
    """A batch of so many transactions, the last of which is forged if `bad`."""
    encoded = [transaction(100 * number + each, size=size).encoded for each in range(count)]
    if bad:
        encoded[-1] = forged(number)
    return Batch.make(
        cluster_id=CLUSTER,
        author=ValidatorIndex(author),
        epoch=Epoch(0),
        created_ms=START_MS,
        expires_at_ms=START_MS + 60_000,
        transactions=tuple(encoded),
    )


def shared(
    first: int, *, author: int = 1, nodes: int = 4, size: int = BIG, bad: bool = False, after: int = 0
) -> Batch:
    """A batch of `author` of which `first` is the first to verify, the next one of its kind after `after`."""
    return next(
        made
        for number in range(after + 1, after + 200)
        if next(turns(author, (made := of(number, author=author, size=size, bad=bad)).digest, nodes)) == first
    )


def small(n: Node, first: int, numbers: Iterator[int]) -> Batch:
    """A batch of validator 1 as of now, one transaction of which `first` is the first to verify."""
    while True:
        one = transaction(next(numbers), expires_at_ms=n.now_ms + 60_000)
        made = batch(one, author=1, created_ms=n.now_ms)
        if next(turns(1, made.digest, 4)) == first:
            return made


def push(n: Node, b: Batch) -> None:
    n.receive(b.author, PushBatch(b.encoded))


def attest(n: Node, b: Batch, *by: int) -> None:
    for index in by:
        n.receive(index, Attest((b.digest,)))


def told(n: Node) -> list[Digest]:
    """What the node has attested, to everybody."""
    return [name for peer, m in n.out if isinstance(m, Attest) and peer is None for name in m.digests]


def wait(n: Node, delay_ms: int = WAIT_MS) -> None:
    n.now_ms += delay_ms
    n.tick()


def counts(n: Node) -> tuple[int, int, int, int]:
    """Verified, trusted, overdue, hurried."""
    known = n.pool.attesting.counts
    return known.verified, known.trusted, known.overdue, known.hurried


# --- VC4: whose turn it is -----------------------------------------------------------------------------


@given(st.integers(1, 7), st.integers(0, 6), st.binary(min_size=32, max_size=32))
def test_everybody_but_the_author_has_one_turn(count: int, author: int, name: bytes) -> None:
    author %= count
    assert sorted(turns(author, Digest(name), count)) == [i for i in range(count) if i != author]


def test_turns_are_even() -> None:
    firsts = [next(turns(1, of(number, count=1).digest, 4)) for number in range(60)]
    assert all(firsts.count(index) >= 10 for index in (0, 2, 3))


def test_whose_turn_it_is_verifies_attests_and_keeps() -> None:
    n = node(0)
    push(n, b := shared(0))
    assert told(n) == [b.digest]
    assert b.digest in n.disk
    assert counts(n) == (1, 0, 0, 0)


def test_the_others_wait_and_believe_a_blocking_set_without_a_look() -> None:
    n = node(0)
    n.hold_verification = True
    push(n, b := shared(2))
    assert b.digest not in n.disk
    attest(n, b, 2)
    assert b.digest in n.disk
    assert n.verifying == []
    assert counts(n) == (0, 1, 0, 0)


def test_of_four_one_verifies_beside_the_author_and_of_seven_two() -> None:
    for count, expected in ((4, 1), (7, 2)):
        b = of(5, author=1)
        nodes = [node(index, validator_set(count)) for index in range(count) if index != 1]
        for n in nodes:
            push(n, b)
        assert sum(told(n) == [b.digest] for n in nodes) == expected


def test_weights_decide_how_many_verify() -> None:
    heavy_author = validator_set(4, (1, 3, 1, 1))
    n = node(0, heavy_author)
    push(n, b := of(1, author=1))
    assert b.digest in n.disk
    assert counts(n) == (0, 1, 0, 0)
    for index in (0, 2, 3):
        n = node(index, validator_set(4, (1, 1, 1, 7)))  # whoever comes before the heavy one is not enough
        push(n, b := shared(0))
        assert told(n) == [b.digest]


def test_an_attestation_leaves_before_the_batch_is_on_disk() -> None:
    n = node(0)
    n.hold_verification = True
    push(n, shared(0))
    report = verify_batch(n.verifying.pop(), n.config.batch)
    effects = n.pool.on_batch_verified(report, n.now_ms)
    kinds = [type(e) for e in effects if isinstance(e, PersistBatch | Broadcast)]
    assert kinds == [Broadcast, PersistBatch]


def test_who_is_not_linked_is_not_waited_for() -> None:
    b = shared(2)  # then 3, then 0
    for index, verifies in ((3, True), (0, False)):
        n = Node(index, validator_set(), TRUSTING)
        link(n, {0, 1, 3} - {index})
        push(n, b)
        assert (told(n) == [b.digest]) is verifies
    alone = Node(0, validator_set(), TRUSTING)
    push(alone, b)
    assert told(alone) == [b.digest]


def test_a_batch_of_a_few_transactions_is_verified_by_everybody_and_attested_by_nobody() -> None:
    for index in (0, 2, 3):
        n = node(index)
        push(n, b := of(1, count=TOGETHER - 1, size=BIG))
        assert b.digest in n.disk
        assert told(n) == []


# --- VC1, VC3: who is believed -------------------------------------------------------------------------


def test_the_authors_word_alone_is_not_enough_however_often() -> None:
    n = node(0)
    n.hold_verification = True
    push(n, b := shared(2))
    attest(n, b, 1, 1, 1)
    assert b.digest not in n.disk


def test_one_attester_counts_once() -> None:
    n = node(0, validator_set(7))
    n.hold_verification = True
    b = next(b for a in range(50) if 0 not in list(turns(1, (b := of(a)).digest, 7))[:2])
    first, second = list(turns(1, b.digest, 7))[:2]
    push(n, b)
    attest(n, b, first, first, 1)
    assert b.digest not in n.disk
    attest(n, b, second)
    assert b.digest in n.disk


def test_anybodys_attestation_counts_whosever_turn_it_is() -> None:
    n = node(0)
    n.hold_verification = True
    push(n, b := shared(2))
    attest(n, b, 3)
    assert b.digest in n.disk


def test_an_acknowledgement_attests_nothing() -> None:
    n = node(0)
    n.hold_verification = True
    push(n, b := shared(2))
    for index in (1, 2, 3):
        n.receive(index, Acknowledge((b.digest,)))
    assert b.digest not in n.disk


def test_who_has_no_seat_in_the_epoch_attests_nothing() -> None:
    retired = KEYS[6].public_key
    n = node(0)
    n.hold_verification = True
    push(n, b := shared(2))
    n.perform(n.pool.on_message(retired, Attest((b.digest,)), n.now_ms))
    early = shared(3)
    n.perform(n.pool.on_message(retired, Attest((early.digest,)), n.now_ms))
    push(n, early)
    assert not n.disk
    assert n.penalised == []


def test_an_index_is_that_of_the_epoch_and_not_of_the_one_before() -> None:
    """Validator 2 of the epoch before has the seat 0 now: it has one voice, under its key."""
    keys = (KEYS[2], KEYS[1], KEYS[0], KEYS[5])
    later = ValidatorSet(Epoch(0), tuple(Validator(key.public_key, 1) for key in keys))
    n = Node(2, later, TRUSTING)  # holds KEYS[2] in the fixture, but sits where KEYS[0] does here
    n.hold_verification = True
    for key in (KEYS[1], KEYS[2], KEYS[5]):
        n.perform(n.pool.on_peer_connected(key.public_key, n.now_ms))
    b = shared(0)
    push(n, b)
    n.perform(n.pool.on_message(KEYS[3].public_key, Attest((b.digest,)), n.now_ms))
    assert b.digest not in n.disk
    n.perform(n.pool.on_message(KEYS[2].public_key, Attest((b.digest,)), n.now_ms))
    assert b.digest in n.disk


def test_attestations_before_the_batch_count_and_are_bounded() -> None:
    n = node(0)
    n.hold_verification = True
    b = shared(0)
    attest(n, b, 2)
    push(n, b)
    assert b.digest in n.disk
    assert counts(n) == (0, 1, 0, 0)
    for number in range(TRUSTING.early_acknowledgements_max + 9):
        n.perform(
            n.pool.on_message(KEYS[3].public_key, Attest((Digest(number.to_bytes(32, "big")),)), n.now_ms)
        )
    n.check_bounds()


def test_who_verifies_by_itself_heeds_its_own_verdict_alone() -> None:
    n = node(0)
    n.hold_verification = True
    push(n, b := shared(0, bad=True))
    attest(n, b, 2, 3)
    assert b.digest not in n.disk
    n.hold_verification = False
    n.settle()
    assert b.digest not in n.disk
    assert told(n) == []
    assert [p.error.code for p in n.penalised] == ["batch-invalid"]


def test_what_was_fetched_is_verified_unless_it_is_attested_already() -> None:
    for attesters, is_verified in (((), True), ((2,), True), ((2, 3), False)):
        n = node(0)
        n.hold_verification = True
        b = shared(2)
        attest(n, b, *attesters)
        n.check(block(naming(b), author=1))
        n.receive(1, FetchedBatch(b.encoded))
        assert bool(n.verifying) is is_verified


# --- VC2: what is attested ------------------------------------------------------------------------------


def test_what_was_only_believed_is_acknowledged_and_not_attested() -> None:
    n = node(0)
    push(n, b := shared(2))
    attest(n, b, 2)
    assert b.digest in n.disk
    assert told(n) == []
    assert [m for _, m in n.out if isinstance(m, Acknowledge)] == [Acknowledge((b.digest,))]


def test_what_is_forged_is_never_attested() -> None:
    n = node(0)
    push(n, shared(0, bad=True))
    assert told(n) == []
    assert not n.disk


def test_what_names_us_as_its_author_and_is_not_ours_is_verified() -> None:
    """Its transactions may be sealed anew as our own, which attests them."""
    n = node(0)
    n.hold_verification = True
    b = of(1, author=0)
    attest(n, b, 2, 3)
    n.check(block(naming(b), author=1))
    n.receive(1, FetchedBatch(b.encoded))
    assert len(n.verifying) == 1


def test_after_a_restart_nothing_believed_is_attested() -> None:
    n = node(0)
    push(n, b := shared(2))
    attest(n, b, 2)
    n.restart()
    n.perform(n.pool.on_peer_connected(KEYS[3].public_key, n.now_ms))
    assert told(n) == []
    assert (KEYS[3].public_key, Acknowledge((b.digest,))) in n.out


def test_a_node_that_does_not_believe_attests_nothing_and_verifies_all() -> None:
    n = node(0, config=CONFIG)
    for first in (0, 2):
        push(n, b := shared(first))
        assert b.digest in n.disk
    attest(n, shared(3), 2, 3)
    push(n, b := shared(3, bad=True))
    assert told(n) == []
    assert b.digest not in n.disk


def test_an_observer_and_a_benchmark_cluster_believe_nobody() -> None:
    observer = Node(0, validator_set(), TRUSTING)
    observer.pool = BatchPool(TRUSTING, observer.validators, None)
    observer.hold_verification = True
    push(observer, b := shared(2))
    assert len(observer.verifying) == 1
    opaque = replace(TRUSTING, batch=replace(TRUSTING.batch, content=BatchContent.CHUNKS))
    n = node(0, config=opaque)
    attest(n, b, 2, 3)
    assert told(n) == []


# --- VC5: nobody waits for ever -------------------------------------------------------------------------


def test_a_silent_one_is_waited_for_then_the_next_one_verifies() -> None:
    b = shared(2)
    second, third = (i for i in turns(1, b.digest, 4) if i != 2)
    for index, verifies in ((second, True), (third, False)):
        n = node(index)
        push(n, b)
        wait(n, WAIT_MS - 1)
        assert b.digest not in n.disk
        wait(n, 1)
        assert (told(n) == [b.digest]) is verifies
        assert counts(n)[2] == 1


def test_the_second_time_everybody_verifies() -> None:
    b = shared(2)
    n = node(list(turns(1, b.digest, 4))[2])
    push(n, b)
    wait(n)
    assert b.digest not in n.disk
    wait(n, PATIENCE_MAX_MS)
    assert b.digest in n.disk
    assert told(n) == [b.digest]
    assert counts(n) == (1, 0, 2, 0)


def test_who_was_silent_is_left_out_for_a_while_and_a_late_word_brings_nobody_back() -> None:
    n = node(3)  # the next one after 2 for batches of 1
    push(n, first := shared(2))
    wait(n)
    assert told(n) == [first.digest]
    push(n, again := shared(2, after=50))
    for late in (first, again):
        attest(n, late, 2)
    push(n, third := shared(2, after=100))
    assert told(n) == [first.digest, again.digest, third.digest]
    n.now_ms += TRUSTING.exclusion_base_ms
    push(n, shared(2, after=150))
    assert told(n) == [first.digest, again.digest, third.digest], "it is asked again"


def test_who_attests_while_another_is_waited_for_in_its_stead_stays_left_out() -> None:
    n = node(0)  # the last one after 2 for batches of 1, the next one for those of 3
    missed = [shared(2, after=number) for number in (0, 50)]
    for b in missed:
        push(n, b)
    wait(n)
    for b in missed:
        attest(n, b, 2)
        assert b.digest in n.disk
    push(n, last := shared(2, author=3))
    assert told(n) == [last.digest]


def test_who_attests_what_it_was_chosen_for_is_waited_for_again() -> None:
    n = node(3)
    push(n, missed := shared(2))
    n.now_ms += WAIT_MS - 1
    pushed = [shared(2, after=number) for number in (50, 100)]
    for b in pushed:
        push(n, b)
    wait(n, 1)
    assert told(n) == [missed.digest]
    for b in pushed:
        attest(n, b, 2)
    push(n, shared(2, after=150))
    assert told(n) == [missed.digest]


@pytest.mark.parametrize("word", ["never", "late"])
def test_who_never_attests_in_time_is_hardly_ever_waited_for(word: str) -> None:
    """Its release is older, it does not believe and so does not tell, or it is late on purpose."""
    n = node(3, config=replace(TRUSTING, attested_transactions_min=1))
    asked: list[int] = []
    numbers = iter(range(1_000_000))
    for _ in range(3 * 120):  # three hours
        b = small(n, 2, numbers)
        before = counts(n)[2]
        push(n, b)
        wait(n, PATIENCE_MAX_MS)
        if counts(n)[2] > before:
            asked.append(n.now_ms)
        if word == "late":
            attest(n, b, 2)
        n.now_ms += 30_000 - PATIENCE_MAX_MS
    assert TRUSTING.silence_max_ms == 600_000
    assert asked[-1] - asked[-2] in range(TRUSTING.silence_max_ms, TRUSTING.silence_max_ms + 60_000)
    assert len(asked) < 30


def test_who_is_waited_for_in_vain_is_named_and_whether_it_is_only_late() -> None:
    n = node(3, config=replace(TRUSTING, attested_transactions_min=1))
    numbers = iter(range(1_000_000))
    assert n.pool.attesting.missed() == ()
    for round_ in range(1, 4):
        for _ in range(3):  # several at once are one miss
            push(n, b := small(n, 2, numbers))
        wait(n, PATIENCE_MAX_MS)
        assert n.pool.attesting.missed() == (Missed(ValidatorIndex(2), round_, False),)
        n.now_ms += TRUSTING.silence_max_ms
    attest(n, b, 2)
    assert n.pool.attesting.missed() == (Missed(ValidatorIndex(2), 3, True),)
    push(n, b := small(n, 2, numbers))
    attest(n, b, 2)
    assert n.pool.attesting.missed() == (), "it is in time again"


def test_patience_follows_what_attestations_take_within_a_bound() -> None:
    n = node(0)
    for number in range(12):
        push(n, b := shared(2, after=number * 20))
        wait(n, WAIT_MS - 50)
        attest(n, b, 2)
        assert b.digest in n.disk
    assert counts(n) == (0, 12, 0, 0)
    push(n, b := shared(2, after=900))
    wait(n, WAIT_MS)
    assert counts(n)[2] == 0  # it usually takes longer than a fourth of that
    wait(n, min(PATIENCE_FACTOR * WAIT_MS, TRUSTING.attestation_wait_max_ms))
    assert counts(n)[2] == 1


def test_a_block_under_vote_waits_for_no_attestation() -> None:
    n = node(0)
    n.hold_verification = True
    push(n, b := shared(2))
    assert n.check(block(naming(b), author=1)) is None
    assert len(n.verifying) == 1
    assert counts(n)[3] == 1
    n.hold_verification = False
    n.settle()
    assert n.verdicts[-1].verdict is Verdict.AVAILABLE


def test_what_a_block_carries_whole_is_verified_or_believed_at_once() -> None:
    b = shared(2, size=8)
    for attesters in ((), (2, 3)):
        n = node(0)
        attest(n, b, *attesters)
        assert n.check(block(Payload((), (b.encoded,)), author=1)) is Verdict.AVAILABLE
        assert counts(n)[:2] == ((0, 1) if attesters else (1, 0))


def test_a_believed_batch_may_be_voted_for_and_a_forged_one_never() -> None:
    n = node(0)
    push(n, b := shared(2))
    attest(n, b, 2)
    assert n.check(block(naming(b), author=1)) is Verdict.AVAILABLE
    n = node(0)
    push(n, b := shared(2, bad=True))
    attest(n, b, 1)
    assert n.check(block(naming(b), author=1)) is Verdict.INVALID


def test_what_is_ordered_or_expired_is_waited_for_no_longer() -> None:
    for ends in ("ordered", "expired", "synced"):
        n = node(0)
        n.hold_verification = True
        push(n, b := shared(2))
        if ends == "ordered":
            n.commit(committed(block(naming(b))))
        elif ends == "expired":
            n.commit(committed(block(b"", time_ms=START_MS + 62_000)))
        else:
            n.perform(n.pool.on_synced(1, [(b.digest, START_MS)], START_MS, n.now_ms))
        attest(n, b, 2)
        wait(n, PATIENCE_MAX_MS)
        assert n.verifying == []
        assert ("pool_awaited_attestations", 0) in [limit[:2] for limit in n.pool.limits()]


def test_counts_go_on_in_the_next_epoch() -> None:
    n = node(0)
    push(n, shared(0))
    after = BatchPool(TRUSTING, n.validators, ValidatorIndex(0))
    after.succeed(n.pool, {})
    assert after.attesting.counts.verified == 1


# --- all together --------------------------------------------------------------------------------------


@st.composite
def clusters(draw: st.DrawFn) -> tuple[tuple[int, ...], frozenset[int]]:
    """Weights, and liars of less than a third of them (validator 0 is none)."""
    weights = tuple(draw(st.lists(st.integers(1, 4), min_size=4, max_size=7)))
    liars: frozenset[int] = frozenset()
    for index in draw(st.permutations(range(1, len(weights)))):
        if 3 * sum(weights[i] for i in (*liars, index)) < sum(weights):
            liars |= {index}
    return weights, liars


BAD = [of(number, author=author, bad=True) for author in range(1, 7) for number in (author, author + 10)]
GOOD = [of(number, author=author) for author in range(1, 7) for number in (author + 20, author + 30)]


@settings(max_examples=60, deadline=None)
@given(clusters(), st.data())
def test_less_than_a_third_never_makes_anybody_believe_a_forgery(
    cluster: tuple[tuple[int, ...], frozenset[int]], data: st.DataObject
) -> None:
    weights, liars = cluster
    n = node(0, validator_set(len(weights), weights))
    count = len(weights)
    lies = [b for b in BAD if b.author in liars]
    truths = [b for b in GOOD if b.author < count]
    for _ in range(data.draw(st.integers(1, 30))):
        sender = data.draw(st.integers(1, count - 1))
        known = [b for b in (lies + truths if sender in liars else truths) if b.author < count]
        if not known:
            continue
        b = data.draw(st.sampled_from(known))
        match data.draw(st.sampled_from(("push", "attest", "acknowledge", "propose", "wait"))):
            case "push":
                push(n, b)
            case "attest":
                attest(n, b, sender)
            case "acknowledge":
                n.receive(sender, Acknowledge((b.digest,)))
            case "propose":
                is_true = b in truths
                verdict = n.check(block(naming(b), author=sender, round=data.draw(st.integers(1, 9))))
                assert is_true or verdict is not Verdict.AVAILABLE
            case _:
                wait(n, data.draw(st.integers(1, 1_500)))
    for _ in range(3):
        wait(n, PATIENCE_MAX_MS)
    assert not {b.digest for b in BAD} & set(n.disk)
    assert not {b.digest for b in BAD} & set(told(n))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 7))
def test_whoever_is_silent_every_batch_is_held_in_the_end(seed: int, count: int) -> None:
    silent = {1 + seed % (count - 1)} if count < 7 else {1 + seed % 6, 1 + seed // 7 % 6}
    n = node(0, validator_set(count))
    pushed = [b for b in GOOD if b.author < count]
    for b in pushed:
        push(n, b)
        if seed >> b.author & 1:
            attest(n, b, *(set(range(1, count)) - silent - {b.author}))
    for _ in range(3):
        wait(n, PATIENCE_MAX_MS)
    assert {b.digest for b in pushed} <= set(n.disk)


@pytest.mark.parametrize("key", [b"", bytes(32)])
def test_an_attestation_over_a_link_of_nobody_is_passed_over(key: bytes) -> None:
    n = node(0)
    n.perform(n.pool.on_message(PublicKey(key), Attest((of(1).digest,)), n.now_ms))
    assert n.penalised == []
