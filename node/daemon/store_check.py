"""What `isthmus db check` can see without knowing what the bytes mean: every entry reads, heights fit.

Works page by page, each in a view of its own, so that the age limit of views does not end a long
check; run it while nothing writes.
"""

from node.storage import ChainTable, Database, StateTable, StoreFailed, Table

PAGE_ENTRIES = 10_000
HEIGHT_BYTES = 8


def check(database: Database) -> list[str]:
    """What is wrong, one sentence each; nothing when every table reads in full and heights fit."""
    findings: list[str] = []
    for table in (*ChainTable, *StateTable):
        try:
            found, expected = _count_readable(database, table)
        except StoreFailed as error:
            findings.append(f"{_name(table)} cannot be read: {error}")
            continue
        if found != expected:
            findings.append(f"{_name(table)} has {found} readable entries of {expected}")
    return findings or _check_heights(database)


def _name(table: Table) -> str:
    return f"{'chain' if isinstance(table, ChainTable) else 'state'}/{table.value}"


def _count_readable(database: Database, table: Table) -> tuple[int, int]:
    """(entries found by walking the table, entries the table says it has)."""
    found = 0
    start = b""
    while True:
        with database.snapshot() as view:
            page = view.scan(table, start, limit=PAGE_ENTRIES)
            expected = view.count(table)
        found += len(page) - (page[:1] != [] and page[0][0] == start)
        if not page or page[-1][0] == start:
            return found, expected
        start = page[-1][0]


def _check_heights(database: Database) -> list[str]:
    """Headers are dense, and nothing that belongs to a header exists without one. A height may lack a
    certificate of its own: a later one proves it through the history (C25)."""
    findings: list[str] = []
    with database.snapshot() as view:
        for table in (ChainTable.HEADERS, ChainTable.CERTIFICATES, ChainTable.BODIES):
            first = view.scan(table, b"", limit=1)
            last = view.scan(table, b"", limit=1, reverse=True)
            if not first:
                continue
            low, high = first[0][0], last[0][0]
            if len(low) != HEIGHT_BYTES or len(high) != HEIGHT_BYTES:
                findings.append(f"{_name(table)} has keys that are not heights")
                continue
            missing = int.from_bytes(high, "big") - int.from_bytes(low, "big") + 1 - view.count(table)
            if missing and table is not ChainTable.CERTIFICATES:
                findings.append(f"{_name(table)} misses {missing} heights between its first and its last")
            if view.get(ChainTable.HEADERS, high) is None:
                height = int.from_bytes(high, "big")
                findings.append(f"{_name(table)} has height {height}, which has no header")
    return findings
