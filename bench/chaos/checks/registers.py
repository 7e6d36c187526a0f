"""Is there any order at all? The general check of linearizability, which is told nothing of the chain.

Wing and Gong's search with memory of configurations, as Lowe describes it ("Testing for linearizability",
2017) and Knossos does it: an operation may come next if no operation that has not come yet ended before it
began. A configuration is which operations have come, and the register's state; none is visited twice.
Linearizability is local (Herlihy and Wing), so each register is searched alone. The search is bounded, and
giving up is not success.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.chaos.chain import RECORD_EXISTS, RECORD_UNKNOWN, WRONG_PREVIOUS
from bench.chaos.checks.finding import FINDINGS_MAX, Finding, Verdict
from bench.chaos.history import Kind, Operation, Result

CONFIGURATIONS_MAX = 300_000
"""Visited for one register at most: about two seconds."""
State = tuple[int, int]
"""A register's version and value; (0, 0) while there is no record."""
_EMPTY: State = (0, 0)


@dataclass(frozen=True, slots=True)
class Search:
    """What the search of one register came to."""

    verdict: Verdict
    configurations: int


def check_registers(history: Sequence[Operation], configurations_max: int = CONFIGURATIONS_MAX) -> Finding:
    """Every register's linearizable operations: its writes, and the reads at the highest told height."""
    registers: dict[str, list[Operation]] = {}
    for operation in history:
        if operation.request.linearizable:
            registers.setdefault(operation.request.key, []).append(operation)
    against: list[str] = []
    gave_up: list[str] = []
    for key, operations in registers.items():
        search = search_register(operations, configurations_max)
        if search.verdict is Verdict.VIOLATED:
            against.append(
                f"no order of the {len(operations)} operations on {key} explains what they were told"
            )
        elif search.verdict is Verdict.GAVE_UP:
            gave_up.append(f"{key}: more than {configurations_max} configurations")
    if not registers:
        gave_up.append("there were no registers to look at")
    verdict = Verdict.VIOLATED if against else Verdict.GAVE_UP if gave_up else Verdict.HOLDS
    sentences = tuple((against + gave_up)[:FINDINGS_MAX])
    return Finding("registers are linearizable", verdict, len(registers), "registers", sentences)


def search_register(operations: Sequence[Operation], configurations_max: int = CONFIGURATIONS_MAX) -> Search:
    """Whether one register's operations have an order that respects real time and explains every answer."""
    calls = sorted((o for o in operations if _matters(o)), key=lambda operation: operation.invoked_us)
    ends = [_end_of(operation) for operation in calls]
    required = sum(1 << position for position, end in enumerate(ends) if end is not None)
    start = (0, _EMPTY)
    seen, stack = {start}, [start]
    while stack:
        done, state = stack.pop()
        if done & required == required:
            return Search(Verdict.HOLDS, len(seen))
        if len(seen) > configurations_max:
            return Search(Verdict.GAVE_UP, len(seen))
        for position in _next(calls, ends, done):
            after = apply(calls[position], state)
            if after is not None:
                configuration = (done | 1 << position, after)
                if configuration not in seen:
                    seen.add(configuration)
                    stack.append(configuration)
    return Search(Verdict.VIOLATED, len(seen))


def _matters(operation: Operation) -> bool:
    """A refused operation is none; a read without an answer says nothing."""
    result = operation.outcome.result
    if operation.request.kind is Kind.READ:
        return result is Result.OK
    return result is not Result.REFUSED


def _end_of(operation: Operation) -> int | None:
    """When it was over at the latest; None for an unknown write, which may happen at any time or never."""
    return None if operation.outcome.result is Result.UNKNOWN else operation.completed_us


def _next(calls: Sequence[Operation], ends: Sequence[int | None], done: int) -> list[int]:
    """The operations that may come next, those that ended first last (the search takes the last first)."""
    earliest = min(
        (end for position, end in enumerate(ends) if end is not None and not done >> position & 1),
        default=None,
    )
    found: list[int] = []
    for position, call in enumerate(calls):
        if earliest is not None and call.invoked_us > earliest:
            break
        if not done >> position & 1:
            found.append(position)
    found.sort(key=lambda position: (ends[position] is not None, -(ends[position] or 0)))
    return found


def apply(operation: Operation, state: State) -> State | None:
    """The state after an operation that was told this, or None if it could not have been told this."""
    request, told = operation.request, operation.outcome
    version, _ = state
    if request.kind is Kind.READ:
        return state if state == (told.version or 0, told.value or 0) else None
    if request.kind is Kind.PUT:
        fits, failure = version == 0, RECORD_EXISTS
    else:
        fits = version != 0 and version == request.previous
        failure = WRONG_PREVIOUS if version else RECORD_UNKNOWN
    if told.result is Result.FAILED:
        return state if not fits and told.code == failure else None
    if not fits or (told.result is Result.OK and told.version != version + 1):
        return None
    return version + 1, request.value or 0
