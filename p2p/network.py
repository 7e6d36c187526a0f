"""The running network of one node: bytes by topic to and from authenticated peers.

Delivery is unreliable: a message may be dropped when a queue overflows or a connection ends, and nothing
is kept for a peer that is away. Sending again is the protocol's business.
"""

import errno
import random
from collections import ChainMap
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, replace

import trio

from p2p.config import P2PConfig, PeerAddress, Priority, Topic
from p2p.connection import ANNOUNCE, PULL, Connection, control
from p2p.departures import Departures
from p2p.errors import (
    ConfigError,
    ConnectionLost,
    MalformedFrame,
    MessageRefused,
    Misbehaviour,
    P2PError,
    PortInUse,
)
from p2p.events import Delivery, PeerConnected, PeerDisconnected, PeerStatus
from p2p.foreign import ForeignLinks
from p2p.frames import CONTROL, Frame, encode
from p2p.gossip import Gossip, decode_ids, encode_ids
from p2p.gossip_effects import Deliver, Effect, Penalise, SendAnnounce, SendBody, SendPull
from p2p.hello import INSTANCE_BYTES
from p2p.identity import NodeIdentity, PeerId
from p2p.inbox import Inbox
from p2p.link import Link
from p2p.realm import home_realm
from p2p.sessions import Sessions, now_ms
from p2p.tls import TlsContexts

_WATCH_MS_MAX = 1_000
INVALID_GOSSIP_WEIGHT = 20


