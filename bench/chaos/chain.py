"""What the nodes hold after all faults are healed, as types, and what it means: a replay of our own.

`Chain` is the one total order in which everything happened. `replay` says what each record was at each
height and what each transaction had to answer, with thirty lines that know nothing of the ledger's code.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RECORD_EXISTS, RECORD_UNKNOWN, WRONG_PREVIOUS = 200, 201, 203
"""The ledger's stable codes of writes that were executed without effect."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a transaction stands, and its receipt's status."""

    height: int
    index: int
    status: int


@dataclass(frozen=True, slots=True)
class Executed:
    """One transaction of the chain. `previous` is None for a put; `version` what its receipt answered."""

    tx_id: bytes
    place: Place
    key: str
    value: int
    previous: int | None
    version: int | None


@dataclass(frozen=True, slots=True)
class NodeContents:
    """What one node holds: the hash of each header from height 1 on, a digest of each block's transactions
    and receipts, and where it says that each asked transaction stands. `faults` are sentences about what
    does not fit together in itself."""

    name: str
    headers: tuple[bytes, ...]
    bodies: tuple[bytes, ...]
    places: Mapping[bytes, Place]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Chain:
    """All nodes' contents, and the transactions of the first node's blocks in order."""

    executed: tuple[Executed, ...]
    nodes: tuple[NodeContents, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """A record's version and who wrote it, at which place."""

    place: Place
    number: int
    value: int
    tx_id: bytes


@dataclass(slots=True)
class Replayed:
    """Every record's versions in order, and the status every transaction had to have."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)

    def at(self, key: str, height: int) -> Version | None:
        """The newest version of a record after all of `height`."""
        versions = self.versions.get(key, [])
        position = bisect_right(versions, height, key=lambda version: version.place.height)
        return versions[position - 1] if position else None


def replay(executed: Sequence[Executed]) -> Replayed:
    """What puts and supersedes mean, in the order of the chain: compare-and-set on version numbers."""
    told = Replayed()
    for item in executed:
        versions = told.versions.setdefault(item.key, [])
        current = versions[-1].number if versions else 0
        if item.previous is None and current:
            status = RECORD_EXISTS
        elif item.previous is not None and not current:
            status = RECORD_UNKNOWN
        elif item.previous is not None and item.previous != current:
            status = WRONG_PREVIOUS
        else:
            status = 0
        told.statuses.append(status)
        if item.place.status == status == 0:
            versions.append(Version(item.place, current + 1, item.value, item.tx_id))
    return told
