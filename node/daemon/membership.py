"""Whose links this node accepts, and to whom it broadcasts: the roster of the epoch, beside what its operator
configured (C4, C18).

Who joins was connected as an observer before, and stays connected. Who left is kept for as long as this
process runs: it may not have heard yet that its epoch is over, and it serves history.
"""

from p2p import Network, P2PConfig, PeerId

KEPT_MAX = 512
"""Node keys accepted beyond those of configuration and genesis, the newest: four full rosters."""


class Membership:
    """The network's pinned keys; `config` holds those of configuration and genesis."""

    def __init__(self, network: Network, config: P2PConfig, own: PeerId) -> None:
        self._network = network
        self._config = config
        self._own = own
        self._pinned = {own, *config.allowed, *(address.peer_id for address in config.peers)}
        self._kept: dict[PeerId, None] = {}

    def enter(self, validators: tuple[bytes, ...]) -> tuple[PeerId, ...]:
        """An epoch begins with these validators' node keys: accept them; answers with all but ourselves."""
        members = tuple(PeerId(key) for key in validators)
        unknown = [peer for peer in members if peer not in self._pinned]
        newcomers = [peer for peer in unknown if peer not in self._kept]
        for peer in unknown:
            self._kept.pop(peer, None)
            self._kept[peer] = None
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        if newcomers:
            self._network.update_members(self._config.peers, {*self._config.allowed, *self._kept})
        return tuple(peer for peer in members if peer != self._own)