class Network:
    """Made by `open_network`. Every method but the inbox's `receive` returns at once."""

    def __init__(self, config: P2PConfig, identity: NodeIdentity, rng: random.Random) -> None:
        self._config = config
        self._identity = identity
        self._rng = rng
        self._nursery: trio.Nursery | None = None
        self._topics = {topic.code: topic for topic in config.topics}
        self._names = {CONTROL: "control", **{topic.code: topic.name for topic in config.topics}}
        self._inbox = Inbox(config.inbox_items_per_peer, config.inbox_bytes_per_peer)
        self._realm = home_realm(config, self._inbox, self)
        members = _members(config, identity)
        self._links = {peer: Link(peer, where, config, rng, self._realm) for peer, where in members}
        self._connections: dict[PeerId, Connection] = {}
        self._departures = Departures()
        is_member = self._links.__contains__
        self.foreign = ForeignLinks(config, identity.peer_id, rng, is_member, self._pin, self._dial)
        """Links to nodes of other clusters."""
        self._gossip = Gossip(config.gossip, random.Random(rng.getrandbits(64)))
        self._gossip_due = trio.Event()
        hello = config.hello(rng.randbytes(INSTANCE_BYTES))
        links = ChainMap(self._links, self.foreign.links)
        self._sessions = Sessions(config, identity.peer_id, TlsContexts(identity, links), links, hello)

    @property
    def inbox(self) -> Inbox:
        """Where events come out; see inbox.py for its bounds and fairness."""
        return self._inbox

    @property
    def last_refused(self) -> str:
        """Why the latest inbound connection that was not admitted ended; empty if there was none."""
        return self._sessions.last_refused

    def send(self, peer: PeerId, topic_code: int, body: bytes, *, key: bytes | None = None) -> bool:
        """Queues a message; False when the peer is not connected, or its software is older than the topic.
        Never blocks.

        A queued message of the same topic and `key` is replaced. Raises MessageRefused (our own fault) for
        an unknown or gossip topic, an empty body, or one above the topic's limit.
        """
        topic = _direct_topic(self._topics, topic_code, body)
        connection = self._connections.get(peer)
        if connection is None or not connection.knows(topic):
            return False
        self._departures.put(connection, topic.priority, topic_code, encode(topic_code, body), key)
        return True

    def broadcast(
        self, topic_code: int, body: bytes, *, key: bytes | None = None, to: Iterable[PeerId] | None = None
    ) -> int:
        """`send` to every connected peer, or to those of `to` that are; answers to how many."""
        topic = _direct_topic(self._topics, topic_code, body)
        frames = encode(topic_code, body)
        count = 0
        for peer in self._connections if to is None else to:
            connection = self._connections.get(peer)
            if connection is not None and connection.knows(topic):
                self._departures.put(connection, topic.priority, topic_code, frames, key)
                count += 1
        return count

    def hold(self) -> None:
        """What is sent from here on waits for `release`; who holds must not await before that."""
        self._departures.hold()

    def release(self) -> None:
        """What was held leaves, as far as the sockets take it at once; tasks write the rest."""
        self._departures.release()

    def publish(self, topic_code: int, body: bytes) -> None:
        """Spreads a message of this node's own on a gossip topic; the caller holds it to be valid.

        Raises MessageRefused (our own fault) as `send` does.
        """
        topic = _topic(self._topics, topic_code, body)
        if not topic.gossip:
            raise MessageRefused(f"topic {topic.name} is not gossip: send it")
        self._perform(self._gossip.publish(topic_code, body))

    def accept_gossip(self, peer: PeerId, topic_code: int, message_id: bytes) -> None:
        """The application found a gossip delivery valid: only now is it forwarded."""
        self._perform(self._gossip.accept(message_id))

    def reject_gossip(
        self, peer: PeerId, topic_code: int, message_id: bytes, weight: int = INVALID_GOSSIP_WEIGHT
    ) -> None:
        """The application found it invalid: it is forgotten, never delivered again, and scores `peer`.

        Use weight 0 for what an honest neighbour may have passed on (expired meanwhile, say).
        """
        self._gossip.reject(message_id)
        self.report(peer, f"invalid {self._names.get(topic_code, 'gossip')}", weight)

    def report(self, peer: PeerId, code: str, weight: int) -> None:
        """Adds `weight` to the peer's score; above the limit it is disconnected and banned for a while."""
        link = self._links.get(peer)
        if link is not None and link.standing.report(weight, now_ms()) and link.connection is not None:
            link.connection.end(Misbehaviour(f"it misbehaved ({code})", link.name))

    def update_members(self, peers: Iterable[PeerAddress], allowed: Iterable[PeerId] = ()) -> None:
        """Pins exactly these keys from now on (an epoch changed the membership).

        Who is no longer among them is disconnected; newcomers are dialled, and foreign no more; a changed
        address counts from the next attempt on. Nobody else notices. Raises ConfigError, and then nothing
        has changed.
        """
        config = replace(self._config, peers=tuple(peers), allowed=frozenset(allowed))
        config.check(self._identity.peer_id)
        members = dict(_members(config, self._identity))
        contexts = TlsContexts(self._identity, {**members, **self.foreign.links})
        self._config, self._sessions.contexts = config, contexts
        for peer in [peer for peer in self._links if peer not in members]:
            link = self._links.pop(peer)
            link.retired = True
            self._sessions.doorstep.known.forget(peer)
            if link.connection is not None:
                link.connection.end(ConnectionLost("it is no longer a member", link.name))
        for peer, address in members.items():
            self.foreign.dismiss(peer, "it is a member of our own cluster now")
            known = self._links.get(peer)
            if known is None:
                self._links[peer] = Link(peer, address, config, self._rng, self._realm)
                self._dial(self._links[peer])
            elif known.address is None and address is not None:
                known.address, known.name = address, address.name
                self._dial(known)
            else:
                known.address = address

    def status(self) -> tuple[PeerStatus, ...]:
        """Every pinned peer, in order of peer id."""
        now = now_ms()
        return tuple(self._links[peer].status(self._names, now) for peer in sorted(self._links))

    def limits(self) -> dict[str, tuple[int, int]]:
        """Everything bounded: name -> (current size, bound), for metrics."""
        config, peers = self._config, len(self._links)
        table = {
            "inbox_items": (self._inbox.items, config.inbox_items_per_peer * 3 * peers),
            "inbox_bytes": (self._inbox.bytes, config.inbox_bytes_per_peer * 3 * peers),
            **self._sessions.doorstep.limits(),
            "connections": (len(self._connections), peers),
            **self._gossip.sizes(),
            **self.foreign.limits(),
        }
        for priority in Priority:
            limit = config.queue_limit(priority)
            lanes = [connection.queue.lanes[priority] for connection in self._connections.values()]
            name = priority.name.lower()
            table[f"send_{name}_items"] = (sum(map(len, lanes)), limit.items * peers)
            table[f"send_{name}_bytes"] = (sum(lane.bytes for lane in lanes), limit.bytes * peers)
        return table

    def counters(self) -> dict[str, int]:
        """Counts since the start, for metrics; `internal_faults` above zero is a bug."""
        return {
            **self._sessions.doorstep.counters(),
            "failed_handshakes": self._sessions.failed_handshakes,
            "internal_faults": self._sessions.internal_faults,
            **{f"gossip_{name}": count for name, count in asdict(self._gossip.counters).items()},
        }

    def opened(self, connection: Connection) -> None:
        """Called by the sessions: a peer is connected."""
        self._connections[connection.peer] = connection
        self._inbox.put(PeerConnected(connection.peer))
        self._perform(self._gossip.connected(connection.peer, now_ms()))

    def closed(self, connection: Connection, reason: P2PError) -> None:
        """Called by the sessions: a peer is gone."""
        del self._connections[connection.peer]
        self._gossip.disconnected(connection.peer)
        self._inbox.put(PeerDisconnected(connection.peer, str(reason)))

    def handle(self, connection: Connection, frame: Frame) -> Awaitable[None] | None:
        """Called by a connection's reader; answers something to await when the inbox has no room."""
        if frame.topic == CONTROL:
            self._handle_gossip_control(connection.peer, frame.body)
            return None
        topic = self._topics[frame.topic]
        if topic.gossip:
            return self._perform(self._gossip.receive(connection.peer, topic.code, frame.body))
        return self._deliver(Delivery(connection.peer, topic.code, frame.body), topic.priority)

    def _handle_gossip_control(self, peer: PeerId, body: bytes) -> None:
        ids = decode_ids(body[1:])
        if ids is None:
            raise MalformedFrame("it sent a list of gossip ids that is not one")
        if body[0] == ANNOUNCE:
            self._perform(self._gossip.announced(peer, ids, now_ms()))
        elif body[0] == PULL:
            self._perform(self._gossip.pulled(peer, ids, now_ms()))
        else:
            raise MalformedFrame(f"it sent a control frame of unknown kind {body[0]}")

    def _perform(self, effects: Sequence[Effect]) -> Awaitable[None] | None:
        """Does what the gossip core decided; answers what its delivery has to wait for, if anything."""
        waiting = None
        for effect in effects:
            match effect:
                case SendBody(peers, code, payload):
                    frames, lane = encode(code, payload), self._topics[code].priority
                    for peer in peers:
                        self._departures.put(self._connections[peer], lane, code, frames)
                case SendAnnounce(peer, ids):
                    self._send_control(peer, ANNOUNCE, ids)
                case SendPull(peer, ids):
                    self._send_control(peer, PULL, ids)
                case Deliver(peer, code, body, message_id):
                    event = Delivery(peer, code, body, message_id)
                    waiting = self._deliver(event, self._topics[code].priority)
                case Penalise(peer, fault, weight):
                    self.report(peer, fault, weight)
        if self._gossip.has_work:
            self._gossip_due.set()
        return waiting

    def _send_control(self, peer: PeerId, kind: int, ids: tuple[bytes, ...]) -> None:
        frames = (control(kind, encode_ids(ids)),)
        self._departures.put(self._connections[peer], Priority.NORMAL, CONTROL, frames)

    def _deliver(self, event: Delivery, lane: int) -> Awaitable[None] | None:
        if not self._inbox.room_for(event.peer, lane):
            return self._deliver_later(event, lane)
        self._inbox.put(event, lane)
        return None

    async def _deliver_later(self, event: Delivery, lane: int) -> None:
        try:
            await self._inbox.wait_for_room(event.peer, lane)
        except trio.Cancelled:
            if event.message_id is not None:
                self._gossip.forget(event.message_id)
            raise
        self._inbox.put(event, lane)

    async def run(
        self,
        listeners: Sequence[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listens, dials and watches until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._watch)
            if any(topic.gossip for topic in self._config.topics):
                nursery.start_soon(self._tick_gossip)
            for link in self._links.values():
                self._dial(link)
            task_status.started()
            await trio.serve_listeners(self._sessions.accept, list(listeners))

    def _pin(self) -> None:
        """TLS trusts the members and the foreign peers of this moment from the next connection on."""
        self._sessions.contexts = TlsContexts(self._identity, ChainMap(self._links, self.foreign.links))

    def _dial(self, link: Link) -> None:
        """Starts the task that keeps a peer dialled, if its address is known."""
        assert self._nursery is not None
        if link.address is not None and not link.dialling:
            self._nursery.start_soon(self._sessions.keep_dialled, link)

    async def _watch(self) -> None:
        """Looks after the links: dead, stalled and silent ones."""
        config = self._config
        shortest_ms = min(config.idle_ping_ms, config.idle_timeout_ms, config.stall_timeout_ms)
        while True:
            await trio.sleep(min(_WATCH_MS_MAX, shortest_ms // 4) / 1000)
            now = now_ms()
            for connection in list(self._connections.values()):
                connection.check(
                    now,
                    ping_ms=config.idle_ping_ms,
                    idle_ms=config.idle_timeout_ms,
                    stall_ms=config.stall_timeout_ms,
                )

    async def _tick_gossip(self) -> None:
        # An idle network wakes nobody: ten wake-ups a second were a third of an idle node's CPU.
        while True:
            await self._gossip_due.wait()
            self._gossip_due = trio.Event()
            await trio.sleep(self._config.gossip.flush_interval_ms / 1000)
            self._perform(self._gossip.tick(now_ms()))


@asynccontextmanager
async def open_network(
    config: P2PConfig,
    identity: NodeIdentity,
    rng: random.Random,
    listeners: Sequence[trio.SocketListener] | None = None,
) -> AsyncIterator[Network]:
    """A running network for as long as the block lasts.

    `rng` decides jitter, gossip and the instance number: it need not be secret, but two starts of a node
    must not draw the same, or a restart is taken for a second dial. Sockets bound beforehand
    may be passed in `listeners` (they are closed at the end). Raises ConfigError and PortInUse.
    """
    config.check(identity.peer_id)
    network = Network(config, identity, rng)
    if listeners is None:
        listeners = await listen(config.listen_host, config.listen_port)
    async with trio.open_nursery() as nursery:
        await nursery.start(network.run, listeners)
        try:
            yield network
        finally:
            nursery.cancel_scope.cancel()
    network.inbox.close()
    network.foreign.inbox.close()


async def listen(host: str, port: int) -> list[trio.SocketListener]:
    """Bound sockets; port 0 picks a free one. Raises PortInUse, or ConfigError for an unusable address."""
    try:
        return list(await trio.open_tcp_listeners(port, host=host))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                f"port {port} on {host} is in use: stop the other process or choose another listen_port"
            ) from error
        raise ConfigError(f"cannot listen on {host}:{port}: {error}") from error


def _members(config: P2PConfig, identity: NodeIdentity) -> list[tuple[PeerId, PeerAddress | None]]:
    """Everybody that is pinned, with the address where one is known; in a fixed order."""
    known = {address.peer_id: address for address in config.peers}
    others = sorted(config.allowed - known.keys() - {identity.peer_id})
    return [*known.items(), *((peer, None) for peer in others)]


def _direct_topic(topics: Mapping[int, Topic], code: int, body: bytes) -> Topic:
    """The topic of a message to members, which its body fits; raises MessageRefused."""
    topic = _topic(topics, code, body)
    if topic.gossip:
        raise MessageRefused(f"topic {topic.name} is gossip: publish it")
    if topic.foreign:
        raise MessageRefused(f"topic {topic.name} passes between clusters only: use `foreign.send`")
    return topic


def _topic(topics: Mapping[int, Topic], code: int, body: bytes) -> Topic:
    topic = topics.get(code)
    if topic is None:
        raise MessageRefused(f"no topic has the code {code}")
    if not 1 <= len(body) <= topic.max_bytes:
        raise MessageRefused(f"{len(body)} bytes on {topic.name}, allowed are 1 to {topic.max_bytes}")
    return topic
