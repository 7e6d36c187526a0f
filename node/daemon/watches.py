"""What a running node keeps an eye on: room on its disk, and why peers are not linked."""

from dataclasses import dataclass

import structlog
import trio

from node.daemon.postbox import Postbox
from node.daemon.startup import OpenedHome
from node.daemon.store import Store
from node.validator import DiskLow
from p2p import Network, PeerId

DISK_RESERVE_BYTES = 256 * 1024 * 1024
"""Below this much free space payload is refused first, so that consensus can go on (C17)."""
DISK_WATCH_SECONDS = 5.0
LINK_WATCH_SECONDS = 2.0
"""How soon a new reason why a peer cannot be reached is told; one that repeats is told once."""

_log = structlog.get_logger("isthmus")


async def watch_links(network: Network) -> None:
    """Tell why a peer is not connected, each reason once, above all when its genesis is another one."""
    told: dict[PeerId, str] = {}
    while True:
        for peer in network.status():
            reason = "" if peer.connected else peer.last_error
            if reason and told.get(peer.peer) != reason:
                _log.warning("peer_not_connected", peer=peer.peer.hex()[:12], reason=reason)
            told[peer.peer] = reason
        await trio.sleep(LINK_WATCH_SECONDS)


@dataclass(slots=True)
class Room:
    """How much there was when `watch_disk` looked last."""

    free_bytes: int
    map_used_permille: int

    @staticmethod
    def of(store: Store) -> "Room":
        """As it is now."""
        room = Room(0, 0)
        room.look(store)
        return room

    def look(self, store: Store) -> None:
        """Measure anew."""
        self.free_bytes = store.disk_free_bytes()
        self.map_used_permille = int(1000 * store.used_ratio())


async def watch_disk(opened: OpenedHome, postbox: Postbox, room: Room) -> None:
    """Keep `room` true, and say when the disk runs full and when it is free again, until cancelled."""
    low = False
    while True:
        room.look(opened.store)
        changed = (room.free_bytes < DISK_RESERVE_BYTES) != low
        if changed:
            low = not low
            _log.warning("disk_low" if low else "disk_recovered", free_bytes=room.free_bytes)
        if low or changed:
            # Said again while it lasts: a flush that went through in between may have said otherwise.
            postbox.put(DiskLow(low))
        # Old views are ended here, too: a node without queries and writes has nobody else to do it.
        await trio.to_thread.run_sync(opened.store.snapshots.end_old)
        await trio.sleep(DISK_WATCH_SECONDS)
