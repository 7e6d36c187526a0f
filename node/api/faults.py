"""What a caller did wrong, or what he has to wait for: one shape, stable codes, a way out in each.

`ApiFault` is raised anywhere below the door and becomes the JSON object {code, name, message, hint}
exactly once, in `answers.py`. Codes from 9000 on are the door's own; smaller ones are the ledger's
(`node/ledger/codes.py`) and pass through unchanged.
"""

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class FaultKind:
    """A stable code with its name, the HTTP status it travels under, and what the caller can do."""

    code: int
    name: str
    status: int
    hint: str


class Fault(Enum):
    """The closed table. Codes are never reused and never change their meaning."""

    MALFORMED_BODY = FaultKind(9001, "malformed-body", 400, "Compare the body with /openapi.json.")
    BAD_PARAMETER = FaultKind(9002, "bad-parameter", 400, "Compare the parameters with /openapi.json.")
    MEDIA_TYPE = FaultKind(
        9003, "media-type", 415, "Send Content-Type application/msgpack or application/json."
    )
    NOT_ACCEPTABLE = FaultKind(
        9004, "not-acceptable", 406, "Send Accept: application/json or application/msgpack."
    )
    BODY_TOO_LARGE = FaultKind(9005, "body-too-large", 413, "Split it into several requests.")
    BODY_TOO_SLOW = FaultKind(9006, "body-too-slow", 408, "Send the whole body at once, or in smaller parts.")
    HEADER_TOO_LARGE = FaultKind(9007, "header-too-large", 431, "Send fewer or shorter header fields.")
    HEADER_TOO_SLOW = FaultKind(9008, "header-too-slow", 408, "Send the whole request header at once.")
    HOST = FaultKind(
        9009, "host-not-allowed", 403, "Use a loopback address, or add the name to api.allowed_hosts."
    )
    ORIGIN = FaultKind(
        9010, "origin-not-allowed", 403, "Open the page from this node, or add its host to api.allowed_hosts."
    )
    UNKNOWN_ROUTE = FaultKind(9011, "unknown-route", 404, "All routes are listed in /openapi.json.")
    METHOD = FaultKind(9012, "method-not-allowed", 405, "Use one of the methods named in the Allow header.")
    NOT_FOUND = FaultKind(9013, "not-found", 404, "Check the id; a fresh one may not be certified here yet.")
    BUSY = FaultKind(9014, "busy", 429, "Wait as long as Retry-After says, then send the same bytes again.")
    NOT_READY = FaultKind(9015, "not-ready", 503, "Read /readyz for the reasons, or ask another node.")
    HEIGHT_NOT_REACHED = FaultKind(
        9016, "height-not-reached", 503, "Ask again later, or a node that is further."
    )
    TOO_MANY_STREAMS = FaultKind(
        9017, "too-many-streams", 429, "Close another event stream, or use another node."
    )
    TOO_MANY_CONNECTIONS = FaultKind(
        9018, "too-many-connections", 503, "Reuse connections, or use another node."
    )
    HTTP_VERSION = FaultKind(9019, "http-version", 505, "Speak HTTP/1.1.")
    INTERNAL = FaultKind(9020, "internal", 500, "This is the node's fault; its log has the details.")
    SHUTTING_DOWN = FaultKind(
        9021, "shutting-down", 503, "Ask another node, or this one after it has started again."
    )
    RATE_LIMITED = FaultKind(
        9023, "rate-limited", 429, "Wait as long as Retry-After says; send many transactions in one request."
    )
    SLOW_SUBSCRIBER = FaultKind(
        9024, "slow-subscriber", 503, "Read faster, and resume with the id of the last event seen."
    )
    PRUNED = FaultKind(
        9022, "pruned", 410, "Ask a node that keeps the whole history; state and headers are proven here."
    )
    MALFORMED_REQUEST = FaultKind(9025, "malformed-request", 400, "Send requests as HTTP/1.1 has them.")
    QUESTION_DENIED = FaultKind(
        9041,
        "question-denied",
        403,
        "That cluster's operators grant reading: `isthmus governance propose`, kind `readers`.",
    )
    QUESTION_REFUSED = FaultKind(
        9042, "question-refused", 400, "Sign a new question as a member: `isthmus query --cluster`."
    )
    CLUSTER_UNKNOWN = FaultKind(
        9043, "cluster-unknown", 404, "Only admitted clusters are asked: `isthmus federation list`."
    )
    CLUSTER_NOT_ACTIVE = FaultKind(
        9044, "cluster-not-active", 409, "Nothing is believed of it until its operators recover it."
    )
    CLUSTER_SILENT = FaultKind(
        9045, "cluster-silent", 424, "Ask again, or through another node; /metrics tells the links."
    )
    ANSWER_FALSE = FaultKind(9046, "answer-false", 424, "Its sender was scored; ask again.")
    NOT_ANCHORED = FaultKind(
        9047, "not-anchored", 424, "Ask again, and wait longer (timeout_ms); /v1/federation tells the age."
    )
    NOT_ANSWERED = FaultKind(
        9048, "not-answered", 409, "Prove it once it is acknowledged: `isthmus explain SEQ --cluster NAME`."
    )
    PLACE_CLOSED = FaultKind(
        9049, "place-closed", 409, "A recovery closed its place: `isthmus explain SEQ --cluster NAME` tells."
    )


BODY_FAULTS = (
    Fault.MALFORMED_BODY,
    Fault.MEDIA_TYPE,
    Fault.BODY_TOO_LARGE,
    Fault.BODY_TOO_SLOW,
    Fault.BUSY,
    Fault.SHUTTING_DOWN,
)
"""What every operation that takes a body may answer."""


class ApiFault(Exception):
    """A request that is answered with an error; `message` names the compared values in a sentence.

    `retry_after_ms` becomes the Retry-After header.
    """

    def __init__(
        self,
        kind: FaultKind,
        message: str,
        *,
        retry_after_ms: int | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(kind.name, message)
        self.kind = kind
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.headers = headers

    def closing(self) -> "ApiFault":
        """The same, as the last answer of its connection."""
        headers = (*self.headers, ("connection", "close"))
        return ApiFault(self.kind, self.message, retry_after_ms=self.retry_after_ms, headers=headers)


def fault(kind: Fault, message: str, *, retry_after_ms: int | None = None) -> ApiFault:
    """The fault of `kind` that says `message`."""
    return ApiFault(kind.value, message, retry_after_ms=retry_after_ms)


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """The one JSON shape of every error."""

    code: int
    name: str
    message: str
    hint: str


class PortInUse(Exception):
    """Another program listens where this node should; `str()` is the one sentence a person needs."""
