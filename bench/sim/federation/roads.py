"""The roads between clusters: questions and answers with delay, loss, cuts, and servers that lie.

A lying node damages, replays, withholds or invents; it holds no key of anybody but itself, so nothing that it
says is worth more than a stranger's word.
"""

from collections.abc import Callable
from random import Random
from typing import TypeVar

from bench.sim.clock import Clock
from bench.sim.federation import serving
from bench.sim.federation.courier import Courier
from bench.sim.federation.gossip import Gossip
from consensus import CodecError
from node.anchoring.client.lightclient import Update
from node.anchoring.lanes import BundleRequest, InboundBundle, Offer

Answer = TypeVar("Answer")
DELAY_MS = (5, 60)
"""One way, least and most."""
LIES = ("garbage", "replay", "omit", "boast")


class Roads:
    """All links of a federation."""

    def __init__(self, clock: Clock, chance: Random, gossip: Gossip, heartbeat_ms: int) -> None:
        self.clock, self.chance, self.gossip = clock, chance, gossip
        self.heartbeat_ms = heartbeat_ms
        self.loss_permille = 0
        self.cut: set[frozenset[bytes]] = set()
        self.lies: dict[tuple[bytes, int], str] = {}
        self.bytes_carried = 0
        self.bundles = 0
        self.lied = 0
        self._kept: dict[tuple[bytes, bytes], bytes] = {}

    # --- what couriers ask (`courier.Roads`) -------------------------------------------------------

    def ask_offer(self, courier: Courier, server: int, reply: Callable[[bytes], None]) -> None:
        """What has node `server` of the peer?"""
        self._ask(courier, server, lambda: self._offer(courier, server), reply)

    def ask_bundle(
        self, courier: Courier, server: int, request: BundleRequest, reply: Callable[[bytes], None]
    ) -> None:
        """Bring this; the request crosses as bytes, as everything does."""
        data = request.encode()
        self._ask(courier, server, lambda: self._bundle(courier, server, data), reply)

    def ask_views(self, courier: Courier, server: int) -> None:
        """What does the peer hold of others?"""
        home, peer = courier.home, courier.peer

        def answer() -> Callable[[], None]:
            views = self.gossip.views(peer)
            return lambda: self.gossip.heard(home, peer, views)

        self._ask(courier, server, answer, lambda act: act())

    def carried(self, courier: Courier, bundle: InboundBundle, size_bytes: int) -> None:
        """A bundle was verified and pooled."""
        self.bundles += 1
        self.bytes_carried += size_bytes

    def suspected(self, courier: Courier, bundle: InboundBundle) -> None:
        """A bundle was not believed: if its header is certified, it may be of another branch than ours."""
        if bundle.update is None or courier.line is not courier.home.main:
            return
        try:
            header = Update.decode(bundle.update).certified.header
        except CodecError:
            return
        if header.cluster_id == courier.peer.cluster_id:
            self.gossip.compare(courier.home, courier.peer.cluster_id, (header.height, header.hash))

    # --- the way -----------------------------------------------------------------------------------

    def _ask(
        self,
        courier: Courier,
        server: int,
        answer: Callable[[], Answer | None],
        reply: Callable[[Answer], None],
    ) -> None:
        pair = frozenset((courier.home.cluster_id, courier.peer.cluster_id))

        def arrived() -> None:
            if pair in self.cut or not courier.peer.is_up[server]:
                return
            said = answer()
            if said is not None:
                self._after(lambda: None if pair in self.cut else reply(said))

        self._after(arrived)

    def _after(self, action: Callable[[], None]) -> None:
        if self.chance.randrange(1000) >= self.loss_permille:
            self.clock.after(1000 * self.chance.randint(*DELAY_MS), action)

    def _offer(self, courier: Courier, server: int) -> bytes | None:
        peer, asker = courier.peer, courier.home.cluster_id
        real = serving.offer(peer.line_for(asker).ledger, asker)
        lie = self.lies.get((peer.cluster_id, server))
        if lie is None:
            return real.encode()
        self.lied += 1
        match lie:
            case "omit":
                return None
            case "garbage":
                return b"\x93" + real.encode()
            case _:
                return Offer(real.incarnation, real.height + 1000, real.log_size + 1000).encode()

    def _bundle(self, courier: Courier, server: int, request: bytes) -> bytes | None:
        peer, asker = courier.peer, courier.home.cluster_id
        bundle = serving.answer(peer.line_for(asker).ledger, asker, BundleRequest.decode(request))
        real = None if bundle is None else bundle.encode()
        lie = self.lies.get((peer.cluster_id, server))
        if lie is None:
            if real is not None:
                self._kept.setdefault((peer.cluster_id, asker), real)
            return real
        self.lied += 1
        match lie:
            case "replay":
                return self._kept.get((peer.cluster_id, asker))
            case "garbage":
                return None if real is None else damaged(real, self.chance)
            case _:
                return None

    def kept(self, subject: bytes, asker: bytes) -> bytes | None:
        """An old bundle of this way, as anybody may have kept it."""
        return self._kept.get((subject, asker))


def damaged(data: bytes, chance: Random) -> bytes:
    """One byte is another, or the end is missing."""
    place = chance.randrange(len(data))
    if chance.randrange(4) == 0:
        return data[:place]
    return data[:place] + bytes((data[place] ^ (1 << chance.randrange(8)),)) + data[place + 1 :]
