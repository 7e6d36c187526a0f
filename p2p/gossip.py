"""Gossip: how a message reaches every node when a node talks to few of them.

A body is pushed eagerly over a small, shrinking tree and announced by id for the rest, who pull it. The
first byte of a gossip frame is the budget the receiver may push with: an origin pushes to `fanout` peers,
which push to half as many, and so on down to none; an origin with no more peers than `fanout` pushes to
all of them and sends budget 0, so in a small cluster everybody gets one body in one hop. Every validated id
is announced to a few random peers in the next flushes, which repairs whatever the tree or a lossy queue
missed. The idea is the lazy and eager push of Plumtree (Leitao, Pereira, Rodrigues 2007) and gossipsub's
IHAVE/IWANT; DESIGN.md has the arithmetic.

Pure: time (`now_ms`) and randomness are arguments; every method answers the effects to perform, in order.
Nothing is forwarded before the application accepted it.
"""

import hashlib
import random
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from p2p.config import GossipConfig
from p2p.gossip_effects import Deliver, Effect, Penalise, SendAnnounce, SendBody, SendPull
from p2p.identity import PeerId

ID_BYTES = 20
FLOOD_FACTOR = 16
"""How many times the ids that are heard in a second a neighbour may announce before it is blamed."""
_DOMAIN = b"isthmus/gossip/v1"


def message_id(topic: int, body: bytes) -> bytes:
    """The id of a gossip message: the first 20 bytes of SHA-256 over domain, topic and body."""
    return hashlib.sha256(_DOMAIN + bytes([topic]) + body).digest()[:ID_BYTES]


def encode_ids(ids: Iterable[bytes]) -> bytes:
    """The wire form of a list of ids."""
    return b"".join(ids)


def decode_ids(data: bytes) -> tuple[bytes, ...] | None:
    """The ids in `data`, or None if it is not a whole, non-empty number of them."""
    if not data or len(data) % ID_BYTES:
        return None
    return tuple(data[start : start + ID_BYTES] for start in range(0, len(data), ID_BYTES))


@dataclass(slots=True)
class _Body:
    topic: int
    body: bytes
    budget: int
    accepted: bool
    holders: set[PeerId]
    """Peers that have it or were told of it; only asked for membership."""


@dataclass(slots=True)
class _Wanted:
    asked: PeerId
    deadline_ms: int
    others: deque[PeerId]
    """Further peers that announced it, asked in turn when an answer does not come."""
    attempts: int = 1


@dataclass(slots=True)
class _Peer:
    asked: int = 0
    window_ms: int = 0
    announced_in_window: int = 0
    served_in_window: int = 0
    answered_in_window: int = 0
    """Bodies it sent that were asked of it."""
    answered_before: int = 0
    """The same in the window before."""
    penalised_in_window: bool = False


@dataclass(slots=True)
class GossipCounters:
    """Counts since the start, for metrics."""

    delivered: int = 0
    duplicates: int = 0
    pushed: int = 0
    pulled: int = 0
    served: int = 0
    pulls_failed: int = 0
    announcements_dropped: int = 0


@dataclass(slots=True)
class _Store:
    """Bodies kept to be forwarded and to answer pulls; the oldest goes when a bound is reached."""

    items_max: int
    bytes_max: int
    entries: OrderedDict[bytes, _Body] = field(default_factory=OrderedDict)
    held_bytes: int = 0

    def add(self, identity: bytes, entry: _Body) -> None:
        self.entries[identity] = entry
        self.held_bytes += len(entry.body)
        while len(self.entries) > self.items_max or self.held_bytes > self.bytes_max:
            _, old = self.entries.popitem(last=False)
            self.held_bytes -= len(old.body)

    def remove(self, identity: bytes) -> None:
        if (entry := self.entries.pop(identity, None)) is not None:
            self.held_bytes -= len(entry.body)


