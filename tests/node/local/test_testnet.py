"""A local cluster on disk: every node's files agree with each other, and nothing is overwritten."""

import itertools
import os
import socket
import stat
from pathlib import Path

import pytest

from consensus import GuardRecord, SigningKey, decode
from node.api.server import bind_listener
from node.config import load_config
from node.daemon.guardfile import GuardFile
from node.genesis import Genesis
from node.home import HomeError, read_key
from node.ledger.members import Member
from node.ledger.params import Params
from node.local.newnode import create_keys
from node.local.ports import LOOPBACK, PORTS_PER_NODE, NodePorts, first_busy, fixed_ports, free_ports
from node.local.testnet import Testnet, TestnetError, read_testnet, write_testnet
from p2p import NodeIdentity

CREATED_MS = 1_750_000_000_000


def written(directory: Path, nodes: int = 4) -> Testnet:
    counter = itertools.count(1)
    return write_testnet(
        directory, "demo", fixed_ports(nodes), CREATED_MS, lambda size: next(counter).to_bytes(size, "big")
    )


@pytest.fixture
def testnet(tmp_path: Path) -> Testnet:
    return written(tmp_path / "net")


def test_what_was_written_is_read_back(testnet: Testnet) -> None:
    assert read_testnet(testnet.directory) == testnet


def test_every_node_has_the_same_genesis_and_its_hash_is_the_cluster_id(testnet: Testnet) -> None:
    texts = {node.home.genesis_file.read_text() for node in testnet.nodes}
    assert len(texts) == 1
    assert Genesis.from_json(texts.pop()).cluster_id == testnet.cluster_id


def test_the_keys_on_disk_are_those_of_the_genesis(testnet: Testnet) -> None:
    genesis = Genesis.from_json(testnet.genesis_file.read_text())
    for node, validator in zip(testnet.nodes, genesis.validators, strict=True):
        node_key: bytes = NodeIdentity.from_seed(read_key(node.home.node_key_file)).peer_id
        assert node_key == validator.node_key
        assert SigningKey(read_key(node.home.validator_key_file)).public_key == validator.consensus_key
        operator = testnet.directory / "keys" / f"operator-{node.name}.key"
        assert SigningKey(read_key(operator)).public_key == validator.operator_key
    client = SigningKey(read_key(testnet.client_key_file)).public_key
    assert client in {member.public_key for member in genesis.members}


def test_every_node_knows_where_all_others_listen(testnet: Testnet) -> None:
    for node in testnet.nodes:
        config = load_config(node.home, {}).config
        assert (config.name, config.role) == (node.name, "validator")
        assert (config.p2p.port, config.api.port) == (node.ports.p2p, node.ports.api)
        others = {(other.name, other.ports.p2p) for other in testnet.nodes if other is not node}
        assert {(peer.name, peer.port) for peer in config.p2p.peers} == others


