"""Authenticated, bounded, unreliable delivery of bytes by topic between nodes that know each other's keys.

This package moves opaque messages and knows no block. `open_network` is the door: it listens, dials, pins
keys with mutual TLS 1.3, and answers a `Network` with an inbox. Delivery is bounded and unreliable on
purpose: every queue has a limit, and what must arrive is sent again by the protocol above.
Threat model, frame format, hello, gossip and all limits: p2p/DESIGN.md.
"""

from p2p.allowances import Allowances
from p2p.config import GossipConfig, P2PConfig, PeerAddress, Priority, QueueLimit, Topic
from p2p.doorstep import address_group
from p2p.errors import ConfigError, LocalError, MessageRefused, P2PError, PeerError, PortInUse
from p2p.events import Delivery, NetworkEvent, PeerConnected, PeerDisconnected, PeerStatus, QueueStatus
from p2p.foreign import ForeignLinks, ForeignPeer, ForeignRefused
from p2p.identity import NodeIdentity, PeerId
from p2p.inbox import Inbox
from p2p.network import Network, listen, open_network
from p2p.peers import Pace

__all__ = [
    "Allowances",
    "ConfigError",
    "Delivery",
    "ForeignLinks",
    "ForeignPeer",
    "ForeignRefused",
    "GossipConfig",
    "Inbox",
    "LocalError",
    "MessageRefused",
    "Network",
    "NetworkEvent",
    "NodeIdentity",
    "P2PConfig",
    "P2PError",
    "Pace",
    "PeerAddress",
    "PeerConnected",
    "PeerDisconnected",
    "PeerError",
    "PeerId",
    "PeerStatus",
    "PortInUse",
    "Priority",
    "QueueLimit",
    "QueueStatus",
    "Topic",
    "address_group",
    "listen",
    "open_network",
]
