"""What a running node keeps an eye on: room on its disk, and why peers are not linked."""

import structlog
import trio

from node.daemon.postbox import Postbox
from node.daemon.startup import OpenedHome
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


async def watch_disk(opened: OpenedHome, postbox: Postbox) -> None:
    """Say when the disk runs full and when it is free again, until cancelled."""
    low = False
    while True:
        free = opened.store.disk_free_bytes()
        changed = (free < DISK_RESERVE_BYTES) != low
        if changed:
            low = not low
            _log.warning("disk_low" if low else "disk_recovered", free_bytes=free)
        if low or changed:
            # Said again while it lasts: a flush that went through in between may have said otherwise.
            postbox.put(DiskLow(low))
        # Old views are ended here, too: a node without queries and writes has nobody else to do it.
        await trio.to_thread.run_sync(opened.store.snapshots.end_old)
        await trio.sleep(DISK_WATCH_SECONDS)
