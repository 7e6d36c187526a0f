"""The desk's rate by key, charged after the signature was checked: nobody uses up what is another's."""

from consensus import PublicKey
from node.ledger.codes import Code
from node.ledger.transactions import Transaction
from node.pool.admission import Admission, AdmissionConfig
from node.validator.desk import Desk
from node.validator.outputs import Answer, CheckSignatures, Refusal
from tests.node.pool.world import CLIENT, CONFIG, START_MS, transaction


def desk(per_second: int) -> Desk:
    def is_member(key: PublicKey) -> bool:
        return key == CLIENT.public_key

    def fits(_: Transaction) -> None:
        return None

    rules = AdmissionConfig(sender_per_second=per_second, sender_burst_seconds=1)
    return Desk(Admission(rules, CONFIG, is_member, fits), lambda _transaction, _now_ms: False)


def test_beyond_the_rate_a_request_is_refused_in_part_with_a_code_of_its_own() -> None:
    made = desk(2)
    transactions = tuple(transaction(number) for number in range(4))
    asked = made.submit(1, tuple(tx.encoded for tx in transactions), START_MS)
    assert isinstance(asked, CheckSignatures)
    admitted, answer = made.checked(1, (True,) * 4, START_MS)
    assert [tx.id for tx in admitted] == [tx.id for tx in transactions[:2]]
    refused = answer.outcomes[2:]
    assert all(isinstance(item, Refusal) and item.code == Code.RATE_LIMITED for item in refused)


def test_forged_transactions_do_not_use_up_the_rate_of_the_key_they_name() -> None:
    made = desk(1)
    for number in range(20):
        asked = made.submit(number, (transaction(number).encoded,), START_MS)
        assert isinstance(asked, CheckSignatures)
        admitted, answer = made.checked(number, (False,), START_MS)
        assert admitted == []
        (outcome,) = answer.outcomes
        assert isinstance(outcome, Refusal)
        assert outcome.code == Code.BAD_SIGNATURE
    made.submit(99, (transaction(99).encoded,), START_MS)
    admitted, _ = made.checked(99, (True,), START_MS)
    assert len(admitted) == 1


def refusals(made: Desk, ticket: int, *encoded: bytes) -> list[int | None]:
    """The code of each that is answered at once."""
    answer = made.submit(ticket, encoded, START_MS)
    if isinstance(answer, CheckSignatures):
        return [None] * len(encoded)
    return [item.code if isinstance(item, Refusal) else None for item in answer.outcomes]


def test_while_commits_are_slow_who_has_enough_waiting_is_refused_before_anything_is_decoded() -> None:
    made = desk(0)
    made.submit(1, tuple(transaction(number).encoded for number in range(10)), START_MS)
    made.checked(1, (True,) * 10, START_MS)
    new = transaction(11).encoded
    damaged = new[:-100] + bytes([new[-100] ^ 1]) + new[-99:-1]
    assert refusals(made, 2, damaged) == [Code.MALFORMED]
    made.admission.sender_bytes_max = lambda: 10 * len(new)
    assert refusals(made, 3, damaged, new) == [Code.POOL_FULL] * 2


def test_the_first_transactions_of_a_request_are_looked_at_up_to_what_the_sender_may_have_waiting() -> None:
    made = desk(0)
    encoded = tuple(transaction(number).encoded for number in range(10))
    made.admission.sender_bytes_max = lambda: 4 * len(encoded[0])
    asked = made.submit(1, encoded, START_MS)
    assert isinstance(asked, CheckSignatures)
    _, answer = made.checked(1, (True,) * 4, START_MS)
    kinds = [item.code if isinstance(item, Refusal) else None for item in answer.outcomes]
    assert kinds == [None] * 4 + [Code.POOL_FULL] * 6


def test_what_waits_already_is_not_refused_when_it_comes_again() -> None:
    made = desk(0)
    first = transaction(1)
    made.submit(1, (first.encoded,), START_MS)
    made.checked(1, (True,), START_MS)
    made.admission.sender_bytes_max = lambda: 1
    answer = made.submit(2, (first.encoded, transaction(2).encoded), START_MS)
    assert isinstance(answer, Answer)
    assert answer.outcomes[0] == first.id
    assert isinstance(answer.outcomes[1], Refusal)


def test_who_names_this_node_as_the_sender_has_one_of_a_request_looked_at() -> None:
    made = desk(0)
    made.admission.is_own = lambda sender: sender == CLIENT.public_key
    made.admission.sender_bytes_max = lambda: 0
    forged = tuple(transaction(number).encoded for number in range(50))
    asked = made.submit(1, forged, START_MS)
    assert isinstance(asked, CheckSignatures)
    assert len(asked.transactions) == 1
    _, answer = made.checked(1, (False,), START_MS)
    codes = [item.code for item in answer.outcomes if isinstance(item, Refusal)]
    assert codes == [Code.BAD_SIGNATURE] + [Code.POOL_FULL] * 49
    assert refusals(made, 2, forged[1]) == [None], "couriers hand in one at a time"


def test_who_names_another_as_the_sender_takes_no_room_of_it() -> None:
    made = desk(0)
    made.admission.sender_bytes_max = lambda: 1
    for number in range(20):
        made.submit(number, (transaction(number).encoded,), START_MS)
        made.checked(number, (False,), START_MS)
    assert refusals(made, 99, transaction(99).encoded) == [None]
