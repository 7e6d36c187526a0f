"""What a network tells the application: a closed union of three events, and the status of a peer.

For one peer: its PeerConnected comes before its deliveries. A PeerDisconnected may overtake deliveries of
lower priority that arrived before it; they are still authentic.
"""

from dataclasses import dataclass
from typing import TypeAlias

from p2p.identity import PeerId


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message of an authenticated, connected peer; its size is within the topic's limit.

    `message_id` is set for gossip only, and then `peer` is the neighbour who passed it on, not its author:
    answer with `accept_gossip` or `reject_gossip`, nothing is forwarded before.
    """

    peer: PeerId
    topic: int
    body: bytes
    message_id: bytes | None = None


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """The peer can be sent to from now on."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class PeerDisconnected:
    """The peer is gone, for the reason in words; what was queued for it is dropped."""

    peer: PeerId
    reason: str


NetworkEvent: TypeAlias = Delivery | PeerConnected | PeerDisconnected


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """One lane of a peer's send queue: current fill, and counts since the peer was first seen."""

    items: int
    bytes: int
    dropped: int
    coalesced: int


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What is known of a peer. Tables by topic are (topic name, bytes) in order of topic code."""

    peer: PeerId
    name: str
    address: str | None
    """Where we dial it; None when it is only expected to connect."""
    connected: bool
    connected_for_ms: int | None
    score: int
    banned_for_ms: int
    queues: tuple[QueueStatus, QueueStatus, QueueStatus]
    """Urgent, normal, bulk."""
    bytes_in: tuple[tuple[str, int], ...]
    bytes_out: tuple[tuple[str, int], ...]
    software: str
    protocol_newest: int | None
    """The newest protocol version that it said it speaks; None when it never was linked."""
    protocol_version: int | None
    """The one in use on this link: the highest that both speak; None when not linked, or foreign."""
    key_twice_ms_ago: int | None
    """When it was last seen that two processes use its key; None when never."""
    own_key_twice_ms_ago: int | None
    """When it last said so of ours."""
    last_error: str
    """Why the latest connection or attempt ended; empty if it never did."""
