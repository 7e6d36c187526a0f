"""How scenarios are written down: frozen dataclasses of whole numbers, words and tuples as strict JSON.

A saved scenario must play exactly as it was, years later, or be refused with the place of its fault: nothing
is guessed, no field is optional, no field is unknown.
"""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Plain = dict[str, "Plain"] | list["Plain"] | int | str | bool | None
_ITEMS_MAX = 10_000
_KIND = "kind"


class NotationError(ValueError):
    """What was read is no such thing; the text names the place in it."""


def to_plain(value: object) -> Plain:
    """What `json.dumps` takes. Members of a union carry their `KIND` under "kind"."""
    if is_dataclass(value) and not isinstance(value, type):
        plain: dict[str, Plain] = {}
        kind = getattr(type(value), "KIND", None)
        if kind is not None:
            plain[_KIND] = kind
        for field in fields(value):
            plain[field.name] = to_plain(getattr(value, field.name))
        return plain
    if isinstance(value, tuple):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no notation")


def from_plain(wanted: type[T], plain: object, place: str) -> T:
    """The inverse of `to_plain` for a dataclass. Raises NotationError naming `place`."""
    read = _read(wanted, plain, place)
    if not isinstance(read, wanted):
        raise TypeError(f"{wanted.__name__} is no dataclass")
    return read


@cache
def _hints(wanted: type) -> Mapping[str, Any]:
    return get_type_hints(wanted)


def _read(wanted: Any, plain: object, place: str) -> object:
    origin = get_origin(wanted)
    if origin is tuple:
        return _read_tuple(get_args(wanted), plain, place)
    if origin in (Union, types.UnionType):
        return _read_union(get_args(wanted), plain, place)
    if is_dataclass(wanted) and isinstance(wanted, type):
        return _read_record(wanted, plain, place)
    # type(): True is an int to isinstance
    if type(plain) is not wanted:
        raise NotationError(f"{place}: must be {_NAMES[wanted]}, not {plain!a:.40}")
    return plain


_NAMES = {int: "a whole number", str: "a text", bool: "true or false"}


def _read_tuple(args: tuple[Any, ...], plain: object, place: str) -> tuple[object, ...]:
    if not isinstance(plain, list) or len(plain) > _ITEMS_MAX:
        raise NotationError(f"{place}: must be a list of at most {_ITEMS_MAX}")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_read(args[0], item, f"{place}[{i}]") for i, item in enumerate(plain))
    if len(plain) != len(args):
        raise NotationError(f"{place}: must be a list of {len(args)}")
    return tuple(
        _read(arg, item, f"{place}[{i}]") for i, (arg, item) in enumerate(zip(args, plain, strict=True))
    )


def _read_union(args: tuple[Any, ...], plain: object, place: str) -> object:
    kinds = {arg.KIND: arg for arg in args}
    if not isinstance(plain, Mapping) or plain.get(_KIND) not in kinds:
        raise NotationError(f"{place}.{_KIND}: must be one of {', '.join(kinds)}")
    return _read_record(kinds[plain[_KIND]], {name: plain[name] for name in plain if name != _KIND}, place)


def _read_record(wanted: type, plain: object, place: str) -> object:
    if not isinstance(plain, Mapping):
        raise NotationError(f"{place}: must be an object")
    hints = {field.name: _hints(wanted)[field.name] for field in fields(wanted)}
    for name in plain:
        if name not in hints:
            raise NotationError(f"{place}.{name}: is none of {', '.join(hints)}")
    for name in hints:
        if name not in plain:
            raise NotationError(f"{place}.{name}: is missing")
    values = {name: _read(hint, plain[name], f"{place}.{name}") for name, hint in hints.items()}
    try:
        return wanted(**values)
    except ValueError as error:
        raise NotationError(f"{place}: {error}") from error
