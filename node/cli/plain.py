"""Texts that others wrote, made harmless for the terminal that shows them.

Records, names and reasons come from the ledger, from other clusters and from peers. What drives a terminal
(control characters, the orders that turn the direction of writing) is shown as its code and never sent.
"""

import re
from collections.abc import Mapping, Sequence

# C0 but for line ends, DEL, C1 (0x9b begins an order as ESC [ does), and the bidirectional controls.
_DRIVING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def tame(text: str) -> str:
    """`text` with what drives a terminal as escapes; line ends stay."""
    return _DRIVING.sub(_escape, text)


def one_line(text: str) -> str:
    """`text` for a place of one line: nothing in it begins another that would look like ours."""
    return tame(text).replace("\n", r"\n")


def words_of(value: object) -> str:
    """A record's field in one line, as people read it: nothing where there is nothing, no brackets."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return ", ".join(f"{one_line(str(name))}={words_of(held)}" for name, held in value.items()) or "-"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(words_of, value)) or "-"
    return one_line(str(value)) or "-"


def tame_json(document: str) -> str:
    """A JSON document that means the same: JSON by itself escapes nothing above 0x1f."""
    return _DRIVING.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


def _escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
