"""Puts the nodes of a testnet that is written and not started yet each behind an address of its namespace."""

from dataclasses import replace

from bench.cables import rewrite
from bench.namespaces import Namespaces
from node.local.testnet import Testnet


def lay_wires(testnet: Testnet, namespaces: Namespaces) -> None:
    """Rewrite every node's configuration: it listens for peers, and finds each, at the namespaces' addresses.
    The API stays on loopback."""
    numbers = {node.name: number for number, node in enumerate(testnet.nodes)}
    for number, node in enumerate(testnet.nodes):
        rewrite(
            node,
            lambda peer: replace(peer, host=namespaces.host(numbers[peer.name])),
            p2p_host=namespaces.host(number),
        )
