"""TCP ports for a cluster on one machine: the fixed blocks that people remember, or any free ones."""

import socket
from dataclasses import dataclass

DEFAULT_BASE_PORT = 27600
PORTS_PER_NODE = 10
_PORT_MAX = 65535
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class NodePorts:
    """Where one node listens."""

    p2p: int
    api: int


def fixed_ports(nodes: int, base_port: int = DEFAULT_BASE_PORT) -> tuple[NodePorts, ...]:
    """`base_port + 10 * node` for peers, one above it for the API. Raises ValueError beyond the last port."""
    if not 1 <= base_port <= _PORT_MAX - PORTS_PER_NODE * nodes:
        raise ValueError(
            f"{nodes} nodes from port {base_port} on do not fit below {_PORT_MAX}; choose a lower --base-port"
        )
    firsts = range(base_port, base_port + PORTS_PER_NODE * nodes, PORTS_PER_NODE)
    return tuple(NodePorts(first, first + 1) for first in firsts)


def free_ports(nodes: int) -> tuple[NodePorts, ...]:
    """Ports that nobody uses now, as the system hands them out."""
    held = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(2 * nodes)]
    try:
        for one in held:
            one.bind((LOOPBACK, 0))
        numbers = [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
    return tuple(NodePorts(numbers[2 * i], numbers[2 * i + 1]) for i in range(nodes))


def first_busy(ports: tuple[NodePorts, ...]) -> int | None:
    """The first port that something listens on already, or None."""
    for pair in ports:
        for port in (pair.p2p, pair.api):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    return port
    return None
