"""Check 3: the chain's order of writes respects real time, and each did what compare-and-set says.

If a write's receipt was in a client's hands before another write was sent, it stands before it in the
chain, whatever the keys: so writes are linearizable, and more (strictly serializable). A write whose
outcome is unknown counts once the chain shows when it was executed. What had expired, or was ordered a second
time, has no receipt and no place in a block.
"""

from collections.abc import Iterator, Sequence

from bench.chaos.chain import Chain, Replayed
from bench.chaos.checks.finding import Finding, finding
from bench.chaos.history import Kind, Operation


def check_writes(history: Sequence[Operation], chain: Chain, replayed: Replayed) -> Finding:
    """Order and effect of every executed write that the history knows."""
    return finding(
        "writes are linearizable", len(chain.executed), "writes", _against(history, chain, replayed)
    )


def _against(history: Sequence[Operation], chain: Chain, replayed: Replayed) -> Iterator[str]:
    by_id = {
        operation.request.tx_id: operation for operation in history if operation.request.kind is not Kind.READ
    }
    versions = {version.tx_id: version.number for listed in replayed.versions.values() for version in listed}
    latest: Operation | None = None  # of those earlier in the chain, the one that was sent last
    previous = (0, -1)
    for item, status in zip(chain.executed, replayed.statuses, strict=True):
        place = (item.place.height, item.place.index)
        if place <= previous:
            yield f"height {place[0]}, index {place[1]} comes after height {previous[0]}, index {previous[1]}"
        previous = place
        number = versions.get(item.tx_id)
        if item.place.status != status:
            yield f"the write of {item.key} at {place} has status {item.place.status}, not {status}"
        elif item.version != number:
            yield f"the write of {item.key} at {place} answered version {item.version}, not {number}"
        operation = by_id.get(item.tx_id)
        if operation is None:
            continue
        yield from _told(operation, number)
        if latest is not None and _is_before(operation, latest):
            yield (
                f"operation {operation.number} ended before operation {latest.number} began, "
                f"and stands behind it in the chain, at {place}"
            )
        if latest is None or operation.invoked_us > latest.invoked_us:
            latest = operation


def _told(operation: Operation, number: int | None) -> Iterator[str]:
    if operation.is_executed and operation.outcome.version != number:
        yield (
            f"operation {operation.number} was told version {operation.outcome.version} of "
            f"{operation.request.key}, the chain says {number}"
        )


def _is_before(one: Operation, other: Operation) -> bool:
    return one.is_executed and one.completed_us is not None and one.completed_us < other.invoked_us
