"""Lanes in one block: which cluster is held how, what its policy says, and which application handles what."""

from collections.abc import Callable
from dataclasses import dataclass

from consensus import Digest
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.lanes.destination import Verdict
from node.anchoring.lanes.messages import Acknowledgement, Lane, Message, Mode
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import HandlerFailed
from node.anchoring.lanes.source import send
from node.anchoring.lanes.state import LaneState
from node.anchoring.lanes.views import AnchoredView, OwnBlock
from node.ledger.federation.keys import policy_key, quota_key
from node.ledger.federation.records import Get, LanePolicy, Quota, client_of, read, stored
from node.ledger.messaging import MessageContext, Port, Sent

UNKNOWN_PORT = b"unknown-port"
"""The answer where no application of the destination has the port."""


def view_of(client: ClientState) -> AnchoredView:
    """A light client as lanes see it."""
    last = client.last
    return AnchoredView(
        client.cluster_id,
        client.incarnation,
        last.height,
        last.time_ms,
        last.outbox_root,
        client.status is ClientStatus.ACTIVE,
    )


def policy_of(get: Get, peer: bytes, port: str, mode: Mode) -> LanePolicy:
    """What operators allow on the lanes with `peer`; nothing where they said nothing."""
    return read(get, policy_key(peer, port, mode), LanePolicy.from_value) or LanePolicy()


def admits(state: LaneState, block: OwnBlock, message: Message) -> Verdict:
    """What our policy says of a message that is proven and in time; what it lets in counts at once."""
    lane = message.lane
    policy = policy_of(state.get, lane.source, lane.port, lane.mode)
    if not policy.may_receive:
        return Verdict.DENY
    if policy.quota is None:
        return Verdict.ADMIT
    key = quota_key(lane.source, lane.port, lane.mode)
    window = block.time_ms // policy.window_ms
    known = read(state.get, key, Quota.from_value)
    used = known.used if known is not None and known.window == window else 0
    if used >= policy.quota:
        return Verdict.WAIT
    state.put(key, stored(Quota(window, used + 1)))
    return Verdict.ADMIT


@dataclass(frozen=True, slots=True)
class Posting:
    """The lanes of one block: what applications send through, and who handles what arrives. `find_port`
    answers with the prefix of the application's state keys, and its port."""

    block: OwnBlock
    find_port: Callable[[str], tuple[bytes, Port] | None]

    def send(
        self, state: LaneState, destination: bytes, port: str, mode: Mode, deadline_ms: int, payload: bytes
    ) -> int:
        """The sequence that the message got. Raises LaneRefused; an unknown cluster is one that is not
        active, and our own leads nowhere."""
        client = client_of(state.get, destination)
        if client is None:
            raise LaneRefused(
                Refusal.CLIENT_NOT_ACTIVE, f"no cluster {destination.hex()} was ever admitted here"
            )
        message = send(
            state,
            self.block,
            view_of(client),
            Lane(self.block.cluster_id, destination, port, mode),
            payload,
            deadline_ms,
            lambda lane: policy_of(state.get, lane.destination, lane.port, lane.mode).may_send,
        )
        return message.sequence

    def handle(self, state: LaneState, message: Message) -> bytes:
        """Run the handler of the message's port."""
        prefix, port = self._port(message.lane.port)
        return port.handle(self._context(state, prefix), message)

    def hear(self, state: LaneState, acknowledgement: Acknowledgement) -> None:
        """Tell the application what became of its message."""
        lane = acknowledgement.lane
        prefix, port = self._port(lane.port)
        sent = Sent(lane, acknowledgement.sequence, Digest(acknowledgement.message_hash))
        port.on_result(self._context(state, prefix), sent, acknowledgement.result, acknowledgement.answer)

    def _port(self, name: str) -> tuple[bytes, Port]:
        found = self.find_port(name)
        if found is None:
            raise HandlerFailed(UNKNOWN_PORT)
        return found

    def _context(self, state: LaneState, prefix: bytes) -> MessageContext:
        return MessageContext(state, prefix, self, self.block.height, self.block.time_ms)
