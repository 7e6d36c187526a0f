"""One peer in a process of its own: it accepts what it is sent and tells the publisher how much that was.

Its arguments are its number; it writes its port to the standard output, then reads all ports from the
standard input, and runs until that ends.
"""

import json
import os
import random
import sys

import trio

from bench.gossip.members import DIRECT, MESSAGES, PROGRESS, config_of, identity_of, listening, port_of
from p2p import Delivery, Network, open_network

PUBLISHER = 0


async def main(number: int) -> None:
    """Take part as node `number`."""
    listeners = await listening()
    print(port_of(listeners), flush=True)
    source = trio.lowlevel.FdStream(os.dup(sys.stdin.fileno()))
    ports = json.loads(await source.receive_some())
    config = config_of(number, ports)
    rng = random.Random(number)
    async with (
        open_network(config, identity_of(number), rng, listeners) as network,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_take, network)
        await source.receive_some()  # ends with the publisher
        nursery.cancel_scope.cancel()


async def _take(network: Network) -> None:
    taken = 0
    publisher = identity_of(PUBLISHER).peer_id
    while True:
        event = await network.inbox.receive()
        network.hold()
        while True:
            if isinstance(event, Delivery) and event.message_id is not None:
                network.accept_gossip(event.peer, MESSAGES.code, event.message_id)
                taken += 1
            elif isinstance(event, Delivery) and event.topic == DIRECT.code:
                taken += 1
            try:
                event = network.inbox.receive_nowait()
            except trio.WouldBlock:
                break
        network.send(publisher, PROGRESS.code, taken.to_bytes(8, "big"), key=b"taken")
        network.release()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
