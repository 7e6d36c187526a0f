"""How much of its own an author has under way at once, between sealing and execution.

Whatever is sealed beyond what the cluster gets done only waits, where nobody's turn counts any more: in front
of verification, blocks and execution. So the author watches how long its own batches are under way. While
that is far above what a batch needs, the window shrinks, once for each time under way; else, where it held
something back, it grows: twofold in each time under way while nothing was slow lately, else by a step. What
it holds back waits in the fair queue. What all authors have under way bounds a block, and so a round.

A batch is slow that takes longer than the target and twice what one needs: the least that an own one took,
or four times the least that a round of our own took (`node/validator/ownrounds.py`), for that is known
before our first batch, which may fall into a flood; but no less than the longest round of a turn of all
leaders, the least of the last turns, for who is far away leads too. A slow one shows a queue if none came
back fast all the while it was under way, and as long before as is slow: times that scatter, and single
stalls, are not made better by having less under way. How long others' batches take tells nothing: one may
come here long after it was sealed, from a liar, over a new link or out of the journal, and all of ours would
be slow beside it. But what was executed of them does: a queue is due to those who have most of it, and who
had less keeps its window, and grows to its part (`shares.py`), until batches take half as long again. Where
not even the smallest window has a fast batch for a minute, the cluster has become slower or farther away, or
a batch needs more than rounds tell: then the least is taken anew, and from batches alone.
Sources: additive increase and multiplicative decrease, Chiu and Jain, Computer Networks and ISDN Systems 17,
1989; judging a queue by how long things are in it, not by how many they are, CoDel, RFC 8289; the slow start,
RFC 5681.
"""

from collections import deque
from collections.abc import Iterable

from consensus import Digest, ValidatorIndex
from node.pool.config import PoolConfig
from node.pool.shares import Shares
from node.pool.shelf import Shelf

SLOW_FACTOR = 2
"""Times what a batch needs: what a flood may make of consensus latency."""
FAR_FACTOR = 2
"""Times what is slow: far too slow."""
SPARED_PERCENT = 150
"""Of what is slow: how long batches may take of whom the queue is not due to; more lets more floods in."""
BATCH_ROUNDS = 4
"""From a proposal to the certificate on it are two message delays. A batch that meets no queue needs eight at
most: to everybody, acknowledged, two of a round that has begun without it, four from its proposal to the
commit."""
TURNS = 8
"""Turns of all leaders that tell what rounds take: single stalls do not, and who was left out for a while and
leads again soon does."""
NARROW_MS = 2_000
"""How long after a slow batch clients are held back: longer than the window takes to grow until the next."""
_GROWTH = 16
"""Beside the step, the window grows by such a part of itself: where it is wide, a step is nothing."""
_REGAIN = 3
"""Who had less than others grows in a queue by such a part at most, what a shrink by a quarter takes: where
authors are many and their windows small, all their steps together would be the next queue."""
PATIENCE_MS = 60_000
"""How long the smallest window bears batches that are all slow, before that is what they take."""


