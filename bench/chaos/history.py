"""What clients did and were told: the only witness that the checks hear, beside the chain itself.

Every operation is one line of an append-only file, written when it ended or was given up. Times are
microseconds of one monotonic clock in the process that runs all clients, so "before" is a fact and not a
matter of clocks. An outcome that is not known stays unknown; checks may look the truth up in the chain.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from typing import TextIO


class Kind(Enum):
    """What a client asks for."""

    PUT = "put"
    SUPERSEDE = "supersede"
    READ = "read"


class Result(Enum):
    """How it ended: done, executed without effect, refused before anything was ordered, or nobody knows."""

    OK = "ok"
    FAILED = "failed"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the client was told. `code` is the receipt's status or the refusal's code.

    A write that was executed has `height` and `index`, and `version` if it succeeded. A read has the record's
    `version`, `value` and writing transaction `tx_id` at `height`; None for all three says that there is no
    such record, and a plain answer to that effect (without a proof) names no height.
    """

    result: Result
    code: int = 0
    reason: str = ""
    height: int | None = None
    index: int | None = None
    version: int | None = None
    value: int | None = None
    tx_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks one node. `value` is what a write writes, unique in the whole history; `previous`
    the version that a supersede replaces; `min_height` the height that a read must not be below.

    `linearizable`: a write, or a read at the highest height anybody had been told of when it was asked.
    """

    client: str
    node: str
    kind: Kind
    key: str
    value: int | None = None
    previous: int | None = None
    tx_id: bytes | None = None
    min_height: int | None = None
    linearizable: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """One request from its invocation to its end. `completed_us` is None if nobody waited for the end.

    `life` counts the starts of the node's process; None when it was started again meanwhile.
    """

    number: int
    request: Request
    invoked_us: int
    completed_us: int | None
    life: int | None
    outcome: Outcome

    @property
    def is_executed(self) -> bool:
        """Whether the client holds a certified receipt for it."""
        return self.request.kind is not Kind.READ and self.outcome.result in (Result.OK, Result.FAILED)


class History:
    """The operations of a run in the order of their ends, in memory and as lines of a file."""

    def __init__(self, clock_us: Callable[[], int], file: TextIO) -> None:
        self._clock_us = clock_us
        self._file = file
        self._begun = 0
        self.operations: list[Operation] = []
        self.told_height = 0
        """The highest height any client was told of: what a linearizable read asks for."""
        self.acknowledged_at_us = clock_us()
        """When a client last was told that a write is certified."""

    def begin(self) -> tuple[int, int]:
        """The number of a new operation and the time of its invocation."""
        self._begun += 1
        return self._begun, self._clock_us()

    def end(
        self, begun: tuple[int, int], request: Request, life: int | None, outcome: Outcome, *, waited: bool
    ) -> None:
        """Write down how an operation ended; `waited` is false when its client was stopped meanwhile."""
        now_us = self._clock_us()
        operation = Operation(begun[0], request, begun[1], now_us if waited else None, life, outcome)
        self.operations.append(operation)
        if outcome.height is not None:
            self.told_height = max(self.told_height, outcome.height)
        if operation.is_executed:
            self.acknowledged_at_us = now_us
        self._file.write(json.dumps(line_of(operation)) + "\n")
        self._file.flush()


def line_of(operation: Operation) -> dict[str, object]:
    """An operation as a flat JSON object: request and outcome side by side, bytes as hexadecimal digits."""
    fields: dict[str, object] = {
        "number": operation.number,
        "invoked_us": operation.invoked_us,
        "completed_us": operation.completed_us,
        "life": operation.life,
    }
    told = {f"told_{name}": value for name, value in asdict(operation.outcome).items()}
    for name, value in {**asdict(operation.request), **told}.items():
        if isinstance(value, Enum):
            fields[name] = value.value
        else:
            fields[name] = value.hex() if isinstance(value, bytes) else value
    return fields
