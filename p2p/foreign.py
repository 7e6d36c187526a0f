"""Links to nodes of other clusters: few topics, small queues, an inbox of their own, and never gossip.

A foreign peer is known by its key, as a member is, and by the one cluster for which it may speak: its hello
must name that cluster. It shares nothing with members but the listening port and the handshake, so it can
keep no message of agreement from its way.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from p2p.config import P2PConfig, PeerAddress
from p2p.connection import Connection
from p2p.errors import ConnectionLost, MessageRefused, Misbehaviour, P2PError, TopicForbidden
from p2p.events import Delivery, PeerConnected, PeerDisconnected, PeerStatus
from p2p.frames import CONTROL, Frame, encode
from p2p.identity import PeerId
from p2p.inbox import Inbox
from p2p.link import Link
from p2p.realm import Realm, foreign_realm
from p2p.sessions import now_ms


@dataclass(frozen=True, slots=True)
class ForeignPeer:
    """A node of another cluster: its key, the cluster's network id, and where to dial it, if anywhere."""

    peer_id: PeerId
    network_id: bytes
    address: PeerAddress | None = None


@dataclass(frozen=True, slots=True)
class ForeignRefused:
    """A foreign peer that was not admitted, and why."""

    peer_id: PeerId
    reason: str


class ForeignLinks:
    """The foreign side of a network. Every method but the inbox's `receive` returns at once."""

    def __init__(
        self,
        config: P2PConfig,
        own: PeerId,
        rng: random.Random,
        is_member: Callable[[PeerId], bool],
        pin: Callable[[], None],
        dial: Callable[[Link], None],
    ) -> None:
        """`pin` has TLS trust exactly the members and `links` from the next connection on."""
        self._config = config
        self._own = own
        self._rng = rng
        self._is_member = is_member
        self._pin = pin
        self._dial = dial
        self._topics = {topic.code: topic for topic in config.topics if topic.foreign}
        self._names = {CONTROL: "control", **{code: topic.name for code, topic in self._topics.items()}}
        self._realms: dict[bytes, Realm] = {}
        self._connections: dict[PeerId, Connection] = {}
        self.links: dict[PeerId, Link] = {}
        self.inbox = Inbox(config.foreign_inbox_items, config.foreign_inbox_bytes)
        """Events of foreign peers only, bounded a peer and fair between them."""

    def update(self, peers: Iterable[ForeignPeer]) -> tuple[ForeignRefused, ...]:
        """Exactly these are accepted, and dialled where an address is known, from now on.

        Who is no longer among them is disconnected. A key that is our own, a member's, or listed for
        two clusters is refused (for the second one): no other cluster's list can touch our own links.
        """
        wanted: dict[PeerId, ForeignPeer] = {}
        refused: list[ForeignRefused] = []
        for peer in peers:
            reason = self._reason_against(peer, wanted.get(peer.peer_id))
            if reason:
                refused.append(ForeignRefused(peer.peer_id, reason))
            else:
                wanted[peer.peer_id] = peer
        before = self.links.keys() | set()
        for key in before - wanted.keys():
            self.dismiss(key, "it is no longer a node that we know of its cluster")
        newcomers = [self._take(peer) for peer in wanted.values() if self._is_news(peer)]
        self._realms = {link.realm.network_id: link.realm for link in self.links.values()}
        if newcomers or before - self.links.keys():
            self._pin()
        for peer in wanted.values():
            self._move(self.links[peer.peer_id], peer.address)
        return tuple(refused)

    def dismiss(self, peer: PeerId, why: str) -> None:
        """Disconnects and forgets one peer; the caller has TLS forget it, too."""
        link = self.links.pop(peer, None)
        if link is not None:
            link.retired = True
            if link.connection is not None:
                link.connection.end(ConnectionLost(why, link.name))

    def send(self, peer: PeerId, topic_code: int, body: bytes, *, key: bytes | None = None) -> bool:
        """Queues a message; False when the peer is not connected. Never blocks.

        Raises MessageRefused (our own fault) for a topic that is not foreign, or a body outside its bounds.
        """
        topic = self._topics.get(topic_code)
        if topic is None:
            raise MessageRefused(f"topic {topic_code} does not pass between clusters")
        if not 1 <= len(body) <= topic.max_bytes:
            raise MessageRefused(f"{len(body)} bytes on {topic.name}, allowed are 1 to {topic.max_bytes}")
        connection = self._connections.get(peer)
        if connection is None:
            return False
        connection.send(topic.priority, topic.code, encode(topic.code, body), key)
        return True

    def report(self, peer: PeerId, code: str, weight: int) -> None:
        """Adds `weight` to the peer's score; above the limit it is disconnected and banned for a while."""
        link = self.links.get(peer)
        if link is not None and link.standing.report(weight, now_ms()) and link.connection is not None:
            link.connection.end(Misbehaviour(f"it misbehaved ({code})", link.name))

    def connected(self, network_id: bytes) -> tuple[PeerId, ...]:
        """The connected nodes of one cluster, in order of peer id."""
        links = (self.links.get(peer) for peer in sorted(self._connections))
        return tuple(link.peer for link in links if link is not None and link.realm.network_id == network_id)

    def cluster_of(self, peer: PeerId) -> bytes | None:
        """The network id of the cluster for which a known foreign peer speaks."""
        link = self.links.get(peer)
        return None if link is None else link.realm.network_id

    def status(self) -> tuple[PeerStatus, ...]:
        """Every known foreign peer, in order of peer id."""
        now = now_ms()
        return tuple(self.links[peer].status(self._names, now) for peer in sorted(self.links))

    def limits(self) -> dict[str, tuple[int, int]]:
        """Everything bounded: name -> (current size, bound), for metrics."""
        config, peers = self._config, max(1, len(self.links))
        lanes = [lane for connection in self._connections.values() for lane in connection.queue.lanes]
        return {
            "foreign_connections": (len(self._connections), peers),
            "foreign_inbox_items": (self.inbox.items, config.foreign_inbox_items * 3 * peers),
            "foreign_inbox_bytes": (self.inbox.bytes, config.foreign_inbox_bytes * 3 * peers),
            "foreign_send_items": (sum(map(len, lanes)), config.foreign_queue.items * 3 * peers),
            "foreign_send_bytes": (
                sum(lane.bytes for lane in lanes),
                config.foreign_queue.bytes * 3 * peers,
            ),
        }

    def opened(self, connection: Connection) -> None:
        """Called by the sessions: a foreign peer is connected."""
        self._connections[connection.peer] = connection
        self.inbox.put(PeerConnected(connection.peer))

    def closed(self, connection: Connection, reason: P2PError) -> None:
        """Called by the sessions: a foreign peer is gone."""
        if self._connections.get(connection.peer) is connection:
            del self._connections[connection.peer]
        self.inbox.put(PeerDisconnected(connection.peer, str(reason)))

    def handle(self, connection: Connection, frame: Frame) -> Awaitable[None] | None:
        """Called by a connection's reader; answers something to await when the inbox has no room."""
        if frame.topic == CONTROL:
            raise TopicForbidden("it sent gossip on a link between clusters")
        event, lane = Delivery(connection.peer, frame.topic, frame.body), self._topics[frame.topic].priority
        if not self.inbox.room_for(event.peer, lane):
            return self._deliver_later(event, lane)
        self.inbox.put(event, lane)
        return None

    async def _deliver_later(self, event: Delivery, lane: int) -> None:
        await self.inbox.wait_for_room(event.peer, lane)
        self.inbox.put(event, lane)

    def _reason_against(self, peer: ForeignPeer, other: ForeignPeer | None) -> str:
        if len(peer.peer_id) != 32 or len(peer.network_id) != 32:
            return "a node key and a network id have 32 bytes each"
        if peer.network_id == self._config.network_id:
            return "it is listed as foreign, with our own network id"
        if peer.peer_id == self._own:
            return "it has this node's own key"
        if self._is_member(peer.peer_id):
            return "its key is a node key of our own cluster"
        if other is not None:
            same = other.network_id == peer.network_id
            return "its key is listed twice" if same else "its key is claimed by another cluster, too"
        return ""

    def _is_news(self, peer: ForeignPeer) -> bool:
        """Unknown, or known as another cluster's: that link ends here."""
        known = self.links.get(peer.peer_id)
        if known is not None and known.realm.network_id != peer.network_id:
            self.dismiss(peer.peer_id, "it speaks for another cluster now")
            return True
        return known is None

    def _take(self, peer: ForeignPeer) -> Link:
        realm = self._realms.get(peer.network_id)
        if realm is None:
            realm = foreign_realm(self._config, peer.network_id, self.inbox, self)
            self._realms[peer.network_id] = realm
        link = self.links[peer.peer_id] = Link(peer.peer_id, None, self._config, self._rng, realm)
        return link

    def _move(self, link: Link, address: PeerAddress | None) -> None:
        """Where a peer is dialled from the next attempt on; nowhere any more if there is no address."""
        link.address = address
        if address is not None:
            link.name = address.name
            self._dial(link)
