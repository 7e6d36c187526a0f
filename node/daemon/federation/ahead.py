"""How we will stand once a bundle is executed: what the next one is asked for while the first is ordered.

Leaves of one bundle are bounded by what a transaction may hold, and a block takes its time; a lane with
more to say would wait a block for each. It is a guess about our own ledger: where it is wrong, the next
bundle fails or brings nothing, and the round after it asks anew.
"""

from collections.abc import Iterable
from dataclasses import replace

from node.anchoring.client.state import ClientState
from node.anchoring.lanes.courier import Held
from node.anchoring.lanes.inbound import InboundBundle
from node.anchoring.lanes.messages import Acknowledgement, Message, Mode, decode_leaf
from node.anchoring.lanes.progress import Progress

_Lane = tuple[str, Mode]


def held_after(held: Held, bundle: InboundBundle, client: ClientState) -> Held | None:
    """What is held once all leaves of a checked bundle are taken and `client` is the anchored one; None where
    leaves of another kind may change more than that. Raises CodecError for what `check` refuses."""
    incoming: dict[_Lane, list[int]] = {}
    outgoing: dict[_Lane, list[int]] = {}
    for bundled in bundle.leaves:
        leaf = decode_leaf(bundled.leaf)
        if isinstance(leaf, Message):
            incoming.setdefault((leaf.lane.port, leaf.lane.mode), []).append(leaf.sequence)
        elif isinstance(leaf, Acknowledgement):
            outgoing.setdefault((leaf.lane.port, leaf.lane.mode), []).append(leaf.sequence)
        else:
            return None
    return replace(
        held,
        incarnation=client.incarnation,
        height=client.last.height,
        incoming=_with(held.incoming, incoming),
        outgoing=_with(held.outgoing, outgoing),
    )


def _with(lanes: Iterable[Progress], taken: dict[_Lane, list[int]]) -> tuple[Progress, ...]:
    known = {(lane.port, lane.mode): lane for lane in lanes}
    for key in taken:
        known.setdefault(key, Progress(*key))
    return tuple(_grown(lane, taken.get(key, [])) for key, lane in known.items())


def _grown(lane: Progress, taken: list[int]) -> Progress:
    beyond = {*lane.above, *(number for number in taken if number > lane.done)}
    done = lane.done
    while done + 1 in beyond:
        done += 1
    return replace(lane, done=done, above=tuple(sorted(number for number in beyond if number > done)))
