"""Changes for a proposal, written by people as JSON: the form in which proposals are shown.

A file is a list of changes; `EXAMPLES` has one of each kind, which `isthmus governance example` prints.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from consensus import CodecError, Value
from node.api.governance_queries import KINDS
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.federation_changes import FEDERATION_WORDS, federation_change
from node.ledger.features import REVOCABLE_APPROVALS
from node.ledger.governance.changes import CHANGES_MAX, AddValidator, Change, change_of

CHANGE_FILE_BYTES_MAX = 1024 * 1024
_KEYS = ("consensus_key", "node_key", "operator_key", "public_key")
_RECORD = ("name", "organisation", "consensus_key", "node_key", "weight", "operator_key")
_FIELDS: dict[str, tuple[str, ...]] = {
    "add-validator": ("record",),
    "remove-validator": ("name",),
    "weight": ("name", "weight"),
    "rotate": ("name", "consensus_key", "node_key", "operator_key"),
    "set-member": ("member",),
    "remove-member": ("public_key",),
    "set-policy": ("app", "method", "policy"),
    "enable-feature": ("name",),
}
_NESTED: dict[str, tuple[str, ...]] = {
    "record": _RECORD,
    "member": ("public_key", "organisation", "roles", "name"),
    "policy": ("rule", "organisations", "roles"),
}
_KEY, _ID = "58" + "66" * 31, "11" * 32
EXAMPLES: dict[str, dict[str, Any]] = {
    "add-validator": {
        "record": {
            "name": "node4",
            "organisation": "harbour",
            "consensus_key": _KEY,
            "node_key": _KEY,
            "weight": 1,
            "operator_key": _KEY,
        }
    },
    "remove-validator": {"name": "node3"},
    "weight": {"name": "node2", "weight": 2},
    "rotate": {"name": "node1", "consensus_key": None, "node_key": _KEY, "operator_key": None},
    "set-member": {
        "member": {"public_key": _KEY, "organisation": "harbour", "roles": ["client"], "name": "clerk"}
    },
    "remove-member": {"public_key": _KEY},
    "set-policy": {
        "app": "records",
        "method": "put",
        "policy": {"rule": "ANY", "organisations": ["harbour"], "roles": []},
    },
    "admit-cluster": {"invitation": "ports.beta.invitation.json"},
    "retire-cluster": {"cluster_id": _ID},
    "approve-recovery": {"cluster_id": _ID, "incarnation": 1, "digest": _KEY},
    "lane-policy": {
        "cluster_id": _ID,
        "port": "records",
        "mode": "unordered",
        "policy": {"may_send": True, "may_receive": True, "quota": 200, "window_ms": 60_000},
    },
    "federation": {"params": {"witnesses": 2, "heartbeat_ms": 60_000, "stale_after_ms": 86_400_000}},
    "vouch-for-header": {"cluster_id": _ID, "height": 1_000, "header_hash": _KEY},
    "readers": {
        "cluster_id": _ID,
        "grants": [
            {
                "prefix": "records/berths/",
                "may_list": True,
                "organisations": ["harbour"],
                "roles": ["client"],
                "keys": [],
            }
        ],
    },
    "addresses": {
        "cluster_id": _ID,
        "addresses": [{"node_key": _KEY, "host": "node0.beta.example", "port": 27_600}],
    },
    "enable-feature": {"name": REVOCABLE_APPROVALS},
}
"""The content of one change of each kind. Keys and ids are 64 hexadecimal digits; an invitation is the file
that the other cluster wrote, beside this one."""
_NUMBERS = {name: number for number, name in enumerate(KINDS.values(), 1)}


def read_changes(path: Path) -> tuple[Change, ...]:
    """The changes in a file. Raises Failure that names the place."""
    document = _read(path)
    if not isinstance(document, list) or not 1 <= len(document) <= CHANGES_MAX:
        raise _wrong(path, f"it must be a list of 1 to {CHANGES_MAX} changes")
    return tuple(_change(path, position, item) for position, item in enumerate(document))


def read_candidate(path: Path, weight: int | None) -> AddValidator:
    """The validator that a `candidate` file describes, with `weight` if it is given. Raises Failure."""
    document = _read(path)
    if isinstance(document, dict) and weight is not None:
        document = {**document, "weight": weight}
    change = _change(path, 0, {"kind": "add-validator", "record": document})
    if not isinstance(change, AddValidator):
        raise TypeError(f"{path} came to {type(change).__name__}")
    return change


def _read(path: Path) -> Any:
    with path.open("rb") as file:
        data = file.read(CHANGE_FILE_BYTES_MAX + 1)
    if len(data) > CHANGE_FILE_BYTES_MAX:
        raise _wrong(path, f"it is larger than {CHANGE_FILE_BYTES_MAX} bytes")
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _wrong(path, f"it is no JSON: {error}") from error


def _change(path: Path, position: int, item: Any) -> Change:
    where = f"change {position}"
    kind = item.get("kind") if isinstance(item, dict) else None
    if not isinstance(kind, str) or kind not in EXAMPLES:
        raise _wrong(path, f"{where}: kind must be one of {', '.join(EXAMPLES)}")
    content = {name: value for name, value in item.items() if name != "kind"}
    try:
        if kind in FEDERATION_WORDS:
            return federation_change(kind, content, path.parent)
        return change_of((_NUMBERS[kind], *_values(content, _FIELDS[kind], where)))
    except (CodecError, ValueError, OSError) as error:
        raise _wrong(path, f"{where}: {error}") from error


def _values(item: Any, names: tuple[str, ...], where: str) -> tuple[Value, ...]:
    """The values of these names, in their order. Raises ValueError."""
    if not isinstance(item, Mapping) or sorted(item) != sorted(names):
        raise ValueError(f"{where} must have exactly {', '.join(names)}")
    return tuple(_value(name, item[name]) for name in names)


def _value(name: str, value: Any) -> Value:
    if name in _NESTED:
        return _values(value, _NESTED[name], name)
    if name in _KEYS:
        return None if value is None else bytes.fromhex(_text(name, value))
    if isinstance(value, list):
        return tuple(_text(name, item) for item in value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _text(name, value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} cannot be {value!r:.40}")
    return value


def _wrong(path: Path, detail: str) -> Failure:
    return Failure(Exit.USAGE, f"{path}: {detail}")
