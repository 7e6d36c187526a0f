"""One courier: it brings what one other cluster says to us into our own ledger (F12).

A round asks one of that cluster's nodes what it can prove, plans by what our ledger holds, and when it is
our turn asks for a bundle, verifies it and submits it like any client. Nothing is remembered between rounds
but how they went: what is asked next follows from the ledger, less what a node did not have. A node that
lies, keeps silent or has nothing costs one round, and the next one asks another node. Every round has a
deadline.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog
import trio

from node.anchoring.exchange import PATIENCE_MS_MAX, BundleAsked, Offered
from node.anchoring.lanes.courier import BundleRequest, Offer, plan
from node.anchoring.lanes.inbound import InboundBundle
from node.daemon.federation.barren import BarrenOffers
from node.daemon.federation.exchange import NOTHING, AskFailed
from node.daemon.federation.ledgerside import FOLLOWED, BundleFault, Checked, Seat, Standing
from node.daemon.federation.turns import backoff_ms, rank, step_ms, turn_of, usual_ms, wait_ms
from node.storage import SnapshotExpired, SnapshotLimit
from p2p import PeerId

PATIENCE_MS = 5_000
"""How long one node may keep us waiting for news before another one is asked: what a node that omits can
delay, where nobody else brings it."""
ANSWER_SECONDS = 5.0
"""What an answer may take beyond the patience."""
ROUND_SECONDS = 60.0
PAUSE_MIN_MS = 200
"""Between rounds that brought nothing: a server that answers before its time cannot make us spin."""
PAUSE_MAX_MS = 10_000
BUNDLES_AT_ONCE_MAX = 4
"""Bundles that one round submits before the first is final."""
GLANCE_MS = 50
"""The shortest time between two looks at our ledger while another validator has its turn."""
HURRY_SECONDS = 20.0
"""How long a height that somebody waits for is hurried after: one that never comes is no reason for ever."""
FALSE_BUNDLE_WEIGHT = 40

_log = structlog.get_logger("isthmus")


class Asked(Protocol):
    """How questions are asked; `Exchange` is one. Both raise AskFailed."""

    async def ask_offer(
        self, peer: PeerId, held: tuple[int, int, int], patience_ms: int, seconds: float
    ) -> Offered:
        """What the peer offers beyond (incarnation, height, log size)."""
        ...

    async def ask_bundle(self, peer: PeerId, question: Callable[[int], BundleAsked], seconds: float) -> bytes:
        """The peer's bundle for a request."""
        ...

    async def peer_arrives(self) -> None:
        """Returns when the next foreign peer is connected."""
        ...


class Peers(Protocol):
    """The links to the other cluster; `p2p.ForeignLinks` is one."""

    def connected(self, network_id: bytes) -> tuple[PeerId, ...]:
        """Its connected nodes."""
        ...

    def report(self, peer: PeerId, code: str, weight: int) -> None:
        """Score one."""
        ...


class OwnLedger(Protocol):
    """Our ledger; `InThreads` is one. Both raise SnapshotLimit and SnapshotExpired."""

    async def standing(self, cluster_id: bytes) -> Standing | None:
        """How we stand with the cluster."""
        ...

    async def check(self, standing: Standing, data: bytes, now_ms: int) -> Checked:
        """The bundle, if our ledger could execute it; raises BundleFault."""
        ...


class Heights(Protocol):
    """What is certified of our own and can be read, and waiting for more; `Waiters` is one."""

    readable_height: int

    async def wait_readable(self, height: int) -> int:
        """The readable height once it is at least `height`."""
        ...


