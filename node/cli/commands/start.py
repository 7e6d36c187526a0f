"""`isthmus start`: run the node of a folder until SIGTERM, Ctrl-C or the end of its supervisor."""

import os
import signal
import sys
from dataclasses import replace

import click
import trio

from node.api.live import HttpService
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.options import home_option
from node.config import NodeConfig, load_config
from node.daemon.daemon import run_daemon
from node.daemon.servicemanager import ServiceManager
from node.home import Home
from node.local.lifeline import follow_parent, lifeline_descriptor

STOP_SECONDS = 10


@click.command("start", help="Run the node of a folder in the foreground; SIGTERM or Ctrl-C ends it.")
@home_option
@click.option("--json", "as_json", is_flag=True, help="Log JSON lines, also to a terminal.")
def command(home: Home, as_json: bool) -> None:
    """Everything that can be wrong before the first packet is told as one sentence."""
    run_node(home, as_json=as_json)


def run_node(home: Home, *, as_json: bool) -> None:
    """Run the node of a home until it is told to end. Raises Failure without a genesis, and what the daemon
    raises."""
    config = load_config(home, os.environ).config
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
            await run_daemon(config, ready=_tell_ready, services=services)
            nursery.cancel_scope.cancel()


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
