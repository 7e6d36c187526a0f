"""Who is made a bundle next: clusters in turn, and the nodes of one cluster in turn, one question each.

Making bundles costs us, so only some are made at once, and few for one cluster. Whoever asks without end gets
every second one at most while one other node of its cluster asks, every third while two do: a node that was
served goes behind all who wait. So no nodes of a cluster, however many are in hostile hands, keep the bundles
from those that are not.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from p2p import PeerId

Question = TypeVar("Question")


@dataclass(frozen=True, slots=True)
class Waits(Generic[Question]):
    """A question that waits for its turn, since `since_ms`."""

    peer: PeerId
    cluster_id: bytes
    question: Question
    since_ms: int


class Slots(Generic[Question]):
    """Questions that wait, at most one a node, and what is being made."""

    def __init__(self, at_once_max: int, to_one_cluster_max: int, waiting_max: int) -> None:
        self._at_once_max = at_once_max
        self._to_one_cluster_max = to_one_cluster_max
        self._waiting_max = waiting_max
        self._lines: dict[bytes, dict[PeerId, Waits[Question]]] = {}  # by cluster, the next one first
        self._making: dict[bytes, int] = {}
        self._served: set[PeerId] = set()

    @property
    def waiting(self) -> int:
        """Questions that wait."""
        return sum(map(len, self._lines.values()))

    @property
    def making(self) -> int:
        """Bundles that are being made."""
        return sum(self._making.values())

    def add(self, waits: Waits[Question]) -> Waits[Question] | None:
        """Let a question wait; answers the one that will not be answered for it: the question that this node
        asked before, whose place it takes, or itself where too many wait."""
        line = self._lines.get(waits.cluster_id, {})
        before = line.get(waits.peer)
        if before is None and self.waiting >= self._waiting_max:
            return waits
        self._lines.setdefault(waits.cluster_id, line)[waits.peer] = waits
        return before

    def take(self) -> Waits[Question] | None:
        """Whose turn it is, if there is a free slot: it holds one until `made`, and its node is passed over
        until `answered`."""
        if self.making >= self._at_once_max:
            return None
        waits = next(self._ready(), None)
        if waits is None:
            return None
        cluster_id = waits.cluster_id
        line = self._lines.pop(cluster_id)
        del line[waits.peer]
        if line:
            self._lines[cluster_id] = line  # behind the other clusters
        self._making[cluster_id] = self._making.get(cluster_id, 0) + 1
        self._served.add(waits.peer)
        return waits

    def _ready(self) -> Iterator[Waits[Question]]:
        for cluster_id, line in self._lines.items():
            if self._making.get(cluster_id, 0) < self._to_one_cluster_max:
                yield from (waits for peer, waits in line.items() if peer not in self._served)

    def made(self, waits: Waits[Question]) -> None:
        """The slot is free: what is left to do costs nobody else."""
        self._making[waits.cluster_id] -= 1
        if not self._making[waits.cluster_id]:
            del self._making[waits.cluster_id]

    def answered(self, waits: Waits[Question]) -> None:
        """The node may be served again: what it has asked meanwhile goes behind all who wait."""
        self._served.discard(waits.peer)
        line = self._lines.get(waits.cluster_id, {})
        meanwhile = line.pop(waits.peer, None)
        if meanwhile is not None:
            line[waits.peer] = meanwhile
