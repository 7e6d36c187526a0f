"""Puts the proxies of a mesh between the nodes of a testnet that is written and not started yet."""

from collections.abc import Callable
from dataclasses import replace

from bench.proxies import LOOPBACK, Mesh
from node.config import PeerConfig, load_config
from node.local.newnode import NodeSetup
from node.local.testnet import LocalNode, Testnet


def lay_cables(testnet: Testnet, mesh: Mesh) -> None:
    """Rewrite every node's configuration so that it finds each peer behind the proxy of that pair."""
    numbers = {node.name: number for number, node in enumerate(testnet.nodes)}
    for dialler, node in enumerate(testnet.nodes):
        ports = {name: mesh.port(dialler, number) for name, number in numbers.items() if number != dialler}
        _behind(node, ports)


def _behind(node: LocalNode, ports: dict[str, int]) -> None:
    rewrite(node, lambda peer: replace(peer, host=LOOPBACK, port=ports[peer.name]))


def rewrite(node: LocalNode, moved: Callable[[PeerConfig], PeerConfig], *, p2p_host: str = LOOPBACK) -> None:
    """Write a node's configuration anew with its peers elsewhere, and perhaps itself."""
    config = load_config(node.home, {}).config
    setup = NodeSetup(
        node.name,
        config.role,
        node.ports.p2p,
        node.ports.api,
        p2p_host=p2p_host,
        peers=tuple(moved(peer) for peer in config.p2p.peers),
        unmetered=True,
        verify_workers=config.limits.verify_workers,
    )
    node.home.config_file.write_text(setup.to_toml(), encoding="utf-8")
