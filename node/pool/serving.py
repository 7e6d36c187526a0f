"""Answering those who catch up: a pure function of what storage can read (C25).

Every answer proves itself: its last header is certified, or headers link it to one that is. What cannot be
proven yet is left out, so an answer may hold fewer heights than were asked for, or none. It ends where an
epoch ends: that header is always certified, and whoever catches up must execute it to know the next set.
"""

from typing import Protocol

from consensus import HeaderCertificate
from node.pool.messages import SYNC_HEIGHTS_MAX, SyncItem, SyncRequest, SyncResponse
from node.proofs.header import Header


class ChainReader(Protocol):
    """One consistent view of the stored chain (a read transaction, or a dictionary in tests)."""

    def header(self, height: int) -> bytes | None:
        """The encoded header of `height`; None when not stored."""

    def proposal(self, height: int) -> bytes | None:
        """The encoded proposal (block and author's signature) whose execution made header `height`."""

    def batches(self, height: int) -> tuple[bytes, ...] | None:
        """The batches which that block references, in payload order; None when one is not stored."""

    def certificate_from(self, height: int) -> HeaderCertificate | None:
        """The stored certificate of the lowest height that is at least `height`."""


def serve(reader: ChainReader, request: SyncRequest) -> SyncResponse:
    """The answer to `request`: at least one height when it can be proven, even if that alone exceeds
    `bytes_max` (a block with all its batches is bounded), then as many more as fit."""
    items = _read_items(reader, request)
    while items:
        last = request.from_height + len(items) - 1
        certificate = reader.certificate_from(last)
        links = None if certificate is None else _read_links(reader, last + 1, certificate.height)
        if links is not None:
            return SyncResponse(request.from_height, tuple(items), links, certificate)
        items.pop()
    return SyncResponse(request.from_height, (), (), None)


def _read_items(reader: ChainReader, request: SyncRequest) -> list[SyncItem]:
    items: list[SyncItem] = []
    size = 0
    for height in range(request.from_height, request.from_height + min(request.count, SYNC_HEIGHTS_MAX)):
        header, proposal = reader.header(height), reader.proposal(height)
        batches = reader.batches(height)
        if header is None or proposal is None or batches is None:
            break
        item = SyncItem(header, proposal, batches)
        size += item.size
        if items and size > request.bytes_max:
            break
        items.append(item)
        if Header.decode(header).next_validators_hash is not None:
            break
    return items


def _read_links(reader: ChainReader, start: int, end: int) -> tuple[bytes, ...] | None:
    if end - start >= SYNC_HEIGHTS_MAX:
        return None
    links: list[bytes] = []
    for height in range(start, end + 1):
        header = reader.header(height)
        if header is None:
            return None
        links.append(header)
    return tuple(links)
