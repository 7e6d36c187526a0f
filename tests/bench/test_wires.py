"""Nodes find each other at their namespaces' addresses, and their API stays where it was."""

import os
from pathlib import Path

from bench.namespaces import LOOPBACK, Namespaces
from bench.wires import lay_wires
from node.config import load_config
from node.local.testnet import write_testnet


def test_every_node_listens_and_is_found_at_its_own_address(tmp_path: Path) -> None:
    namespaces = Namespaces((0, 0, 0, 0), 0)  # nothing is run in them
    testnet = write_testnet(tmp_path / "net", "wired", namespaces.ports, 1, os.urandom)
    before = [load_config(node.home, {}).config for node in testnet.nodes]
    lay_wires(testnet, namespaces)
    hosts = {node.name: namespaces.host(number) for number, node in enumerate(testnet.nodes)}
    assert len(set(hosts.values())) == 4
    for node, was in zip(testnet.nodes, before, strict=True):
        config = load_config(node.home, {}).config
        assert (config.p2p.host, config.p2p.port) == (hosts[node.name], node.ports.p2p)
        assert (config.api, config.limits) == (was.api, was.limits)
        assert config.api.host == LOOPBACK
        found = {peer.name: (peer.host, peer.port, peer.node_key) for peer in config.p2p.peers}
        assert found == {peer.name: (hosts[peer.name], peer.port, peer.node_key) for peer in was.p2p.peers}
