"""Reading the golden vectors of the proofs: JSON with hex strings, one case a named damage."""

import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parents[2] / "vectors"


def load(name: str) -> Any:
    """The content of tests/vectors/`name`.json."""
    return json.loads((VECTORS / f"{name}.json").read_text())


def unhex(texts: list[str]) -> tuple[bytes, ...]:
    """A list of hex strings as the tuple of bytes that a path is."""
    return tuple(bytes.fromhex(text) for text in texts)
