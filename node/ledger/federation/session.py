"""A federation transaction under execution: who sends it, in which block, and its own writes."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from consensus import LocalError, PublicKey, SignatureCache
from node.anchoring.client.state import ClientState
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.federation.draft import Draft
from node.ledger.federation.keys import client_key, peer_key
from node.ledger.federation.posting import Posting
from node.ledger.federation.records import (
    FederationParams,
    Get,
    Peering,
    client_of,
    cluster_ids,
    params_of,
    peering_of,
    stored,
)
from node.ledger.members import member_key
from node.ledger.roster import ROSTER_KEY, Roster


@dataclass(frozen=True, slots=True)
class Desk:
    """What all federation transactions of a block share."""

    get: Get
    posting: Posting
    cache: SignatureCache


class Session:
    """One transaction: the state with its own writes, and what is asked of it most."""

    __slots__ = ("_desk", "draft", "sender")

    def __init__(self, desk: Desk, sender: PublicKey) -> None:
        self._desk = desk
        self.sender = sender
        self.draft = Draft(desk.get)

    @property
    def posting(self) -> Posting:
        """The lanes of the block."""
        return self._desk.posting

    @property
    def cache(self) -> SignatureCache:
        """Signatures that verified."""
        return self._desk.cache

    @property
    def time_ms(self) -> int:
        """Cluster time."""
        return self._desk.posting.block.time_ms

    @property
    def get(self) -> Get:
        """A leaf, own writes included."""
        return self.draft.get

    @property
    def params(self) -> FederationParams:
        """As operators set them."""
        return params_of(self.get)

    def require_courier(self) -> None:
        """Raises RejectedTransaction unless the sender is the node of a current validator."""
        if not self._is_node():
            raise RejectedTransaction(Code.NOT_COURIER, f"key {self.sender.hex()}")

    def require_known(self) -> None:
        """Raises RejectedTransaction unless the sender is such a node, an operator, or a member."""
        known = self._is_node() or self._roster().operated_by(self.sender) is not None
        if not known and self.get(member_key(self.sender)) is None:
            raise RejectedTransaction(Code.UNKNOWN_SENDER, f"key {self.sender.hex()}")

    def client(self, cluster_id: bytes) -> ClientState:
        """The client of a cluster. Raises RejectedTransaction when it was never admitted."""
        found = client_of(self.get, cluster_id)
        if found is None:
            raise RejectedTransaction(Code.CLUSTER_UNKNOWN, f"cluster {cluster_id.hex()}")
        return found

    def clients(self) -> tuple[ClientState, ...]:
        """Every client, in order of admission."""
        return tuple(self.client(cluster_id) for cluster_id in cluster_ids(self.get))

    def put_client(self, client: ClientState) -> None:
        """Store a client."""
        self.draft.put(client_key(client.cluster_id), client.encode())

    def change_peering(self, cluster_id: bytes, change: Callable[[Peering], Peering]) -> None:
        """Change what is known of a cluster beside its client."""
        self.draft.put(peer_key(cluster_id), stored(change(peering_of(self.get, cluster_id))))

    def note_anchored(self, cluster_id: bytes) -> None:
        """Its tip was anchored in this block."""
        block = self.posting.block
        self.change_peering(
            cluster_id,
            lambda known: replace(known, anchored_ms=block.time_ms, anchored_height=block.height),
        )

    def _roster(self) -> Roster:
        data = self.get(ROSTER_KEY)
        if data is None:
            raise LocalError("the state holds no roster of validators")
        return Roster.decode(data)

    def _is_node(self) -> bool:
        return any(validator.node_key == self.sender for validator in self._roster().validators)
