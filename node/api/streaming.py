"""One event stream of one node, read until it ends."""

import httpx2
import trio

from node.api.exchange import ClientError
from node.api.subscription import ClusterEvent, Subscription


async def deliver(
    response: httpx2.Response, subscription: Subscription, sender: trio.MemorySendChannel[ClusterEvent]
) -> None:
    """Hand over each event of a stream until it ends. Raises UnexpectedAnswer.

    The response is read through nested asynchronous generators, which Trio can only close if they are
    left by an exception inside them. So the loop's body never raises and is never cancelled: it ends the
    reading instead, and the next read is where everything unwinds.
    """
    problem: ClientError | None = None
    with trio.CancelScope() as reading:
        async for message in httpx2.EventSource(response):
            try:
                event = subscription.take(message.event, message.data, message.id)
                if event is not None:
                    with trio.CancelScope(shield=True):
                        await sender.send(event)
            except trio.BrokenResourceError:
                reading.cancel()
            except ClientError as error:
                problem = problem or error
                reading.cancel()
    if problem is not None:
        raise problem
