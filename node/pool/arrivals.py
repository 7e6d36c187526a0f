"""Batches and acknowledgements as they come in from peers: what is taken, what is ignored, whose fault it is.

A batch is pushed only by its author, over the author's own link, within the author's quota; any batch may
come as the answer to a fetch of ours. Raises PeerError for what no correct peer sends; what a correct
peer may send at a bad moment (a late copy, a quota we see as full) is passed over in silence.
"""

from collections.abc import Iterable

from consensus import (
    Block,
    CodecError,
    Digest,
    InvalidMessage,
    MalformedMessage,
    ValidatorIndex,
    ValidatorSet,
)
from node.pool.attesting import Attesting
from node.pool.batches import Batch, batch_digest
from node.pool.checking import PayloadChecks
from node.pool.config import PoolConfig
from node.pool.delivery import Delivery
from node.pool.effects import PoolEffect
from node.pool.fetching import Fetcher
from node.pool.messages import (
    Acknowledge,
    Attest,
    BatchesUnavailable,
    Fed,
    FetchBatches,
    FetchedBatch,
    Follow,
    PoolMessage,
    PushBatch,
    SyncRequest,
    SyncResponse,
)
from node.pool.ordered import OrderedBlocks
from node.pool.shelf import FOREIGN, HeldBatch, Shelf
from node.pool.spreading import Spreading


