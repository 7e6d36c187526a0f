"""A command that is interrupted ends as it would have: what it opened is closed, no process is left.

Python's own KeyboardInterrupt comes out wherever the main thread happens to be, in a finalizer or a callback
of C too, where it is lost and the command goes on; a signal that is received as a message is never lost.
"""

import signal
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

INTERRUPTED = 130
"""The exit code."""
T = TypeVar("T")


async def until_interrupted(work: Callable[[], Awaitable[T]]) -> T | None:
    """What came of `work`, or None when SIGINT or SIGTERM came first; what it opened is closed in both cases.
    Raises what it raises, in a group."""
    done: T | None = None
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as arrivals:
        async with trio.open_nursery() as nursery:

            async def give_up() -> None:
                async for _ in arrivals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(give_up)
            done = await work()
            nursery.cancel_scope.cancel()
    return done
