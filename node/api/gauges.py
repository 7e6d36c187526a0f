"""How full the door is, next to how full it may get: every bound of `limits.py` with its current size.

One object, changed in place by the server and the handlers on the Trio thread, rendered for `/metrics`
behind the node's own lines. Zeros are exported from the start, so that an alarm has something to watch.
"""

from dataclasses import dataclass, field

from node.api.limits import ApiLimits

REFUSALS = (
    "busy",
    "too-large",
    "too-slow",
    "slow-reader",
    "host",
    "connections",
    "streams",
    "crash",
    "address",
    "rate",
    "slow-subscriber",
)


@dataclass(slots=True)
class Gauges:
    """Current sizes and counts since start."""

    connections: int = 0
    addresses: int = 0
    bodies_bytes: int = 0
    waits: int = 0
    streams: int = 0
    reads: int = 0
    requests_total: int = 0
    refused_total: dict[str, int] = field(default_factory=lambda: dict.fromkeys(REFUSALS, 0))

    def refuse(self, reason: str) -> None:
        """Count one refusal or drop; `reason` is one of REFUSALS."""
        self.refused_total[reason] += 1

    def exposition(self, limits: ApiLimits) -> bytes:
        """The Prometheus text lines of all sizes, their bounds and the counters."""
        sizes = (
            ("connections", "HTTP connections open", self.connections, limits.connections_max),
            ("addresses", "Addresses with an allowance of requests", self.addresses, limits.addresses_max),
            ("bodies_bytes", "Request bodies in memory", self.bodies_bytes, limits.bodies_bytes_max),
            ("waits", "Requests waiting for a certificate or a height", self.waits, limits.waits_max),
            ("streams", "Event streams open", self.streams, limits.streams_max),
            ("reads", "Snapshot reads running or queued", self.reads, limits.connections_max),
        )
        lines = []
        for name, meaning, size, bound in sizes:
            lines.append(f"# HELP isthmus_api_{name} {meaning}.")
            lines.append(f"# TYPE isthmus_api_{name} gauge")
            lines.append(f"isthmus_api_{name} {size}")
            lines.append(f"# HELP isthmus_api_{name}_max The bound of isthmus_api_{name}.")
            lines.append(f"# TYPE isthmus_api_{name}_max gauge")
            lines.append(f"isthmus_api_{name}_max {bound}")
        lines.append("# HELP isthmus_api_requests_total HTTP requests answered.")
        lines.append("# TYPE isthmus_api_requests_total counter")
        lines.append(f"isthmus_api_requests_total {self.requests_total}")
        lines.append("# HELP isthmus_api_refused_total Requests refused and connections dropped, by reason.")
        lines.append("# TYPE isthmus_api_refused_total counter")
        for reason, count in self.refused_total.items():
            lines.append(f'isthmus_api_refused_total{{reason="{reason}"}} {count}')
        return ("\n".join(lines) + "\n").encode()
