"""A measurement that is interrupted ends as it would have: no process and no folder is left."""

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

INTERRUPTED = 130
"""The exit code."""
T = TypeVar("T")


async def until_interrupted(measure: Callable[[], Awaitable[T]]) -> T | None:
    """What was measured, or None when SIGINT or SIGTERM came first; what `measure` opened is closed in both
    cases. Raises what it raises, in a group."""
    done: T | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as arrivals:
        async with trio.open_nursery() as nursery:

            async def give_up() -> None:
                async for _ in arrivals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(give_up)
            done = await measure()
            nursery.cancel_scope.cancel()
    return done
