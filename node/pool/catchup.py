"""Catching up with certified headers from other nodes (C25): at start, after being away, after losing data.

The way from the own tip to the target is cut into ranges that several peers are asked for in parallel. Each
answer proves itself (`verifying`); proven heights go to execution in order; the header our own execution
makes is compared with the certified one, and if they differ it is we who are wrong (C3). Slow, empty and
lying peers are rotated out and ranges asked again elsewhere, without a global deadline. Memory is bounded.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from consensus import Digest, HeaderCertificate, Height, InvalidMessage, PeerError
from node.pool.alarm import Alarm
from node.pool.config import PoolConfig
from node.pool.effects import (
    CatchUpEffect,
    Execute,
    Penalise,
    Send,
    SyncDiverged,
    SyncFinished,
    SyncProgress,
    VerifiedItem,
)
from node.pool.messages import SYNC_BYTES_MAX, SYNC_HEIGHTS_MAX, SyncRequest, SyncResponse
from node.pool.ranges import LateAnswers, Range
from node.pool.sources import SourceLimits, Sources
from node.pool.verifying import Trust, verify_range


@dataclass(frozen=True, slots=True)
class CatchUpConfig:
    """Bounds of catch-up; delays in milliseconds.

    `buffer_bytes_max` bounds what is asked for, held and handed over together, but for the range that
    execution waits for, which may always be asked for.
    """

    pool: PoolConfig
    sources: SourceLimits = field(default_factory=SourceLimits)
    range_heights: int = 64
    ranges_max: int = 4
    execute_ahead: int = 32
    response_bytes_max: int = SYNC_BYTES_MAX
    buffer_bytes_max: int = 4 * SYNC_BYTES_MAX
    late_max: int = 64
    halt_height: int = 0
    """Nothing above it is asked for; 0 for no such height."""

    def up_to(self, height: int) -> int:
        """The last height that is asked for on the way to `height`."""
        return min(height, self.halt_height or height)


class CatchUp:
    """One run after another; idle without a target. While it runs nothing else may execute blocks."""

    def __init__(self, config: CatchUpConfig, trust: Trust) -> None:
        self._config = config
        self.trust = trust
        """Of the current epoch; replaced with it. What is asked for never goes beyond an epoch's end,
        because a target is believed by its own epoch's set alone (C25)."""
        self.alarm = Alarm()
        self._sources = Sources(config.sources)
        self._target: HeaderCertificate | None = None
        self._from_height = self._at_height = 0
        self._last_hash = Digest(b"")
        self._ranges: deque[Range] = deque()
        self._handed: deque[VerifiedItem] = deque()
        self._late = LateAnswers(config.late_max)
        self.diverged = False
        """Our execution contradicts a certificate; nothing more is fetched until an operator acts (C3)."""

    @property
    def running(self) -> bool:
        """Whether there is a target not yet reached."""
        return self._target is not None

    @property
    def target_height(self) -> int:
        """What the current run brings everything up to; 0 when idle."""
        return 0 if self._target is None else self._target.height

    def progress(self) -> SyncProgress | None:
        """How far the current run has come; None when idle."""
        if self._target is None:
            return None
        return SyncProgress(Height(self._from_height), Height(self._at_height), self._target.height)

    def heights(self) -> dict[bytes, int]:
        """The certified height each connected peer last told."""
        return self._sources.heights()

    # --- events ----------------------------------------------------------------------------------------

    def on_target(
        self,
        certificate: HeaderCertificate,
        peer: bytes | None,
        tip_height: int,
        tip_hash: Digest,
        now_ms: int,
        *,
        walks: bool = False,
    ) -> list[CatchUpEffect]:
        """A verified certificate lies above our tip, and `peer` has it. While running it moves the target;
        where agreement `walks` on by itself (C25), only what lies too far above for that does: a target that
        moves with the chain is reached by chance."""
        self.alarm.advance(now_ms)
        if peer is not None:
            self._sources.claim(peer, certificate.height)
        if self.diverged:
            return []
        if self._target is None and certificate.height > tip_height:
            self._target = certificate
            self._from_height = self._at_height = tip_height
            self._last_hash = tip_hash
        elif self._target is not None:
            walked = self._config.pool.committed_heights_max if walks else 0
            if certificate.height > self._target.height + walked:
                self._target = certificate
        return self._finish([])

    def on_peer_height(self, peer: bytes, certified_height: int, now_ms: int) -> list[CatchUpEffect]:
        """A peer's status: what it has certified."""
        self.alarm.advance(now_ms)
        self._sources.claim(peer, certified_height)
        return self._finish([])

    def on_peer_gone(self, peer: bytes, now_ms: int) -> list[CatchUpEffect]:
        """A link went down: what was asked of it is asked elsewhere."""
        self.alarm.advance(now_ms)
        self._sources.drop(peer)
        for range_ in self._ranges:
            if range_.peer == peer and range_.is_open:
                range_.peer = None
        return self._finish([])

    def enter(self, trust: Trust, renamed: Mapping[bytes, bytes]) -> None:
        """An epoch begins; `renamed` are links by their identities before and now, answers of which may be
        under way."""
        self.trust = trust
        self._sources.rename(renamed)
        for range_ in self._ranges:
            if range_.peer is not None:
                range_.peer = renamed.get(range_.peer, range_.peer)
        self._late.rename(renamed)

    def on_response(self, peer: bytes, response: SyncResponse, now_ms: int) -> list[CatchUpEffect]:
        """An answer: proven, or held against its sender."""
        elapsed = self.alarm.advance(now_ms)
        asked = next((r for r in self._ranges if r.is_owed(peer, response.from_height)), None)
        if asked is None:
            if self._late.take(peer, response.from_height):
                return self._finish([])
            error = InvalidMessage("sync-unsolicited", f"heights from {response.from_height}", peer)
            return [Penalise(peer, error)]
        if not response.items:
            self._fail(asked, elapsed)
            return self._finish([])
        return self._finish(self._prove(asked, peer, response, elapsed))

    def is_asked(self, peer: bytes, from_height: int) -> bool:
        """Whether `peer` owes an answer that begins at this height, late or not."""
        owed = any(range_.is_owed(peer, from_height) for range_ in self._ranges)
        return owed or (peer, from_height) in self._late

    def on_pushed(
        self, peer: bytes, pushed: SyncResponse, tip_height: int, tip_hash: Digest, now_ms: int
    ) -> list[CatchUpEffect]:
        """New heights, sent as they came by a peer that was asked to. They are taken where they follow what
        is executed or on its way; else only their certificate counts, and what lies between is asked for."""
        self.alarm.advance(now_ms)
        certificate, reached = pushed.certificate, self._reached(tip_height)
        if self.diverged or certificate is None or pushed.from_height + len(pushed.items) - 1 <= reached:
            return []
        try:
            items = verify_range(pushed, SYNC_HEIGHTS_MAX, self._config.pool, self.trust)
        except PeerError as error:
            self._sources.failed(peer, self.alarm.elapsed_ms, lied=True)
            return [Penalise(peer, error.blamed_on(peer))]
        if items is None:
            return []  # of an epoch that is not known here yet
        self._sources.claim(peer, certificate.height)
        if self._target is None:
            self._from_height = self._at_height = tip_height
            self._last_hash = tip_hash
        if self._target is None or certificate.height > self._target.height:
            self._target = certificate
        if pushed.from_height <= reached + 1 and len(self._ranges) < self._config.range_heights:
            new = deque(items[reached + 1 - pushed.from_height :])
            if self._buffered_bytes() + pushed.size <= self._config.buffer_bytes_max:
                self._ranges.append(Range(reached + 1, len(new), items=new, size=pushed.size))
        return self._finish([])

    def _reached(self, tip_height: int) -> int:
        """The last height that is executed, handed over, or asked for."""
        if self._target is None:
            return tip_height
        if self._ranges:
            return self._ranges[-1].last
        return self._handed[-1].header.height if self._handed else self._at_height

    def on_executed(self, height: int, header_hash: Digest, now_ms: int) -> list[CatchUpEffect]:
        """The answer to `Execute`. Another header than the certified one is our own divergence (C3)."""
        elapsed = self.alarm.advance(now_ms)
        target = self._target
        if target is None or not self._handed or self._handed[0].header.height != height:
            return []
        item = self._handed.popleft()
        if header_hash != item.header.hash:
            return self._diverge(height, header_hash, item.header.hash)
        if height == target.height and header_hash != target.header_hash:
            return self._diverge(height, header_hash, target.header_hash)
        self._at_height = height
        effects: list[CatchUpEffect] = [
            SyncProgress(Height(self._from_height), Height(height), target.height)
        ]
        if height == target.height:
            self._reset()
            return [*effects, SyncFinished(target, item)]
        for range_ in self._ranges:
            if range_.start == height + 1 and range_.parked is not None and range_.peer is not None:
                effects += self._prove(range_, range_.peer, range_.parked, elapsed)
        return self._finish(effects)

    def on_tick(self, now_ms: int) -> list[CatchUpEffect]:
        """The timer asked for by `Wake` went off: slow answers are asked for elsewhere."""
        elapsed = self.alarm.advance(now_ms)
        self.alarm.fired()
        for range_ in self._ranges:
            if range_.is_asked and range_.deadline_ms <= elapsed:
                self._late.add(range_)
                self._fail(range_, elapsed, slow=True)
        return self._finish([])

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        config = self._config
        bound = config.buffer_bytes_max + config.response_bytes_max
        return (
            ("sync_buffered_bytes", self._buffered_bytes(), bound),
            ("sync_ranges", len(self._ranges), config.ranges_max * (config.range_heights + 1)),
            ("sync_handed_over", len(self._handed), config.execute_ahead),
            ("sync_sources", len(self._sources), config.sources.sources_max),
            ("sync_late_answers", len(self._late), config.late_max),
        )

    # --- inside ----------------------------------------------------------------------------------------

    def _prove(
        self, range_: Range, peer: bytes, response: SyncResponse, elapsed_ms: int
    ) -> list[CatchUpEffect]:
        try:
            items = verify_range(response, range_.count, self._config.pool, self.trust)
            if items is None and range_.start == self._at_height + 1:
                raise InvalidMessage("sync-epoch", "a certificate of an epoch that does not follow")
        except PeerError as error:
            self._fail(range_, elapsed_ms, lied=True)
            return [Penalise(peer, error.blamed_on(peer))]
        if items is None:
            range_.parked, range_.size = response, response.size
            return []
        self._sources.succeeded(peer, elapsed_ms - range_.asked_ms)
        if len(items) < range_.count:
            rest = Range(range_.start + len(items), range_.count - len(items))
            self._ranges.insert(self._ranges.index(range_) + 1, rest)
        range_.prove(items, response.size)
        return []

    def _fail(self, range_: Range, elapsed_ms: int, *, lied: bool = False, slow: bool = False) -> None:
        if range_.peer is not None:
            self._sources.failed(range_.peer, elapsed_ms, lied=lied, slow=slow)
        range_.reopen()

    def _diverge(self, height: int, ours: Digest, certified: Digest) -> list[CatchUpEffect]:
        self.diverged = True
        self._reset()
        return [SyncDiverged(Height(height), ours, certified)]

    def _reset(self) -> None:
        for range_ in self._ranges:
            if range_.is_asked and range_.peer is not None:
                self._late.add(range_)
                self._sources.succeeded(range_.peer, None)
        self._target = None
        self._ranges.clear()
        self._handed.clear()

    def _finish(self, effects: list[CatchUpEffect]) -> list[CatchUpEffect]:
        """What every event ends with: hand over what is proven, ask for what is not, set the timer."""
        if self._target is not None:
            effects += self._hand_over()
        if self._target is not None:
            effects += self._ask(self._target)
            effects += self.alarm.rearm(self._due_ms())
        return effects

    def _hand_over(self) -> list[CatchUpEffect]:
        effects: list[CatchUpEffect] = []
        while self._ranges and self._ranges[0].items is not None:
            items = self._ranges[0].items
            while items and len(self._handed) < self._config.execute_ahead:
                header = items[0].header
                if header.parent_hash != self._last_hash:
                    return effects + self._diverge(header.height - 1, self._last_hash, header.parent_hash)
                self._last_hash = header.hash
                self._handed.append(items[0])
                effects.append(Execute(items.popleft()))
            if items:
                break
            self._ranges.popleft()
        return effects

    def _ask(self, target: HeaderCertificate) -> list[CatchUpEffect]:
        config, elapsed = self._config, self.alarm.elapsed_ms
        self._extend(target)
        effects: list[CatchUpEffect] = []
        for position, range_ in enumerate(self._ranges):
            if range_.is_asked or not range_.is_open:
                continue
            room = self._buffered_bytes() + config.response_bytes_max <= config.buffer_bytes_max
            if position and not room:
                break
            peer = self._sources.choose(range_.start, range_.tried, elapsed)
            if peer is None:
                continue
            range_.peer, range_.asked_ms = peer, elapsed
            range_.deadline_ms = elapsed + self._sources.patience_ms(peer)
            bytes_max = config.response_bytes_max >> min(range_.failures, 4)
            effects.append(Send(peer, SyncRequest(Height(range_.start), range_.count, bytes_max)))
        return effects

    def _extend(self, target: HeaderCertificate) -> None:
        while len(self._ranges) < self._config.ranges_max:
            start = self._reached(self._at_height) + 1
            count = min(self._config.range_heights, self._config.up_to(target.height) - start + 1)
            if count < 1:
                return
            self._ranges.append(Range(start, count))

    def _buffered_bytes(self) -> int:
        held = sum(range_.size for range_ in self._ranges)
        asked = sum(1 for range_ in self._ranges if range_.is_asked)
        handed = sum(len(i.proposal.block.encoded) + sum(map(len, i.referenced)) for i in self._handed)
        return held + handed + asked * self._config.response_bytes_max

    def _due_ms(self) -> int | None:
        dues = [range_.deadline_ms for range_ in self._ranges if range_.is_asked]
        if any(range_.is_open and not range_.is_asked for range_ in self._ranges):
            free_at_ms = self._sources.free_at_ms(self.alarm.elapsed_ms)
            if free_at_ms is not None:
                dues.append(free_at_ms)
        return min(dues, default=None)
