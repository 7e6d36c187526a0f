"""A copy of a run under way, cheap enough to make one for every plan of the next round.

Scenarios that share their first rounds share their run up to the moment when a later plan first matters. The
copy holds every mutable object anew and shares what cannot change: frozen dataclasses, numbers, bytes,
tuples, which hold nothing mutable here. `SignatureCache` is shared as well: it remembers facts.
A type that fits neither is refused, so a replica that grows a new kind of state cannot leak between branches.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import is_dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType
from typing import TypeVar

from bench.sim.keyedhash import KeyedHashKey
from consensus import SignatureCache, SigningKey

T = TypeVar("T")
_Memo = dict[int, object]
_Copier = Callable[[object, _Memo], object]
_SHARED: tuple[type, ...] = (
    int,
    str,
    bytes,
    type(None),
    tuple,
    Enum,
    type,
    FunctionType,
    BuiltinFunctionType,
    SignatureCache,
    SigningKey,
    KeyedHashKey,
)
_OURS = ("consensus.", "bench.sim.", "tests.")


class _Copiers(dict[type, _Copier | None]):
    """By type: how to copy a value, None when it is shared. Filled as types are met."""

    def __missing__(self, kind: type) -> _Copier | None:
        copier: _Copier | None
        if issubclass(kind, _SHARED) or _is_value(kind):
            copier = None
        elif issubclass(kind, dict):
            copier = _copy_dict
        elif kind is list or kind is deque:
            copier = _copy_row
        elif kind.__module__.startswith(_OURS):
            copier = _object_copier(kind)
        else:
            raise TypeError(f"a run that holds a {kind.__module__}.{kind.__qualname__} cannot be branched")
        self[kind] = copier
        return copier


def _is_value(kind: type) -> bool:
    """Frozen dataclasses, and those frozen for the type checker alone: what can be hashed by its fields."""
    return is_dataclass(kind) and kind.__hash__ not in (None, object.__hash__)


_COPIERS = _Copiers()


def _copy_dict(value: object, memo: _Memo) -> object:
    """Keys are shared; values are all of one kind."""
    assert isinstance(value, dict)
    for first in value.values():
        copier = _COPIERS[type(first)]
        if copier is None:
            break
        return {key: copier(item, memo) for key, item in value.items()}
    return value.copy()


def _copy_row(value: object, memo: _Memo) -> object:
    """Items are all of one kind."""
    assert isinstance(value, list | deque)
    if value:
        copier = _COPIERS[type(value[0])]
        if copier is not None:
            return type(value)([copier(item, memo) for item in value])
    return value.copy()


def _object_copier(kind: type) -> _Copier:
    slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
    has_dict = kind.__dictoffset__ != 0
    copiers = _COPIERS

    def copy(value: object, memo: _Memo) -> object:
        known = memo.get(id(value))
        if known is not None:
            return known
        made: object = object.__new__(kind)
        memo[id(value)] = made
        if has_dict:
            fields = made.__dict__
            for name, item in value.__dict__.items():
                copier = copiers[type(item)]
                fields[name] = item if copier is None else copier(item, memo)
        for name in slots:
            item = getattr(value, name)
            copier = copiers[type(item)]
            setattr(made, name, item if copier is None else copier(item, memo))
        return made

    return copy


def branch(run: T) -> T:
    """An independent copy of a run (a `World`, or any part of one)."""
    copier = _COPIERS[type(run)]
    if copier is None:
        return run
    made = copier(run, {})
    assert isinstance(made, type(run)), "a copy has its original's type"
    return made
