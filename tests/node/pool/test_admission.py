"""The door for clients: each refusal has a stable code, the numbers, and a way out."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import PublicKey, SigningKey
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.transactions import Transaction
from node.pool.admission import Admission, AdmissionConfig
from node.pool.config import PoolConfig
from tests.node.pool.world import CLIENT, CONFIG, START_MS, transaction

STRANGER = SigningKey(b"stranger" + bytes(24))
RULES = AdmissionConfig()


def no_method(tx: Transaction) -> None:
    if tx.method != "put":
        raise RejectedTransaction(Code.UNKNOWN_METHOD, f"records.{tx.method}")


def door(config: AdmissionConfig = RULES, pool: PoolConfig = CONFIG) -> Admission:
    def is_member(key: PublicKey) -> bool:
        return key == CLIENT.public_key

    return Admission(config, pool, is_member, no_method)


def let_in(admission: Admission, tx: Transaction, now_ms: int = START_MS) -> None:
    admission.admit(admission.precheck(tx.encoded, now_ms), now_ms)


def refusal(admission: Admission, data: bytes, now_ms: int = START_MS) -> RejectedTransaction:
    with pytest.raises(RejectedTransaction) as caught:
        admission.admit(admission.precheck(data, now_ms), now_ms)
    return caught.value


def test_a_good_transaction_is_let_in_and_counted() -> None:
    admission = door()
    let_in(admission, transaction(1))
    assert len(admission) == 1
    assert ("admission_waiting", 1, CONFIG.unsealed_count_max) in admission.limits()


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", Code.MALFORMED, ""),
        (b"junk", Code.MALFORMED, ""),
        (bytes(65_537), Code.OVERSIZED, "65536"),
        (transaction(1).encoded + b"\0", Code.MALFORMED, ""),
        (transaction(1, cluster_id=b"d" * 32).encoded, Code.WRONG_CLUSTER, "646464"),
        (transaction(1, key=STRANGER).encoded, Code.UNKNOWN_SENDER, STRANGER.public_key.hex()[:12]),
        (transaction(1, expires_at_ms=START_MS - 1).encoded, Code.EXPIRED, str(START_MS)),
        (transaction(1, expires_at_ms=START_MS + 499).encoded, Code.EXPIRED, "500 ms must be left"),
        (transaction(1, expires_at_ms=START_MS + 600_001).encoded, Code.EXPIRY_TOO_FAR, "600000"),
        (
            Transaction.sign(
                CLIENT, CONFIG.batch.cluster_id, bytes(16), START_MS + 9_000, "records", "x", ()
            ).encoded,
            Code.UNKNOWN_METHOD,
            "records.x",
        ),
    ],
)
def test_a_refusal_has_its_code_and_says_what_was_compared(data: bytes, code: Code, words: str) -> None:
    error = refusal(door(), data)
    assert error.code is code
    assert words in str(error)


def test_committed_time_counts_when_it_is_ahead_of_the_local_clock() -> None:
    admission = door()
    admission.on_committed_time(START_MS + 300_000)
    assert refusal(admission, transaction(1).encoded).code is Code.EXPIRED
    late = transaction(2, expires_at_ms=START_MS + 900_000)
    let_in(admission, late)


def test_a_copy_is_refused_while_it_waits_and_after_it_was_executed() -> None:
    admission = door()
    let_in(admission, transaction(1))
    assert refusal(admission, transaction(1).encoded).code is Code.REPLAYED
    admission.release([transaction(1).id, transaction(7).id])
    assert len(admission) == 0
    assert refusal(admission, transaction(1).encoded).code is Code.REPLAYED
    assert refusal(admission, transaction(7).encoded).code is Code.REPLAYED


def test_two_copies_whose_signatures_are_checked_at_once_come_in_once() -> None:
    admission = door()
    one = admission.precheck(transaction(1).encoded, START_MS)
    two = admission.precheck(transaction(1).encoded, START_MS)
    admission.admit(one, START_MS)
    with pytest.raises(RejectedTransaction):
        admission.admit(two, START_MS)
    assert len(admission) == 1


@pytest.mark.parametrize(
    "limited",
    [
        replace(CONFIG, unsealed_count_max=2),
        replace(CONFIG, unsealed_bytes_max=2 * len(transaction(1).encoded) * 16 // 15),
    ],
)
def test_a_full_pool_says_when_to_come_back_and_takes_more_after_a_commit(limited: PoolConfig) -> None:
    admission = door(pool=limited)
    let_in(admission, transaction(1))
    let_in(admission, transaction(2))
    error = refusal(admission, transaction(3).encoded)
    assert error.code is Code.POOL_FULL
    assert "retry after 1000 ms" in str(error)
    admission.release([transaction(1).id])
    let_in(admission, transaction(3))


@pytest.mark.parametrize(
    "limited",
    [
        replace(CONFIG, unsealed_count_max=32),
        replace(CONFIG, unsealed_bytes_max=32 * len(transaction(1).encoded)),
    ],
)
def test_clients_that_fill_their_room_leave_some_for_what_the_node_says_itself(limited: PoolConfig) -> None:
    admission = Admission(RULES, limited, lambda _: True, no_method)
    admission.is_own = lambda sender: sender == STRANGER.public_key
    for number in range(30):
        let_in(admission, transaction(number))
    assert refusal(admission, transaction(30).encoded).code is Code.POOL_FULL
    for number in range(2):
        let_in(admission, transaction(number, key=STRANGER))
    assert refusal(admission, transaction(2, key=STRANGER).encoded).code is Code.POOL_FULL


def test_neither_a_narrow_window_nor_a_rate_for_clients_refuses_what_the_node_says_itself() -> None:
    admission = Admission(replace(RULES, sender_per_second=1), CONFIG, lambda _: True, no_method)
    admission.is_own = lambda sender: sender == STRANGER.public_key
    admission.sender_bytes_max = lambda: 0
    for number in range(20):
        crowd = admission.crowd()
        assert crowd is not None
        assert crowd.refuses(transaction(1).encoded)
        assert not crowd.refuses(transaction(number, key=STRANGER).encoded)
        admission.charge(STRANGER.public_key, START_MS)


@pytest.mark.parametrize(
    "limited",
    [
        replace(RULES, sender_count_max=2),
        replace(RULES, sender_bytes_max=2 * len(transaction(1).encoded)),
    ],
)
def test_one_sender_cannot_take_the_room_of_others(limited: AdmissionConfig) -> None:
    admission = Admission(limited, CONFIG, lambda _: True, no_method)
    let_in(admission, transaction(1))
    let_in(admission, transaction(2))
    assert refusal(admission, transaction(3).encoded).code is Code.QUOTA_EXCEEDED
    let_in(admission, transaction(3, key=STRANGER))
    admission.release([transaction(2).id])
    let_in(admission, transaction(3))


def test_what_expires_unexecuted_frees_its_room_and_is_named() -> None:
    admission = door()
    soon = transaction(1, expires_at_ms=START_MS + 1_000)
    let_in(admission, soon)
    let_in(admission, transaction(2))
    assert admission.on_committed_time(START_MS + 900) == ()
    assert admission.on_committed_time(START_MS + 3_000) == (soon.id,)
    assert len(admission) == 1


def test_what_was_executed_does_not_expire_later() -> None:
    admission = door()
    soon = transaction(1, expires_at_ms=START_MS + 1_000)
    let_in(admission, soon)
    admission.release([soon.id])
    assert admission.on_committed_time(START_MS + 3_000) == ()


def test_the_memory_of_finished_ids_is_bounded() -> None:
    admission = door(replace(RULES, seen_max=3))
    admission.release([transaction(i).id for i in range(10)])
    assert ("admission_finished_ids", 3, 3) in admission.limits()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("arx"), st.integers(0, 12)), max_size=60))
def test_counts_never_drift_and_never_exceed_their_bounds(steps: list[tuple[str, int]]) -> None:
    admission = door(replace(RULES, sender_count_max=5), replace(CONFIG, unsealed_count_max=6))
    waiting: dict[int, None] = {}
    time_ms = START_MS
    for kind, number in steps:
        tx = POOL[number]
        if kind == "a":
            try:
                let_in(admission, tx, time_ms)
            except RejectedTransaction:
                pass
            else:
                waiting[number] = None
        elif kind == "r":
            admission.release([tx.id])
            waiting.pop(number, None)
        else:
            time_ms += 2_000
            gone = admission.on_committed_time(time_ms)
            waiting = {n: None for n in waiting if POOL[n].id not in gone}
        current = {name: (value, bound) for name, value, bound in admission.limits()}
        assert current["admission_waiting"][0] == len(waiting)
        assert current["admission_waiting_bytes"][0] == sum(len(POOL[n].encoded) for n in waiting)
        assert current["admission_senders"][0] == (1 if waiting else 0)
        assert admission.opened == {POOL[n].encoded: POOL[n] for n in waiting}
        assert all(value <= bound for value, bound in current.values())


POOL = [transaction(i, expires_at_ms=START_MS + 3_000 * (i + 1)) for i in range(13)]


def test_a_key_that_sends_too_fast_is_told_when_to_come_back_and_no_other_notices() -> None:
    admission = door(replace(RULES, sender_per_second=5, sender_burst_seconds=2))
    for _ in range(10):
        admission.charge(CLIENT.public_key, START_MS)
    with pytest.raises(
        RejectedTransaction, match="5 transactions a second, 10 at once; retry after 200 ms"
    ) as error:
        admission.charge(CLIENT.public_key, START_MS)
    assert error.value.code is Code.RATE_LIMITED
    admission.charge(STRANGER.public_key, START_MS)
    admission.charge(CLIENT.public_key, START_MS + 200)
    assert ("admission_rated_senders", 2, 4096) in admission.limits()


def test_without_a_rate_any_number_is_taken_and_nobody_is_remembered() -> None:
    admission = door()
    for _ in range(10_000):
        admission.charge(CLIENT.public_key, START_MS)
    assert ("admission_rated_senders", 0, 4096) in admission.limits()


def test_a_full_pool_holds_everybody_back_but_what_it_holds() -> None:
    first = transaction(1)
    admission = door(pool=replace(CONFIG, unsealed_count_max=1))
    assert admission.crowd() is None
    let_in(admission, first)
    crowd = admission.crowd()
    assert crowd is not None
    assert "1 transactions" in crowd.sentence
    assert crowd.refuses(transaction(2, key=STRANGER).encoded)
    assert not crowd.refuses(first.encoded)
