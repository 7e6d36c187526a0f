"""What a block orders, parsed once and remembered: references, inline batches, or the first fault.

A fault here is a function of the block's bytes alone, so every correct validator finds the same and votes for
none of them; should such a block be committed all the same (more than a third lied), every node executes it
as empty.
"""

from collections import OrderedDict

from consensus import Block, CodecError, Digest, immutable
from node.pool.batches import Batch
from node.pool.config import PoolConfig
from node.pool.payload import Payload, Reference


@immutable(frozen=True, slots=True)
class Contents:
    """`references` then `inline`, in order of execution; `fault` in words, "" when there is none."""

    references: tuple[Reference, ...]
    inline: tuple[Batch, ...]
    digests: frozenset[Digest]
    fault: str

    def names(self) -> tuple[Digest, ...]:
        """Every digest ordered, in order of execution."""
        return tuple(r.digest for r in self.references) + tuple(batch.digest for batch in self.inline)


def parse_contents(block: Block, config: PoolConfig) -> Contents:
    """The contents of a block, or its fault. Never raises on what a peer proposed."""
    try:
        payload = Payload.decode(block.payload, config.payload)
        inline = tuple(Batch.decode(body, config.batch) for body in payload.inline)
    except CodecError as error:
        return _faulty(str(error))
    names = [r.digest for r in payload.references] + [batch.digest for batch in inline]
    digests = frozenset(names)
    if len(digests) != len(names):
        return _faulty("a batch appears twice in the payload")
    for batch in inline:
        fault = timing_fault(batch, block, config)
        if fault:
            return _faulty(fault)
    return Contents(payload.references, inline, digests, "")


def timing_fault(batch: Batch, block: Block, config: PoolConfig) -> str:
    """Why this block may not order this batch by time or epoch (C24); "" when it may."""
    if batch.is_expired(block.time_ms):
        return f"a batch expired at {batch.expires_at_ms}, the block's time is {block.time_ms}"
    if batch.expires_at_ms > block.time_ms + config.payload.horizon_ms:
        return f"a batch expires more than {config.payload.horizon_ms} ms after the block's time"
    if batch.epoch != block.epoch:
        return f"a batch of epoch {batch.epoch} in a block of epoch {block.epoch}"
    return ""


def _faulty(fault: str) -> Contents:
    return Contents((), (), frozenset(), fault)


class ContentsCache:
    """Parsed contents by block id; bounded, least recently used out first."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._parsed: OrderedDict[Digest, Contents] = OrderedDict()

    def of(self, block: Block) -> Contents:
        """The contents of `block`."""
        contents = self._parsed.get(block.id)
        if contents is None:
            contents = self._parsed[block.id] = parse_contents(block, self._config)
            if len(self._parsed) > self._config.parsed_blocks_max:
                self._parsed.popitem(last=False)
        else:
            self._parsed.move_to_end(block.id)
        return contents

    def __len__(self) -> int:
        return len(self._parsed)