class Arrivals:
    """The door of the pool towards peers."""

    def __init__(
        self,
        config: PoolConfig,
        validators: ValidatorSet,
        shelf: Shelf,
        ordered: OrderedBlocks,
        checks: PayloadChecks,
        fetcher: Fetcher,
        delivery: Delivery,
        spreading: Spreading,
        attesting: Attesting,
    ) -> None:
        self._config = config
        self._validators = validators
        self._shelf = shelf
        self._ordered = ordered
        self._checks = checks
        self._fetcher = fetcher
        self._delivery = delivery
        self._spreading = spreading
        self._attesting = attesting
        self.over_quota = 0
        """Pushed batches not taken because their author's quota was full; the author pushes them again."""

    def on_message(
        self, peer: bytes, message: PoolMessage, elapsed_ms: int, cluster_ms: int
    ) -> list[PoolEffect]:
        """Any message of the batch protocol; `cluster_ms` is the later of the wall clock and committed time.
        Raises PeerError."""
        match message:
            case PushBatch(data):
                return self.on_push(peer, data, elapsed_ms, cluster_ms)
            case Acknowledge(digests):
                self.on_acknowledged(peer, digests)
                return []
            case Attest(digests):
                return self._attesting.on_attest(peer, digests, elapsed_ms)
            case FetchBatches():
                return self._delivery.on_fetch(peer, message)
            case FetchedBatch(data):
                return self.on_fetched(peer, data, elapsed_ms)
            case BatchesUnavailable(digests):
                self._fetcher.on_unavailable(peer, digests, elapsed_ms)
                return []
            case SyncRequest() | SyncResponse() | Follow() | Fed():
                raise InvalidMessage("pool-topic", "a catch-up message among batches")

    def on_push(self, peer: bytes, data: bytes, elapsed_ms: int, cluster_ms: int) -> list[PoolEffect]:
        """A batch from its author."""
        name = batch_digest(data)
        if self._delivery.is_wanted(name):
            return self._delivery.on_body(name, data, stored=False)
        if self._ordered.contains(name):
            return []
        index = self._validators.index_of(peer)
        held = self._shelf.get(name)
        if held is not None:
            if index is None or held.batch.author != index:
                raise InvalidMessage("batch-author", f"a batch of {held.batch.author}, pushed by {index}")
            self._count_push(held, index)
            if held.group == FOREIGN and self._shelf.has_room(index, len(data)):
                self._shelf.adopt(held, index)
                if held.verified and not held.durable:
                    self._spreading.acknowledge_later(held, elapsed_ms)
            return self._spreading.acknowledge_again(peer, held)
        if name in self._checks.invalid:
            raise InvalidMessage("batch-invalid", "a batch that was refused before")
        batch = self._decode(data, name)
        if batch.epoch != self._validators.epoch:
            return []  # its author is in another epoch, where indices mean something else (C4)
        if index is None:
            raise InvalidMessage("not-a-validator", "only validators push batches")
        if batch.author != index:
            raise InvalidMessage("batch-author", f"a batch of {batch.author}, pushed by {index}")
        if batch.is_expired(cluster_ms):
            return []
        if batch.expires_at_ms > cluster_ms + self._config.payload.horizon_ms:
            return []  # its author's clock is ahead, or ours is behind; pushed again, it is taken in its time
        if not self._shelf.has_room(index, len(data)):
            self.over_quota += 1
            return []
        self._fetcher.drop(name)
        held = self._shelf.add(batch, index)
        self._count_push(held, index)
        return self._attesting.begin(held, index, elapsed_ms)

    def _count_push(self, held: HeldBatch, author: ValidatorIndex) -> None:
        """Its author holds a large batch durably before it pushes it; a small one it acknowledges apart."""
        if not held.small:
            self._shelf.acknowledge(held.batch.digest, author)

    def on_fetched(self, peer: bytes, data: bytes, elapsed_ms: int) -> list[PoolEffect]:
        """An answer to a fetch; one nobody asked for is its sender's fault, a late one is not."""
        name = batch_digest(data)
        if not self._fetcher.was_asked(peer, name):
            raise InvalidMessage("batch-unsolicited", "a batch that was not asked for")
        if self._delivery.is_wanted(name):
            return self._delivery.on_body(name, data, stored=False)
        if not self._fetcher.is_wanted(name):
            return []
        self._fetcher.drop(name)
        if self._shelf.get(name) is not None or self._ordered.contains(name):
            return []  # it came another way meanwhile; what was executed already is nothing to propose
        try:
            batch = Batch.decode(data, self._config.batch, name)
        except CodecError:
            self._checks.note_invalid(name, None)
            return []
        self.make_room(len(data))
        return self._attesting.begin(self._shelf.add(batch, FOREIGN), None, elapsed_ms)

    def on_inline(self, batches: Iterable[Batch], elapsed_ms: int) -> list[PoolEffect]:
        """Batches that came whole in a block that may get a vote."""
        effects: list[PoolEffect] = []
        for batch in batches:
            if self._shelf.get(batch.digest) is None:
                self.make_room(len(batch.encoded))
                effects += self._attesting.begin(self._shelf.add(batch, FOREIGN), None, elapsed_ms)
        return effects

    def fetch_missing(self, block: Block, me: ValidatorIndex | None, elapsed_ms: int) -> None:
        """Look for what this block names and is not here, first at those who should have it."""
        for reference in self._checks.missing(block.id):
            holders = (block.author, reference.author, *self._shelf.holders(reference.digest))
            keys = [
                self._validators.validators[index].public_key
                for index in dict.fromkeys(holders)
                if self._validators.contains(index) and index != me
            ]
            self._fetcher.want(reference.digest, keys, elapsed_ms)

    def on_acknowledged(self, peer: bytes, names: tuple[Digest, ...]) -> None:
        """A validator holds these; what is ordered already needs no acknowledgement. Who is none here may be
        one in the epoch it is in."""
        index = self._validators.index_of(peer)
        if index is None:
            return
        for name in names:
            if not self._ordered.contains(name):
                self._shelf.acknowledge(name, index)

    def make_room(self, size: int) -> None:
        """Blocks may bring in no more than one author may: what no waiting block names any more goes from
        memory (storage keeps what was voted for)."""
        if self._shelf.has_room(FOREIGN, size):
            return
        for held in [h for h in self._shelf if h.group == FOREIGN and not h.ordered]:
            if self._shelf.has_room(FOREIGN, size):
                return
            if not self._checks.blocks_with(held.batch.digest):
                self._shelf.evict(held)

    def _decode(self, data: bytes, name: Digest) -> Batch:
        try:
            return Batch.decode(data, self._config.batch, name)
        except CodecError as error:
            raise MalformedMessage("batch-malformed", str(error)) from error
