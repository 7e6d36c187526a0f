"""Every client's signature, checked again: what verification certificates took on others' word.

A node that believes a blocking set executes forged transactions when more than f of it lie (VC1). The ledger
keeps each transaction with its signature, so that anybody finds it later; this looks at all that is stored.
"""

from collections.abc import Callable

from consensus import CodecError, as_array, as_bytes, as_tuple, decode
from node.ledger.codes import RejectedTransaction
from node.ledger.transactions import Transaction, check_signature
from node.storage import ChainTable, Database

FORGERIES_MAX = 100
"""Most forgeries that are told one by one; the audit ends with the last of them."""
_PAGE_ENTRIES = 100
_ITEMS_MAX = 2**24
_BODY_BYTES_MAX = 2**30


def audit_signatures(database: Database, report: Callable[[int, int], None]) -> list[str]:
    """A sentence for each stored transaction that its sender did not sign; `report` is told (heights done, of
    how many). Costs about 50 microseconds a transaction. For clusters whose transactions are signed."""
    forgeries: list[str] = []
    start, done = b"", 0
    while len(forgeries) < FORGERIES_MAX:
        with database.snapshot() as view:
            page = view.scan(ChainTable.BODIES, start, limit=_PAGE_ENTRIES)
            total = view.count(ChainTable.BODIES)
        if not page:
            break
        for key, body in page:
            forgeries += _forged_in(int.from_bytes(key, "big"), body)
            done += 1
        report(done, total)
        start = page[-1][0] + b"\0"
    return forgeries[:FORGERIES_MAX]


def _forged_in(height: int, body: bytes) -> list[str]:
    try:
        transactions, _ = as_tuple(
            decode(body, max_bytes=_BODY_BYTES_MAX, max_items=_ITEMS_MAX), 2, "stored body"
        )
        encoded = [
            as_bytes(item, "transaction") for item in as_array(transactions, _ITEMS_MAX, "transactions")
        ]
    except CodecError as error:
        return [f"height {height} cannot be read: {error}"]
    return [
        f"height {height}, transaction {index}: {fault}"
        for index, data in enumerate(encoded)
        if (fault := _fault(data))
    ]


def _fault(data: bytes) -> str:
    try:
        transaction = Transaction.decode(data, len(data))
    except (RejectedTransaction, CodecError) as error:
        return str(error)
    if check_signature(transaction):
        return ""
    return f"{transaction.id.hex()} is not signed by its sender {transaction.sender.hex()}"
