"""One dataclass, three forms: an array for programs, an object for people, a schema for the document.

Every answer of the API is a frozen dataclass. Programs get it as a canonical msgpack array of its fields
in order, people as a JSON object with hexadecimal bytes, and `/openapi.json` describes it from the same
field types: no form can disagree with another. Booleans travel as 0 and 1, because the canonical codec
has none. A class with a method `readable` adds decoded fields to its JSON form only.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import (
    Any,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    runtime_checkable,
)

from consensus import CodecError, Value, as_array, as_bytes, as_int, as_tuple

_ITEMS_MAX = 2**20
_TEXT_MAX = 2**20
_View = TypeVar("_View")


@runtime_checkable
class Readable(Protocol):
    """A view whose bytes can be read by people."""

    def readable(self) -> Mapping[str, object]:
        """More JSON fields, made from the ones that programs get."""
        ...


def to_value(view: object) -> Value:
    """The canonical array form."""
    if isinstance(view, int):
        return int(view)
    if view is None or isinstance(view, (bytes, str)):
        return view
    if isinstance(view, tuple):
        return tuple(to_value(item) for item in view)
    return tuple(to_value(getattr(view, name)) for name in _names(view))


def to_json(view: object) -> object:
    """The form for people: objects, hexadecimal bytes, decoded fields added."""
    if isinstance(view, bytes):
        return view.hex()
    if view is None or isinstance(view, (bool, int, str)):
        return view
    if isinstance(view, (tuple, list)):
        return [to_json(item) for item in view]
    if isinstance(view, Mapping):
        return {str(name): to_json(item) for name, item in view.items()}
    answer = {name: to_json(getattr(view, name)) for name in _names(view)}
    if isinstance(view, Readable):
        answer.update({name: to_json(item) for name, item in view.readable().items()})
    return answer


def from_value(kind: type[_View], value: Value) -> _View:
    """The dataclass `kind` from its array form; raises CodecError naming the field."""
    return cast(_View, _read(kind, value, kind.__name__))


def schema(kind: object) -> dict[str, object]:
    """The JSON schema of a type; dataclasses are referred to by name (see `definitions`)."""
    if kind is bytes:
        return {"type": "string", "pattern": "^([0-9a-f]{2})*$", "description": "hexadecimal bytes"}
    simple = {bool: "boolean", int: "integer", str: "string", NoneType: "null"}
    if isinstance(kind, type) and kind in simple:
        return {"type": simple[kind]}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": schema(get_args(kind)[0])}
    if get_origin(kind) in (Union, UnionType):
        return {"anyOf": [schema(option) for option in get_args(kind)]}
    return {"$ref": f"#/components/schemas/{cast(type, kind).__name__}"}


def definitions(kind: object, known: dict[str, object]) -> None:
    """Add the object schemas of `kind` and of everything inside it to `known`."""
    for option in get_args(kind):
        definitions(option, known)
    if not (isinstance(kind, type) and is_dataclass(kind)) or kind.__name__ in known:
        return
    hints = _hints(kind)
    known[kind.__name__] = {
        "type": "object",
        "description": (kind.__doc__ or "").strip().split("\n")[0],
        "properties": {name: schema(hint) for name, hint in hints.items()},
        "required": list(hints),
        "additionalProperties": issubclass(kind, Readable),
    }
    for hint in hints.values():
        definitions(hint, known)


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {item.name: hints[item.name] for item in fields(cast(Any, kind))}


def _names(view: object) -> tuple[str, ...]:
    kind: Any = type(view)
    return tuple(_hints(kind))


def _read(kind: object, value: Value, what: str) -> object:
    if kind is bool:
        return bool(as_int(value, what, high=1))
    if kind is int:
        return as_int(value, what, low=-(2**63), high=2**64 - 1)
    if kind is bytes:
        return as_bytes(value, what)
    if kind is str:
        if type(value) is not str or len(value) > _TEXT_MAX:
            raise CodecError(f"{what} must be text")
        return value
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return tuple(_read(inner, item, what) for item in as_array(value, _ITEMS_MAX, what))
    if get_origin(kind) in (Union, UnionType):
        if value is None:
            return None
        inner = next(option for option in get_args(kind) if option is not NoneType)
        return _read(inner, value, what)
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise TypeError(f"{what}: {kind} cannot travel")
    hints = _hints(kind)
    items = as_tuple(value, len(hints), what)
    read = [
        _read(hint, item, f"{what} {name}") for (name, hint), item in zip(hints.items(), items, strict=True)
    ]
    return kind(*read)
