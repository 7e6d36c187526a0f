"""GET /v1/federation/{cluster_id}/query, /catalogue and /prove: what members ask of another cluster.

The node carries a question that a member signed, checks the answer at a root that its own ledger has
anchored, and adds what lets the member check that again: its cluster's own proof of that root.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from starlette.responses import Response

from consensus import CodecError, LocalError
from node.anchoring.answers import check_anchored, state_told
from node.anchoring.bundles.bundle import Bundle, StateStatement
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.identity import cluster_id_of
from node.anchoring.lanes.courier import LeafName
from node.anchoring.questions import QUESTION_BYTES_MAX, Page, Refusal
from node.api.call import Call, Operation
from node.api.faults import ApiFault, Fault, fault
from node.api.federation import CLUSTER_ID, MODE, PORT, SEQUENCE
from node.api.parameters import Parameter, Place, hexadecimal
from node.api.queries import proven_header
from node.api.record_queries import version_fields
from node.api.submitting import TIMEOUT, wait_ms
from node.api.views import ProvenHeader, StateEntry
from node.daemon.federation.readings import NoAnswer
from node.daemon.federation.told import StateTold
from node.ledger.federation.keys import client_key
from node.ledger.federation.reading import ReadRefused, state_key_of
from node.proofs import ProofError
from node.proofs.header import Header

T = TypeVar("T")
QUESTION = Parameter(
    "question",
    Place.QUERY,
    "The member's signed question in hexadecimal digits (SPEC.md, section 5b).",
    (("type", "string"), ("pattern", "^([0-9a-f]{2})+$")),
    lambda text: hexadecimal(text, max_length=QUESTION_BYTES_MAX),
)
_FAULT_OF = {
    Refusal.DENIED.value: Fault.QUESTION_DENIED,
    "unknown-cluster": Fault.CLUSTER_UNKNOWN,
    "not-active": Fault.CLUSTER_NOT_ACTIVE,
    "unreachable": Fault.CLUSTER_SILENT,
    "silent": Fault.CLUSTER_SILENT,
    "busy": Fault.BUSY,
    "false-answer": Fault.ANSWER_FALSE,
    "not-anchored": Fault.NOT_ANCHORED,
    "not-sent": Fault.NOT_FOUND,
    "place-closed": Fault.PLACE_CLOSED,
    "not-answered": Fault.NOT_ANSWERED,
}


@dataclass(frozen=True, slots=True)
class ForeignStateAnswer:
    """What stands at `key` in the state of another cluster at its `height` and `time_ms`, or nothing there.

    `anchored_height` is its header that our ledger holds, `age_ms` how old that was at our `own_height`. To
    check: `bundle` is for `isthmus verify`; `client` is our client of that cluster, proven under our
    `header`; `path` leads from the answer's header to the anchored one, empty where they are the same."""

    cluster_id: bytes
    cluster_name: str
    key: bytes
    value: bytes | None
    height: int
    header_hash: bytes
    state_root: bytes
    time_ms: int
    anchored_height: int
    age_ms: int
    bundle: bytes
    path: tuple[bytes, ...]
    own_height: int
    client: StateEntry
    header: ProvenHeader

    def readable(self) -> Mapping[str, object]:
        """The decoded record."""
        return {"decoded": version_fields(self.value)}


@dataclass(frozen=True, slots=True)
class ListedAnswer:
    """One resource of a catalogue."""

    resource: str
    kind: str
    owner: str
    version: int
    height: int


@dataclass(frozen=True, slots=True)
class CatalogueAnswer:
    """Part of another cluster's catalogue at its `height`, as one of its nodes tells it: no proof says that
    it is complete, or true. `behind` is where to go on, empty at the end."""

    cluster_id: bytes
    height: int
    listed: tuple[ListedAnswer, ...]
    behind: str


@dataclass(frozen=True, slots=True)
class MessageProofAnswer:
    """A message of ours from end to end: `file` is for `isthmus verify`."""

    cluster_id: bytes
    port: str
    mode: str
    sequence: int
    file: bytes


async def get_foreign_state(call: Call) -> Response:
    """GET /v1/federation/{cluster_id}/query."""
    cluster_id, question = call.need(CLUSTER_ID), call.need(QUESTION)
    told = await _asked(call, lambda seconds: call.door.backend.asking.state(cluster_id, question, seconds))
    header = await call.door.read(lambda view: proven_header(view, told.held.height))
    return call.answer(_state_answer(told, header))


async def get_catalogue(call: Call) -> Response:
    """GET /v1/federation/{cluster_id}/catalogue."""
    cluster_id, question = call.need(CLUSTER_ID), call.need(QUESTION)
    page: Page = await _asked(
        call, lambda seconds: call.door.backend.asking.catalogue(cluster_id, question, seconds)
    )
    listed = tuple(
        ListedAnswer(one.resource, one.kind, one.owner, one.version, one.height) for one in page.listed
    )
    return call.answer(CatalogueAnswer(cluster_id, page.height, listed, page.behind))


