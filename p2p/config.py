"""What a network is told before it starts: topics, peers, and a limit for everything that can grow.

Durations are integer milliseconds, sizes are bytes. The reasons behind the default limits are in DESIGN.md.
"""

from dataclasses import dataclass
from enum import IntEnum

from p2p.errors import ConfigError
from p2p.hello import Hello, is_range
from p2p.identity import PeerId


class Priority(IntEnum):
    """Queue class of a topic; a lower value is sent and delivered first."""

    URGENT = 0
    """Agreement: proposals, votes, timeouts."""
    NORMAL = 1
    """Status, synchronisation, gossip."""
    BULK = 2
    """Batches: large and many."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of message. `code` is the byte on the wire; a message above `max_bytes` is a peer's error.

    A gossip topic is sent with `publish` only and spreads through nodes that validated it; every other
    topic is sent with `send` and `broadcast` and goes one hop.
    """

    code: int
    name: str
    priority: Priority
    max_bytes: int
    gossip: bool = False
    foreign: bool = False
    """Passes between clusters, and there only; never gossip."""
    since: int = 0
    """The protocol version that brought it: it is not sent on links that use an older one. Neither gossip nor
    foreign."""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """A peer we know where to find; `host` may be a DNS name."""

    peer_id: PeerId
    name: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """Bound of one send queue of one peer; on overflow the oldest message goes."""

    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GossipConfig:
    """Parameters of the gossip core; DESIGN.md has the arithmetic."""

    fanout: int = 8
    """Peers the origin pushes a body to; relays push to half as many at each hop."""
    announce_degree: int = 8
    """Random peers an id is announced to in each flush that names it."""
    announce_rounds: int = 2
    """Flushes that name an id."""
    announce_ids_max: int = 512
    """Ids in one announcement frame."""
    flush_interval_ms: int = 100
    seen_items: int = 65_536
    """Ids remembered, so that nothing is delivered twice."""
    store_items: int = 8_192
    store_bytes: int = 32 * 1024 * 1024
    """Bodies kept to answer pulls, unvalidated ones included; the oldest goes first."""
    pull_timeout_ms: int = 1_000
    pull_sources_max: int = 8
    """Further peers remembered as holders of a missing body."""
    pull_attempts_max: int = 12
    """Times a missing body is asked for, of its holders in turn, before it is given up."""
    pulls_per_peer: int = 512
    """Ids asked of one peer and not yet answered."""
    pulls_max: int = 4_096
    """Ids missing and being asked for, all peers together."""
    announced_ids_per_second: int = 4_096
    """Ids one peer may announce in a second; more is ignored, and 16 times as much is scored."""
    served_bytes_per_second: int = 8 * 1024 * 1024
    """Bodies one peer may pull in a second; more is ignored."""


