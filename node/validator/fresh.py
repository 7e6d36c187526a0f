"""Heights on their way to those who follow: blocks and batches kept from their commit to their certificate.

Nothing is kept, and nothing costs, while nobody is fed.
"""

from collections.abc import Iterable, Sequence

from consensus import CommittedBlock, Digest, HeaderCertificate, Height, Proposal, encode_trusted
from node.pool.batches import Batch
from node.pool.effects import VerifiedItem
from node.pool.messages import SyncItem, SyncResponse
from node.pool.payload import Reference
from node.validator.line import Settled

PUSH_BYTES_MAX = 512 * 1024
"""Heights larger than this together are told of and fetched by range, not sent."""
KEPT_MAX = 256
"""Blocks kept: more than may be committed and not certified (C13)."""
KEPT_BYTES_MAX = 32 * 1024 * 1024


class FreshHeights:
    """What a push is made of. `wanted` is whether anybody is fed."""

    def __init__(self) -> None:
        self._proposals: dict[Digest, Proposal] = {}
        self._kept: dict[Digest, tuple[bytes, tuple[bytes, ...]]] = {}
        self._bytes = 0
        self._wanted = False

    @property
    def wanted(self) -> bool:
        """Whether blocks are kept."""
        return self._wanted

    @wanted.setter
    def wanted(self, wanted: bool) -> None:
        self._wanted = wanted
        if not wanted:
            self._proposals.clear()
            self._kept.clear()
            self._bytes = 0

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (
            ("fresh_proposals", len(self._proposals), KEPT_MAX),
            ("fresh_blocks", len(self._kept), KEPT_MAX),
            ("fresh_bytes", self._bytes, KEPT_BYTES_MAX),
        )

    def committed(self, blocks: Iterable[CommittedBlock], proposals: Iterable[Proposal]) -> None:
        """Blocks are final; `proposals` are the same as they were proposed."""
        if not self._wanted:
            return
        for committed, proposal in zip(blocks, proposals, strict=True):
            if committed.yields_header:
                self._proposals[committed.block.id] = proposal
        while len(self._proposals) > KEPT_MAX:
            del self._proposals[next(iter(self._proposals))]

    def queued(self, block_id: Digest, references: Iterable[Reference], batches: Iterable[Batch]) -> None:
        """A final block goes to execution: what it refers to, and all batches that it orders."""
        proposal = self._proposals.pop(block_id, None)
        if proposal is None:
            return
        bodies = {batch.digest: batch.encoded for batch in batches}
        referenced = [bodies.get(reference.digest) for reference in references]
        present = tuple(body for body in referenced if body is not None)
        if len(present) == len(referenced):
            self._keep(proposal, present)

    def synced(self, item: VerifiedItem) -> None:
        """A height that another node brought."""
        if self._wanted:
            self._keep(item.proposal, item.referenced)

    def take(self, settled: Sequence[Settled], certificate: HeaderCertificate) -> SyncResponse | None:
        """Certified heights as one message, which `certificate` proves; None when they are not all kept, or
        too large together."""
        items: list[SyncItem] = []
        for one in settled:
            header = one.execution.header
            kept = self._kept.pop(header.block_id, None)
            if kept is not None:
                self._bytes -= _size(kept)
                items.append(SyncItem(header.encoded, *kept))
        if not items or len(items) < len(settled) or sum(item.size for item in items) > PUSH_BYTES_MAX:
            return None
        return SyncResponse(Height(settled[0].execution.header.height), tuple(items), (), certificate)

    def _keep(self, proposal: Proposal, referenced: tuple[bytes, ...]) -> None:
        kept = (encode_trusted(proposal.to_value()), referenced)
        self._drop(proposal.block.id)
        self._kept[proposal.block.id] = kept
        self._bytes += _size(kept)
        while len(self._kept) > KEPT_MAX or self._bytes > KEPT_BYTES_MAX:
            self._drop(next(iter(self._kept)))

    def _drop(self, block_id: Digest) -> None:
        kept = self._kept.pop(block_id, None)
        if kept is not None:
            self._bytes -= _size(kept)


def _size(kept: tuple[bytes, tuple[bytes, ...]]) -> int:
    return len(kept[0]) + sum(map(len, kept[1]))
