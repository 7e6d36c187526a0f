"""GET /v1/peers and /v1/why: whom this node sees, and what it makes of it."""

from dataclasses import dataclass

from starlette.responses import Response

from node.api.call import Call, Operation
from node.api.exchange import Ask
from node.api.federation_talk import Question
from node.diagnosis import Diagnosis, NodeFacts, PeerFacts, diagnose

_LOOK_MS = 5_000


@dataclass(frozen=True, slots=True)
class WhyAnswer:
    """The node, its peers, and a diagnosis of the cluster, of the node and of each peer, in this order."""

    node: NodeFacts
    peers: tuple[PeerFacts, ...]
    diagnoses: tuple[Diagnosis, ...]


def why() -> Question[WhyAnswer]:
    """What a client asks: `client.look(why())`."""
    return Question(WhyAnswer, Ask("GET", "/v1/why", (), None, _LOOK_MS))


async def get_peers(call: Call) -> Response:
    """GET /v1/peers."""
    _, peers = call.door.backend.look()
    return call.answer(peers)


async def get_why(call: Call) -> Response:
    """GET /v1/why."""
    node, peers = call.door.backend.look()
    return call.answer(WhyAnswer(node, peers, diagnose(node, peers)))


OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/peers",
        "getPeers",
        "The other validators, linked or not, and whoever else is known: as this node sees them.",
        get_peers,
        (),
        tuple[PeerFacts, ...],
    ),
    Operation(
        "GET",
        "/v1/why",
        "getWhy",
        "A diagnosis of the cluster, of this node and of each peer, with a remedy each.",
        get_why,
        (),
        WhyAnswer,
    ),
)
