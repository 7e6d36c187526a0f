"""`isthmus observe`: a node that follows a cluster without a vote, made and run by one command.

It verifies and executes everything, serves the API, proofs and events, and hands its clients' transactions to
the validators. Who may connect is the decision of each node it dials (`p2p.allowed`): on the first start the
line that those need is printed.
"""

import os
from collections.abc import Iterable
from pathlib import Path

import click
from rich.console import Console

from consensus import CodecError
from node.cli.commands.start import run_node
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.options import home_option, name_option
from node.cli.output import Output
from node.config import PeerConfig, load_config
from node.genesis import Genesis
from node.home import Home, read_key
from node.ledger.federation.records import addresses_of
from node.local.newnode import NodeSetup, create_keys, write_setup
from node.local.ports import DEFAULT_BASE_PORT
from p2p import NodeIdentity

_KEY_DIGITS = 64


@click.command("observe", help="Follow a cluster without a vote: make the node if need be, and run it.")
@home_option
@click.option(
    "--genesis",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The cluster's genesis.json; for the first start.",
)
@click.option(
    "--peer",
    "peers",
    multiple=True,
    metavar="NODE=HOST:PORT",
    help="A node to follow (repeatable): a validator's name or any node's key. For the first start.",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    metavar="KEY",
    help="Node key of another observer that may connect to this one (repeatable). For the first start.",
)
@name_option("observer")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=DEFAULT_BASE_PORT, help="Port for other nodes."
)
@click.option(
    "--api-port", type=click.IntRange(1, 65535), default=DEFAULT_BASE_PORT + 1, help="Port of the API."
)
@click.option("--no-start", is_flag=True, help="Make the node and print its key; run it later.")
@click.option("--json", "as_json", is_flag=True, help="Log JSON lines; with --no-start one JSON document.")
def command(
    home: Home,
    genesis: Path | None,
    peers: tuple[str, ...],
    allowed: tuple[str, ...],
    name: str,
    port: int,
    api_port: int,
    no_start: bool,
    as_json: bool,
) -> None:
    """A home that exists is run as it is; options that would change it are refused."""
    output = Output(as_json)
    if home.config_file.exists():
        if genesis is not None or peers or allowed:
            raise Failure(
                Exit.USAGE,
                f"{home.path} is a node's home already, and --genesis, --peer and --allow are for a new one",
                f"change {home.config_file}, or leave these options out",
            )
        if load_config(home, os.environ).config.role != "observer":
            raise Failure(
                Exit.USAGE, f"{home.path} is no observer's home", "use `isthmus start`, or another --home"
            )
    else:
        if genesis is None or not peers:
            raise Failure(
                Exit.USAGE,
                "a new observer needs --genesis FILE and at least one --peer NODE=HOST:PORT",
                "ask an operator of the cluster for its genesis.json and for an address",
            )
        text = genesis.read_text(encoding="utf-8")
        setup = NodeSetup(
            name,
            "observer",
            port,
            api_port,
            peers=parse_peers(peers, Genesis.from_json(text)),
            allowed=tuple(map(_key, allowed)),
        )
        create_keys(home, "observer", os.urandom)
        write_setup(home, setup, text)
    if no_start:
        output.answer(_document(home), lambda console: _tell(home, console))
    else:
        if not as_json:
            _tell(home, output.remarks)
        run_node(home, as_json=as_json)


def parse_peers(texts: Iterable[str], genesis: Genesis) -> tuple[PeerConfig, ...]:
    """Peers written NODE=HOST:PORT; NODE is a validator of the genesis or a node key. Raises Failure."""
    names = {validator.name: bytes(validator.node_key) for validator in genesis.validators}
    found: dict[bytes, PeerConfig] = {}
    for text in texts:
        node, _, place = text.partition("=")
        host, _, port = place.rpartition(":")
        key = names.get(node) or _key(node, names)
        try:
            (address,) = addresses_of(((key, host.strip("[]"), int(port)),))
        except (ValueError, CodecError) as error:
            raise Failure(Exit.USAGE, f"{text!r} is no NODE=HOST:PORT: {error}") from error
        label = node if node in names else f"peer-{node[:12]}"
        found[key] = PeerConfig(label, key, address.host, address.port)
    return tuple(found.values())


def _key(text: str, names: Iterable[str] = ()) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if 2 * len(key) != _KEY_DIGITS:
        known = f"a validator's name ({', '.join(names)}) or " if names else ""
        raise Failure(
            Exit.USAGE,
            f"{text!r} is not {known}a node key of {_KEY_DIGITS} hexadecimal digits",
            "`isthmus show-node-id` on that node prints its key",
        )
    return key


def _document(home: Home) -> dict[str, object]:
    config = load_config(home, os.environ).config
    return {
        "home": str(home.path),
        "name": config.name,
        "role": config.role,
        "node_key": NodeIdentity.from_seed(read_key(home.node_key_file)).peer_id,
        "cluster_id": Genesis.from_json(home.genesis_text()).cluster_id,
        "api": config.api.url,
        "peers": [peer.name for peer in config.p2p.peers],
    }


def _tell(home: Home, console: Console) -> None:
    document = _document(home)
    key = NodeIdentity.from_seed(read_key(home.node_key_file)).peer_id.hex()
    console.print(f"Observer {document['name']} in {home.path}, API {document['api']}", markup=False)
    console.print("The nodes it follows let it in by this key; no restart is needed there:")
    console.print(f'  [p2p]  allowed = ["{key}"]', markup=False)
