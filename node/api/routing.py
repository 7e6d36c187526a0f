"""Which operation a request is about: by its path and method, most of them in one look.

What clients ask all day long has no parameter in its path and is found in a dictionary; of the others each
pattern is tried in the order of the route table.
"""

import re
from collections.abc import Sequence

from node.api.call import Operation
from node.api.faults import ApiFault, Fault, fault

_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")


class Routes:
    """The route table, as requests need it. A HEAD is answered where a GET is."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._plain: dict[str, dict[str, Operation]] = {}
        self._patterns: list[tuple[re.Pattern[str], Operation]] = []
        for operation in operations:
            if _PARAMETER.search(operation.path):
                self._patterns.append((_pattern(operation.path), operation))
                continue
            of_path = self._plain.setdefault(operation.path, {})
            for method in _methods(operation):
                of_path.setdefault(method, operation)

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]]:
        """The operation and its parameters in the path. Raises ApiFault UNKNOWN_ROUTE, METHOD."""
        plain = self._plain.get(path, {})
        operation = plain.get(method)
        if operation is not None:
            return operation, {}
        allowed = dict.fromkeys(plain)
        for pattern, candidate in self._patterns:
            match = pattern.fullmatch(path)
            if match is None:
                continue
            if method in _methods(candidate):
                return candidate, match.groupdict()
            allowed |= dict.fromkeys(_methods(candidate))
        if allowed:
            names = ", ".join(sorted(allowed))
            message = f"{path[:200]} takes {names}, not {method[:20]}."
            raise ApiFault(Fault.METHOD.value, message, headers=(("allow", names),))
        raise fault(Fault.UNKNOWN_ROUTE, f"There is no route {path[:200]}.")


def _methods(operation: Operation) -> tuple[str, ...]:
    return ("GET", "HEAD") if operation.method == "GET" else (operation.method,)


def _pattern(path: str) -> re.Pattern[str]:
    """`{name}` stands for a part of the path without a slash, `{name:path}` for the rest of it."""
    text = ""
    end = 0
    for match in _PARAMETER.finditer(path):
        text += re.escape(path[end : match.start()])
        text += f"(?P<{match[1]}>{'.*' if match[2] else '[^/]+'})"
        end = match.end()
    return re.compile(text + re.escape(path[end:]), re.DOTALL)
