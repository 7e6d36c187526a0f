"""A whole cluster in one folder, for one machine: homes, keys, genesis and settings of every node.

    DIR/testnet.json      what is where, for `isthmus status DIR`
    DIR/keys/             0700: client.key (a member who may publish), operator-<node>.key (admins)
    DIR/node0, node1 ...  one home each

On more than one machine every organisation makes its own keys; here one person plays all of them.
"""

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from consensus import PublicKey, SigningKey
from node.config import PeerConfig
from node.genesis import Genesis
from node.home import SEED_BYTES, Home, write_key, write_new
from node.ledger.members import Member
from node.ledger.params import Params
from node.ledger.roster import ValidatorRecord
from node.local.newnode import NodeKeys, NodeSetup, RandomBytes, create_keys, write_setup
from node.local.ports import LOOPBACK, NodePorts
from node.local.supervisor import Program

NODES_MAX = 32
MANIFEST = "testnet.json"
_MANIFEST_VERSION = 1
PROCESSORS = os.cpu_count() or 1


class TestnetError(Exception):
    """The folder or the plan cannot work: the user's fault, told as a sentence with the way out."""

    __test__ = False  # the name begins with Test, pytest should not collect it


@dataclass(frozen=True, slots=True)
class LocalNode:
    """One node of a local cluster."""

    name: str
    home: Home
    ports: NodePorts

    @property
    def url(self) -> str:
        """Where its API answers."""
        return f"http://{LOOPBACK}:{self.ports.api}"

    @property
    def log_file(self) -> Path:
        """Where the supervisor puts its output."""
        return self.home.log_dir / "daemon.log"

    def program(self, python: str = sys.executable) -> Program:
        """The daemon as a child process of this installation, or of that of another interpreter; its log is
        where a traceback belongs, hence --debug."""
        command = (python, "-m", "node.cli.main", "--debug", "start", "--home", str(self.home.path))
        return Program(self.name, command, self.log_file, {})


@dataclass(frozen=True, slots=True)
class Testnet:
    """A local cluster that is written to disk."""

    __test__ = False

    directory: Path
    name: str
    cluster_id: bytes
    nodes: tuple[LocalNode, ...]

    @property
    def client_key_file(self) -> Path:
        """The key of a member who may publish."""
        return self.directory / "keys" / "client.key"

    @property
    def genesis_file(self) -> Path:
        """Any node's copy of the genesis."""
        return self.nodes[0].home.genesis_file


def write_testnet(
    directory: Path,
    name: str,
    ports: tuple[NodePorts, ...],
    created_ms: int,
    random_bytes: RandomBytes,
    *,
    params: Params | None = None,
    members: Iterable[Member] = (),
    processors: int = PROCESSORS,
) -> Testnet:
    """Write a new cluster with one node for each entry of `ports`.

    `created_ms` is the time of header 0, whatever `params` say. `members` are registered beside the client
    and the operators. Where there are fewer than two `processors` a node, the nodes check signatures between
    their other work: a process of its own for that would only take turns with its node (measured on two, four
    nodes take a tenth more transactions without, and start sooner). Raises TestnetError when the folder has
    something in it.
    """
    if not 1 <= len(ports) <= NODES_MAX:
        raise TestnetError(f"a local testnet has 1 to {NODES_MAX} nodes, not {len(ports)}")
    if directory.exists() and any(directory.iterdir()):
        raise TestnetError(f"{directory} is not empty; choose another folder, or remove it yourself first")
    keys_dir = directory / "keys"
    directory.mkdir(parents=True, exist_ok=True)
    keys_dir.mkdir(mode=0o700)
    keys_dir.chmod(0o700)
    nodes = tuple(LocalNode(f"node{i}", Home(directory / f"node{i}"), pair) for i, pair in enumerate(ports))
    keys = tuple(create_keys(node.home, "validator", random_bytes) for node in nodes)
    operators = tuple(_new_key(keys_dir / f"operator-{node.name}.key", random_bytes) for node in nodes)
    client = _new_key(keys_dir / "client.key", random_bytes)
    shared = Params(created_ms) if params is None else replace(params, created_ms=created_ms)
    genesis = _genesis(name, shared, nodes, keys, operators, client, members)
    for node in nodes:
        peers = tuple(
            PeerConfig(other.name, other_keys.node_key, LOOPBACK, other.ports.p2p)
            for other, other_keys in zip(nodes, keys, strict=True)
            if other is not node
        )
        setup = NodeSetup(
            node.name,
            "validator",
            node.ports.p2p,
            node.ports.api,
            peers=peers,
            unmetered=True,
            verify_workers=0 if processors < 2 * len(nodes) else None,
        )
        write_setup(node.home, setup, genesis.to_json())
    testnet = Testnet(directory, name, genesis.cluster_id, nodes)
    write_new(directory / MANIFEST, _manifest(testnet).encode(), 0o644)
    return testnet


def read_testnet(directory: Path) -> Testnet:
    """The cluster written in a folder. Raises TestnetError."""
    manifest = directory / MANIFEST
    try:
        document = json.loads(manifest.read_text(encoding="utf-8"))
        if document["version"] != _MANIFEST_VERSION:
            raise TestnetError(f"{manifest} was written by other software; write the testnet anew")
        nodes = tuple(
            LocalNode(
                node["name"], Home(directory / node["name"]), NodePorts(node["p2p_port"], node["api_port"])
            )
            for node in document["nodes"]
        )
        return Testnet(directory, document["name"], bytes.fromhex(document["cluster_id"]), nodes)
    except FileNotFoundError:
        raise TestnetError(
            f"{directory} holds no testnet ({MANIFEST} is missing); write one: "
            f"isthmus testnet --out {directory}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise TestnetError(f"{manifest} is damaged ({error}); write the testnet anew") from error


def _new_key(path: Path, random_bytes: RandomBytes) -> PublicKey:
    seed = random_bytes(SEED_BYTES)
    write_key(path, seed)
    return SigningKey(seed).public_key


def _genesis(
    name: str,
    params: Params,
    nodes: tuple[LocalNode, ...],
    keys: tuple[NodeKeys, ...],
    operators: tuple[PublicKey, ...],
    client: PublicKey,
    more_members: Iterable[Member],
) -> Genesis:
    validators = []
    members = [Member(client, "org0", ("client",), "client"), *more_members]
    for position, (node, own, operator) in enumerate(zip(nodes, keys, operators, strict=True)):
        organisation = f"org{position}"
        if own.consensus_key is None:
            raise ValueError(f"{node.name} was made without a consensus key")
        consensus_key, node_key = PublicKey(own.consensus_key), PublicKey(own.node_key)
        validators.append(ValidatorRecord(node.name, organisation, consensus_key, node_key, 1, operator))
        members.append(Member(operator, organisation, ("admin",), f"operator-{node.name}"))
    return Genesis.new(name, params, validators, members)


def _manifest(testnet: Testnet) -> str:
    document = {
        "version": _MANIFEST_VERSION,
        "name": testnet.name,
        "cluster_id": testnet.cluster_id.hex(),
        "nodes": [
            {"name": node.name, "p2p_port": node.ports.p2p, "api_port": node.ports.api}
            for node in testnet.nodes
        ],
    }
    return json.dumps(document, indent=2) + "\n"
