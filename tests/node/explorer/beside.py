"""The real HTTP door in a thread of its own, so that a test may wait for a browser meanwhile."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import trio

from node.api.app import build_api
from node.api.backend import Backend
from node.api.limits import ApiLimits
from node.api.server import bind_listener, serve_api


@contextmanager
def served(backend: Backend, port: int = 0) -> Iterator[str]:
    """Serve `backend` for the length of the block; the address it is served at."""
    listener = bind_listener("127.0.0.1", port)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    stops: list[Callable[[], None]] = []
    begun = threading.Event()

    async def serve() -> None:
        shutdown = trio.Event()
        token = trio.lowlevel.current_trio_token()
        stops.append(partial(token.run_sync_soon, shutdown.set))
        limits = ApiLimits(shutdown_grace_ms=200)
        api = build_api(backend, shutdown=shutdown, limits=limits)
        begun.set()
        await serve_api(
            api.app,
            [listener],
            departure=api.departure,
            limits=limits,
            gauges=api.gauges,
            visitors=api.visitors,
        )

    thread = threading.Thread(target=trio.run, args=(serve,), name="door")
    thread.start()
    try:
        assert begun.wait(30)
        yield url
    finally:
        stops[0]()
        thread.join(30)
        assert not thread.is_alive()
