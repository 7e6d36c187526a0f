"""When queued frames leave: with the next turn of the task that writes, or, held together, all at one moment.

A turn of the scheduler costs as much as a vote. Whoever handles a group of messages holds what it sends
meanwhile and then lets it go: one write a peer, straight to the socket, and no turn in between.
"""

from p2p.connection import Connection


class Departures:
    """The way from the network's front to the queues of its connections."""

    def __init__(self) -> None:
        self._holding = False
        self._held: dict[Connection, None] = {}

    def put(
        self,
        connection: Connection,
        lane: int,
        topic: int,
        frames: tuple[bytes, ...],
        key: bytes | None = None,
    ) -> None:
        """Queues one encoded message; never blocks."""
        connection.queue.put(lane, topic, frames, key)
        if self._holding:
            self._held[connection] = None
        else:
            connection.wake()

    def hold(self) -> None:
        """What is queued from here on waits for `release`; who holds must not await before that."""
        self._holding = True

    def release(self) -> None:
        """What was held leaves, as far as the sockets take it at once."""
        self._holding = False
        for connection in self._held:
            connection.write_now()
        self._held.clear()
