"""The OpenAPI 3.1 document, made from the route table and the answer types, so that it cannot lie.

Source: OpenAPI Specification 3.1.0.
"""

from collections.abc import Sequence

from starlette.responses import Response

from node.api.call import JSON, MSGPACK, Call, Media, Operation, json_response
from node.api.faults import ErrorAnswer, Fault
from node.api.parameters import Place
from node.api.shapes import definitions, schema

OPENAPI_VERSION = "3.1.0"
_DESCRIPTION = (
    "One node of an Isthmus cluster. JSON for people, with bytes in hexadecimal digits; canonical msgpack "
    "for programs (Accept: application/msgpack), where an answer is the array of its fields in the order "
    "given here, without the decoded ones. Errors are always JSON. A submission succeeds when its receipt "
    "is certified. A query reads what is certified, and what this node has reported as certified it shows "
    "from then on; `level=committed` adds what is ordered and executed here but not certified yet (where "
    "nothing is in between, the answers are the same). `min_height` waits until that height can be read."
)


def document(operations: Sequence[Operation], version: str) -> dict[str, object]:
    """The whole document for a node of software `version`."""
    schemas: dict[str, object] = {}
    definitions(ErrorAnswer, schemas)
    paths: dict[str, dict[str, object]] = {}
    for operation in operations:
        if operation.answer is not None:
            definitions(operation.answer, schemas)
        paths.setdefault(document_path(operation), {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "Isthmus node", "version": version, "description": _DESCRIPTION},
        "paths": paths,
        "components": {"schemas": schemas},
    }


def document_path(operation: Operation) -> str:
    """The path as the document writes it, without the router's converters."""
    return operation.path.replace(":path}", "}")


async def get_document(call: Call) -> Response:
    """GET /openapi.json."""
    return json_response(document(call.door.operations, call.door.backend.status().version))


def _operation(operation: Operation) -> dict[str, object]:
    responses: dict[str, object] = {
        str(status): {"description": meaning, "content": _content(operation)}
        for status, meaning in operation.statuses
    }
    by_status: dict[int, list[Fault]] = {}
    waits = any(item.name == "timeout_ms" for item in operation.parameters)
    ends = (Fault.SHUTTING_DOWN, Fault.INTERNAL) if waits else (Fault.INTERNAL,)
    for kind in dict.fromkeys((*operation.faults, *ends)):
        by_status.setdefault(kind.value.status, []).append(kind)
    for status, kinds in by_status.items():
        names = ", ".join(f"{kind.value.name} ({kind.value.code})" for kind in kinds)
        answer = {"description": names, "content": {JSON: {"schema": schema(ErrorAnswer)}}}
        responses.setdefault(str(status), answer)
    described: dict[str, object] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [
            {
                "name": item.name,
                "in": item.place.value,
                "required": item.place is Place.PATH,
                "description": item.summary,
                "schema": dict(item.schema),
            }
            for item in operation.parameters
        ],
        "responses": responses,
    }
    if operation.takes_body:
        described["requestBody"] = _request_body(operation)
    return described


def _content(operation: Operation) -> dict[str, object]:
    if operation.media is Media.TEXT:
        return {"text/plain": {"schema": {"type": "string"}}}
    if operation.media is Media.PAGE:
        return {"text/html": {"schema": {"type": "string"}}}
    if operation.media is Media.EVENTS:
        return {"text/event-stream": {"schema": {"type": "string"}}}
    if operation.media is Media.FILE:
        return {"application/octet-stream": {"schema": {"type": "string", "contentEncoding": "binary"}}}
    shape = {"type": "object"} if operation.answer is None else schema(operation.answer)
    content: dict[str, object] = {JSON: {"schema": shape}}
    if operation.media is Media.VIEW:
        content[MSGPACK] = {"schema": {"type": "string", "contentEncoding": "binary"}}
    return content


def _request_body(operation: Operation) -> dict[str, object]:
    many = operation.path.endswith("s")
    one = schema(bytes)
    name, shape = ("transactions", {"type": "array", "items": one}) if many else ("transaction", one)
    fields = {"type": "object", "properties": {name: shape}, "required": [name]}
    return {
        "required": True,
        "content": {
            MSGPACK: {"schema": {"type": "string", "contentEncoding": "binary"}},
            JSON: {"schema": fields | {"additionalProperties": False}},
        },
    }