class Gossip:
    """The gossip state of one node."""

    def __init__(self, config: GossipConfig, rng: random.Random) -> None:
        self._config = config
        self._rng = rng
        self._peers: dict[PeerId, _Peer] = {}
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._store = _Store(config.store_items, config.store_bytes)
        self._wanted: dict[bytes, _Wanted] = {}
        self._fresh: deque[bytes] = deque(maxlen=config.store_items)
        self._rounds: deque[tuple[bytes, ...]] = deque(maxlen=config.announce_rounds)
        self._recent: deque[bytes] = deque(maxlen=config.announce_ids_max)
        self._next_flush_ms = 0
        self.counters = GossipCounters()

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Everything bounded in here: name -> (current size, bound)."""
        config = self._config
        return {
            "gossip_seen_items": (len(self._seen), config.seen_items),
            "gossip_store_items": (len(self._store.entries), config.store_items),
            "gossip_store_bytes": (self._store.held_bytes, config.store_bytes),
            "gossip_pulls": (len(self._wanted), config.pulls_max),
        }

    def connected(self, peer: PeerId, now_ms: int) -> list[Effect]:
        """A neighbour appeared: it learns the ids of the most recent messages."""
        self._peers[peer] = _Peer(window_ms=now_ms)
        ids = tuple(identity for identity in self._recent if identity in self._store.entries)
        return [SendAnnounce(peer, ids)] if ids else []

    def disconnected(self, peer: PeerId) -> None:
        """A neighbour left: what was asked of it is asked elsewhere at the next tick."""
        self._peers.pop(peer, None)
        for wanted in self._wanted.values():
            if wanted.asked == peer:
                wanted.deadline_ms = 0

    def publish(self, topic: int, body: bytes) -> list[Effect]:
        """Spreads a message of this node's own; nothing happens if it is known already."""
        identity = message_id(topic, body)
        if not self._see(identity):
            return []
        entry = _Body(topic, body, self._config.fanout, True, set())
        self._store.add(identity, entry)
        return self._spread(identity, entry)

    def receive(self, peer: PeerId, topic: int, payload: bytes) -> list[Effect]:
        """A pushed or pulled body arrived from a neighbour."""
        body = payload[1:]
        if not body:
            return [Penalise(peer, "empty-gossip", 10)]
        identity = message_id(topic, body)
        if (wanted := self._wanted.pop(identity, None)) is not None:
            self._answered(wanted)
            if wanted.asked == peer and (state := self._peers.get(peer)) is not None:
                self.counters.pulled += 1
                state.answered_in_window += 1
        if not self._see(identity):
            self.counters.duplicates += 1
            known = self._store.entries.get(identity)
            if known is not None:
                known.holders.add(peer)
            return []
        budget = min(payload[0], self._config.fanout // 2)
        self._store.add(identity, _Body(topic, body, budget, False, {peer}))
        self.counters.delivered += 1
        return [Deliver(peer, topic, body, identity)]

    def accept(self, identity: bytes) -> list[Effect]:
        """The application found a delivered message valid: it is forwarded, announced and served."""
        entry = self._store.entries.get(identity)
        if entry is None or entry.accepted:
            return []
        entry.accepted = True
        return self._spread(identity, entry)

    def reject(self, identity: bytes) -> None:
        """The application found it invalid: the body goes, the id stays, so that it never comes again."""
        self._store.remove(identity)

    def forget(self, identity: bytes) -> None:
        """A delivery did not reach the application: the message may come again."""
        self._store.remove(identity)
        self._seen.pop(identity, None)

    def announced(self, peer: PeerId, ids: tuple[bytes, ...], now_ms: int) -> list[Effect]:
        """A neighbour announced ids: the unknown ones are pulled from it, or noted for a retry."""
        state = self._peers.get(peer)
        if state is None:
            return []
        self._roll_window(state, now_ms)
        state.announced_in_window += len(ids)
        if state.announced_in_window > self._config.announced_ids_per_second:
            # A busy network announces more than one neighbour need hear; only what none can mean is blamed.
            self.counters.announcements_dropped += len(ids)
            flood = state.announced_in_window > FLOOD_FACTOR * self._config.announced_ids_per_second
            return self._penalise(peer, state, "too-many-announcements") if flood else []
        ask: list[bytes] = []
        for identity in ids:
            if identity in self._seen:
                entry = self._store.entries.get(identity)
                if entry is not None:
                    entry.holders.add(peer)
                continue
            wanted = self._wanted.get(identity)
            if wanted is not None:
                if len(wanted.others) < self._config.pull_sources_max and peer != wanted.asked:
                    wanted.others.append(peer)
            elif state.asked < self._config.pulls_per_peer and len(self._wanted) < self._config.pulls_max:
                state.asked += 1
                self._wanted[identity] = _Wanted(peer, now_ms + self._config.pull_timeout_ms, deque())
                ask.append(identity)
        return [SendPull(peer, chunk) for chunk in self._frames(ask)]

    def pulled(self, peer: PeerId, ids: tuple[bytes, ...], now_ms: int) -> list[Effect]:
        """A neighbour asked for bodies: it gets those we hold and validated, up to its share."""
        state = self._peers.get(peer)
        if state is None:
            return []
        self._roll_window(state, now_ms)
        effects: list[Effect] = []
        for identity in ids:
            entry = self._store.entries.get(identity)
            if entry is None or not entry.accepted:
                continue
            if state.served_in_window >= self._config.served_bytes_per_second:
                break
            state.served_in_window += len(entry.body)
            entry.holders.add(peer)
            self.counters.served += 1
            effects.append(SendBody((peer,), entry.topic, b"\0" + entry.body))
        return effects

    @property
    def has_work(self) -> bool:
        """Whether a tick would do anything: without work nobody needs to wake this core."""
        return bool(self._fresh or self._wanted or any(self._rounds))

    def tick(self, now_ms: int) -> list[Effect]:
        """Called regularly: sends the announcements that are due and retries unanswered pulls."""
        effects = self._retry(now_ms) if self._wanted else []
        if now_ms >= self._next_flush_ms:
            self._next_flush_ms = now_ms + self._config.flush_interval_ms
            effects.extend(self._flush())
        return effects

    def _spread(self, identity: bytes, entry: _Body) -> list[Effect]:
        """Pushes within the entry's budget, and leaves the rest to the announcements."""
        self._fresh.append(identity)
        self._recent.append(identity)
        candidates = [peer for peer in self._peers if peer not in entry.holders]
        if not entry.budget or not candidates:
            return []
        if len(candidates) <= entry.budget:
            chosen, passed_on = candidates, 0
        else:
            chosen, passed_on = self._rng.sample(candidates, entry.budget), entry.budget // 2
        entry.holders.update(chosen)
        self.counters.pushed += len(chosen)
        return [SendBody(tuple(chosen), entry.topic, bytes([passed_on]) + entry.body)]

    def _flush(self) -> list[Effect]:
        """Announces the ids of the latest rounds to a few random peers.

        An id waits one whole interval first, so that a push under way is not asked for a second time.
        """
        ids = [identity for round_ids in self._rounds for identity in round_ids]
        self._rounds.append(tuple(self._fresh))
        self._fresh.clear()
        if not ids:
            return []
        peers = list(self._peers)
        if len(peers) > self._config.announce_degree:
            peers = self._rng.sample(peers, self._config.announce_degree)
        effects: list[Effect] = []
        entries = self._store.entries
        for peer in peers:
            new = [
                one for one in ids if (entry := entries.get(one)) is not None and peer not in entry.holders
            ]
            for identity in new:
                entries[identity].holders.add(peer)
            effects.extend(SendAnnounce(peer, chunk) for chunk in self._frames(new))
        return effects

    def _retry(self, now_ms: int) -> list[Effect]:
        """Asks the next holder of everything whose answer is overdue; forgets what has none left."""
        effects: list[Effect] = []
        asks: dict[PeerId, list[bytes]] = {}
        overdue = [identity for identity, wanted in self._wanted.items() if wanted.deadline_ms <= now_ms]
        for identity in overdue:
            wanted = self._wanted[identity]
            self.counters.pulls_failed += 1
            state = self._peers.get(wanted.asked)
            if state is not None and wanted.deadline_ms:
                self._roll_window(state, now_ms)
                # Who answers some is at its own bound, or lost a frame.
                if not state.answered_in_window + state.answered_before:
                    effects.extend(self._penalise(wanted.asked, state, "unanswered-pull"))
            self._answered(wanted)
            wanted.others.append(wanted.asked)
            source = self._next_source(wanted)
            if source is None:
                del self._wanted[identity]
                continue
            wanted.asked, wanted.deadline_ms = source, now_ms + self._config.pull_timeout_ms
            wanted.attempts += 1
            asks.setdefault(source, []).append(identity)
        for peer, ids in asks.items():
            effects.extend(SendPull(peer, chunk) for chunk in self._frames(ids))
        return effects

    def _next_source(self, wanted: _Wanted) -> PeerId | None:
        """The next holder that may be asked, counted as asked; None when there is no hope left."""
        if wanted.attempts >= self._config.pull_attempts_max:
            return None
        for _ in range(len(wanted.others)):
            peer = wanted.others.popleft()
            state = self._peers.get(peer)
            if state is None:
                continue
            if state.asked < self._config.pulls_per_peer:
                state.asked += 1
                return peer
            wanted.others.append(peer)
        return None

    def _answered(self, wanted: _Wanted) -> None:
        if (state := self._peers.get(wanted.asked)) is not None and state.asked:
            state.asked -= 1

    def _see(self, identity: bytes) -> bool:
        """Remembers an id; False if it was known."""
        if identity in self._seen:
            return False
        self._seen[identity] = None
        if len(self._seen) > self._config.seen_items:
            self._seen.popitem(last=False)
        return True

    def _frames(self, ids: list[bytes]) -> Iterator[tuple[bytes, ...]]:
        size = self._config.announce_ids_max
        return (tuple(ids[start : start + size]) for start in range(0, len(ids), size))

    def _penalise(self, peer: PeerId, state: _Peer, code: str) -> list[Effect]:
        """One point, at most once a second: honest peers lose frames too."""
        if state.penalised_in_window:
            return []
        state.penalised_in_window = True
        return [Penalise(peer, code, 1)]

    def _roll_window(self, state: _Peer, now_ms: int) -> None:
        if now_ms - state.window_ms >= 1000:
            state.window_ms = now_ms
            state.answered_before, state.answered_in_window = state.answered_in_window, 0
            state.announced_in_window = state.served_in_window = 0
            state.penalised_in_window = False
