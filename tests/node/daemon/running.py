"""A real node in this process: home, journal, database, worker and sockets, and its loop on our Trio."""

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from node.config import NodeConfig, load_config
from node.daemon.daemon import Node, run_daemon
from node.local.ports import free_ports
from node.local.testnet import Testnet, write_testnet

PATIENCE_SECONDS = 60


class Capture:
    """A service that hands out the node it is started with."""

    def __init__(self) -> None:
        self._sender, self.arrived = trio.open_memory_channel[Node](1)

    def bind(self) -> None:
        """Nothing to take."""

    async def run(self, node: Node, ending: trio.Event) -> None:
        """Until the node ends."""
        self._sender.send_nowait(node)
        await ending.wait()


def written(directory: Path, nodes: int = 1) -> Testnet:
    """A new testnet."""
    return write_testnet(directory, "shell", free_ports(nodes), time.time_ns() // 1_000_000, os.urandom)


def config_of(testnet: Testnet, position: int = 0) -> NodeConfig:
    """The settings of one of its nodes."""
    return load_config(testnet.nodes[position].home, {}).config


@asynccontextmanager
async def running_node(config: NodeConfig) -> AsyncIterator[Node]:
    """The node of a home while the block runs."""
    capture = Capture()
    with trio.fail_after(PATIENCE_SECONDS):
        async with trio.open_nursery() as nursery:

            async def run() -> None:
                await run_daemon(config, ready=lambda: None, services=(capture,))

            nursery.start_soon(run)
            yield await capture.arrived.receive()
            nursery.cancel_scope.cancel()


async def until(is_so: Callable[[], bool]) -> None:
    """Look every now and then; the node's own patience ends it."""
    while True:
        if is_so():
            return
        await trio.sleep(0.02)
