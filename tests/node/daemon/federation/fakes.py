"""Another cluster in the hands of a test: its nodes answer as scripted, and our ledger is three numbers."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import trio

from consensus import Digest, Epoch, PublicKey, Validator, ValidatorSet
from node import wire
from node.anchoring.bundles.bundle import Bundle
from node.anchoring.client.state import ClientState, Tip
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.exchange import BundleAsked, FactQuestion, OfferAsked, Question, Reply
from node.anchoring.lanes.courier import BundleRequest, Held, LeafName, Offer
from node.anchoring.lanes.inbound import InboundBundle
from node.anchoring.lanes.messages import Mode
from node.anchoring.lanes.progress import Progress
from node.anchoring.questions import FactAsked, Refusal
from node.daemon.federation.ledgerside import BundleFault, Checked, Neighbour, Seat, Standing
from node.daemon.federation.readings import NoAnswer
from node.daemon.federation.told import HeldProof
from node.daemon.federation.turns import rank, turn_of
from node.ledger.federation.queries import ClusterView
from node.ledger.federation.reading import ReadRefused
from node.ledger.federation.records import Peering
from node.proofs import ProofError
from node.proofs.header import Header
from node.wire import Code
from p2p import Delivery, ForeignPeer, ForeignRefused, Inbox, PeerConnected, PeerDisconnected, PeerId

THEM = Digest(b"T" * 32)
OTHERS = Digest(b"O" * 32)
US = Digest(b"U" * 32)
HEARTBEAT_MS = 60_000
NOW_MS = 1_700_000_000_000
FIRST = rank(0, 4, -turn_of(NOW_MS))
"""The seat whose turn it is."""
NODES = tuple(PeerId(bytes([number]) * 32) for number in range(1, 5))

Server = Callable[[PeerId, Question], Reply | bytes | None]
"""What a node answers: a message, raw bytes, or nothing."""


def client(
    cluster_id: Digest = THEM, status: ClientStatus = ClientStatus.ACTIVE, height: int = 5
) -> ClientState:
    validators = ValidatorSet(Epoch(0), (Validator(PublicKey(b"v" * 32), 1),))
    empty = Digest(bytes(32))
    tip = Tip(0, height, empty, empty, NOW_MS, empty, empty, empty, None)
    return ClientState(cluster_id, "them", 0, validators, validators, validators, tip, status, True)


def standing(height: int = 5, *, anchored_ms: int = NOW_MS, leaves: int = 0, **changes: object) -> Standing:
    lanes = (Progress("records", Mode.UNORDERED, leaves),) if leaves else ()
    held = Held(0, height, anchored_ms, lanes)
    return replace(Standing(client(height=height), held, HEARTBEAT_MS, 10**9), **changes)  # type: ignore[arg-type]  # each test names real fields


def a_bundle(source: bytes = THEM) -> bytes:
    """Canonical, and no more than that: an update that only our ledger could judge."""
    return InboundBundle(source, b"an update", None, ()).encode()


class FakeLinks:
    """Links to nodes of one other cluster that are all connected, answered by a script; `strangers` are nodes
    of OTHERS."""

    def __init__(
        self, server: Server, nodes: tuple[PeerId, ...] = NODES, strangers: tuple[PeerId, ...] = ()
    ) -> None:
        self.strangers = strangers
        self.server = server
        self.nodes = nodes
        self.inbox = Inbox(64, 1 << 20)
        self.asked: list[tuple[PeerId, Question]] = []
        self.reports: list[tuple[PeerId, str, int]] = []
        self.sent: list[tuple[PeerId, bytes]] = []
        self.told: list[tuple[ForeignPeer, ...]] = []

    def send(self, peer: PeerId, topic_code: int, body: bytes, *, key: bytes | None = None) -> bool:
        assert topic_code == Code.FEDERATION
        if peer not in (*self.nodes, *self.strangers):
            return False
        message = wire.exchanged_message(body)
        if not isinstance(message, OfferAsked | BundleAsked | FactQuestion):
            self.sent.append((peer, body))
            return True
        self.asked.append((peer, message))
        reply = self.server(peer, message)
        if reply is not None:
            self.answer(peer, reply)
        return True

    def answer(self, peer: PeerId, reply: Reply | bytes) -> None:
        """What a node says, to a question or to none."""
        raw = reply if isinstance(reply, bytes) else wire.frame_of_exchange(reply)[1]
        self.inbox.put(Delivery(peer, Code.FEDERATION, raw))

    def report(self, peer: PeerId, code: str, weight: int) -> None:
        self.reports.append((peer, code, weight))

    def connected(self, network_id: bytes) -> tuple[PeerId, ...]:
        return {THEM: self.nodes, OTHERS: self.strangers}.get(Digest(network_id), ())

    def cluster_of(self, peer: PeerId) -> bytes | None:
        if peer in self.strangers:
            return OTHERS
        return THEM if peer in NODES else None

    def update(self, peers: tuple[ForeignPeer, ...]) -> tuple[ForeignRefused, ...]:
        self.told.append(peers)
        return ()

    def arrive(self, peer: PeerId) -> None:
        self.nodes = tuple(sorted({*self.nodes, peer}))
        self.inbox.put(PeerConnected(peer))

    def leave(self, peer: PeerId) -> None:
        self.nodes = tuple(node for node in self.nodes if node != peer)
        self.inbox.put(PeerDisconnected(peer, "gone"))


@dataclass
class FakeLedger:
    """Our ledger: how it stands with the other cluster, which bundles it refuses, and what it can prove."""

    now: Standing | None = field(default_factory=standing)
    own_seat: Seat | None = field(default_factory=lambda: Seat(FIRST, 4))
    faults: dict[bytes, BundleFault] = field(default_factory=dict)
    known: tuple[Neighbour, ...] = ()
    offered: dict[bytes, Offer] = field(default_factory=dict)
    bundle: bytes | None = None
    looks: int = 0
    after: Callable[[Standing], Standing | None] = lambda at: None
    readable_height: int = 100
    check_seconds: float = 0
    """What the verification of a bundle takes."""
    _grown: trio.Event = field(default_factory=trio.Event)

    async def wait_readable(self, height: int) -> int:
        while self.readable_height < height:
            await self._grown.wait()
        return self.readable_height

    async def standing(self, cluster_id: bytes) -> Standing | None:
        return self.now

    async def check(self, at: Standing, data: bytes, now_ms: int) -> Checked:
        if self.check_seconds:
            await trio.sleep(self.check_seconds)
        if data in self.faults:
            raise self.faults[data]
        return Checked(InboundBundle.decode(data), self.after(at))

    async def clusters(self, now_ms: int) -> tuple[Neighbour, ...]:
        return self.known

    async def seat(self, node_key: bytes) -> Seat | None:
        return self.own_seat

    async def offers(self, cluster_ids: tuple[bytes, ...]) -> dict[bytes, Offer]:
        self.looks += 1
        return {each: self.offered[each] for each in cluster_ids if each in self.offered}

    async def answer(self, cluster_id: bytes, request: BundleRequest) -> bytes | None:
        return self.bundle

    def moves(self, height: int, leaves: int = 3) -> None:
        """Somebody's bundle was executed."""
        self.now = standing(height, leaves=leaves)
        self.readable_height += 1
        self._grown.set()
        self._grown = trio.Event()


