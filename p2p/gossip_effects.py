"""What the gossip core may ask of the network: a closed union, performed in order."""

from dataclasses import dataclass
from typing import TypeAlias

from p2p.identity import PeerId


@dataclass(frozen=True, slots=True)
class SendBody:
    """Send `payload` (budget byte and body) on `topic` to each of `peers`."""

    peers: tuple[PeerId, ...]
    topic: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class SendAnnounce:
    """Tell `peer` that we hold the bodies of these ids."""

    peer: PeerId
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SendPull:
    """Ask `peer` for the bodies of these ids."""

    peer: PeerId
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hand a new message to the application, which answers with accept or reject."""

    peer: PeerId
    topic: int
    body: bytes
    message_id: bytes


@dataclass(frozen=True, slots=True)
class Penalise:
    """Add `weight` to the peer's misbehaviour score."""

    peer: PeerId
    code: str
    weight: int


Effect: TypeAlias = SendBody | SendAnnounce | SendPull | Deliver | Penalise
