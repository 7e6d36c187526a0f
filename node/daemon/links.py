"""The links as a source of inputs: network events become inputs when the validator takes them.

No task stands between a connection's reader and the validator's loop: each hop would cost a turn of the
scheduler for every vote.
"""

import structlog
import trio

from node.validator import Frame, Input, LinkDown, LinkUp
from p2p import Delivery, Network, NetworkEvent, PeerConnected

_log = structlog.get_logger("isthmus")


class Links:
    """Drains the network's inbox, which is bounded and fair between peers."""

    def __init__(self, network: Network) -> None:
        self._inbox = network.inbox

    @property
    def waiting(self) -> int:
        """Events of all peers that were not taken yet."""
        return self._inbox.items

    def take(self, most: int) -> list[Input]:
        """The next inputs, urgent ones first, peers in turns."""
        taken: list[Input] = []
        try:
            while len(taken) < most:
                taken.append(_input_of(self._inbox.receive_nowait()))
        except trio.WouldBlock:
            return taken
        return taken


def _input_of(event: NetworkEvent) -> Input:
    if isinstance(event, Delivery):
        return Frame(event.peer, event.topic, event.body, event.message_id)
    if isinstance(event, PeerConnected):
        _log.info("peer_connected", peer=event.peer.hex()[:12])
        return LinkUp(event.peer)
    _log.info("peer_disconnected", peer=event.peer.hex()[:12], reason=event.reason)
    return LinkDown(event.peer)
