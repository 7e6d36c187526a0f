"""What waits, one sender after the other: who has much waiting delays nobody else by more than a turn.

Each sender's own order is kept. A turn is worth `TURN_BYTES`, and what is not used of it, or not enough for a
large item, is carried over while the sender has something waiting; so large items gain nothing over small
ones. The cost is constant for each item: a large one passes as many turns as it is worth.
Source: deficit round robin, Shreedhar and Varghese, IEEE/ACM Transactions on Networking 4(3), 1996.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Generic, Protocol, TypeVar

TURN_BYTES = 4096
"""About a dozen small transactions: few enough for who waits, many enough that turns cost nothing."""


_LIGHT_ITEMS = 16
"""Of a sender that sends little, at most, and a turn's bytes."""
_LOOKED_AT = 64
"""Senders that are looked at for it at a time, from whose turn it is."""


class Sized(Protocol):
    """What can wait."""

    @property
    def encoded(self) -> bytes:
        """Its bytes, which its turn pays for."""


ItemT = TypeVar("ItemT", bound=Sized)


class _Flow(Generic[ItemT]):
    """One sender's items, and how many bytes of its turn are left."""

    __slots__ = ("credit", "items", "sender")

    def __init__(self, sender: bytes) -> None:
        self.sender = sender
        self.items: deque[ItemT] = deque()
        self.credit = 0


class FairQueue(Generic[ItemT]):
    """Items by sender; whoever adds bounds it. A sender is forgotten with its last item."""

    def __init__(self) -> None:
        self._flows: dict[bytes, _Flow[ItemT]] = {}
        self._turns: deque[_Flow[ItemT]] = deque()
        self._count = 0
        self.bytes = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ItemT]:
        """All items, sender by sender, each sender's oldest first."""
        for flow in self._turns:
            yield from flow.items

    @property
    def flows(self) -> int:
        """Senders of which something waits."""
        return len(self._turns)

    def add(self, sender: bytes, item: ItemT) -> None:
        """Queue an item behind all others of its sender."""
        flow = self._flows.get(sender)
        if flow is None:
            flow = self._flows[sender] = _Flow(sender)
            self._turns.append(flow)
        flow.items.append(item)
        self._count += 1
        self.bytes += len(item.encoded)

    def head(self) -> ItemT:
        """The next item; raises IndexError when none waits. It stays the next until it is taken, unless a
        sender comes while another was alone."""
        turns = self._turns
        flow = turns[0]
        item = flow.items[0]
        if len(turns) > 1:
            while flow.credit < len(item.encoded):
                turns.rotate(-1)
                flow = turns[0]
                flow.credit += TURN_BYTES
                item = flow.items[0]
        return item

    def pop(self) -> ItemT:
        """Take the next item out; raises IndexError when none waits."""
        turns = self._turns
        if len(turns) > 1:
            self.head()  # turns the right one to the front
        flow = turns[0]
        item = flow.items.popleft()
        size = len(item.encoded)
        self._count -= 1
        self.bytes -= size
        if not flow.items:
            del self._flows[flow.sender]
            turns.popleft()
            if turns:
                turns[0].credit += TURN_BYTES
        elif len(turns) > 1:  # who is alone takes nothing away from anybody, and owes nothing later
            flow.credit -= size
        return item

    def take_light(self, bytes_max: int, items_max: int) -> list[ItemT]:
        """Take out all items of senders that have little waiting, of as many as fit into the bounds. Looks
        at a bounded number of senders, those first whose turn comes first."""
        taken: list[ItemT] = []
        for flow in list(islice(self._turns, _LOOKED_AT)):
            count = len(flow.items)
            if count > min(_LIGHT_ITEMS, items_max - len(taken)):
                continue
            size = sum(len(item.encoded) for item in flow.items)
            if size <= min(TURN_BYTES, bytes_max):
                bytes_max -= size
                taken += flow.items
                self._count -= count
                self.bytes -= size
                self._turns.remove(flow)
                del self._flows[flow.sender]
        return taken