class SubmitFailed(Exception):
    """Our own node did not take the transaction; `code` is its refusal's, in words."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.code}: {self.detail}"


@dataclass(slots=True)
class CourierCounts:
    """What one courier has done, for metrics."""

    rounds: int = 0
    bundles: int = 0
    bundle_bytes: int = 0
    leaves: int = 0
    verify_us: int = 0
    submitted: int = 0
    forestalled: int = 0
    """Rounds in which another validator was faster."""
    errors: dict[str, int] = field(default_factory=dict)
    """Rounds that failed, by code."""
    last_error: str = ""

    @property
    def verify_seconds(self) -> float:
        """What verifying all bundles took."""
        return self.verify_us / 1e6


class Courier:
    """Pulls from one cluster, for as long as it runs."""

    def __init__(
        self,
        cluster_id: bytes,
        ledger: OwnLedger,
        asked: Asked,
        peers: Peers,
        heights: Heights,
        submit: Callable[[InboundBundle], Awaitable[bytes]],
        final: Callable[[bytes], Awaitable[None]],
        seat: Callable[[], Seat | None],
        unreachable: Callable[[bytes], None],
        wall_ms: Callable[[], int],
    ) -> None:
        """`submit` hands a bundle in and answers its transaction id, or raises SubmitFailed; `final` returns
        when that transaction is final, or is no longer waited for. `unreachable` is told the cluster when no
        node of it is connected."""
        self.cluster_id = cluster_id
        self._ledger = ledger
        self._asked = asked
        self._peers = peers
        self._heights = heights
        self._submit = submit
        self._final = final
        self._seat = seat
        self._unreachable = unreachable
        self._wall_ms = wall_ms
        self._turn = 0
        self._failures = 0
        self._fruitless = 0
        """Rounds in a row that brought nothing."""
        self._hasty = 0
        """Of these the last ones whose node did not keep the question as long as it might."""
        self._usual_ms = 0
        self._wanted = (0, 0.0)
        """A height that somebody waits for, and until when."""
        self._listening = trio.CancelScope()
        self._barren = BarrenOffers()
        self.counts = CourierCounts()

    @property
    def barren_offers(self) -> int:
        """How many nodes are remembered that had nothing; BARREN_MAX at most."""
        return len(self._barren)

    def hurry(self, height: int) -> None:
        """Somebody waits for this height: the tip is brought now, without a turn and before the heartbeat."""
        wanted, until = self._wanted
        if height > wanted or trio.current_time() >= until:
            self._wanted = (height, trio.current_time() + HURRY_SECONDS)
            self._listening.cancel()

    def _is_hurried(self, standing: Standing) -> bool:
        height, until = self._wanted
        return standing.held.height < height and trio.current_time() < until

    async def run(self) -> None:
        """Round after round until cancelled; raises only what is a fault of our own."""
        while True:
            self.counts.rounds += 1
            pause_ms = await self._guarded_round()
            if pause_ms:
                await trio.sleep(pause_ms / 1000)

    async def _guarded_round(self) -> int:
        """One round; answers the pause before the next. Whatever the other side does ends here."""
        try:
            with trio.fail_after(ROUND_SECONDS):
                brought = await self._round()
        except (AskFailed, BundleFault, SubmitFailed) as fault:
            self._failed(fault.code, str(fault))
        except (SnapshotLimit, SnapshotExpired) as busy:
            self._failed("busy", str(busy))
        except trio.TooSlowError:
            self._failed("round-timeout", f"a round took more than {ROUND_SECONDS:g} s")
        else:
            self._failures = 0
            if not brought:
                self._turn += 1  # whoever said nothing may have kept it back: ask another one
                self._fruitless += 1
                return backoff_ms(self._hasty, PAUSE_MIN_MS, PAUSE_MAX_MS)
            self._fruitless = self._hasty = 0
            return 0
        self._turn += 1
        self._failures += 1
        return backoff_ms(self._failures - 1, PAUSE_MIN_MS, PAUSE_MAX_MS)

    async def _round(self) -> bool:
        """Whether the ledger was brought forward, by us or by somebody else."""
        seat = self._seat()
        standing = await self._ledger.standing(self.cluster_id)
        if seat is None or standing is None or standing.client.status not in FOLLOWED:
            await trio.sleep(PATIENCE_MS / 1000)
            return False
        is_hurried = self._is_hurried(standing)
        if is_hurried:
            standing = replace(standing, heartbeat_ms=0)
        peer = await self._next_peer(seat)
        offer = await self._ask_offer(peer, standing)
        if offer is None or self._plan(standing, offer) is None:
            return False
        turn = turn_of(standing.held.anchored_ms)
        position = 0 if is_hurried else rank(seat.index, seat.count, turn)
        wished = trio.current_time()
        waited = await self._wait_turn(standing, position)
        request = None if waited is None else self._plan(waited, offer)
        if waited is None or request is None:
            self._note_taken(wished)
            self.counts.forestalled += 1
            return True
        began = trio.current_time()
        if not await self._bring(peer, waited, offer, request):
            return True
        self._note_taken(began)
        if not await self._has_moved(waited):
            raise SubmitFailed("no-progress", "the ledger took nothing of the bundle yet")
        return True

    def _note_taken(self, wished: float) -> None:
        """A bundle was executed that was wished for, or asked for by us, at this time."""
        self._usual_ms = usual_ms(self._usual_ms, int((trio.current_time() - wished) * 1000))

    async def _bring(
        self, peer: PeerId, standing: Standing, offer: Offer, request: BundleRequest | None
    ) -> bool:
        """Bundles one after the other, each asked for as if those before were executed already; returns once
        the last one is final. False when another validator was faster."""
        tx_id = b""
        count = 0
        try:
            while request is not None and count < BUNDLES_AT_ONCE_MAX:
                checked = await self._fetch(peer, standing, offer, request)
                if not count and await self._is_forestalled(standing):
                    return False
                tx_id = await self._submit(checked.bundle)
                count += 1
                self.counts.submitted += 1
                request = None
                if checked.after is not None:
                    standing = checked.after
                    request = self._plan(standing, offer)
        except BundleFault as fault:
            if fault.is_blamed or not count:
                raise
        finally:
            if tx_id:
                await self._final(tx_id)
        return True

    async def _wait_turn(self, standing: Standing, position: int) -> Standing | None:
        """How we stand once it is our turn; None as soon as another validator brought leaves. One that only
        anchors, again and again, keeps nobody from bringing them."""
        if not position:
            return standing
        now: Standing | None = standing
        height = self._heights.readable_height
        with trio.move_on_after(wait_ms(position, step_ms(self._usual_ms)) / 1000):
            while now is not None and now.held.leaves_taken <= standing.held.leaves_taken:
                height = await self._heights.wait_readable(height + 1)
                await trio.sleep(GLANCE_MS / 1000)
                now = await self._ledger.standing(self.cluster_id)
            return None
        return await self._ledger.standing(self.cluster_id)

    async def _next_peer(self, seat: Seat) -> PeerId:
        """The node whose turn it is; validators begin at different ones."""
        nodes = self._peers.connected(self.cluster_id)
        if not nodes:
            self._unreachable(self.cluster_id)
            with trio.move_on_after(PATIENCE_MS / 1000):
                while not (nodes := self._peers.connected(self.cluster_id)):
                    await self._asked.peer_arrives()
        if not nodes:
            raise AskFailed("unreachable", "no node of the cluster is connected")
        return nodes[(seat.index + self._turn) % len(nodes)]

    async def _ask_offer(self, peer: PeerId, standing: Standing) -> Offer | None:
        """What the peer offers; None when somebody does not wait for its patience to end."""
        held = standing.held
        patience_ms = self._patience_ms(standing)
        began = trio.current_time()
        with trio.CancelScope() as self._listening:
            offered = await self._asked.ask_offer(
                peer,
                (held.incarnation, held.height, self._barren.log_size(peer, held)),
                patience_ms,
                patience_ms / 1000 + ANSWER_SECONDS,
            )
            is_hasty = (trio.current_time() - began) * 1000 < patience_ms / 2
            self._hasty = self._hasty + 1 if is_hasty else 0
            return self._barren.without(peer, held, offered.offer)
        return None

    def _patience_ms(self, standing: Standing) -> int:
        """How long a node may keep the question: not beyond our heartbeat, but for a cluster of which no node
        had gone on when it was over."""
        due_ms = standing.held.anchored_ms + standing.heartbeat_ms - self._wall_ms()
        if due_ms <= 0 and self._fruitless > len(self._peers.connected(self.cluster_id)):
            due_ms = standing.heartbeat_ms
        return max(0, min(PATIENCE_MS, PATIENCE_MS_MAX, due_ms))

    def _plan(self, standing: Standing, offer: Offer) -> BundleRequest | None:
        return plan(standing.held, offer, self._wall_ms(), standing.heartbeat_ms)

    async def _fetch(self, peer: PeerId, standing: Standing, offer: Offer, request: BundleRequest) -> Checked:
        """The peer's bundle, verified. Raises AskFailed, and BundleFault once the peer is scored."""
        try:
            data = await self._asked.ask_bundle(
                peer, lambda ticket: BundleAsked(ticket, request), ANSWER_SECONDS
            )
        except AskFailed as failed:
            if failed.code == NOTHING:
                self._barren.note(peer, standing.held, offer)
            raise
        began = trio.current_time()
        try:
            checked = await self._ledger.check(standing, data, self._wall_ms())
        except BundleFault as fault:
            if fault.is_blamed:
                self._peers.report(peer, fault.code, FALSE_BUNDLE_WEIGHT)
            elif fault.is_empty:
                self._barren.note(peer, standing.held, offer)
            raise
        self.counts.verify_us += round((trio.current_time() - began) * 1e6)
        self.counts.bundles += 1
        self.counts.bundle_bytes += len(data)
        self.counts.leaves += len(checked.bundle.leaves)
        return checked

    async def _is_forestalled(self, standing: Standing) -> bool:
        """Whether another validator's bundle was executed meanwhile."""
        if not await self._has_moved(standing):
            return False
        self.counts.forestalled += 1
        return True

    async def _has_moved(self, standing: Standing) -> bool:
        now = await self._ledger.standing(self.cluster_id)
        return now is None or now.held != standing.held or now.client != standing.client

    def _failed(self, code: str, detail: str) -> None:
        if detail != self.counts.last_error:
            _log.info("courier_fault", cluster=self.cluster_id.hex()[:12], code=code, detail=detail)
        self.counts.errors[code] = self.counts.errors.get(code, 0) + 1
        self.counts.last_error = detail
