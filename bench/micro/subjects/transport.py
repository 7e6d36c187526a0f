"""A message as a frame through TLS 1.3, between two engines in memory: no socket, no scheduler.

Sending is framing, encrypting and taking the ciphertext; receiving is the reverse, the way `TlsStream` does
both, in reads of the same size.
"""

import ssl
from collections.abc import Iterator
from functools import lru_cache, partial

from bench.micro.subject import Sampler, Subject, Workshop, prepared
from p2p import NodeIdentity
from p2p.frames import FrameParser, FrameRule, encode
from p2p.tls import TlsContexts
from p2p.tlsstream import RECEIVE_BYTES

_TOPIC = 4
_RULE = FrameRule("bulk", 4 * 1024 * 1024, 2)
_SIZES = (("200B", 200), ("64KiB", 64 * 1024), ("256KiB", 256 * 1024))


class _End:
    """One side of a connection."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.engine = context.wrap_bio(self.incoming, self.outgoing, server_side=server_side)
        self._parser = FrameParser({_TOPIC: _RULE})

    def shake(self) -> bool:
        """One step of the handshake; whether it is done."""
        try:
            self.engine.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def send(self, body: bytes) -> bytes:
        """The ciphertext of a message."""
        for chunk in encode(_TOPIC, body):
            self.engine.write(chunk)
        return self.outgoing.read()

    def receive(self, ciphertext: bytes) -> int:
        """How many messages these bytes completed."""
        self.incoming.write(ciphertext)
        pieces: list[bytes] = []
        try:
            while True:
                pieces.append(self.engine.read(RECEIVE_BYTES))
        except ssl.SSLWantReadError:
            return len(self._parser.feed(b"".join(pieces)))


@lru_cache(maxsize=1)
def _contexts() -> tuple[TlsContexts, TlsContexts]:
    one, other = NodeIdentity.from_seed(b"1" * 32), NodeIdentity.from_seed(b"2" * 32)
    return TlsContexts(one, [other.peer_id]), TlsContexts(other, [one.peer_id])


def _connected() -> tuple[_End, _End]:
    client_side, server_side = _contexts()
    client = _End(client_side.client, server_side=False)
    server = _End(server_side.server, server_side=True)
    while True:
        client_done = client.shake()
        server.incoming.write(client.outgoing.read())
        server_done = server.shake()
        client.incoming.write(server.outgoing.read())
        if client_done and server_done:
            return client, server


def _send(size: int, workshop: Workshop) -> Sampler:
    client, _ = _connected()
    body = bytes(size)
    return prepared(workshop.clock, lambda count: [body] * count, client.send)


def _receive(size: int, workshop: Workshop) -> Sampler:
    client, server = _connected()
    body = bytes(size)

    def prepare(count: int) -> Iterator[bytes]:
        for _ in range(min(count, max(1, _RULE.max_bytes // size))):
            yield client.send(body)

    if server.receive(client.send(body)) != 1:
        raise AssertionError("a message did not arrive")
    return prepared(workshop.clock, prepare, server.receive)


SUBJECTS = tuple(
    Subject(f"tls/{how}/{label}", "message", partial(make, size))
    for how, make in (("send", _send), ("receive", _receive))
    for label, size in _SIZES
)
