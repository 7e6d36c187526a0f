"""`isthmus init`: the folder, keys and settings of one node; the genesis is added when there is one."""

import os
from pathlib import Path

import click
from rich.console import Console

from node.cli.options import home_option, json_option, name_option
from node.cli.output import Output, program
from node.genesis import Genesis
from node.home import Home
from node.local.newnode import NodeSetup, create_keys, write_setup
from node.local.ports import DEFAULT_BASE_PORT


@click.command("init", help="Make the folder, the keys and config.toml of one node.")
@home_option
@json_option
@name_option("node")
@click.option(
    "--role",
    type=click.Choice(["validator", "joining", "observer"]),
    default="validator",
    show_default=True,
    help="Its role.",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=DEFAULT_BASE_PORT, help="Port for other nodes."
)
@click.option(
    "--api-port", type=click.IntRange(1, 65535), default=DEFAULT_BASE_PORT + 1, help="Port of the API."
)
@click.option(
    "--genesis",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The cluster's genesis.json, when it exists already.",
)
def command(
    home: Home, output: Output, name: str, role: str, port: int, api_port: int, genesis: Path | None
) -> None:
    """Never overwrites; the guard is made together with the validator key (rule C14)."""
    genesis_json = None if genesis is None else genesis.read_text(encoding="utf-8")
    cluster_id = None if genesis_json is None else Genesis.from_json(genesis_json).cluster_id.hex()
    keys = create_keys(home, role, os.urandom)
    write_setup(home, NodeSetup(name, role, port, api_port), genesis_json)
    document = {
        "home": str(home.path),
        "name": name,
        "role": role,
        "node_key": keys.node_key,
        "consensus_key": keys.consensus_key,
        "cluster_id": cluster_id,
    }

    def for_people(console: Console) -> None:
        console.print(f"Made the {role} {name} in {home.path}", markup=False)
        console.print(f"  node key       {keys.node_key.hex()}")
        if keys.consensus_key is not None:
            console.print(f"  consensus key  {keys.consensus_key.hex()}")
            console.print(
                "Back up the two .key files once, never validator.guard: an old one forgets what was signed."
            )
        if cluster_id is None:
            console.print(
                f"Next: `{program()} genesis join` where the cluster is still being made; else put its "
                f"genesis.json into {home.genesis_file.parent}",
                markup=False,
            )
        else:
            console.print(f"  cluster id     {cluster_id}")
        if role != "validator":
            console.print("Next: have a validator add this node key to p2p.allowed in its config.toml")
        console.print("Next: add the other nodes as \\[\\[p2p.peers]] to config.toml, then")
        console.print(f"  {program()} start --home {home.path}", markup=False)

    output.answer(document, for_people)
