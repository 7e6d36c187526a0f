"""Which operation a path and a method mean."""

import pytest
from starlette.responses import Response

from node.api.call import Call, Operation
from node.api.faults import ApiFault, Fault
from node.api.routes import OPERATIONS
from node.api.routing import Routes


async def nothing(call: Call) -> Response:
    raise AssertionError("nobody asks")


def operation(method: str, path: str) -> Operation:
    return Operation(method, path, f"{method} {path}", "", nothing)


ONE = operation("GET", "/v1/things/{name}")
REST = operation("GET", "/v1/files/{name:path}")
PLAIN = operation("GET", "/v1/things/all")
PUT = operation("POST", "/v1/things/all")
ROUTES = Routes((ONE, REST, PLAIN, PUT))


def test_a_path_that_stands_in_the_table_goes_before_a_pattern() -> None:
    assert ROUTES.find("GET", "/v1/things/all") == (PLAIN, {})
    assert ROUTES.find("POST", "/v1/things/all") == (PUT, {})
    assert ROUTES.find("HEAD", "/v1/things/all") == (PLAIN, {})
    assert ROUTES.find("GET", "/v1/things/some") == (ONE, {"name": "some"})


def test_a_parameter_is_one_part_of_a_path_or_the_rest_of_it() -> None:
    assert ROUTES.find("GET", "/v1/files/a/b\n") == (REST, {"name": "a/b\n"})
    with pytest.raises(ApiFault) as refused:
        ROUTES.find("GET", "/v1/things/a/b")
    assert refused.value.kind is Fault.UNKNOWN_ROUTE.value


def test_another_method_is_told_which_ones_there_are() -> None:
    with pytest.raises(ApiFault) as refused:
        ROUTES.find("DELETE", "/v1/things/all")
    assert refused.value.kind is Fault.METHOD.value
    assert refused.value.headers == (("allow", "GET, HEAD, POST"),)


def test_every_operation_of_a_node_is_found_under_its_own_path() -> None:
    routes = Routes(OPERATIONS)
    for item in OPERATIONS:
        assert routes.find(item.method, item.path)[0].path == item.path
