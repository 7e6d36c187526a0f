"""Halting at a height: every node of a cluster ends at the same place, for an upgrade that all make together.

Nothing above the halt height is executed (node/validator/line.py), so no header above it is signed. A node
leaves once it has stored the height and the validators it is linked to have its certificate too: whoever went
before them might take along the signature that they lack.
"""

import trio

from node.daemon.daemon import Node

_LOOK_SECONDS = 0.05
_LOOKS_MAX = 100
"""It stays five seconds for others at most: who is slower catches up from those that come back."""


async def reach(node: Node, halt_height: int) -> None:
    """Returns when this node may leave; never when there is no halt height."""
    if not halt_height:
        await trio.sleep_forever()
    await node.waiters.wait_height(halt_height)
    for _ in range(_LOOKS_MAX):
        if not _others_lack(node, halt_height):
            return
        await trio.sleep(_LOOK_SECONDS)


def _others_lack(node: Node, height: int) -> bool:
    """Whether a linked validator has not said yet that it knows this height to be certified."""
    linked = {bytes(peer.peer) for peer in node.network.status() if peer.connected}
    keys = [bytes(record.node_key) for record in node.validator.term.roster.validators]
    seen = [node.validator.sightings.of(key) for key in keys if key in linked]
    return any(sighting is None or (sighting.certified_height or 0) < height for sighting in seen)


def farewell(halt_height: int, height: int) -> str:
    """The sentence of a node that leaves, or did not even start."""
    return (
        f"height {height} is stored, nothing above halt height {halt_height} was executed and no header "
        "above it signed: this node has left as it was told. Install the new release, take the halt height "
        "away, and start it again"
    )
