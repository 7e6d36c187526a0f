"""Which transactions are executed here and wait for their certificate, for the level `committed`.

Looked up, not searched: a height's identifiers become a set when somebody first asks while it waits, so
nobody pays where nobody asks, and a thousand who ask cost what one costs.
"""

from collections.abc import Iterable, Iterator, Sequence

from consensus import Digest
from node.validator.line import UNCERTIFIED_MAX, Settled


def executed_ids(executed: Iterable[Settled], above: int) -> Iterator[bytes]:
    """The transactions of executed heights above a height."""
    for settled in executed:
        if settled.execution.header.height > above:
            for receipt in settled.execution.receipts:
                yield receipt.tx_id


class ExecutedIndex:
    """A set of identifiers for each executed height without a certificate, by its block: what that holds is
    the same however often it is executed."""

    def __init__(self) -> None:
        self._ids: dict[Digest, frozenset[bytes]] = {}

    def contains(self, executed: Sequence[Settled], tx_id: bytes) -> bool:
        """Whether one of these heights, which are all that wait now, has the transaction."""
        known, self._ids = self._ids, {}
        for settled in executed:
            block_id = settled.execution.header.block_id
            ids = known.get(block_id)
            self._ids[block_id] = frozenset(executed_ids((settled,), -1)) if ids is None else ids
        return any(tx_id in ids for ids in self._ids.values())

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        return (("executed_index_heights", len(self._ids), UNCERTIFIED_MAX),)