async def get_message_proof(call: Call) -> Response:
    """GET /v1/federation/{cluster_id}/prove/{sequence}."""
    cluster_id, sequence = call.need(CLUSTER_ID), call.need(SEQUENCE)
    port, mode = call.need(PORT), call.need(MODE)
    name = LeafName(False, port, mode, sequence)
    file = await _asked(call, lambda seconds: call.door.backend.asking.message(cluster_id, name, seconds))
    return call.answer(MessageProofAnswer(cluster_id, port, mode.name.lower(), sequence, file))


async def _asked(call: Call, ask: Callable[[float], Awaitable[T]]) -> T:
    """What `ask` answers within the call's time. Raises ApiFault."""
    with call.door.waiting():
        try:
            return await ask(wait_ms(call) / 1000)
        except NoAnswer as none:
            raise _no_answer(call, none) from none


def _no_answer(call: Call, none: NoAnswer) -> ApiFault:
    kind = _FAULT_OF.get(none.code, Fault.QUESTION_REFUSED)
    if kind is Fault.BUSY:
        call.door.gauges.refuse("busy")
        return fault(kind, f"{none}.", retry_after_ms=call.door.limits.retry_after_ms)
    return fault(kind, f"{str(none).rstrip('.')}.")


def _state_answer(told: StateTold, own: ProvenHeader) -> ForeignStateAnswer:
    bundle, held = Bundle.decode(told.bundle), told.held
    header, statement, tip = Header.decode(bundle.header), bundle.statement, held.client.last
    if not isinstance(statement, StateStatement):
        raise LocalError("an answer about the state holds another statement")
    return ForeignStateAnswer(
        held.client.cluster_id,
        held.client.name,
        statement.key,
        statement.value,
        header.height,
        header.hash,
        header.state_root,
        header.time_ms,
        tip.height,
        max(0, Header.decode(own.header).time_ms - tip.time_ms),
        told.bundle,
        told.path,
        held.height,
        StateEntry(client_key(held.client.cluster_id), held.leaf, held.proof),
        own,
    )


def check_answer(answer: ForeignStateAnswer, cluster_id: bytes, resource: str) -> None:
    """Everything in the answer follows from its bundle and from `client`, which whoever pins our own genesis
    has verified; its words beside them say the same. Raises ProofError."""
    try:
        client = ClientState.decode(answer.client.value or b"")
        bundle = Bundle.decode(answer.bundle)
        key = state_key_of(resource)
    except (CodecError, ReadRefused) as error:
        raise ProofError(f"answer: {error}") from error
    if cluster_id_of(bundle.genesis_body) != cluster_id or client.cluster_id != cluster_id:
        raise ProofError(f"answer: it is not of cluster {cluster_id.hex()}")
    bare, header = state_told(bundle.of_genesis(b"").encode(), cluster_id, key)
    check_anchored(client, header, answer.path)
    value = bare.statement.value if isinstance(bare.statement, StateStatement) else None
    shown = (answer.key, answer.value, answer.height, answer.header_hash, answer.time_ms)
    proven = (key, value, header.height, header.hash, header.time_ms)
    if shown != proven or answer.anchored_height != client.last.height:
        raise ProofError("answer: its words are not what its proof says")


_FAULTS = (
    Fault.BAD_PARAMETER,
    Fault.NOT_ACCEPTABLE,
    Fault.BUSY,
    Fault.QUESTION_DENIED,
    Fault.QUESTION_REFUSED,
    Fault.CLUSTER_UNKNOWN,
    Fault.CLUSTER_NOT_ACTIVE,
    Fault.CLUSTER_SILENT,
    Fault.ANSWER_FALSE,
)
OPERATIONS: tuple[Operation, ...] = (
    Operation(
        "GET",
        "/v1/federation/{cluster_id}/query",
        "queryCluster",
        "What stands in another cluster's state, or that nothing does, proven at a root anchored here.",
        get_foreign_state,
        (CLUSTER_ID, QUESTION, TIMEOUT),
        ForeignStateAnswer,
        faults=(*_FAULTS, Fault.NOT_ANCHORED),
    ),
    Operation(
        "GET",
        "/v1/federation/{cluster_id}/catalogue",
        "searchCluster",
        "Names in another cluster that this member may see; not provably complete.",
        get_catalogue,
        (CLUSTER_ID, QUESTION, TIMEOUT),
        CatalogueAnswer,
        faults=_FAULTS,
    ),
    Operation(
        "GET",
        "/v1/federation/{cluster_id}/prove/{sequence}",
        "proveMessage",
        "A message that we sent and its acknowledgement, as one file that proves both.",
        get_message_proof,
        (CLUSTER_ID, SEQUENCE, PORT, MODE, TIMEOUT),
        MessageProofAnswer,
        faults=(*_FAULTS, Fault.NOT_FOUND, Fault.NOT_ANSWERED, Fault.PLACE_CLOSED),
    ),
)