@dataclass(frozen=True, slots=True)
class P2PConfig:
    """Everything `open_network` needs to know; `check()` says in words what cannot work."""

    listen_host: str
    listen_port: int
    network_id: bytes
    """32 bytes: the genesis hash, which is the cluster id."""
    protocol_version: int
    """The newest version that we speak."""
    software: str
    topics: tuple[Topic, ...]
    peers: tuple[PeerAddress, ...] = ()
    allowed: frozenset[PeerId] = frozenset()
    """Keys that may connect to us but are not dialled: observers, joining nodes, peers without address."""
    node_name: str = ""
    protocol_oldest: int | None = None
    """The oldest version that we still speak; None: `protocol_version` alone."""

    urgent_queue: QueueLimit = QueueLimit(items=4_096, bytes=8 * 1024 * 1024)
    normal_queue: QueueLimit = QueueLimit(items=8_192, bytes=16 * 1024 * 1024)
    bulk_queue: QueueLimit = QueueLimit(items=1_024, bytes=64 * 1024 * 1024)
    inbox_items_per_peer: int = 4_096
    """Messages of one peer and one class waiting for the application; then its reader waits."""
    inbox_bytes_per_peer: int = 16 * 1024 * 1024
    """Bytes of one peer and one class waiting; one message may always wait, whatever its size."""

    handshake_timeout_ms: int = 5_000
    """TCP connect, TLS and hello together."""
    idle_ping_ms: int = 5_000
    """Silence after which we ask whether the peer is alive."""
    idle_timeout_ms: int = 15_000
    """Silence after which the link is dead."""
    stall_timeout_ms: int = 10_000
    """How long one write may take before the peer counts as not reading."""
    reconnect_base_ms: int = 200
    reconnect_max_ms: int = 10_000
    stable_after_ms: int = 10_000
    """A connection that lived this long resets the back-off."""
    dial_patience_ms: int = 500
    """How long the node with the larger id waits to be dialled before it dials."""
    pending_max: int = 64
    """Inbound connections that have not finished the handshake, all addresses together."""
    pending_per_address: int = 16
    """The same from one address (an IPv6 address counts by its /64)."""
    pending_strangers: int = 32
    """The same from all addresses together that no pinned key has come from: the rest is kept for peers."""
    handshakes_per_second: int = 16
    """Handshakes that one address may begin in a second, each about 5 ms of CPU; 0 means any number."""
    handshakes_burst: int = 64
    """The same at once after a pause: a whole cluster behind one address may come back together."""
    strangers_per_second: int = 32
    """Handshakes in a second of all addresses that no pinned key has come from; 0 means any number."""
    strangers_burst: int = 256
    addresses_max: int = 4_096
    """Addresses remembered for their allowance, and as many from which a pinned key has come."""
    addresses_per_key: int = 3
    """Of these for one key, the newest; those of other clusters' keys make room first."""

    foreign_queue: QueueLimit = QueueLimit(items=64, bytes=4 * 1024 * 1024)
    """Each send queue of a node of another cluster."""
    foreign_inbox_items: int = 64
    foreign_inbox_bytes: int = 2 * 1024 * 1024
    """The same as `inbox_*_per_peer`, of a node of another cluster."""
    foreign_frames_per_second: int = 200
    foreign_bytes_per_second: int = 4 * 1024 * 1024
    """What is read of one node of another cluster; more waits in its own buffers."""

    score_limit: int = 100
    score_decay_per_minute: int = 20
    ban_base_ms: int = 10_000
    ban_max_ms: int = 600_000
    gossip: GossipConfig = GossipConfig()

    @property
    def oldest_version(self) -> int:
        """The oldest protocol version that we speak."""
        return self.protocol_version if self.protocol_oldest is None else self.protocol_oldest

    def hello(self, instance: bytes) -> Hello:
        """How this node introduces itself; `instance` is drawn anew at every start."""
        return Hello(
            self.protocol_version,
            self.oldest_version,
            self.network_id,
            self.node_name,
            self.software,
            instance,
        )

    def queue_limit(self, priority: Priority) -> QueueLimit:
        """The bound of one peer's send queue of this class."""
        return (self.urgent_queue, self.normal_queue, self.bulk_queue)[priority]

    def check(self, own: PeerId) -> None:
        """Raises ConfigError with the way out, if this configuration cannot work for the node `own`."""
        if len(self.network_id) != 32:
            raise ConfigError(
                f"network_id must be the 32-byte genesis hash, not {len(self.network_id)} bytes"
            )
        if not is_range(self.oldest_version, self.protocol_version):
            raise ConfigError(
                f"protocol versions {self.oldest_version} to {self.protocol_version} are no range of "
                "unsigned 32-bit numbers"
            )
        self._check_topics()
        seen: set[PeerId] = set()
        for peer_id in (*(address.peer_id for address in self.peers), *self.allowed):
            if len(peer_id) != 32:
                raise ConfigError(f"a peer id has 32 bytes, not {len(peer_id)}: {peer_id.hex()}")
        for address in self.peers:
            if address.peer_id == own:
                raise ConfigError(f"peer {address.name} has this node's own key: remove it from the peers")
            if address.peer_id in seen:
                raise ConfigError(f"peer {address.name} is listed twice: {address.peer_id.hex()}")
            seen.add(address.peer_id)

    def _check_topics(self) -> None:
        codes: set[int] = set()
        for topic in self.topics:
            if not 1 <= topic.code <= 255:
                raise ConfigError(f"topic {topic.name}: code {topic.code} is not in 1..255")
            if topic.code in codes:
                raise ConfigError(f"topic {topic.name}: code {topic.code} is used twice")
            codes.add(topic.code)
            if topic.max_bytes < 1:
                raise ConfigError(f"topic {topic.name}: max_bytes must be at least 1")
            if topic.foreign and topic.gossip:
                raise ConfigError(f"topic {topic.name}: gossip does not pass between clusters")
            if topic.since and (topic.foreign or topic.gossip):
                raise ConfigError(f"topic {topic.name}: only what one member sends another can be newer")
            limit = self.foreign_queue if topic.foreign else self.queue_limit(topic.priority)
            if topic.max_bytes > limit.bytes // 2:
                raise ConfigError(
                    f"topic {topic.name}: max_bytes {topic.max_bytes} is more than half of its send queue; "
                    f"raise the {'foreign' if topic.foreign else topic.priority.name.lower()} queue's bytes"
                )
