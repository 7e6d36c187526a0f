"""What is known of one peer across its connections: where it is, how it behaved, what it cost."""

import random
from collections.abc import Mapping

import trio

from p2p.config import P2PConfig, PeerAddress
from p2p.connection import KEY_TWICE, Connection
from p2p.errors import P2PError, PeerError, RefusedByPeer
from p2p.events import PeerStatus, QueueStatus
from p2p.identity import PeerId
from p2p.peers import Backoff, KeyUse, Standing
from p2p.realm import Realm


class Link:
    """One pinned peer, connected or not. At most one connection at a time."""

    def __init__(
        self, peer: PeerId, address: PeerAddress | None, config: P2PConfig, rng: random.Random, realm: Realm
    ) -> None:
        self.peer = peer
        self.realm = realm
        self.address = address
        self.name = address.name if address is not None else peer.hex()[:12]
        self.connection: Connection | None = None
        self.connected = trio.Event()
        """Set while connected; replaced by a new one when the connection ends."""
        self.backoff = Backoff(rng, config.reconnect_base_ms, config.reconnect_max_ms)
        self.standing = Standing(
            limit=config.score_limit,
            decay_per_minute=config.score_decay_per_minute,
            ban_base_ms=config.ban_base_ms,
            ban_max_ms=config.ban_max_ms,
        )
        self.key_use = KeyUse()
        self.last_error = ""
        self.dialling = False
        """Set while a task keeps this peer dialled."""
        self.retired = False
        """Set when the peer is no longer a member: it is neither dialled nor admitted again."""
        self._stable_after_ms = config.stable_after_ms
        self._own_key_twice_at_ms: int | None = None
        self._software = ""
        self._protocol_newest: int | None = None
        self._past_in: dict[int, int] = {}
        self._past_out: dict[int, int] = {}
        self._past_dropped = [0, 0, 0]
        self._past_coalesced = [0, 0, 0]

    def opened(self, connection: Connection) -> None:
        """The peer is connected now."""
        assert self.connection is None
        self.connection = connection
        self._software = connection.hello.software
        self._protocol_newest = connection.hello.protocol_version
        if self.address is None and connection.hello.node_name:
            self.name = connection.name = f"{connection.hello.node_name} ({self.peer.hex()[:12]})"
        self.connected.set()

    def closed(self, reason: P2PError, now_ms: int) -> None:
        """The connection is over: its counts are kept, and the wait before the next one is set."""
        connection = self.connection
        assert connection is not None
        self.connection = None
        self.connected = trio.Event()
        if now_ms - connection.since_ms >= self._stable_after_ms:
            self.backoff.reset()
        _add(self._past_in, connection.bytes_in)
        _add(self._past_out, connection.queue.bytes_by_topic)
        for index, lane in enumerate(connection.queue.lanes):
            self._past_dropped[index] += lane.dropped
            self._past_coalesced[index] += lane.coalesced
        self.failed(reason, now_ms)

    def failed(self, reason: P2PError, now_ms: int) -> None:
        """Remembers why a connection or an attempt ended, and scores the peer if it is at fault."""
        self.last_error = str(reason)
        if isinstance(reason, RefusedByPeer) and KEY_TWICE in self.last_error:
            self._own_key_twice_at_ms = now_ms
        if isinstance(reason, PeerError) and reason.weight:
            self.standing.report(reason.weight, now_ms)

    def status(self, topic_names: Mapping[int, str], now_ms: int) -> PeerStatus:
        """A snapshot for operators."""
        connection, own_twice = self.connection, self._own_key_twice_at_ms
        received, sent = dict(self._past_in), dict(self._past_out)
        lanes = connection.queue.lanes if connection is not None else ()
        if connection is not None:
            _add(received, connection.bytes_in)
            _add(sent, connection.queue.bytes_by_topic)
        urgent, normal, bulk = (
            QueueStatus(
                items=len(lanes[index]) if lanes else 0,
                bytes=lanes[index].bytes if lanes else 0,
                dropped=self._past_dropped[index] + (lanes[index].dropped if lanes else 0),
                coalesced=self._past_coalesced[index] + (lanes[index].coalesced if lanes else 0),
            )
            for index in range(3)
        )
        return PeerStatus(
            peer=self.peer,
            name=self.name,
            address=f"{self.address.host}:{self.address.port}" if self.address is not None else None,
            connected=connection is not None,
            connected_for_ms=now_ms - connection.since_ms if connection is not None else None,
            score=self.standing.score(now_ms),
            banned_for_ms=self.standing.banned_for_ms(now_ms),
            queues=(urgent, normal, bulk),
            bytes_in=_named(received, topic_names),
            bytes_out=_named(sent, topic_names),
            software=self._software,
            protocol_newest=self._protocol_newest,
            protocol_version=None if connection is None else connection.protocol_version,
            key_twice_ms_ago=self.key_use.twice_ms_ago(now_ms),
            own_key_twice_ms_ago=None if own_twice is None else now_ms - own_twice,
            last_error=self.last_error,
        )


def _add(totals: dict[int, int], more: Mapping[int, int]) -> None:
    for topic, count in more.items():
        totals[topic] = totals.get(topic, 0) + count


def _named(counts: Mapping[int, int], names: Mapping[int, str]) -> tuple[tuple[str, int], ...]:
    return tuple((names[topic], counts[topic]) for topic in sorted(counts))
