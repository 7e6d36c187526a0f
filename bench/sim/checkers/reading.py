"""Bytes as plain values, for checkers that look at what left a host and at nothing else.

A block is read once however often it is sent, so that a broadcast costs one look. Nothing here believes
anything: what is wrong with a value is for the checkers to say.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import msgpack

BLOCKS_MAX = 1_024
"""Blocks read and remembered, oldest out first."""
_BLOCK_DOMAIN = "isthmus/block/v1"

Fields = tuple[Any, ...]
"""An array of canonical values, as it stands in the bytes."""
_ROUNDS_BITS = 40
_QC, _TC = 8, 5
"""How many fields they have."""


def place(epoch: int, round: int) -> int:
    """One number that grows with (epoch, round); in epoch 0 the round itself (C4)."""
    return epoch << _ROUNDS_BITS | round


def epoch_at(place: int) -> int:
    """The epoch of a place."""
    return place >> _ROUNDS_BITS


def round_at(place: int) -> int:
    """The round of a place."""
    return place & ((1 << _ROUNDS_BITS) - 1)


def placed(certificate: Fields) -> Fields:
    """A certificate with places for rounds; one of a header as it is."""
    epoch = certificate[0]
    if len(certificate) == _QC:
        _, round, block, parent, parent_round, *rest = certificate
        return (epoch, place(epoch, round), block, parent, place(epoch, parent_round), *rest)
    if len(certificate) == _TC:
        _, round, signers, highest, signatures = certificate
        known = tuple(place(epoch, hqc_round) for hqc_round in highest)
        return (epoch, place(epoch, round), signers, known, signatures)
    return certificate


def unpack(data: bytes) -> Any:
    """The value in `data`; raises ValueError."""
    return msgpack.unpackb(data, use_list=False)


def tagged(domain: str, data: bytes) -> bytes:
    """SHA-256 of the length-prefixed domain and `data`: how everything of a cluster is named."""
    tag = domain.encode()
    return sha256(bytes((len(tag),)) + tag + data).digest()


@dataclass(frozen=True, slots=True)
class SeenBlock:
    """A block as it stands in its bytes, but for `round`, which is its place; its certificates are arrays
    that nobody has believed yet."""

    id: bytes
    epoch: int
    round: int
    qc: Fields
    tc: Fields | None
    certified: Fields | None
    payload: bytes
    author: int
    time_ms: int
    standing: tuple[Fields, ...]

    @property
    def parent_id(self) -> bytes:
        """What its certificate certifies."""
        parent: bytes = self.qc[2]
        return parent

    @property
    def parent_round(self) -> int:
        """The place of its certificate."""
        return place(self.qc[0], self.qc[1])


class BlockReader:
    """Blocks by their bytes; bounded."""

    def __init__(self) -> None:
        self._read: dict[bytes, SeenBlock] = {}
        self._by_id: dict[bytes, SeenBlock] = {}

    def read(self, data: bytes) -> SeenBlock:
        """The block in `data`; raises ValueError for what is none."""
        known = self._read.get(data)
        if known is None:
            _, _, epoch, round, qc, tc, certified, payload, author, time_ms, standing = unpack(data)
            block_id = tagged(_BLOCK_DOMAIN, data)
            known = SeenBlock(
                block_id, epoch, place(epoch, round), qc, tc, certified, payload, author, time_ms, standing
            )
            self._read[data] = self._by_id[block_id] = known
            if len(self._read) > BLOCKS_MAX:
                oldest = self._read.pop(next(iter(self._read)))
                del self._by_id[oldest.id]
        return known

    def by_id(self, block_id: bytes) -> SeenBlock | None:
        """A block read not long ago."""
        return self._by_id.get(block_id)
