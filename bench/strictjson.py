"""Reading JSON that must be exactly as we wrote it: a value is of its type, or refused by its name."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Fields:
    """A JSON object at a `place` ("figures.latency_ms"). Every method raises ValueError that names it."""

    values: Mapping[str, Any]
    place: str = ""

    @staticmethod
    def of(value: object, place: str = "") -> "Fields":
        """An object; what stands there must be one."""
        if not isinstance(value, dict):
            raise ValueError(f"{place or 'a line'} must be an object")
        return Fields(value, place)

    def __contains__(self, name: str) -> bool:
        return self.values.get(name) is not None

    def path(self, name: str) -> str:
        """Where a field stands."""
        return f"{self.place}.{name}" if self.place else name

    def _value(self, name: str, kind: type | tuple[type, ...], words: str) -> Any:
        if name not in self.values:
            raise ValueError(f"{self.path(name)} is missing")
        value = self.values[name]
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{self.path(name)} must be {words}, not {value!a:.40}")
        return value

    def text(self, name: str) -> str:
        """A string."""
        value: str = self._value(name, str, "text")
        return value

    def whole(self, name: str) -> int:
        """An integer."""
        value: int = self._value(name, int, "a whole number")
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        value = float(self._value(name, (int, float), "a number"))
        if not math.isfinite(value):
            raise ValueError(f"{self.path(name)} must be a finite number, not {value}")
        return value

    def truth(self, name: str) -> bool:
        """A boolean."""
        value: bool = self._value(name, bool, "true or false")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string or null; the field must be there."""
        return None if self._is_null(name) else self.text(name)

    def optional_number(self, name: str) -> float | None:
        """A finite number or null; the field must be there."""
        return None if self._is_null(name) else self.number(name)

    def fields(self, name: str) -> "Fields":
        """An object."""
        return Fields.of(self._value(name, dict, "an object"), self.path(name))

    def optional_fields(self, name: str) -> "Fields | None":
        """An object or null; the field must be there."""
        return None if self._is_null(name) else self.fields(name)

    def array(self, name: str) -> Sequence[Any]:
        """A list."""
        value: list[Any] = self._value(name, list, "a list")
        return value

    def rows(self, name: str) -> "Sequence[Fields]":
        """A list of objects."""
        return [Fields.of(row, f"{self.path(name)}[{n}]") for n, row in enumerate(self.array(name))]

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        found = self.array(name)
        if not all(isinstance(item, str) for item in found):
            raise ValueError(f"{self.path(name)} must be a list of texts")
        return tuple(found)

    def table(self, name: str) -> dict[str, float]:
        """An object whose values are finite numbers."""
        inner = self.fields(name)
        return {key: inner.number(key) for key in inner.values}

    def _is_null(self, name: str) -> bool:
        if name not in self.values:
            raise ValueError(f"{self.path(name)} is missing")
        return self.values[name] is None
