"""The other nodes: found by name, reached, the node one thinks, and of the same cluster.

It is this node that knocks, with its own key and the genesis it has, exactly as it will when it runs; so
whatever a peer would refuse later is refused now, in its words.
"""

import os
import random

import trio

from node import wire
from node.config import NodeConfig, PeerConfig
from node.doctor.finding import Finding, fault, good, skipped, warning
from node.genesis import Genesis
from p2p import GossipConfig, NodeIdentity, P2PConfig, PeerAddress, PeerId, PeerStatus, open_network

PATIENCE_SECONDS = 6.0
"""For all peers at once: connect, TLS and hello take well under a second anywhere on Earth."""
_LOOKS = 120


async def look_at_neighbours(
    config: NodeConfig, genesis: Genesis, identity: NodeIdentity, *, is_running: bool
) -> list[Finding]:
    """Knock at every configured peer; skipped while the node runs, whose own links tell more."""
    if is_running:
        return [skipped("peers", "the node runs: `isthmus status` shows its links")]
    if not config.p2p.peers:
        if len(genesis.validators) == 1:
            return [good("peers", "the cluster has one validator")]
        return [
            warning("peers", "no peer is configured", "add [[p2p.peers]], unless all others dial this node")
        ]
    asked = P2PConfig(
        listen_host="127.0.0.1",
        listen_port=0,
        network_id=genesis.cluster_id,
        protocol_version=wire.PROTOCOL_VERSION,
        protocol_oldest=wire.PROTOCOL_OLDEST,
        software="isthmus doctor",
        topics=wire.TOPICS,
        peers=tuple(PeerAddress(PeerId(p.node_key), p.name, p.host, p.port) for p in config.p2p.peers),
        node_name=config.name,
        gossip=GossipConfig(seen_items=64, store_items=64),
        dial_patience_ms=1,
    )
    async with open_network(asked, identity, random.Random(os.urandom(16))) as network:
        for _ in range(_LOOKS):
            if all(peer.connected or peer.last_error for peer in network.status()):
                break
            await trio.sleep(PATIENCE_SECONDS / _LOOKS)
        known = {bytes(peer.peer): peer for peer in network.status()}
    return [_of_peer(peer, known.get(bytes(peer.node_key))) for peer in config.p2p.peers]


def _of_peer(peer: PeerConfig, status: PeerStatus | None) -> Finding:
    where = f"{peer.name} at {peer.host}:{peer.port}"
    if status is not None and status.connected:
        return good("peers", f"{where} answers, and is of this cluster ({status.software})")
    reason = "" if status is None else status.last_error
    if not reason:
        return warning(
            "peers", f"{where} does not answer", "is it started, and does a firewall stand between?"
        )
    if "genesis" in reason or "protocol" in reason:
        return fault("peers", f"{where}: {reason}", "compare cluster ids and versions with its operator")
    if "node key" in reason:
        return warning(
            "peers",
            f"{where}: {reason}",
            "one that lets a joining node in suffices until governance admits it",
        )
    return warning("peers", f"{where}: {reason}", "is it started, and is the address right?")