class Window:
    """Own batches under way, and how much of them there may be; times are elapsed milliseconds."""

    def __init__(self, config: PoolConfig, shelf: Shelf, me: ValidatorIndex | None) -> None:
        self._config = config
        self._shelf = shelf
        self._me = me
        self._shares = Shares()
        # Chunks of a benchmark cluster have no senders to be fair to.
        self._is_open = not config.commit_target_ms or config.batch.content.is_chunks
        self._under_way: dict[Digest, tuple[int, int]] = {}  # bytes, and since when
        self._least_ms: int | None = None
        self._round_ms: int | None = None  # the least from an own proposal to the certificate on it
        self._turns_ms: deque[int] = deque(maxlen=TURNS)  # the longest round of each
        self._rounds_tell = True  # what a batch needs
        self._slow_at_ms: int | None = None  # when a queue was last seen
        self._fast_at_ms: int | None = None  # when a batch last came back that was not slow
        self._shrunk_ms: int | None = None
        self._smallest_since_ms: int | None = None
        self._least_slow_ms: int | None = None  # of those since then, which were all slow
        self._held_back = False
        self._most = config.author_bytes_max // 2
        self._fewest = min(config.window_bytes_min, self._most)
        self.bytes = 0
        """Under way."""
        self.bytes_max = self._most if self._is_open else min(config.window_bytes_first, self._most)
        """What may be, at the moment."""
        self.took_ms = 0
        """How long the last one was under way."""

    def __contains__(self, name: Digest) -> bool:
        """Whether this batch is under way."""
        return name in self._under_way

    def is_narrow(self, elapsed_ms: int) -> bool:
        """Whether batches were slow a moment ago, so that less may be under way than could."""
        return self._slow_at_ms is not None and elapsed_ms - self._slow_at_ms < NARROW_MS

    @property
    def batch_bytes_max(self) -> int:
        """What goes into one batch: a quarter of the window, so that the next is made while others are under
        way, but no less than the smallest window: every validator checks and names a small batch at nearly
        the cost of a large one."""
        return min(self._config.batch.batch_bytes_max, max(self._fewest, self.bytes_max // 4))

    def sealed(self, name: Digest, size: int, elapsed_ms: int) -> None:
        """A batch of ours is on its way, with transactions of `size` bytes."""
        if not self._is_open:
            self._under_way[name] = (size, elapsed_ms)
            self.bytes += size

    def executed(self, names: Iterable[Digest], elapsed_ms: int) -> None:
        """These batches are executed: own ones show what one needs here, and make room."""
        if self._is_open or self._me is None:
            return
        batch_ms = self.slow_ms or 0
        for name in names:
            own, held = self._under_way.pop(name, None), self._shelf.get(name)
            if own is not None:
                self._shares.executed(self._me, own[0], elapsed_ms, batch_ms)
                self._executed(*own, elapsed_ms)
            elif held is not None and held.batch.author != self._me:
                self._shares.executed(held.batch.author, len(held.batch.encoded), elapsed_ms, batch_ms)

    def _executed(self, size: int, since_ms: int, elapsed_ms: int) -> None:
        took_ms = elapsed_ms - since_ms
        self._least_ms = took_ms if self._least_ms is None else min(self._least_ms, took_ms)
        under_way, self.took_ms = self.bytes, took_ms
        self.bytes -= size
        if self._judge(took_ms, under_way, since_ms, elapsed_ms):
            if self._smallest_since_ms is not None:
                self._note_smallest(took_ms, elapsed_ms)
            if self._is_spared(took_ms):
                self._grow(size, elapsed_ms, most=size // _REGAIN)
        else:
            self._fast_at_ms = elapsed_ms
            self._smallest_since_ms = None
            self._grow(size, elapsed_ms, most=size)

    def succeed(self, before: "Window") -> None:
        """What was known in the epoch before holds in this one until something else is seen."""
        self._least_ms, self._round_ms = before._least_ms, before._round_ms
        self._rounds_tell = before._rounds_tell

    def on_own_round(self, took_ms: int) -> None:
        """From a proposal of ours to the certificate on it it took so long."""
        if self._rounds_tell:
            self._round_ms = took_ms if self._round_ms is None else min(self._round_ms, took_ms)

    def on_turn(self, longest_ms: int) -> None:
        """All have led in turn, and the longest of their rounds took so long."""
        self._turns_ms.append(longest_ms)

    def forget(self, name: Digest) -> None:
        """This batch is under way no more, and shows nothing: catching up brought it."""
        size, _ = self._under_way.pop(name, (0, 0))
        self.bytes -= size

    def run(self, elapsed_ms: int) -> None:
        """What has left the shelf otherwise is under way no more: it expired, or others executed it. And how
        long the oldest is under way is known before it is done. Comes before room is asked for."""
        self._held_back = False
        while self._under_way:
            name, (size, since_ms) = next(iter(self._under_way.items()))
            if self._shelf.get(name) is not None:
                self._judge(elapsed_ms - since_ms, self.bytes, since_ms, elapsed_ms)
                return
            del self._under_way[name]
            self.bytes -= size

    def has_room(self, wanted: int) -> bool:
        """Whether a batch of `wanted` bytes may be sealed; with nothing under way it always may."""
        if not self._under_way or self.bytes + wanted <= self.bytes_max:
            return True
        self._held_back = True
        return False

    @property
    def slow_ms(self) -> int | None:
        """A batch that is under way for longer is slow; None until something has shown what one needs."""
        least_ms = self._least_ms
        if self._round_ms is not None:
            by_rounds_ms = BATCH_ROUNDS * self._round_ms
            least_ms = by_rounds_ms if least_ms is None else min(least_ms, by_rounds_ms)
        if least_ms is None:
            return None
        return max(self._config.commit_target_ms, SLOW_FACTOR * max(least_ms, min(self._turns_ms, default=0)))

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics; the window within the bound is a gauge of its own."""
        return (("pool_under_way_bytes", self.bytes, self._config.author_bytes_max),)

    def _grow(self, size: int, elapsed_ms: int, *, most: int) -> None:
        if not self._held_back:
            return
        if self.is_narrow(elapsed_ms):
            # Each batch brings its share of what all that are under way together bring.
            step = self._config.window_step_bytes + self.bytes_max // _GROWTH
            size = step * size // self.bytes_max
        self.bytes_max = min(self._most, self.bytes_max + max(1, min(size, most)))

    def _judge(self, took_ms: int, under_way: int, since_ms: int, elapsed_ms: int) -> bool:
        """Whether that was slow; if it shows a queue, the window shrinks by what was sealed since it last
        did, for what was sealed before says nothing of it."""
        slow_ms = self.slow_ms
        if slow_ms is None or took_ms <= slow_ms:
            return False
        if self._fast_at_ms is not None and self._fast_at_ms > since_ms - slow_ms:
            return True
        self._slow_at_ms = elapsed_ms
        if self._shrunk_ms is None or since_ms > self._shrunk_ms:
            self._shrunk_ms = elapsed_ms
            if not self._is_spared(took_ms):
                self._shrink(under_way, far=took_ms > FAR_FACTOR * slow_ms)
            if self.bytes_max > self._fewest:
                self._smallest_since_ms = None
            elif self._smallest_since_ms is None:
                self._smallest_since_ms, self._least_slow_ms = elapsed_ms, None
        return True

    def _is_spared(self, took_ms: int) -> bool:
        """Whether the queue that a batch met is due to others, and theirs to end: until it is too long for
        that, for who sends too much may be a liar."""
        slow_ms = self.slow_ms
        if slow_ms is None or self._me is None or 100 * took_ms > SPARED_PERCENT * slow_ms:
            return False
        return self._shares.is_poor(self._me)

    def _shrink(self, under_way: int, *, far: bool) -> None:
        if 2 * under_way > self.bytes_max:
            left = self.bytes_max // 2 if far else self.bytes_max * 3 // 4
        else:  # it was others, or the machine: a wide window is no promise, a small one not to blame
            left = min(self.bytes_max, max(2 * under_way, self._config.window_bytes_first))
        self.bytes_max = max(self._fewest, left)

    def _note_smallest(self, took_ms: int, elapsed_ms: int) -> None:
        least_ms = self._least_slow_ms
        self._least_slow_ms = took_ms if least_ms is None else min(least_ms, took_ms)
        since_ms = self._smallest_since_ms
        if since_ms is not None and elapsed_ms - since_ms >= PATIENCE_MS:
            self._least_ms, self._smallest_since_ms = self._least_slow_ms, None
            self._round_ms, self._rounds_tell = None, False
