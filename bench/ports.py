"""TCP ports for nodes that are killed and perhaps started again: nobody must take them meanwhile."""

import random

from node.local.ports import NodePorts, first_busy, fixed_ports

_LOW, _HIGH = 10_000, 30_000
"""Below what the system hands out to connections."""
_TRIES_MAX = 100


def unused_ports(nodes: int) -> tuple[NodePorts, ...]:
    """Ports in a row that nobody listens on. Raises OSError."""
    for _ in range(_TRIES_MAX):
        ports = fixed_ports(nodes, random.SystemRandom().randrange(_LOW, _HIGH, 10))
        if first_busy(ports) is None:
            return ports
    raise OSError(f"no {2 * nodes} free ports in a row were found from {_LOW} to {_HIGH}")
