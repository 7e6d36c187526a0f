"""What applications of a federation send: coins, forwards, failures, in a hurry or not."""

from collections.abc import Sequence
from random import Random

from bench.sim.federation.transactions import Send
from node.anchoring.lanes import Mode

HURRIES_MS = (1, 1_500, 5_000, 20_000, 120_000)


def next_send(chance: Random, peers: Sequence[bytes], everybody: Sequence[bytes]) -> Send:
    """One message to one of the peers, perhaps to be forwarded to anybody."""
    destination = chance.choice(peers)
    beyond = [peer for peer in everybody if peer != destination]
    mode = chance.choice((Mode.ORDERED, Mode.UNORDERED))
    hurry = chance.choice(HURRIES_MS)
    match chance.randrange(10):
        case 0:
            payload = b"fails %d" % chance.randrange(1000)
        case 1:
            payload = b"denied"
        case 2:
            payload = b"again"
        case 3 | 4 if beyond:
            payload = b"via %s %d" % (chance.choice(beyond).hex().encode(), chance.randint(1, 9))
        case _:
            payload = b"coin %d" % chance.randint(1, 9)
    return Send(destination, mode, payload, hurry)
