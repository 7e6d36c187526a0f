"""The gossip core without a network: what one message of 1 KiB costs a node with three peers."""

from collections.abc import Iterator
from itertools import count as count_from
from random import Random

from bench.micro.subject import Sampler, Subject, Workshop, prepared
from p2p import GossipConfig, PeerId
from p2p.gossip import Gossip, message_id

_TOPIC = 22
_PEERS = tuple(PeerId(bytes((number,)) * 32) for number in range(1, 4))
_BODY_BYTES = 1024


def _core() -> Gossip:
    core = Gossip(GossipConfig(), Random(0))
    for peer in _PEERS:
        core.connected(peer, 0)
    return core


def _bodies(count: int, numbers: Iterator[int]) -> Iterator[bytes]:
    for _ in range(count):
        yield next(numbers).to_bytes(8, "big") + bytes(_BODY_BYTES - 8)


def _publish(workshop: Workshop) -> Sampler:
    core, numbers = _core(), count_from()
    return prepared(
        workshop.clock, lambda count: _bodies(count, numbers), lambda body: core.publish(_TOPIC, body)
    )


def _receive(workshop: Workshop) -> Sampler:
    """A new body comes in, is delivered, and the application accepts it."""
    core, numbers = _core(), count_from()

    def prepare(count: int) -> Iterator[tuple[bytes, bytes]]:
        for body in _bodies(count, numbers):
            yield b"\0" + body, message_id(_TOPIC, body)

    def take(item: tuple[bytes, bytes]) -> None:
        core.receive(_PEERS[0], _TOPIC, item[0])
        core.accept(item[1])

    return prepared(workshop.clock, prepare, take)


def _duplicate(workshop: Workshop) -> Sampler:
    core, numbers = _core(), count_from()

    def prepare(count: int) -> Iterator[bytes]:
        for body in _bodies(count, numbers):
            core.receive(_PEERS[0], _TOPIC, b"\0" + body)
            yield b"\0" + body

    return prepared(workshop.clock, prepare, lambda payload: core.receive(_PEERS[1], _TOPIC, payload))


SUBJECTS = (
    Subject("gossip/publish/1KiB", "message", _publish),
    Subject("gossip/receive/1KiB", "message", _receive),
    Subject("gossip/duplicate/1KiB", "message", _duplicate),
)
