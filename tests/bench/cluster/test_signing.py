"""What clients sign ahead: valid, different, as large as asked for, the same after a way through a file."""

from pathlib import Path

import pytest

from bench.cluster.signing import PAYLOAD_BYTES_MAX, SigningPlan, padding, read_signed, sign_all, write_signed
from consensus import SigningKey
from node.ledger.apps.records import LABELS_MAX
from node.ledger.transactions import Transaction, check_signature

SEEDS = tuple(bytes([number]) * 32 for number in range(3))


def planned(**changes: int) -> SigningPlan:
    fields = {"first": 0, "step": 1, "count": 7, "payload_bytes": 0, "lifetime_ms": 60_000} | changes
    return SigningPlan(b"c" * 32, SEEDS, "run", file="nowhere", **fields)  # type: ignore[arg-type]  # all integers


def test_a_plan_travels_as_one_line() -> None:
    plan = planned()
    assert "\n" not in plan.to_json()
    assert SigningPlan.from_json(plan.to_json()) == plan


def test_clients_sign_in_turns_and_every_signature_holds() -> None:
    transactions = list(sign_all(planned()))
    keys = [SigningKey(seed).public_key for seed in SEEDS]
    assert [transaction.sender for transaction in transactions] == [keys[number % 3] for number in range(7)]
    assert all(check_signature(transaction) for transaction in transactions)
    assert len({transaction.id for transaction in transactions}) == 7


def test_two_processes_never_make_the_same_record() -> None:
    names = [
        {transaction.args[0] for transaction in sign_all(planned(first=first, step=2, count=5))}
        for first in (0, 1)
    ]
    assert len(names[0] | names[1]) == 10


@pytest.mark.parametrize("size", [0, 1, 1_024, 1_025, 5_000, PAYLOAD_BYTES_MAX])
def test_the_payload_is_as_large_as_asked_for(size: int) -> None:
    location, labels = padding(size)
    assert len(location) + sum(len(value) for _, value in labels) == size
    assert len(labels) <= LABELS_MAX
    (small,) = sign_all(planned(count=1))
    (large,) = sign_all(planned(count=1, payload_bytes=size))
    assert 0 <= len(large.encoded) - len(small.encoded) - size <= 12 * len(labels) + 8


@pytest.mark.parametrize("size", [-1, PAYLOAD_BYTES_MAX + 1])
def test_a_record_has_room_for_no_more(size: int) -> None:
    with pytest.raises(ValueError, match="room"):
        padding(size)


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "signed"
    transactions = list(sign_all(planned()))
    assert write_signed(file, iter(transactions)) == len(transactions[-1].encoded)
    signed = read_signed(file)
    assert [each.tx_id for each in signed] == [transaction.id for transaction in transactions]
    assert [Transaction.decode(each.encoded).id for each in signed] == [each.tx_id for each in signed]


def test_a_file_that_was_cut_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "signed"
    write_signed(file, sign_all(planned()))
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="ends within"):
        read_signed(file)
