"""Parameters as objects: the same one reads a request and stands in the OpenAPI document.

A handler asks its `Call` for `call.get(HEIGHT)` and gets a typed value. Asking for a parameter that the
operation does not declare is a mistake of ours and fails loudly, so the document cannot leave one out;
a query parameter that nobody declared is the caller's mistake and is answered with a suggestion.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from node.api.faults import ApiFault, Fault, fault

T = TypeVar("T")
_INTEGER_DIGITS_MAX = 19


class Place(Enum):
    """Where a parameter stands in a request."""

    PATH = "path"
    QUERY = "query"
    HEADER = "header"


@dataclass(frozen=True, slots=True)
class Parameter(Generic[T]):
    """One parameter; `parse` raises ValueError with the end of a sentence that begins with the name.

    A path parameter is always there; the others have the value `default` when they are not.
    """

    name: str
    place: Place
    summary: str
    schema: tuple[tuple[str, object], ...]
    parse: Callable[[str], T]
    default: T | None = None

    def read(self, text: str) -> T:
        """The typed value; raises ApiFault BAD_PARAMETER."""
        try:
            return self.parse(text)
        except ValueError as error:
            shown = text if len(text) <= 80 else text[:80] + "..."
            raise fault(Fault.BAD_PARAMETER, f"{self.name} {error}, not {shown!r}.") from error


def unknown_parameter(name: str, known: Iterable[str]) -> ApiFault:
    """The fault of a query parameter that the operation does not have."""
    close = difflib.get_close_matches(name, list(known), n=1)
    suggestion = f"; did you mean {close[0]}?" if close else "."
    return fault(Fault.BAD_PARAMETER, f"This route has no parameter {name[:80]!r}{suggestion}")


def hexadecimal(text: str, *, length: int | None = None, max_length: int = 512) -> bytes:
    """Bytes from hexadecimal digits; raises ValueError."""
    wanted = f"must be {2 * length} hexadecimal digits" if length else "must be hexadecimal digits"
    try:
        data = bytes.fromhex(text)
    except ValueError:
        raise ValueError(wanted) from None
    if (length is not None and len(data) != length) or len(data) > max_length or 2 * len(data) != len(text):
        raise ValueError(wanted)
    return data


def integer(text: str, low: int, high: int) -> int:
    """A decimal integer from `low` to `high`; raises ValueError."""
    wanted = f"must be a whole number from {low} to {high}"
    if not (text.isascii() and text.isdigit() and len(text) <= _INTEGER_DIGITS_MAX):
        raise ValueError(wanted)
    if not low <= int(text) <= high:
        raise ValueError(wanted)
    return int(text)


def flag(text: str) -> bool:
    """0 or 1; raises ValueError."""
    known: Mapping[str, bool] = {"1": True, "true": True, "0": False, "false": False}
    if text not in known:
        raise ValueError("must be 0 or 1")
    return known[text]


def path_hash(name: str, summary: str) -> Parameter[bytes]:
    """A 32-byte hash in the path."""
    return Parameter(name, Place.PATH, summary, _HASH, lambda text: hexadecimal(text, length=32))


def query_integer(name: str, summary: str, high: int, default: int | None = None) -> Parameter[int]:
    """An integer from 0 in the query."""
    described = (("type", "integer"), ("minimum", 0), ("maximum", high))
    return Parameter(name, Place.QUERY, summary, described, lambda text: integer(text, 0, high), default)


def query_flag(name: str, summary: str) -> Parameter[bool]:
    """A flag in the query, off when absent."""
    described: tuple[tuple[str, object], ...] = (("type", "string"), ("enum", ("0", "1")))
    return Parameter(name, Place.QUERY, summary, described, flag, False)


_HASH: tuple[tuple[str, object], ...] = (("type", "string"), ("pattern", "^[0-9a-f]{64}$"))
