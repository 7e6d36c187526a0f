"""HTTP in: one node's answers for people, programs and probes, read from storage snapshots."""

from node.api.app import Api, build_api
from node.api.backend import (
    Backend,
    Busy,
    Location,
    NodeStatus,
    PeerStatus,
    Readiness,
    Rejected,
    Submitted,
)
from node.api.faults import PortInUse
from node.api.limits import ApiLimits
from node.api.server import bind_listener, serve_api

__all__ = [
    "Api",
    "ApiLimits",
    "Backend",
    "Busy",
    "Location",
    "NodeStatus",
    "PeerStatus",
    "PortInUse",
    "Readiness",
    "Rejected",
    "Submitted",
    "bind_listener",
    "build_api",
    "serve_api",
]
