"""Committed blocks handed to execution in order, each once and whole; and batches handed to peers.

Both may need a body that left memory, so both ask storage first; what storage does not have either is fetched
from other validators, however long it takes: a committed batch is never skipped, because a quorum holds it.
"""

from consensus import CodecError, Digest
from node.pool.batches import Batch
from node.pool.config import PoolConfig
from node.pool.contents import Contents
from node.pool.effects import BlockReady, PersistBatch, PoolEffect, ReadBatch, Send
from node.pool.fetching import Fetcher
from node.pool.messages import BatchesUnavailable, FetchBatches, FetchedBatch
from node.pool.ordered import OrderedBlocks
from node.pool.shelf import FOREIGN, Shelf


class Delivery:
    """The way from a committed block to its batches, through memory, storage and peers."""

    def __init__(self, config: PoolConfig, shelf: Shelf, ordered: OrderedBlocks, fetcher: Fetcher) -> None:
        self._config = config
        self._shelf = shelf
        self._ordered = ordered
        self._fetcher = fetcher
        self._reading: dict[Digest, dict[bytes, None]] = {}
        self._wanted_here: dict[Digest, None] = {}
        self._void: dict[Digest, None] = {}

    def resolve(self, contents: Contents) -> tuple[Batch, ...] | tuple[Digest, ...]:
        """The batches of a block in order of execution or, when some are not in memory, their digests."""
        return tuple(self._missing(contents)) or self._bodies(contents)

    def run(self) -> list[PoolEffect]:
        """Hand over every block that is complete, up to the first that is not; look for what is missing."""
        effects: list[PoolEffect] = []
        waiting = self._ordered.waiting
        while waiting and not self._missing(waiting[0][1]):
            block, contents = waiting.popleft()
            self._ordered.executing[block.block.id] = contents
            effects += self._keep(contents)
            effects.append(BlockReady(block, self._bodies(contents)))
        if not waiting:
            self._void.clear()
            return effects
        for position in range(min(len(waiting), self._config.resolve_ahead)):
            for name in self._missing(waiting[position][1]):
                if name not in self._wanted_here:
                    self._wanted_here[name] = None
                    effects += self._read(name)
        return effects

    def _keep(self, contents: Contents) -> list[PoolEffect]:
        # A quorum may order what this node had not journalled yet; history must hold it all the same.
        effects: list[PoolEffect] = []
        for reference in contents.references:
            held = self._shelf.get(reference.digest)
            if held is not None and not held.durable and not held.persisting:
                held.persisting = True
                effects.append(PersistBatch(reference.digest, held.batch.encoded))
        return effects

    def is_wanted(self, name: Digest) -> bool:
        """Whether a committed block waits for this batch."""
        return name in self._wanted_here

    def on_body(self, name: Digest, data: bytes, *, stored: bool) -> list[PoolEffect]:
        """The body of a batch that a committed block waits for. A quorum voted for it, so it is not verified
        again; bytes that are no batch at all are left out, at every node alike."""
        del self._wanted_here[name]
        self._fetcher.drop(name)
        try:
            batch = Batch.decode(data, self._config.batch, name)
        except CodecError:
            self._void[name] = None
            return []
        held = self._shelf.get(name) or self._shelf.add(batch, FOREIGN)
        held.verified = True
        self._shelf.mark_ordered(name)
        if stored:
            held.durable = True
        if held.durable or held.persisting:
            return []
        held.persisting = True
        return [PersistBatch(name, data)]

    def on_read(self, name: Digest, data: bytes | None, elapsed_ms: int) -> list[PoolEffect]:
        """What storage answered, for peers that asked and for ourselves."""
        effects: list[PoolEffect] = []
        for peer in self._reading.pop(name, {}):
            message = BatchesUnavailable((name,)) if data is None else FetchedBatch(data)
            effects.append(Send(peer, message))
        if name in self._wanted_here:
            if data is not None:
                effects += self.on_body(name, data, stored=True)
            else:
                self._fetcher.want(name, (), elapsed_ms)
        return effects

    def on_fetch(self, peer: bytes, message: FetchBatches) -> list[PoolEffect]:
        """A peer asks for batches: from memory, from storage, or a refusal that lets it go on at once."""
        effects: list[PoolEffect] = []
        unavailable: list[Digest] = []
        for name in message.digests:
            held = self._shelf.get(name)
            if held is not None:
                effects.append(Send(peer, FetchedBatch(held.batch.encoded)))
            elif name in self._reading:
                self._reading[name][peer] = None
            elif len(self._reading) < self._config.reads_max:
                self._reading[name] = {peer: None}
                effects.append(ReadBatch(name))
            else:
                unavailable.append(name)
        if unavailable:
            effects.append(Send(peer, BatchesUnavailable(tuple(unavailable))))
        return effects

    def skip_through(self, height: int) -> None:
        """Nothing up to `height` is handed over any more: catch-up brings it, or has executed it."""
        for contents in self._ordered.skip_through(height):
            for name in contents.names():
                self._wanted_here.pop(name, None)
                self._shelf.remove(name)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        wanted = self._config.resolve_ahead * self._config.payload.batches_max
        return (
            ("pool_storage_reads", len(self._reading), self._config.reads_max + wanted),
            ("pool_committed_missing", len(self._wanted_here), wanted),
        )

    def _read(self, name: Digest) -> list[PoolEffect]:
        if name in self._reading:
            return []
        self._reading[name] = {}
        return [ReadBatch(name)]

    def _bodies(self, contents: Contents) -> tuple[Batch, ...]:
        held = (self._shelf.get(reference.digest) for reference in contents.references)
        return (*(h.batch for h in held if h is not None), *map(self._as_checked, contents.inline))

    def _as_checked(self, inline: Batch) -> Batch:
        held = self._shelf.get(inline.digest)
        return inline if held is None else held.batch

    def _missing(self, contents: Contents) -> list[Digest]:
        return [r.digest for r in contents.references if not self._is_known(r.digest)]

    def _is_known(self, name: Digest) -> bool:
        return self._shelf.get(name) is not None or name in self._void
