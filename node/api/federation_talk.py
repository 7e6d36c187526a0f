"""What clients ask about the federation: one question each, with the type of its answer.

answer = client.look(lanes_of(cluster_id))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from node.anchoring.lanes.messages import Mode
from node.api.exchange import Ask, hash_path, options
from node.api.federation_queries import ExplanationAnswer, FederationAnswer, ForksAnswer, LanesAnswer
from node.api.views import ProvenHeader, StateEntry

T = TypeVar("T")
_WAIT_STEP_MS = 30_000


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """A request whose answer is a `kind`; `proof` names what of it our own cluster's state proves: the entry,
    its key, the header, and the height that the answer says."""

    kind: type[T]
    ask: Ask
    proof: Callable[[T], tuple[StateEntry, bytes, ProvenHeader | None, int]] | None = None


def federation(*, min_height: int | None = None) -> Question[FederationAnswer]:
    """Every cluster, as the node's cluster holds it."""
    return _question(FederationAnswer, "/v1/federation", (), min_height)


def lanes_of(cluster_id: bytes, *, min_height: int | None = None) -> Question[LanesAnswer]:
    """The lanes with one cluster."""
    return _question(LanesAnswer, f"{hash_path('/v1/federation', cluster_id)}/lanes", (), min_height)


def forks_of(cluster_id: bytes, *, min_height: int | None = None) -> Question[ForksAnswer]:
    """The evidence that is kept against one cluster."""
    return _question(ForksAnswer, f"{hash_path('/v1/federation', cluster_id)}/evidence", (), min_height)


def explanation_of(
    cluster_id: bytes,
    sequence: int,
    *,
    port: str = "records",
    mode: Mode = Mode.UNORDERED,
    min_height: int | None = None,
) -> Question[ExplanationAnswer]:
    """Which step a message to that cluster waits for."""
    path = f"{hash_path('/v1/federation', cluster_id)}/explain/{sequence}"
    return _question(ExplanationAnswer, path, (("port", port), ("mode", mode.name.lower())), min_height)


def _question(
    kind: type[T], path: str, query: tuple[tuple[str, str], ...], min_height: int | None
) -> Question[T]:
    asked = Ask("GET", path, (*query, *options(min_height=min_height)), None, _WAIT_STEP_MS)
    return Question(kind, asked)
