"""The kinds of settings: how a text from the environment becomes a value, and what is accepted.

A knob is the metadata of a dataclass field in `config.py`; a check answers the value or raises ValueError
with the end of a sentence ("must be from 1 to 65535, not 0") whose beginning is the setting's name.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

KNOB = "knob"
"""The metadata key under which a field carries its Knob."""
LIST_MAX = 256
_HOST = re.compile(r"[A-Za-z0-9._:%-]{1,253}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting: what it is for, how environment text becomes a value, and the check that may refuse it."""

    purpose: str
    from_text: Callable[[str], object]
    check: Callable[[object], object]


def integer(default: int | None, low: int, high: int, purpose: str) -> Any:
    """A whole number from `low` to `high`; None stands for "not set" as a default only."""

    def from_text(text: str) -> object:
        return int(text) if re.fullmatch(r"[0-9][0-9_]*", text) else text

    def check(value: object) -> object:
        if isinstance(value, bool) or not isinstance(value, int):
            raise ValueError(f"is a whole number from {low} to {high}, not {value!r}")
        if not low <= value <= high:
            raise ValueError(f"must be from {low} to {high}, not {value}")
        return value

    return field(default=default, metadata={KNOB: Knob(purpose, from_text, check)})


def flag(default: bool, purpose: str) -> Any:
    """True or false."""

    def from_text(text: str) -> object:
        return {"true": True, "false": False}.get(text.lower(), text)

    def check(value: object) -> object:
        if not isinstance(value, bool):
            raise ValueError(f"is true or false, not {value!r}")
        return value

    return field(default=default, metadata={KNOB: Knob(purpose, from_text, check)})


def choice(default: str, options: tuple[str, ...], purpose: str) -> Any:
    """One word of a closed list."""

    def check(value: object) -> object:
        if value not in options:
            raise ValueError(f"is one of {', '.join(options)}, not {value!r}")
        return value

    return field(default=default, metadata={KNOB: Knob(purpose, str, check)})


def _pattern(default: str | None, pattern: re.Pattern[str], what: str, purpose: str) -> Any:
    def check(value: object) -> object:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(f"is {what}, not {value!r}")
        return value

    return field(default=default, metadata={KNOB: Knob(purpose, str, check)})


def host(default: str | None, purpose: str) -> Any:
    """An address or a DNS name."""

    def check(value: object) -> object:
        if not isinstance(value, str) or not is_host(value):
            raise ValueError(f"is an address or DNS name without scheme and port, not {value!r}")
        return value

    return field(default=default, metadata={KNOB: Knob(purpose, str, check)})


def is_host(text: str) -> bool:
    """Whether this is an address or may be a DNS name; a colon stands in IPv6 addresses only."""
    if not _HOST.fullmatch(text):
        return False
    try:
        return ":" not in text or ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that a host is, None for a name. One of IPv4 that is written as one of IPv6
    (::ffff:10.0.0.5, RFC 4291 section 2.5.5.2) is that of IPv4: whoever listens on it is reached by IPv4."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=256)
def plain_host(text: str) -> str:
    """A host in the one form in which two are compared: lower case, an address as short as it can be written,
    without brackets and without its scope, which programs leave out of what they send (RFC 6874)."""
    text = text.lower().removeprefix("[").removesuffix("]")
    address = address_of(text)
    return text if address is None else str(address).partition("%")[0]


def name(default: str, purpose: str) -> Any:
    """A name of the form that the ledger accepts too."""
    return _pattern(default, _NAME, "1 to 64 characters of a-z, 0-9, '.', '_', '-'", purpose)


def key(purpose: str) -> Any:
    """A node key of 64 hexadecimal digits, as bytes; required."""
    return field(default=b"", metadata={KNOB: Knob(purpose, str, _key_of)})


def keys(purpose: str) -> Any:
    """A list of node keys, empty by default."""

    def check(value: object) -> object:
        if not isinstance(value, list) or len(value) > LIST_MAX:
            raise ValueError(f"is a list of at most {LIST_MAX} node keys")
        return tuple(_key_of(item) for item in value)

    return field(default=(), metadata={KNOB: Knob(purpose, _parts, check)})


def hosts(purpose: str) -> Any:
    """A list of addresses or DNS names, empty by default."""

    def check(value: object) -> object:
        if not isinstance(value, list) or len(value) > LIST_MAX:
            raise ValueError(f"is a list of at most {LIST_MAX} names")
        if not all(isinstance(item, str) and is_host(item) for item in value):
            raise ValueError("is a list of addresses or DNS names without scheme and port")
        return tuple(value)

    return field(default=(), metadata={KNOB: Knob(purpose, _parts, check)})


def _key_of(value: object) -> bytes:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError(f"is a node key of 64 hexadecimal digits (isthmus show-node-id), not {value!r}")
    return bytes.fromhex(value)


def _parts(text: str) -> object:
    return [part.strip() for part in text.split(",") if part.strip()]
