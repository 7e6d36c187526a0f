"""Small networks over loopback for the tests: identities from numbers, ephemeral ports, chosen limits."""

import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import trio

from p2p import (
    Delivery,
    Network,
    NetworkEvent,
    NodeIdentity,
    P2PConfig,
    PeerAddress,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    Priority,
    Topic,
    open_network,
)

VOTES = Topic(1, "votes", Priority.URGENT, 64 * 1024)
STATUS = Topic(2, "status", Priority.NORMAL, 64 * 1024)
BATCHES = Topic(3, "batches", Priority.BULK, 4 * 1024 * 1024)
PENDING = Topic(4, "pending transactions", Priority.NORMAL, 64 * 1024, gossip=True)
TOPICS = (VOTES, STATUS, BATCHES, PENDING)
CLUSTER = bytes.fromhex("ab12" * 16)

PATIENCE = 20
"""Seconds after which a socket test counts as hung."""


def make_identities(count: int) -> list[NodeIdentity]:
    """Identities in order of peer id, so that an earlier one dials a later one."""
    made = [NodeIdentity.from_seed(bytes([number + 1]) * 32) for number in range(count)]
    return sorted(made, key=lambda identity: identity.peer_id)


def make_config(**changes: object) -> P2PConfig:
    config = P2PConfig(
        listen_host="127.0.0.1",
        listen_port=0,
        network_id=CLUSTER,
        protocol_version=1,
        software="isthmus/test",
        topics=TOPICS,
        reconnect_base_ms=10,
        reconnect_max_ms=100,
        dial_patience_ms=50,
    )
    return replace(config, **changes)  # type: ignore[arg-type]  # each test names real fields


async def bind(port: int = 0) -> trio.SocketListener:
    (listener,) = await trio.open_tcp_listeners(port, host="127.0.0.1")
    return listener


def port_of(listener: trio.SocketListener) -> int:
    port: int = listener.socket.getsockname()[1]
    return port


@dataclass
class Place:
    """Where a node of the test lives: its key, its port, its name."""

    identity: NodeIdentity
    listener: trio.SocketListener
    name: str

    @property
    def peer_id(self) -> PeerId:
        return self.identity.peer_id

    async def rebind(self, port: int = 0) -> None:
        """A fresh listener, after the old one went down with its network."""
        await self.listener.aclose()
        self.listener = await bind(port)

    def address(self) -> PeerAddress:
        return PeerAddress(self.peer_id, self.name, "127.0.0.1", port_of(self.listener))


@asynccontextmanager
async def make_places(count: int) -> AsyncIterator[list[Place]]:
    """Places in order of peer id, whose listeners are closed at the end; the whole may take PATIENCE."""
    identities = make_identities(count)
    places = [Place(identity, await bind(), f"node-{number}") for number, identity in enumerate(identities)]
    try:
        with trio.fail_after(PATIENCE):
            yield places
    finally:
        for place in places:
            await place.listener.aclose()


@asynccontextmanager
async def running(
    place: Place, peers: Sequence[Place] = (), *, allowed: Sequence[Place] = (), **changes: object
) -> AsyncIterator[Network]:
    config = make_config(
        node_name=place.name,
        peers=tuple(peer.address() for peer in peers),
        allowed=frozenset(peer.peer_id for peer in allowed),
        **changes,
    )
    seed = random.Random(place.name)
    async with open_network(config, place.identity, seed, [place.listener]) as network:
        yield network


async def eventually(condition: Callable[[], bool]) -> None:
    """For what only `status()` shows: looks again until it is so; the caller's deadline bounds it."""
    while not condition():  # noqa: ASYNC110  # a status has no event to wait for
        await trio.sleep(0.005)


async def error_of(network: Network, place: Place, words: str) -> None:
    """Waits until the last error of a peer says `words`."""
    await eventually(
        lambda: any(peer.peer == place.peer_id and words in peer.last_error for peer in network.status())
    )


async def next_event(network: Network, kind: type[NetworkEvent]) -> NetworkEvent:
    """The next event of this kind; others are passed over."""
    while True:
        event = await network.inbox.receive()
        if isinstance(event, kind):
            return event


async def next_delivery(network: Network) -> Delivery:
    event = await next_event(network, Delivery)
    assert isinstance(event, Delivery)
    return event


async def connected(network: Network) -> PeerId:
    event = await next_event(network, PeerConnected)
    assert isinstance(event, PeerConnected)
    return event.peer


async def disconnected(network: Network) -> PeerDisconnected:
    event = await next_event(network, PeerDisconnected)
    assert isinstance(event, PeerDisconnected)
    return event