@dataclass
class FakeReading:
    """Our ledger for questions of members: it tells one thing, or refuses; our members ask through others."""

    fact: bytes | Refusal = b"a fact"
    told: list[FactAsked] = field(default_factory=list)

    async def tell(self, cluster_id: bytes, asked: FactAsked, now_ms: int) -> bytes:
        self.told.append(asked)
        if isinstance(self.fact, Refusal):
            raise ReadRefused(self.fact)
        return self.fact

    async def credential(self, public_key: bytes) -> bytes:
        raise NoAnswer("not-a-member", "nobody is")

    async def held(self, cluster_id: bytes) -> HeldProof:
        raise NoAnswer("unknown-cluster", "nobody is")

    async def check_state(self, cluster_id: bytes, key: bytes, data: bytes) -> tuple[Bundle, Header]:
        raise ProofError("nothing is proven")

    async def sent(self, cluster_id: bytes, name: LeafName) -> Bundle:
        raise NoAnswer("not-sent", "nothing was")

    async def require_open(self, cluster_id: bytes, name: LeafName) -> None:
        raise NoAnswer("place-closed", "everything is")

    async def check_answered(self, cluster_id: bytes, sent: Bundle, data: bytes) -> tuple[bytes, Header]:
        raise ProofError("nothing is proven")


def neighbour(
    cluster_id: Digest = THEM,
    status: ClientStatus = ClientStatus.ACTIVE,
    node_keys: tuple[PublicKey, ...] = (),
) -> Neighbour:
    return Neighbour(ClusterView(client(cluster_id, status), Peering(), False, 0), node_keys, 3)
