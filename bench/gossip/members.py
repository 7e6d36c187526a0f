"""Who takes part: fixed node keys, a topic of gossip, one without, and one that says how far a peer is."""

from collections.abc import Sequence

import trio

from p2p import NodeIdentity, P2PConfig, PeerAddress, Priority, Topic, listen

LOOPBACK = "127.0.0.1"
MESSAGES = Topic(1, "messages", Priority.NORMAL, 64 * 1024, gossip=True)
DIRECT = Topic(3, "direct", Priority.NORMAL, 64 * 1024)
PROGRESS = Topic(2, "progress", Priority.URGENT, 64)


def identity_of(number: int) -> NodeIdentity:
    """The key of the node of this number: the same in every process."""
    return NodeIdentity.from_seed(bytes([number + 1]) * 32)


def config_of(number: int, ports: Sequence[int]) -> P2PConfig:
    """Node `number` of a full mesh of nodes that listen on these ports of this machine."""
    peers = tuple(
        PeerAddress(identity_of(other).peer_id, f"node-{other}", LOOPBACK, port)
        for other, port in enumerate(ports)
        if other != number
    )
    return P2PConfig(
        LOOPBACK,
        0,
        bytes(32),
        1,
        "isthmus-bench",
        (MESSAGES, DIRECT, PROGRESS),
        peers,
        node_name=f"node-{number}",
    )


async def listening() -> list[trio.SocketListener]:
    """A socket on a free port of this machine."""
    return await listen(LOOPBACK, 0)


def port_of(listeners: Sequence[trio.SocketListener]) -> int:
    """The port of a listening socket."""
    port: int = listeners[0].socket.getsockname()[1]
    return port
