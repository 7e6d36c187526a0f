"""What holds for a link because of whose node the peer is: one of our own cluster, or one of another.

Members and foreigners share the handshake, the frames and the signs of life. They differ in the hello that is
expected of them, in what they may send, in how much of it, and in who hears of it.
"""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from typing import Protocol

from p2p.config import P2PConfig, Priority, QueueLimit
from p2p.connection import CONTROL_MAX_BYTES, Connection
from p2p.errors import P2PError
from p2p.frames import CONTROL, Frame, FrameRule
from p2p.hello import Hello, check, check_foreign
from p2p.inbox import Inbox
from p2p.peers import Pace
from p2p.queues import SendQueue


class Owner(Protocol):
    """Who hears of the links of a realm."""

    def opened(self, connection: Connection) -> None:
        """A connection was admitted."""

    def handle(self, connection: Connection, frame: Frame) -> Awaitable[None] | None:
        """A frame arrived; raises PeerError if it must not have been sent."""

    def closed(self, connection: Connection, reason: P2PError) -> None:
        """An admitted connection is over."""


@dataclass(frozen=True, slots=True)
class Realm:
    """The members of our own cluster, or the known nodes of one other cluster."""

    network_id: bytes
    """What a peer's hello must name."""
    foreign: bool
    rules: Mapping[int, FrameRule]
    forbidden: Mapping[int, str]
    """Names of the topics that exist and do not pass here."""
    queues: tuple[QueueLimit, ...]
    """Bounds of a peer's send queue, by priority."""
    pace: tuple[int, int] | None
    """Frames and bytes a second that are read from one peer; None where memory alone is bounded."""
    inbox: Inbox
    owner: Owner

    def check(self, theirs: Hello, ours: Hello, who: str) -> None:
        """Raises HelloMismatch unless the peer belongs here."""
        if self.foreign:
            check_foreign(theirs, self.network_id, who)
        else:
            check(theirs, ours, who)

    def new_queue(self) -> SendQueue:
        """The send queue of a new connection."""
        return SendQueue([(limit.items, limit.bytes) for limit in self.queues])

    def new_pace(self) -> Pace | None:
        """How fast a new connection is read."""
        return None if self.pace is None else Pace(*self.pace)


def home_realm(config: P2PConfig, inbox: Inbox, owner: Owner) -> Realm:
    """The realm of our own cluster: every topic but the foreign ones."""
    return Realm(
        network_id=config.network_id,
        foreign=False,
        rules=_rules(config, foreign=False),
        forbidden={topic.code: topic.name for topic in config.topics if topic.foreign},
        queues=tuple(config.queue_limit(priority) for priority in Priority),
        pace=None,
        inbox=inbox,
        owner=owner,
    )


def foreign_realm(config: P2PConfig, network_id: bytes, inbox: Inbox, owner: Owner) -> Realm:
    """The realm of another cluster: foreign topics alone, little at a time, and never gossip."""
    return Realm(
        network_id=network_id,
        foreign=True,
        rules=_rules(config, foreign=True),
        forbidden={topic.code: topic.name for topic in config.topics if not topic.foreign},
        queues=(config.foreign_queue,) * len(Priority),
        pace=(config.foreign_frames_per_second, config.foreign_bytes_per_second),
        inbox=inbox,
        owner=owner,
    )


def _rules(config: P2PConfig, *, foreign: bool) -> dict[int, FrameRule]:
    rules = {CONTROL: FrameRule("control", CONTROL_MAX_BYTES, Priority.URGENT)}
    for topic in config.topics:
        if topic.foreign == foreign:
            # A gossip frame carries the push budget before its body.
            frame_max = topic.max_bytes + 1 if topic.gossip else topic.max_bytes
            rules[topic.code] = FrameRule(topic.name, frame_max, topic.priority)
    return rules
