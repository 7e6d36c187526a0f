"""The desk's rate by key, charged after the signature was checked: nobody uses up what is another's."""

from consensus import PublicKey
from node.ledger.codes import Code
from node.ledger.transactions import Transaction
from node.pool.admission import Admission, AdmissionConfig
from node.validator.desk import Desk
from node.validator.outputs import CheckSignatures, Refusal
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
