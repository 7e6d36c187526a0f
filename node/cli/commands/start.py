"""`isthmus start`: run the node of a folder until SIGTERM, Ctrl-C or the end of its supervisor."""

import os
import signal
import sys
from dataclasses import replace
from functools import partial

import click
import trio

from node.api.live import HttpService
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.options import home_option
from node.config import NodeConfig, load_config
from node.daemon.daemon import Node, run_daemon
from node.daemon.halting import farewell, reach
from node.daemon.servicemanager import ServiceManager
from node.home import Home
from node.local.lifeline import follow_parent, lifeline_descriptor

STOP_SECONDS = 10


@click.command("start", help="Run the node of a folder in the foreground; SIGTERM or Ctrl-C ends it.")
@home_option
@click.option("--json", "as_json", is_flag=True, help="Log JSON lines, also to a terminal.")
@click.option(
    "--halt-height",
    type=click.IntRange(1, 2**52),
    help="Leave with exit code 0 once this height is stored, and sign no header above it.",
)
def command(home: Home, as_json: bool, halt_height: int | None) -> None:
    """Everything that can be wrong before the first packet is told as one sentence."""
    run_node(home, as_json=as_json, halt_height=halt_height)


def run_node(home: Home, *, as_json: bool, halt_height: int | None = None) -> None:
    """Run the node of a home until it is told to end, or has stored its halt height. Raises Failure without a
    genesis, and what the daemon raises."""
    config = load_config(home, os.environ).config
    if halt_height is not None:
        config = replace(config, halt_height=halt_height)
    if as_json:
        config = replace(config, logging=replace(config.logging, format="json"))
    if not home.genesis_file.exists():
        raise Failure(
            Exit.CONFIGURATION,
            f"{home.genesis_file} is missing",
            "copy the cluster's genesis.json there; every node of a cluster has the same one",
        )
    trio.run(_run, config)


async def _run(config: NodeConfig) -> None:
    token = trio.lowlevel.current_trio_token()
    with trio.CancelScope() as scope:
        descriptor = lifeline_descriptor(os.environ)
        if descriptor is not None:
            follow_parent(descriptor, lambda: _cancel_from_thread(token, scope), STOP_SECONDS)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_stop_on_signal, scope)
            manager = ServiceManager.of(os.environ, os.getpid())
            services = (HttpService(config),) if manager is None else (HttpService(config), manager)
            await run_daemon(
                config, ready=_tell_ready, services=services, leaves=partial(_leave, config.halt_height)
            )
            nursery.cancel_scope.cancel()


async def _leave(halt_height: int, node: Node) -> None:
    await reach(node, halt_height)
    sys.stderr.write(f"isthmus: {farewell(halt_height, node.waiters.stored_height)}\n")


def _cancel_from_thread(token: trio.lowlevel.TrioToken, scope: trio.CancelScope) -> None:
    try:
        token.run_sync_soon(scope.cancel)
    except trio.RunFinishedError:
        sys.stderr.write("isthmus: the supervisor is gone, and this node has ended already\n")


async def _stop_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as arrivals:
        async for _ in arrivals:
            scope.cancel()
            return


def _tell_ready() -> None:
    """The daemon serves; its own log says so in detail."""
