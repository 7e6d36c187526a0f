"""Where the client's conversation meets httpx2: the same small translations for both clients."""

import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import httpx2
import trio

from node.api.conversation import understood
from node.api.exchange import MSGPACK, Answer, Flow, NoReply, Pause, Reply, Send
from node.ledger.transactions import Transaction

T = TypeVar("T")
CONNECTIONS = httpx2.Limits(max_connections=64, max_keepalive_connections=16, keepalive_expiry=20.0)
"""Kept shorter than a node's idle timeout, so that the node rarely closes first."""
HEADERS = {"accept": MSGPACK, "content-type": MSGPACK}
STREAM_HEADERS = {"accept": "text/event-stream"}
STREAM_SILENCE_S = 60.0
"""Longer than the pause between two keep-alive comments of any node."""
BATCH_BYTES_MAX = 4 * 1024 * 1024
"""Half of what a node takes in one request."""


def trust_for(urls: Sequence[str]) -> ssl.SSLContext:
    """Which servers these URLs need trust in: where none is HTTPS, nobody, because to read the list of the
    world's authorities takes 35 ms for each client."""
    if any(url.lower().startswith("https:") for url in urls):
        return httpx2.create_ssl_context(trust_env=False)
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def asynchronous(urls: Sequence[str]) -> httpx2.AsyncClient:
    """The connections of a client of these URLs that runs on Trio."""
    return httpx2.AsyncClient(verify=trust_for(urls), trust_env=False, limits=CONNECTIONS, headers=HEADERS)


def blocking(urls: Sequence[str]) -> httpx2.Client:
    """The connections of one that waits in its thread."""
    return httpx2.Client(verify=trust_for(urls), trust_env=False, limits=CONNECTIONS, headers=HEADERS)


async def drive(flow: Flow[T], send: Callable[[Send], Awaitable[Answer]]) -> T:
    """What a flow comes to: its requests are sent by `send`, its pauses are slept on Trio's clock. Raises
    ClientError, and whatever `send` raises."""
    steps = understood(flow)
    answer: Answer = None
    while True:
        try:
            step = steps.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result
        if isinstance(step, Pause):
            await trio.sleep(step.pause_ms / 1000)
            answer = None
        else:
            answer = await send(step)


def reply_of(response: httpx2.Response, content: bytes) -> Reply:
    """A response as the conversation sees it."""
    return Reply(response.status_code, content, response.headers.get("retry-after"))


def no_reply_of(error: httpx2.TransportError) -> NoReply:
    """Why there was no response, in a few words."""
    return NoReply(str(error) or type(error).__name__)


def batches_of(transactions: Iterable[Transaction], count_max: int) -> Iterator[tuple[Transaction, ...]]:
    """Batches of at most `count_max` transactions and BATCH_BYTES_MAX bytes (one at least), in order."""
    source = iter(transactions)
    waiting: list[Transaction] = []
    while True:
        waiting.extend(islice(source, count_max - len(waiting)))
        if not waiting:
            return
        size, taken = 0, 0
        for transaction in waiting:
            size += len(transaction.encoded)
            if taken and size > BATCH_BYTES_MAX:
                break
            taken += 1
        yield tuple(waiting[:taken])
        waiting = waiting[taken:]
