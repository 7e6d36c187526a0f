"""Check 5: once nothing is broken any more, a new transaction is certified on every node in bounded time."""

from collections.abc import Iterator, Mapping, Sequence

from bench.chaos.checks.finding import Finding, finding
from bench.chaos.history import Operation, Result


def check_liveness(recovered_ms: Mapping[str, int | None], bound_ms: int) -> Finding:
    """`recovered_ms` tells for each node how long after the last fault was healed it had the receipt of a new
    transaction; None if it never had."""
    return finding("goes on after healing", len(recovered_ms), "nodes", _against(recovered_ms, bound_ms))


def _against(recovered_ms: Mapping[str, int | None], bound_ms: int) -> Iterator[str]:
    for name, elapsed_ms in recovered_ms.items():
        if elapsed_ms is None:
            yield f"{name} had no receipt of a new transaction {bound_ms} ms after everything was healed"
        elif elapsed_ms > bound_ms:
            yield f"{name} took {elapsed_ms} ms, more than {bound_ms} ms"


def longest_pauses_us(history: Sequence[Operation]) -> dict[str, int]:
    """For each client, and for all together under the name "all": the longest time between two successes."""
    last: dict[str, int] = {}
    longest: dict[str, int] = {}
    done = [o for o in history if o.outcome.result in (Result.OK, Result.FAILED)]
    for operation in sorted(done, key=lambda operation: operation.completed_us or 0):
        at_us = operation.completed_us or 0
        for name in ("all", operation.request.client):
            longest[name] = max(longest.get(name, 0), at_us - last.get(name, at_us))
            last[name] = at_us
    return longest
