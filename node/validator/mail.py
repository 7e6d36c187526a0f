"""What one step gathers: outputs for the shell in their order, and events one part owes the replica."""

from collections import deque

from consensus import Broadcast, Event, PeerError, Send
from node import wire
from node.pool.messages import PoolMessage
from node.validator.directory import Directory
from node.validator.outputs import BroadcastFrame, Output, Punish, SendFrame

FAULT_WEIGHT = 20
"""Score of one broken rule: five in a minute end a link (the network's limit is 100)."""


class Mail:
    """The trays of one validator; `now_ms` is the wall clock of the step under way."""

    def __init__(self, directory: Directory) -> None:
        self.directory = directory
        self.events: deque[Event] = deque()
        self.now_ms = 0
        self._out: list[Output] = []

    def put(self, output: Output) -> None:
        """The next output of this step."""
        self._out.append(output)

    def take(self) -> list[Output]:
        """All outputs since the last call."""
        out, self._out = self._out, []
        return out

    def send_pool(self, identity: bytes, message: PoolMessage) -> None:
        """A data plane message for one link."""
        topic, body = wire.frame_of_pool(message)
        self.put(SendFrame(self.directory.outer(identity), topic, body))

    def say(self, said: Send | Broadcast) -> None:
        """A message of agreement, for one link or for all validators."""
        topic, body = wire.frame_of_agreement(said.message)
        if isinstance(said, Send):
            self.put(SendFrame(self.directory.outer(said.peer), topic, body))
        else:
            self.put(BroadcastFrame(topic, body))

    def punish(self, identity: bytes, error: PeerError, gossip: tuple[int, bytes] | None = None) -> None:
        """A peer's fault, for the network's scores."""
        peer = self.directory.outer(identity)
        self.put(Punish(peer, error.code, error.detail, FAULT_WEIGHT, gossip))
