"""Whose fault it is: the error families of the transport.

A `PeerError` is somebody else's doing: it names the peer as far as it is known, ends that one connection
and is scored. A `LocalError` is ours or the operator's (a wrong configuration, a busy port, an oversized
message handed to `send`): it is raised to the caller. Nothing a peer sends may ever raise a `LocalError`.
"""


class P2PError(Exception):
    """Base of everything this package raises on purpose; `code` is stable, for metrics and scripts."""

    code = "p2p"


class LocalError(P2PError):
    """Our own fault or the operator's; the text is a sentence with the way out."""

    code = "local"


class ConfigError(LocalError):
    """A configuration that cannot work."""

    code = "config"


class PortInUse(LocalError):
    """Another process already listens on our port."""

    code = "port-in-use"


class MessageRefused(LocalError):
    """The application asked to send what this network cannot carry (unknown topic, too large, empty)."""

    code = "message-refused"


class PeerError(P2PError):
    """A peer's fault. `weight` is what it costs in misbehaviour score; 0 means bad luck, not malice."""

    code = "peer"
    weight = 0

    def __init__(self, detail: str, who: str = "") -> None:
        super().__init__(detail, who)
        self.detail = detail
        self.who = who

    def blamed_on(self, who: str) -> "PeerError":
        """The same fault with the name of the peer on it."""
        return type(self)(self.detail, who)

    def __str__(self) -> str:
        return f"{self.who}: {self.detail}" if self.who else self.detail


class MalformedFrame(PeerError):
    """An empty frame, an unknown topic, a frame above its limit, or a control body that does not parse."""

    code = "malformed-frame"
    weight = 60


class TopicForbidden(PeerError):
    """A topic that exists and does not pass on this link: a member's on a foreign one, or the reverse."""

    code = "topic-forbidden"
    weight = 60


class HelloMismatch(PeerError):
    """The other node is sound but not one of ours: other cluster, or a hello that we cannot read."""

    code = "hello-mismatch"


class NoCommonVersion(HelloMismatch):
    """The other node is of our cluster, and there is no protocol version that both of us speak."""

    code = "no-common-version"


class MalformedHello(PeerError):
    """The first frame is not a hello, or not a readable one."""

    code = "malformed-hello"
    weight = 60


class UntrustedPeer(PeerError):
    """The TLS handshake failed: a key that is not pinned, no certificate, or no TLS 1.3 at all."""

    code = "untrusted-peer"


class WrongPeer(PeerError):
    """A trusted key, but not the one we dialled."""

    code = "wrong-peer"


class SelfConnection(PeerError):
    """The address of a peer leads back to this node."""

    code = "self-connection"


class DuplicateConnection(PeerError):
    """Both nodes dialled at once, and this connection lost the deterministic choice."""

    code = "duplicate-connection"


class PeerBanned(PeerError):
    """The peer misbehaved and its ban has not ended."""

    code = "banned"


class RefusedByPeer(PeerError):
    """The peer said why it closes the connection, or closed it during the handshake."""

    code = "refused-by-peer"


class HandshakeTimeout(PeerError):
    """Connect, TLS and hello did not finish in time."""

    code = "handshake-timeout"


class PeerSilent(PeerError):
    """Nothing was heard for longer than the idle limit, pings included: the link is dead."""

    code = "peer-silent"


class SlowReader(PeerError):
    """The peer does not read what we send."""

    code = "slow-reader"


class ConnectionLost(PeerError):
    """The connection broke or ended."""

    code = "connection-lost"


class Misbehaviour(PeerError):
    """The application's reports or the gossip rules brought the peer above the score limit."""

    code = "misbehaviour"


class InternalFault(LocalError):
    """A bug of ours that a peer's bytes have reached: logged with its trace, fatal to that link only."""

    code = "internal-fault"
