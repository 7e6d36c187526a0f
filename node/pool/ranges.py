"""The ranges of heights that catching up is made of, and what was asked too long ago to count."""

from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from node.pool.effects import VerifiedItem
from node.pool.messages import SyncResponse


@dataclass(slots=True, eq=False)
class Range:
    """Heights `start` to `start + count - 1`: not asked for yet, asked of `peer`, answered but of an unknown
    epoch (`parked`), or proven (`items`)."""

    start: int
    count: int
    peer: bytes | None = None
    asked_ms: int = 0
    deadline_ms: int = 0
    failures: int = 0
    tried: dict[bytes, None] = field(default_factory=dict)
    parked: SyncResponse | None = None
    items: deque[VerifiedItem] | None = None
    size: int = 0
    """Bytes of the answer that is held."""

    @property
    def last(self) -> int:
        """Its last height."""
        return self.start + self.count - 1

    @property
    def is_open(self) -> bool:
        """No answer yet."""
        return self.items is None and self.parked is None

    @property
    def is_asked(self) -> bool:
        """A peer was asked and has not answered."""
        return self.is_open and self.peer is not None

    def is_owed(self, peer: bytes, start: int) -> bool:
        """Whether `peer` was asked for what begins at `start`, and has not answered."""
        return self.is_asked and (self.peer, self.start) == (peer, start)

    def prove(self, items: Sequence[VerifiedItem], size: int) -> None:
        """It was answered, perhaps not to its end, with `size` bytes."""
        self.count, self.items, self.parked, self.size = len(items), deque(items), None, size

    def reopen(self) -> None:
        """Whoever was asked did not help: ask again, and elsewhere if there is somebody else."""
        if self.peer is not None:
            self.tried[self.peer] = None
        self.failures += 1
        self.peer = self.parked = None
        self.size = 0


class LateAnswers:
    """Who was asked for the range that begins at a height, and answers too late: without fault. The latest
    `bound` are remembered."""

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._owed: OrderedDict[tuple[bytes, int], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._owed)

    def __contains__(self, owed: tuple[bytes, int]) -> bool:
        return owed in self._owed

    def add(self, range_: Range) -> None:
        """Whoever was asked for this range may still answer."""
        if range_.peer is not None:
            self._owed[(range_.peer, range_.start)] = None
            if len(self._owed) > self._bound:
                self._owed.popitem(last=False)

    def take(self, peer: bytes, start: int) -> bool:
        """Whether this answer was owed; it is the only one."""
        return self._owed.pop((peer, start), 0) is None

    def rename(self, renamed: Mapping[bytes, bytes]) -> None:
        """These links have another identity now."""
        self._owed = OrderedDict(((renamed.get(peer, peer), start), None) for peer, start in self._owed)
