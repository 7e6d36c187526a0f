"""Check 5: once nothing is broken any more, a new transaction is certified on every node in bounded time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from bench.chaos.checks.finding import Finding, finding
from bench.chaos.history import Operation


def check_liveness(recovered_ms: Mapping[str, int | None], bound_ms: int) -> Finding:
    """`recovered_ms` tells for each node how long it took from the question to the receipt of a new
    transaction; None if it never had one. It is asked once all is healed and the clients have ended, some
    seconds after the last fault."""
    return finding("goes on after healing", len(recovered_ms), "nodes", _against(recovered_ms, bound_ms))


def _against(recovered_ms: Mapping[str, int | None], bound_ms: int) -> Iterator[str]:
    for name, elapsed_ms in recovered_ms.items():
        if elapsed_ms is None:
            yield f"{name} had no receipt of a new transaction {bound_ms} ms after everything was healed"
        elif elapsed_ms > bound_ms:
            yield f"{name} took {elapsed_ms} ms, more than {bound_ms} ms"


@dataclass(frozen=True, slots=True)
class Window:
    """When something was broken, from the injection to the healing; `label` says what."""

    label: str
    begin_us: int
    end_us: int


def pauses_by_fault_us(history: Sequence[Operation], windows: Sequence[Window]) -> dict[str, int]:
    """For each label, the longest time without any acknowledged write that touches one of its windows,
    counted from the injection on: what began before has another reason."""
    ends = sorted(
        operation.completed_us
        for operation in history
        if operation.completed_us is not None and operation.is_executed
    )
    longest: dict[str, int] = {}
    for window in windows:
        first = max(0, bisect_left(ends, window.begin_us) - 1)
        last = bisect_right(ends, window.end_us) + 1
        touching = ends[first:last]
        pauses = (later - max(earlier, window.begin_us) for earlier, later in pairwise(touching))
        pause = max(pauses, default=0)
        longest[window.label] = max(longest.get(window.label, 0), pause)
    return longest


def longest_pauses_us(history: Sequence[Operation]) -> dict[str, int]:
    """For each client, and for all together under the name "all": the longest time between two acknowledged
    writes, or before the first, or after the last while it still tried."""
    last: dict[str, int] = {}
    longest: dict[str, int] = {}
    for operation in sorted(history, key=lambda operation: operation.invoked_us):
        for name in ("all", operation.request.client):
            last.setdefault(name, operation.invoked_us)
    for operation in sorted(history, key=_end_us):
        for name in ("all", operation.request.client):
            longest[name] = max(longest.get(name, 0), _end_us(operation) - last[name])
            if operation.is_executed:
                last[name] = _end_us(operation)
    return longest


def _end_us(operation: Operation) -> int:
    """When it ended, or began if nobody waited for its end."""
    return operation.invoked_us if operation.completed_us is None else operation.completed_us
