"""TCP ports for a cluster on one machine: the fixed blocks that people remember, or any free ones."""

import random
import socket
from dataclasses import dataclass

DEFAULT_BASE_PORT = 27600
PORTS_PER_NODE = 10
LOOPBACK = "127.0.0.1"
BELOW_CONNECTIONS = (10_000, 30_000)
"""Below what systems hand out to connections and to whoever asks for any port: between being drawn and being
listened on, also by a node that was killed and is started again, a port of those may be gone."""
_PORT_MAX = 65535
_TRIES_MAX = 100


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


def free_ports(nodes: int, among: tuple[int, int] = BELOW_CONNECTIONS) -> tuple[NodePorts, ...]:
    """Ports in a row that nobody has now, drawn from `among[0]` to below `among[1]`. Two who draw at the same
    time may draw the same ones: nobody holds them until the nodes listen. Raises ValueError for more nodes
    than fit there, OSError when no such row is found."""
    low, high = among
    firsts = range(low, high - PORTS_PER_NODE * nodes + 1, PORTS_PER_NODE)
    if not firsts:
        raise ValueError(f"{nodes} nodes do not fit on the ports from {low} to {high}")
    for _ in range(_TRIES_MAX):
        ports = fixed_ports(nodes, random.SystemRandom().choice(firsts))
        if _first_refused(ports, reuse=False) is None:
            return ports
    raise OSError(f"no {2 * nodes} free ports in a row were found from {low} to {high}")


def first_busy(ports: tuple[NodePorts, ...]) -> int | None:
    """The first port that something listens on already, or None."""
    return _first_refused(ports, reuse=True)


def _first_refused(ports: tuple[NodePorts, ...], *, reuse: bool) -> int | None:
    """With `reuse`, as a node listens, connections that are over do not count; nor does who holds a port to
    listen on it in a moment, as a starting node does."""
    for pair in ports:
        for port in (pair.p2p, pair.api):
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
                try:
                    probe.bind((LOOPBACK, port))
                except OSError:
                    return port
    return None