def test_secrets_are_private_and_the_guard_is_born_with_the_key(testnet: Testnet) -> None:
    for node in testnet.nodes:
        secrets = (node.home.node_key_file, node.home.validator_key_file, node.home.guard_file)
        assert [stat.S_IMODE(path.stat().st_mode) for path in secrets] == [0o600] * 3
        assert stat.S_IMODE(node.home.keys_dir.stat().st_mode) == 0o700
        guard = GuardFile.open(node.home.guard_file)
        assert GuardRecord.from_value(decode(guard.payload)).round_bound == 0
        guard.close()
    assert stat.S_IMODE(testnet.client_key_file.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(testnet.client_key_file.stat().st_mode) == 0o600


@pytest.mark.parametrize(("processors", "workers"), [(1, 0), (7, 0), (8, 1), (64, 1)])
def test_nodes_that_share_processors_check_signatures_themselves(
    tmp_path: Path, processors: int, workers: int
) -> None:
    ports = tuple(NodePorts(9_000 + 2 * number, 9_001 + 2 * number) for number in range(4))
    testnet = write_testnet(tmp_path / "net", "ours", ports, 1, os.urandom, processors=processors)
    for node in testnet.nodes:
        limits = load_config(node.home, {}).config.limits
        assert (limits.verify_workers, limits.transactions_per_second) == (workers, 0)


def test_a_folder_with_something_in_it_is_left_alone(testnet: Testnet) -> None:
    with pytest.raises(TestnetError, match="is not empty"):
        written(testnet.directory)


def test_a_folder_without_a_testnet_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(TestnetError, match=f"isthmus testnet --out {tmp_path}"):
        read_testnet(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"version": 2}', '{"version": 1, "nodes": [1]}', "[]"])
def test_a_damaged_manifest_is_a_sentence(testnet: Testnet, text: str) -> None:
    (testnet.directory / "testnet.json").write_text(text)
    with pytest.raises(TestnetError, match="write the testnet anew"):
        read_testnet(testnet.directory)


@pytest.mark.parametrize("nodes", [0, 33])
def test_the_number_of_nodes_is_bounded(tmp_path: Path, nodes: int) -> None:
    with pytest.raises(TestnetError, match="1 to 32 nodes"):
        write_testnet(tmp_path / "net", "demo", (NodePorts(1, 2),) * nodes, CREATED_MS, bytes)
    assert not (tmp_path / "net").exists()


def test_an_observer_gets_neither_validator_key_nor_guard(testnet: Testnet, tmp_path: Path) -> None:
    home = testnet.nodes[0].home.__class__(tmp_path / "observer")
    keys = create_keys(home, "observer", lambda size: b"\x07" * size)
    assert keys.consensus_key is None
    assert sorted(path.name for path in home.keys_dir.iterdir()) == ["node.key"]
    with pytest.raises(HomeError):
        create_keys(home, "observer", lambda size: b"\x08" * size)


def test_fixed_ports_are_blocks_of_ten() -> None:
    assert fixed_ports(2) == (NodePorts(27600, 27601), NodePorts(27610, 27611))
    with pytest.raises(ValueError, match="lower --base-port"):
        fixed_ports(4, 65530)


def test_free_ports_are_all_different_and_free() -> None:
    ports = free_ports(4)
    assert len({port for pair in ports for port in (pair.p2p, pair.api)}) == 8
    assert first_busy(ports) is None


EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


@pytest.mark.skipif(not EPHEMERAL.exists(), reason="only Linux tells what it hands out")
def test_a_drawn_port_is_handed_to_nobody_else_before_a_node_listens_on_it() -> None:
    """The system gives ports of its range to connections and to whoever asks for any."""
    lowest = int(EPHEMERAL.read_text().split()[0])
    assert max(pair.api for _ in range(20) for pair in free_ports(4)) < lowest


NOBODY_DRAWS = (30_000, 32_500)


def test_free_ports_are_within_the_range_that_is_asked_for() -> None:
    first = free_ports(1, NOBODY_DRAWS)[0].p2p
    for _ in range(50):
        (ports,) = free_ports(1, (first, first + PORTS_PER_NODE))
        assert ports == NodePorts(first, first + 1)
    with pytest.raises(ValueError, match="do not fit"):
        free_ports(2, (first, first + PORTS_PER_NODE))


def test_a_port_that_a_starting_node_holds_and_does_not_listen_on_yet_is_not_drawn() -> None:
    first = free_ports(1, NOBODY_DRAWS)[0].p2p
    among = (first, first + PORTS_PER_NODE)
    with bind_listener(LOOPBACK, first + 1), pytest.raises(OSError, match="no 2 free ports"):
        free_ports(1, among)
    assert free_ports(1, among) == (NodePorts(first, first + 1),)


def test_a_busy_port_is_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert first_busy((NodePorts(free_ports(1)[0].p2p, port),)) == port


def test_other_parameters_and_more_members_reach_the_genesis(tmp_path: Path) -> None:
    counter = itertools.count(1)
    member = Member(SigningKey(bytes(range(32))).public_key, "org0", ("client",), "second-client")
    testnet = write_testnet(
        tmp_path / "net",
        "demo",
        fixed_ports(1),
        CREATED_MS,
        lambda size: next(counter).to_bytes(size, "big"),
        params=Params(created_ms=1, idle_interval_ms=0),
        members=(member,),
    )
    genesis = Genesis.from_json(testnet.genesis_file.read_text())
    assert (genesis.params.created_ms, genesis.params.idle_interval_ms) == (CREATED_MS, 0)
    assert member in genesis.members
    assert len(genesis.members) == 3
