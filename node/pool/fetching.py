"""Getting batches from those who hold them, for as long as it takes (C9: fetches outlive rounds).

Each wanted digest has its likeliest holders first (the proposer, those who acknowledged) and then every
connected validator, in rotation, with back-off; a refusal moves on at once. What was asked of whom is
remembered, so that an answer nobody asked for is a fault of its sender and a late one is not.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from consensus import Digest
from node.pool.config import PoolConfig
from node.pool.effects import Send
from node.pool.messages import FETCH_MAX, FetchBatches

_PARALLEL_MAX = 3
_ASKED_FACTOR = 16


@dataclass(slots=True)
class _Want:
    holders: list[bytes]
    attempts: int = 0
    cursor: int = 0
    due_ms: int = 0


class Fetcher:
    """The digests wanted, bounded; times are elapsed milliseconds."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config
        self._wants: dict[Digest, _Want] = {}
        self._asked: OrderedDict[tuple[bytes, Digest], int] = OrderedDict()
        self.connected: dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._wants)

    def want(self, name: Digest, holders: Iterable[bytes], elapsed_ms: int) -> None:
        """Start, or go on, to look for a batch; `holders` are asked first. Beyond the bound it is left
        out: whoever still needs it asks again at the next tick."""
        want = self._wants.get(name)
        if want is None:
            if len(self._wants) >= self._config.wanted_max:
                return
            want = self._wants[name] = _Want([], due_ms=elapsed_ms)
        for peer in holders:
            if peer not in want.holders:
                want.holders.append(peer)

    def is_wanted(self, name: Digest) -> bool:
        """Whether this batch is being looked for."""
        return name in self._wants

    def drop(self, name: Digest) -> None:
        """Found, or needed no more."""
        self._wants.pop(name, None)

    def drop_unless(self, is_needed: Callable[[Digest], bool]) -> None:
        """Give up what nothing needs any more."""
        for name in [name for name in self._wants if not is_needed(name)]:
            del self._wants[name]

    def was_asked(self, peer: bytes, name: Digest) -> bool:
        """Whether `peer` was asked for this batch more often than it answered; this is one answer."""
        unanswered = self._asked.get((peer, name), 0)
        if unanswered > 1:
            self._asked[(peer, name)] = unanswered - 1
        elif unanswered == 1:
            del self._asked[(peer, name)]
        return unanswered > 0

    def succeed(self, before: "Fetcher", renamed: Mapping[bytes, bytes]) -> None:
        """Answers to what was asked in the epoch before are under way; who sends them is not at fault.
        `renamed`: links by their identities then and now."""
        for (peer, name), unanswered in before._asked.items():
            self._asked[(renamed.get(peer, peer), name)] = unanswered

    def on_unavailable(self, peer: bytes, names: Iterable[Digest], elapsed_ms: int) -> None:
        """`peer` does not have these: ask the next one at once."""
        for name in names:
            want = self._wants.get(name)
            if self.was_asked(peer, name) and want is not None and want.attempts <= len(self.connected):
                want.due_ms = elapsed_ms

    def on_connected(self, peer: bytes) -> None:
        """A validator can be asked."""
        self.connected[peer] = None

    def on_disconnected(self, peer: bytes) -> None:
        """A validator cannot be asked any more."""
        self.connected.pop(peer, None)

    def run(self, elapsed_ms: int) -> list[Send]:
        """The requests that are due, grouped by peer. Whatever was asked for goes to the end of the line, so
        that digests nobody has cannot keep others waiting."""
        if not self._wants:
            return []
        requests: dict[bytes, list[Digest]] = {}
        due = [name for name, want in self._wants.items() if want.due_ms <= elapsed_ms]
        for name in due[: self._config.fetches_max]:
            want = self._wants[name] = self._wants.pop(name)
            for peer in self._next_peers(want):
                requests.setdefault(peer, []).append(name)
                self._asked[(peer, name)] = self._asked.get((peer, name), 0) + 1
            want.attempts += 1
            want.due_ms = elapsed_ms + self._delay_ms(want.attempts)
        while len(self._asked) > _ASKED_FACTOR * self._config.fetches_max:
            self._asked.popitem(last=False)
        return [
            Send(peer, FetchBatches(tuple(names[start : start + FETCH_MAX])))
            for peer, names in requests.items()
            for start in range(0, len(names), FETCH_MAX)
        ]

    def due_ms(self) -> int | None:
        """When `run` has something to do next."""
        return min((want.due_ms for want in self._wants.values()), default=None)

    def _next_peers(self, want: _Want) -> list[bytes]:
        candidates = [peer for peer in want.holders if peer in self.connected]
        candidates += [peer for peer in self.connected if peer not in want.holders]
        chosen = []
        for _ in range(min(1 + want.attempts, _PARALLEL_MAX, len(candidates))):
            chosen.append(candidates[want.cursor % len(candidates)])
            want.cursor += 1
        return chosen

    def _delay_ms(self, attempts: int) -> int:
        return min(self._config.fetch_retry_ms << min(attempts - 1, 8), self._config.fetch_retry_max_ms)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        return (
            ("pool_wanted_batches", len(self._wants), self._config.wanted_max),
            ("pool_fetches_asked", len(self._asked), _ASKED_FACTOR * self._config.fetches_max),
        )
