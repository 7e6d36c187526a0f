"""TCP ports for nodes that are killed and perhaps started again: nobody must take them meanwhile."""

import random

from node.local.ports import NodePorts, first_busy, fixed_ports

BELOW_CONNECTIONS = (10_000, 30_000)
"""Below what the system hands out to connections."""
_TRIES_MAX = 100


def unused_ports(nodes: int, among: tuple[int, int] = BELOW_CONNECTIONS) -> tuple[NodePorts, ...]:
    """Ports in a row that nobody listens on, from `among[0]` to below `among[1]`. Raises OSError."""
    low, high = among
    for _ in range(_TRIES_MAX):
        ports = fixed_ports(nodes, random.SystemRandom().randrange(low, high, 10))
        if first_busy(ports) is None:
            return ports
    raise OSError(f"no {2 * nodes} free ports in a row were found from {low} to {high}")
