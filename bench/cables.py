"""Puts the proxies of a mesh between the nodes of a testnet that is written and not started yet."""

from dataclasses import replace

from bench.proxies import LOOPBACK, Mesh
from node.config import load_config
from node.local.newnode import NodeSetup
from node.local.testnet import Testnet


def lay_cables(testnet: Testnet, mesh: Mesh) -> None:
    """Rewrite every node's configuration so that it finds each peer behind the proxy of that pair."""
    numbers = {node.name: number for number, node in enumerate(testnet.nodes)}
    for dialler, node in enumerate(testnet.nodes):
        config = load_config(node.home, {}).config
        peers = tuple(
            replace(peer, host=LOOPBACK, port=mesh.port(dialler, numbers[peer.name]))
            for peer in config.p2p.peers
        )
        setup = NodeSetup(
            node.name,
            config.role,
            node.ports.p2p,
            node.ports.api,
            peers=peers,
            unmetered=True,
            verify_workers=config.limits.verify_workers,
        )
        node.home.config_file.write_text(setup.to_toml(), encoding="utf-8")
