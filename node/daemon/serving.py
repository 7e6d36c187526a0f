"""Answering peers from storage: ranges of heights, walks of blocks, single batches.

Pure functions of a snapshot, run in a worker thread: a peer that asks for much never holds up agreement.
"""

from consensus import (
    BLOCKS_BYTES_MAX,
    Blocks,
    Digest,
    HeaderCertificate,
    Proposal,
    decode,
)
from node.pool.config import PoolConfig
from node.pool.contents import parse_contents
from node.pool.messages import SyncRequest, SyncResponse
from node.pool.serving import serve
from node.proofs.header import Header
from node.storage import ChainTable, Snapshot
from node.validator.layout import height_key


class StoredChain:
    """The pool's `ChainReader` over one snapshot."""

    def __init__(self, snapshot: Snapshot, config: PoolConfig) -> None:
        self._snapshot = snapshot
        self._config = config

    def header(self, height: int) -> bytes | None:
        """The encoded header of `height`; None when not stored."""
        return self._snapshot.get(ChainTable.HEADERS, height_key(height))

    def proposal(self, height: int) -> bytes | None:
        """The encoded proposal of the block that made header `height`."""
        header = self.header(height)
        if header is None:
            return None
        return self._snapshot.get(ChainTable.BLOCKS, Header.decode(header).block_id)

    def batches(self, height: int) -> tuple[bytes, ...] | None:
        """The referenced batches of that block in payload order; None when one is not stored."""
        stored = self.proposal(height)
        if stored is None:
            return None
        contents = parse_contents(Proposal.from_value(decode(stored)).block, self._config)
        bodies: list[bytes] = []
        for reference in contents.references:
            body = self._snapshot.get(ChainTable.BATCHES, reference.digest)
            if body is None:
                return None
            bodies.append(body)
        return tuple(bodies)

    def certificate_from(self, height: int) -> HeaderCertificate | None:
        """The stored certificate of the lowest height that is at least `height`."""
        found = self._snapshot.scan(ChainTable.CERTIFICATES, height_key(height), limit=1)
        return HeaderCertificate.from_value(decode(found[0][1])) if found else None


def sync_answer(snapshot: Snapshot, config: PoolConfig, request: SyncRequest) -> SyncResponse:
    """The answer to a peer that catches up (C25)."""
    return serve(StoredChain(snapshot, config), request)


def blocks_answer(snapshot: Snapshot, block_id: Digest, count: int) -> Blocks | None:
    """`block_id` and its ancestors, newest first, at most `count` and a bounded number of bytes; None when
    the block is not stored."""
    found: list[Proposal] = []
    size = 0
    wanted = block_id
    while len(found) < count and size < BLOCKS_BYTES_MAX:
        stored = snapshot.get(ChainTable.BLOCKS, wanted)
        if stored is None:
            break
        proposal = Proposal.from_value(decode(stored))
        found.append(proposal)
        size += len(stored)
        wanted = proposal.block.parent_id
    return Blocks(tuple(found)) if found else None
