"""How final an answer is: certified, or only committed. And how it says so.

`certified` (the default): a quorum of validators has signed the header of every height that the answer is
made from. It can be proven, it cannot be taken back, and it contains everything that this node has reported
as certified before. `committed`: the answer may also contain heights whose order is final and which this
node has executed, but whose headers are not certified yet. Their order cannot change; that this node
executed them as the others do is not confirmed. Such an answer has no proof. Between the two there are only
the heights above the certified one up to the executed one: usually none, seldom more than one. Where there
are none, both levels answer the same, and the certified height in the answer's header tells it.

What a request waits for (`min_height`, or `timeout_ms` of a receipt) it waits for at its own level:
`committed` is answered as soon as the height is executed here, whether it is ever certified or not.

What is ordered and not executed yet, and what is only waiting in the pool, is read at no level. So after a
crash or a restart this level of a node may begin lower than it was, and rises again as the node executes the
same heights again, with the same outcome: nothing of it is undone. Whoever must see what it saw before asks
with `min_height`.
"""

from collections.abc import Callable
from enum import Enum

from starlette.responses import Response

from node.api.call import Call
from node.api.faults import Fault, fault
from node.api.parameters import Parameter, Place
from node.storage import Snapshot

LEVEL_HEADER = "isthmus-level"
"""The level of an answer, in its HTTP header."""
CERTIFIED_HEADER = "isthmus-certified-height"
"""Of a committed answer: what is at or below this height is certified."""


class Level(Enum):
    """The two levels, as they are written."""

    CERTIFIED = "certified"
    COMMITTED = "committed"


def _level(text: str) -> Level:
    try:
        return Level(text)
    except ValueError:
        raise ValueError("must be certified or committed") from None


LEVEL = Parameter(
    "level",
    Place.QUERY,
    "`certified` (the default): from heights that a quorum has certified. `committed`: also from heights "
    "that are ordered and executed here but not certified yet; no proof goes with it, and after a restart of "
    "the node it may begin lower until the same heights are executed again. The response header "
    f"{LEVEL_HEADER} repeats the level, {CERTIFIED_HEADER} says up to where a committed answer is certified.",
    (("type", "string"), ("enum", tuple(level.value for level in Level))),
    _level,
    Level.CERTIFIED,
)


def is_committed(call: Call) -> bool:
    """Whether the call asks for the committed level."""
    return LEVEL in call.operation.parameters and call.need(LEVEL) is Level.COMMITTED


async def answer_at_level(
    call: Call, query: Callable[[Snapshot], object], *, with_proof: bool = False
) -> Response:
    """What `query` makes of a snapshot of the level that is asked for, with the headers that say so.

    Raises ApiFault BAD_PARAMETER for the proof of something uncertified.
    """
    if not is_committed(call):
        answer = call.answer(await call.door.read(query))
        answer.headers[LEVEL_HEADER] = Level.CERTIFIED.value
        return answer
    if with_proof:
        raise fault(
            Fault.BAD_PARAMETER, "proof=1 needs level=certified: nothing proves what is not certified yet."
        )
    view = call.door.backend.committed()
    answer = call.answer(await call.door.read(query, view.open))
    answer.headers[LEVEL_HEADER] = Level.COMMITTED.value
    answer.headers[CERTIFIED_HEADER] = str(view.certified_height)
    return answer
