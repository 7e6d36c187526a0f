"""`isthmus show-node-id`: the public keys of a home, and the lines that other nodes need."""

import click
from rich.console import Console

from consensus import SigningKey
from node.cli.options import home_option, json_option
from node.cli.output import Output
from node.config import load_config
from node.home import Home, read_key
from p2p import NodeIdentity


@click.command("show-node-id", help="Print a node's public keys and the peer entry that others need.")
@home_option
@json_option
def command(home: Home, output: Output) -> None:
    """Reads the private keys to compute the public ones; prints only these."""
    config = load_config(home, {}).config
    node_key = NodeIdentity.from_seed(read_key(home.node_key_file)).peer_id.hex()
    is_validator = home.validator_key_file.exists()
    consensus_key = SigningKey(read_key(home.validator_key_file)).public_key.hex() if is_validator else None
    host = config.p2p.advertise_host or config.p2p.host
    port = config.p2p.advertise_port or config.p2p.port
    document = {
        "name": config.name,
        "role": config.role,
        "node_key": node_key,
        "consensus_key": consensus_key,
        "host": host,
        "port": port,
    }

    def for_people(console: Console) -> None:
        if consensus_key is not None:
            console.print(f"# consensus key {consensus_key}")
        lines = ("[[p2p.peers]]", f'name = "{config.name}"', f'node_key = "{node_key}"', f'host = "{host}"')
        console.print("\n".join((*lines, f"port = {port}")), markup=False)

    output.answer(document, for_people)
