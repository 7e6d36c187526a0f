"""What members ask of other clusters, as requests to a node of their own: see `federation_talk.Question`."""

from node.anchoring.lanes.messages import Mode
from node.anchoring.questions import Question as Signed
from node.api.asking import CatalogueAnswer, ForeignStateAnswer, MessageProofAnswer
from node.api.exchange import Ask, hash_path, options
from node.api.federation_talk import Question
from node.ledger.federation.keys import client_key


def state_of(question: Signed, *, timeout_ms: int) -> Question[ForeignStateAnswer]:
    """What stands in another cluster's state; with a hash to trust the anchored root is verified."""
    path = f"{hash_path('/v1/federation', question.asked)}/query"
    return Question(
        ForeignStateAnswer,
        _ask(path, timeout_ms, (("question", question.encoded.hex()),)),
        lambda answer: (answer.client, client_key(question.asked), answer.header, answer.own_height),
    )


def catalogue_of(question: Signed, *, timeout_ms: int) -> Question[CatalogueAnswer]:
    """Names in another cluster."""
    path = f"{hash_path('/v1/federation', question.asked)}/catalogue"
    return Question(CatalogueAnswer, _ask(path, timeout_ms, (("question", question.encoded.hex()),)))


def message_proof_of(
    cluster_id: bytes, sequence: int, *, port: str, mode: Mode, timeout_ms: int
) -> Question[MessageProofAnswer]:
    """The file about a message of ours to that cluster."""
    path = f"{hash_path('/v1/federation', cluster_id)}/prove/{sequence}"
    return Question(MessageProofAnswer, _ask(path, timeout_ms, (("port", port), ("mode", mode.name.lower()))))


def _ask(path: str, timeout_ms: int, query: tuple[tuple[str, str], ...]) -> Ask:
    return Ask("GET", path, (*query, *options(timeout_ms=timeout_ms)), None, timeout_ms)
