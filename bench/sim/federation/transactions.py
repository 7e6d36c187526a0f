"""What a simulated cluster orders, and what its watchers are told about what came of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from bench.sim.federation.keyring import Keyring
from node.anchoring.client.state import ClientState
from node.anchoring.lanes import Acknowledgement, BundleRequest, InboundBundle, Message, Mode, Offer
from node.proofs.header import Header


@dataclass(frozen=True, slots=True)
class Send:
    """An application sends."""

    destination: bytes
    mode: Mode
    payload: bytes
    lasting_ms: int


@dataclass(frozen=True, slots=True)
class Deliver:
    """An inbound bundle of cluster `source`, as bytes from anywhere."""

    source: bytes
    bundle: bytes


@dataclass(frozen=True, slots=True)
class Accuse:
    """Fork evidence, as bytes from anywhere."""

    subject: bytes
    evidence: bytes


@dataclass(frozen=True, slots=True)
class Recover:
    """A recovery that this cluster's operators approved, and what both branches said to us."""

    certificate: bytes
    prefix: bytes | None


@dataclass(frozen=True, slots=True)
class Reconfigure:
    """The next validator set."""

    validators: Keyring


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Nothing; it makes a header, so that a silent cluster is seen to live."""


Transaction: TypeAlias = Send | Deliver | Accuse | Recover | Reconfigure | Heartbeat


@dataclass(frozen=True, slots=True)
class Block:
    """An ordered block, of the epoch in which it was ordered; `signers` certify what it comes to."""

    number: int
    epoch: int
    time_ms: int
    transactions: tuple[Transaction, ...]
    signers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Sealed:
    """A header of a branch was certified."""

    header: Header


@dataclass(frozen=True, slots=True)
class Anchored:
    """A client's tip moved."""

    before: ClientState
    after: ClientState


@dataclass(frozen=True, slots=True)
class Frozen:
    """A client was frozen."""

    client: ClientState


@dataclass(frozen=True, slots=True)
class Recovered:
    """A client entered its next incarnation."""

    client: ClientState


@dataclass(frozen=True, slots=True)
class Handled:
    """A handler ran for a message."""

    message: Message


@dataclass(frozen=True, slots=True)
class Told:
    """A source's application heard what became of its message."""

    acknowledgement: Acknowledgement


@dataclass(frozen=True, slots=True)
class Sent:
    """An application's message got its sequence."""

    message: Message


class Serving(Protocol):
    """A ledger that answers couriers by itself."""

    def offer(self, peer: bytes) -> Offer:
        """What there is to be had."""
        ...

    def answer(self, peer: bytes, request: BundleRequest) -> InboundBundle | None:
        """What that cluster lacks."""
        ...


Happened: TypeAlias = Sealed | Anchored | Frozen | Recovered | Handled | Told | Sent
Watcher: TypeAlias = Callable[[Happened], None]
