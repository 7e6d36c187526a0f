"""Whose node keys a start pins: those of configuration and genesis as the newest stored epoch left them."""

from node import wire
from node.daemon.keyswap import stored_roster
from node.daemon.membership import Membership, founders_of, renamed
from node.daemon.startup import OpenedHome
from node.validator.directory import Directory
from p2p import GossipConfig, Network, P2PConfig, PeerAddress, PeerId


def network_config(opened: OpenedHome, software: str) -> P2PConfig:
    """Whom a start dials and lets in, and how the node introduces itself."""
    config, genesis = opened.config, opened.genesis
    own = opened.identity.peer_id
    configured = tuple(
        PeerAddress(PeerId(peer.node_key), peer.name, peer.host, peer.port) for peer in config.p2p.peers
    )
    with opened.store.snapshot() as snapshot:
        founders, rotated = founders_of(genesis, stored_roster(snapshot))
    addresses = renamed(configured, rotated, own)
    unwanted = {own, *rotated, *(address.peer_id for address in addresses)}
    allowed = ({PeerId(key) for key in config.p2p.allowed} | founders) - unwanted
    return P2PConfig(
        listen_host=config.p2p.host,
        listen_port=config.p2p.port,
        network_id=genesis.cluster_id,
        protocol_version=wire.PROTOCOL_VERSION,
        protocol_oldest=wire.PROTOCOL_OLDEST,
        software=f"isthmus {software}",
        topics=wire.TOPICS,
        peers=addresses,
        allowed=frozenset(allowed),
        node_name=config.name,
        gossip=GossipConfig(seen_items=16_384, store_items=1_024),
    )


def membership_of(
    opened: OpenedHome, network: Network, started: P2PConfig, directory: Directory
) -> Membership:
    """What goes on from there while the node runs, epoch by epoch."""
    founders = {PeerId(validator.node_key) for validator in opened.genesis.validators}
    return Membership(
        network,
        started.peers,
        started.allowed,
        opened.identity.peer_id,
        frozenset(PeerId(key) for key in opened.config.p2p.allowed) - founders,
        lambda peer: peer in directory.links(),
    )
