"""The numbers of the database's tables in recordings, fixed apart from their names and order in code."""

from collections.abc import Mapping

from consensus import Value, as_int
from node.storage import ChainTable, StateTable, Table

_TABLES: tuple[Table, ...] = (
    ChainTable.BLOCKS,
    ChainTable.BATCHES,
    ChainTable.HEADERS,
    ChainTable.CERTIFICATES,
    ChainTable.BODIES,
    ChainTable.TRANSACTIONS,
    ChainTable.BLOCK_HEIGHTS,
    ChainTable.HISTORY,
    ChainTable.EVIDENCE,
    ChainTable.META,
    StateTable.STATE,
    StateTable.NODES,
    StateTable.REPLAY,
    StateTable.META,
    ChainTable.EPOCHS,
    ChainTable.OUTBOX_LEAVES,
    ChainTable.OUTBOX_NODES,
    ChainTable.OUTBOX_PLACES,
)
"""A table's number is its place, counted from 1; new ones go to the end."""
TABLE_NUMBERS: Mapping[Table, int] = {table: number for number, table in enumerate(_TABLES, 1)}
"""The number that stands for each table."""


def table_of(number: Value) -> Table:
    """The table of a number; raises CodecError."""
    return _TABLES[as_int(number, "table", low=1, high=len(_TABLES)) - 1]
