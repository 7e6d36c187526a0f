"""Which transactions are executed here and wait for their certificate, for the level `committed`.

Looked up, not searched: a height's receipts get an index when somebody first asks while it waits, so nobody
pays where nobody asks, and a thousand who ask cost what one costs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from consensus import Digest
from node.ledger.receipts import Receipt
from node.validator.line import UNCERTIFIED_MAX, Settled


def executed_receipts(executed: Iterable[Settled], above: int) -> Iterator[Receipt]:
    """The receipts of executed heights above a height."""
    for settled in executed:
        if settled.execution.header.height > above:
            yield from settled.execution.receipts


class ExecutedIndex:
    """The receipts of each executed height without a certificate, by transaction, and by its block: what that
    holds is the same however often it is executed."""

    def __init__(self) -> None:
        self._receipts: dict[Digest, Mapping[bytes, Receipt]] = {}

    def find(self, executed: Sequence[Settled], tx_ids: Iterable[bytes]) -> Iterator[Receipt]:
        """The receipts of those of these transactions that one of these heights has, which are all that wait
        now."""
        known, self._receipts = self._receipts, {}
        for settled in executed:
            block_id = settled.execution.header.block_id
            receipts = known.get(block_id)
            if receipts is None:
                receipts = {receipt.tx_id: receipt for receipt in executed_receipts((settled,), -1)}
            self._receipts[block_id] = receipts
        heights = tuple(self._receipts.values())
        for tx_id in tx_ids:
            yield from (receipts[tx_id] for receipts in heights if tx_id in receipts)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        return (("executed_index_heights", len(self._receipts), UNCERTIFIED_MAX),)
