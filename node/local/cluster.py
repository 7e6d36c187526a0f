"""A local cluster that runs: its daemons under the supervisor, until somebody ends it."""

import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio

from node.client import AsyncClient
from node.local.supervisor import ProgramDied, Supervisor, open_supervisor
from node.local.testnet import Testnet

READY_SECONDS = 30
READY_WATCHED_SECONDS = 10 * READY_SECONDS


@asynccontextmanager
async def open_cluster(
    testnet: Testnet, on_death: Callable[[ProgramDied], None], python: str = sys.executable
) -> AsyncIterator[Supervisor]:
    """The daemons of a testnet, started by this interpreter; all stopped when the block ends."""
    async with open_supervisor(on_death) as supervisor:
        for node in testnet.nodes:
            await supervisor.start(node.program(python))
        yield supervisor


async def wait_ready(testnet: Testnet, timeout_ms: int = READY_SECONDS * 1000) -> None:
    """Until every node says that it can commit. Raises ClientError with the first one's reasons."""
    async with trio.open_nursery() as nursery:
        for node in testnet.nodes:
            nursery.start_soon(_wait_ready, node.url, timeout_ms)


async def _wait_ready(url: str, timeout_ms: int) -> None:
    async with AsyncClient((url,), timeout_ms=2_000) as client:
        await client.wait_ready(timeout_ms)


async def run_cluster(testnet: Testnet, say: Callable[[str], None]) -> bool:
    """Run until SIGINT or SIGTERM (True), or until no daemon is left (False).

    `say` hears of readiness and of every daemon that dies, with the end of its log; none is restarted.
    """
    supervisors: list[Supervisor] = []
    deserted = trio.Event()

    def tell_death(death: ProgramDied) -> None:
        say(f"{death}\nIt is not restarted. Stop with Ctrl-C and start all again, or go on without it.")
        if not supervisors[0].running():
            deserted.set()

    async def tell_ready() -> None:
        await tell_when_ready(testnet, lambda: wait_ready(testnet, 2 * READY_WATCHED_SECONDS * 1000), say)

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as arrivals:
        async with open_supervisor(tell_death) as supervisor, trio.open_nursery() as nursery:
            supervisors.append(supervisor)
            for node in testnet.nodes:
                await supervisor.start(node.program())
            nursery.start_soon(tell_ready)
            nursery.start_soon(_end_on, arrivals, nursery.cancel_scope)
            await deserted.wait()
            nursery.cancel_scope.cancel()
    say("All nodes are stopped.")
    return not deserted.is_set()


async def tell_when_ready(
    testnet: Testnet, ready: Callable[[], Awaitable[None]], say: Callable[[str], None]
) -> None:
    """Say when all nodes are ready, and after READY_SECONDS that they are not yet: a slow machine is told of
    both. Nothing more is said once they were watched for READY_WATCHED_SECONDS."""

    async def tell_slow() -> None:
        await trio.sleep(READY_SECONDS)
        say(f"Not all nodes are ready after {READY_SECONDS} s; ask: isthmus status {testnet.directory}")

    with trio.move_on_after(READY_WATCHED_SECONDS):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_slow)
            await ready()
            nursery.cancel_scope.cancel()
        say(f"All {len(testnet.nodes)} nodes are ready. Ctrl-C stops them.")


async def _end_on(arrivals: AsyncIterator[int], scope: trio.CancelScope) -> None:
    async for _ in arrivals:
        scope.cancel()
        return
