"""`isthmus testnet`: a whole cluster in one folder and, with --start, running until Ctrl-C."""

import os
import time
from pathlib import Path

import click
import trio
from rich.console import Console

from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.options import json_option
from node.cli.output import Output, program, table
from node.local.cluster import run_cluster
from node.local.ports import DEFAULT_BASE_PORT, first_busy, fixed_ports
from node.local.testnet import MANIFEST, NODES_MAX, Testnet, read_testnet, write_testnet


@click.command("testnet", help="Write a local cluster's folders and, with --start, run it until Ctrl-C.")
@click.option(
    "--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True, help="How many validators."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="A new folder, or one written before.",
)
@click.option("--start", is_flag=True, help="Start the daemons and stay; Ctrl-C stops them all.")
@click.option(
    "--base-port",
    type=click.IntRange(1, 65535),
    default=DEFAULT_BASE_PORT,
    show_default=True,
    help="First port.",
)
@click.option("--name", default="testnet", show_default=True, help="The cluster's name.")
@json_option
def command(nodes: int, out: Path, start: bool, base_port: int, name: str, output: Output) -> int:
    """With --start a folder that was written before is started again, with all its data."""
    if start and (out / MANIFEST).exists():
        testnet = read_testnet(out)
    else:
        try:
            ports = fixed_ports(nodes, base_port)
        except ValueError as error:
            raise Failure(Exit.USAGE, str(error)) from error
        testnet = write_testnet(out, name, ports, time.time_ns() // 1_000_000, os.urandom)
    if start:
        busy = first_busy(tuple(node.ports for node in testnet.nodes))
        if busy is not None:
            raise Failure(
                Exit.PORT_IN_USE,
                f"port {busy} is in use by another process",
                "stop that one (another testnet?), or write this one elsewhere with another --base-port",
            )
    output.answer(_document(testnet), lambda console: _describe(console, testnet, start))
    if not start:
        return Exit.OK
    return trio.run(_stay, testnet, output)


async def _stay(testnet: Testnet, output: Output) -> int:
    """Until Ctrl-C, or until the last daemon is gone: what dies is told and not restarted."""
    return Exit.OK if await run_cluster(testnet, output.remark) else Exit.CHILD_DIED


def _document(testnet: Testnet) -> dict[str, object]:
    return {
        "directory": str(testnet.directory),
        "name": testnet.name,
        "cluster_id": testnet.cluster_id,
        "client_key": str(testnet.client_key_file),
        "nodes": [
            {
                "name": node.name,
                "home": str(node.home.path),
                "url": node.url,
                "p2p_port": node.ports.p2p,
                "log": str(node.log_file),
            }
            for node in testnet.nodes
        ],
    }


def _describe(console: Console, testnet: Testnet, starting: bool) -> None:
    console.print(f"Testnet {testnet.name} in {testnet.directory}", markup=False)
    console.print(f"  cluster id  {testnet.cluster_id.hex()}")
    rows = [(node.name, node.url, node.ports.p2p, node.log_file) for node in testnet.nodes]
    console.print(table(("node", "API", "p2p port", "log"), rows))
    net = f"--net {testnet.directory}"
    console.print("In another terminal:" if starting else "Next:")
    if not starting:
        console.print(f"  {program()} testnet --out {testnet.directory} --start", markup=False)
    console.print(f"  {program()} status {testnet.directory}", markup=False)
    console.print(f"  {program()} tx put demo/hello README.md {net}", markup=False)
    console.print(f"  {program()} query record demo/hello {net}", markup=False)
