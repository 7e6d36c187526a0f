"""The hello: what two nodes tell each other first, and the words when they do not belong together.

Sent by both sides as the first frame after TLS, before anything else is read. It is a msgpack array whose
first element is the version of the hello itself, so that even nodes of different protocol versions can read
each other's reason; what later software adds at its end is passed over. A node says which range of protocol
versions it speaks, and a link uses the highest that both do, so that a cluster is upgraded node by node.
"""

from dataclasses import dataclass

import msgpack

from p2p.errors import HelloMismatch, MalformedHello, NoCommonVersion

HELLO_VERSION = 2
HELLO_MAX_BYTES = 1024
_NAME_MAX_CHARS = 64
INSTANCE_BYTES = 8
PROTOCOL_VERSION_MAX = 2**32 - 1


@dataclass(frozen=True, slots=True)
class Hello:
    """One node's introduction. `instance` is drawn at every start, so that a restart is recognised."""

    protocol_version: int
    """The newest version it speaks."""
    protocol_oldest: int
    """The oldest version it still speaks."""
    network_id: bytes
    node_name: str
    software: str
    instance: bytes

    def encode(self) -> bytes:
        """The bytes of the hello's body, at most HELLO_MAX_BYTES."""
        packed: bytes = msgpack.packb(
            [
                HELLO_VERSION,
                self.protocol_oldest,
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
        case [
            int(oldest),
            int(newest),
            bytes(network_id),
            str(node_name),
            str(software),
            bytes(instance),
            *_,
        ]:
            pass
        case _:
            raise MalformedHello("its hello has the wrong fields", who)
    if isinstance(oldest, bool) or isinstance(newest, bool) or not is_range(oldest, newest):
        raise MalformedHello("its hello has no range of protocol versions", who)
    if len(network_id) != 32 or len(instance) != INSTANCE_BYTES:
        raise MalformedHello("its hello has fields of the wrong size", who)
    return Hello(newest, oldest, network_id, _plain(node_name), _plain(software), instance)


def is_range(oldest: int, newest: int) -> bool:
    """Whether these are the ends of a range of protocol versions."""
    return 0 <= oldest <= newest <= PROTOCOL_VERSION_MAX


def common_version(theirs: Hello, ours: Hello) -> int | None:
    """The highest protocol version that both speak, None when there is none."""
    newest = min(theirs.protocol_version, ours.protocol_version)
    return newest if newest >= max(theirs.protocol_oldest, ours.protocol_oldest) else None


def check(theirs: Hello, ours: Hello, who: str) -> None:
    """Raises HelloMismatch, naming both values, unless the two nodes belong to one network, and
    NoCommonVersion, naming both ranges, unless there is a protocol version that both speak."""
    if theirs.network_id != ours.network_id:
        raise HelloMismatch(
            f"it belongs to another cluster: its genesis is {theirs.network_id.hex()[:12]}, "
            f"ours is {ours.network_id.hex()[:12]}",
            who,
        )
    if common_version(theirs, ours) is None:
        older = "it" if theirs.protocol_version < ours.protocol_version else "this node"
        raise NoCommonVersion(
            f"it speaks protocol {_versions(theirs)} ({theirs.software}), "
            f"we speak {_versions(ours)} ({ours.software}): upgrade {older}",
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


def _versions(hello: Hello) -> str:
    oldest, newest = hello.protocol_oldest, hello.protocol_version
    return f"{newest}" if oldest == newest else f"{oldest} to {newest}"


def _plain(text: str) -> str:
    """Peers choose these texts and operators read them: printable, one line, short."""
    return "".join(char if char.isprintable() else "?" for char in text[:_NAME_MAX_CHARS])
