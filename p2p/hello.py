"""The hello: what two nodes tell each other first, and the words when they do not belong together.

Sent by both sides as the first frame after TLS, before anything else is read. It is a msgpack array of
fixed shape; its first element is the version of the hello itself, so that even nodes of different protocol
versions can read each other's reason.
"""

from dataclasses import dataclass

import msgpack

from p2p.errors import HelloMismatch, MalformedHello

HELLO_VERSION = 1
HELLO_MAX_BYTES = 1024
_NAME_MAX_CHARS = 64
INSTANCE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Hello:
    """One node's introduction. `instance` is drawn at every start, so that a restart is recognised."""

    protocol_version: int
    network_id: bytes
    node_name: str
    software: str
    instance: bytes

    def encode(self) -> bytes:
        """The bytes of the hello's body, at most HELLO_MAX_BYTES."""
        packed: bytes = msgpack.packb(
            [
                HELLO_VERSION,
                self.protocol_version,
                self.network_id,
                _plain(self.node_name),
                _plain(self.software),
                self.instance,
            ]
        )
        return packed


def decode(body: bytes, who: str) -> Hello:
    """The hello in `body`, received from `who`; texts come back cut to size and printable.

    Raises MalformedHello, or HelloMismatch if the hello itself has another version.
    """
    try:
        fields = msgpack.unpackb(body, use_list=True, raw=False, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.StackError) as error:
        raise MalformedHello(f"its hello is not readable: {error}", who) from error
    if not isinstance(fields, list) or not fields:
        raise MalformedHello("its hello is not a list", who)
    if fields[0] != HELLO_VERSION:
        raise HelloMismatch(f"its hello has version {str(fields[0])[:20]}, ours has {HELLO_VERSION}", who)
    match fields[1:]:
        case [int(version), bytes(network_id), str(node_name), str(software), bytes(instance)]:
            pass
        case _:
            raise MalformedHello("its hello has the wrong fields", who)
    if isinstance(version, bool) or len(network_id) != 32 or len(instance) != INSTANCE_BYTES:
        raise MalformedHello("its hello has fields of the wrong size", who)
    return Hello(version, network_id, _plain(node_name), _plain(software), instance)


def check(theirs: Hello, ours: Hello, who: str) -> None:
    """Raises HelloMismatch, naming both values, unless the two nodes belong to one network."""
    if theirs.network_id != ours.network_id:
        raise HelloMismatch(
            f"it belongs to another cluster: its genesis is {theirs.network_id.hex()[:12]}, "
            f"ours is {ours.network_id.hex()[:12]}",
            who,
        )
    if theirs.protocol_version != ours.protocol_version:
        older = "it" if theirs.protocol_version < ours.protocol_version else "this node"
        raise HelloMismatch(
            f"it speaks protocol {theirs.protocol_version} ({theirs.software}), "
            f"we speak {ours.protocol_version} ({ours.software}): upgrade {older}",
            who,
        )


def check_foreign(theirs: Hello, network_id: bytes, who: str) -> None:
    """Raises HelloMismatch unless the peer is a node of the cluster that its key is known for.

    Clusters upgrade each in its own time: the protocol version is not compared, what passes between clusters
    carries versions of its own.
    """
    if theirs.network_id != network_id:
        raise HelloMismatch(
            f"its key is known as one of cluster {network_id.hex()[:12]}, and it says that it belongs to "
            f"{theirs.network_id.hex()[:12]}",
            who,
        )


def _plain(text: str) -> str:
    """Peers choose these texts and operators read them: printable, one line, short."""
    return "".join(char if char.isprintable() else "?" for char in text[:_NAME_MAX_CHARS])
