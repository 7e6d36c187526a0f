"""Changes about other clusters: from the JSON that people write, and back in words.

The form is that in which `isthmus governance show --json` prints them; only an admission, whose genesis is
too long to show, names the invitation that the other cluster wrote (`changefile.EXAMPLES` has all).
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from consensus import Value
from node.anchoring.lanes.messages import Mode
from node.cli.invitation import read_invitation
from node.ledger.federation.changes import (
    AdmitCluster,
    ApproveRecovery,
    FederationChange,
    RetireCluster,
    SetAddresses,
    SetFederation,
    SetLanePolicy,
    SetReaders,
    VouchForHeader,
    federation_change_of,
)
from node.ledger.federation.grants import Grant

Content = Mapping[str, Any]


def fields_of(item: object, names: tuple[str, ...], where: str) -> tuple[Any, ...]:
    """The values of exactly these names, in their order. Raises ValueError."""
    if not isinstance(item, Mapping) or sorted(item) != sorted(names):
        raise ValueError(f"{where} must have exactly {', '.join(names)}")
    return tuple(item[name] for name in names)


def federation_change(kind: str, content: Content, folder: Path) -> FederationChange:
    """The change that a file in `folder` writes. Raises ValueError, CodecError, OSError and Failure."""
    return federation_change_of(_NUMBERS[kind], (_NUMBERS[kind], *_READERS[kind](content, folder)))


def _admission(content: Content, folder: Path) -> tuple[Value, ...]:
    (name,) = fields_of(content, ("invitation",), "admit-cluster")
    invitation = read_invitation(folder / _text(name, "invitation"))
    return (invitation.body, tuple(address.to_value() for address in invitation.addresses))


def _retirement(content: Content, folder: Path) -> tuple[Value, ...]:
    (cluster_id,) = fields_of(content, ("cluster_id",), "retire-cluster")
    return (_bytes(cluster_id, "cluster_id"),)


def _recovery(content: Content, folder: Path) -> tuple[Value, ...]:
    cluster_id, incarnation, digest = fields_of(
        content, ("cluster_id", "incarnation", "digest"), "approve-recovery"
    )
    return (_bytes(cluster_id, "cluster_id"), incarnation, _bytes(digest, "digest"))


def _lane(content: Content, folder: Path) -> tuple[Value, ...]:
    cluster_id, port, mode, policy = fields_of(
        content, ("cluster_id", "port", "mode", "policy"), "lane-policy"
    )
    send, receive, quota, window_ms = fields_of(
        policy, ("may_send", "may_receive", "quota", "window_ms"), "policy"
    )
    modes = {each.name.lower(): int(each) for each in Mode}
    if mode not in modes:
        raise ValueError(f"mode must be one of {', '.join(modes)}")
    allowed = (_flag(send, "may_send"), _flag(receive, "may_receive"), quota, window_ms)
    return (_bytes(cluster_id, "cluster_id"), port, modes[mode], *allowed)


def _parameters(content: Content, folder: Path) -> tuple[Value, ...]:
    (params,) = fields_of(content, ("params",), "federation")
    return fields_of(params, ("witnesses", "heartbeat_ms", "stale_after_ms"), "params")


def _vouching(content: Content, folder: Path) -> tuple[Value, ...]:
    cluster_id, height, header_hash = fields_of(
        content, ("cluster_id", "height", "header_hash"), "vouch-for-header"
    )
    return (_bytes(cluster_id, "cluster_id"), height, _bytes(header_hash, "header_hash"))


def _readers(content: Content, folder: Path) -> tuple[Value, ...]:
    cluster_id, grants = fields_of(content, ("cluster_id", "grants"), "readers")
    return (_bytes(cluster_id, "cluster_id"), tuple(map(_grant, _list(grants, "grants"))))


def _addresses(content: Content, folder: Path) -> tuple[Value, ...]:
    cluster_id, addresses = fields_of(content, ("cluster_id", "addresses"), "addresses")
    return (_bytes(cluster_id, "cluster_id"), tuple(map(_address, _list(addresses, "addresses"))))


def _address(item: object) -> Value:
    node_key, host, port = fields_of(item, ("node_key", "host", "port"), "address")
    return (_bytes(node_key, "node_key"), host, port)


def _grant(item: object) -> Value:
    names = ("prefix", "may_list", "organisations", "roles", "keys")
    prefix, may_list, organisations, roles, keys = fields_of(item, names, "grant")
    return (
        prefix,
        _flag(may_list, "may_list"),
        tuple(_text(each, "organisation") for each in _list(organisations, "organisations")),
        tuple(_text(each, "role") for each in _list(roles, "roles")),
        tuple(_bytes(each, "key") for each in _list(keys, "keys")),
    )


_NUMBERS = {
    "admit-cluster": 8,
    "retire-cluster": 9,
    "approve-recovery": 10,
    "lane-policy": 11,
    "federation": 12,
    "vouch-for-header": 13,
    "readers": 14,
    "addresses": 15,
}
_READERS: dict[str, Callable[[Content, Path], tuple[Value, ...]]] = {
    "admit-cluster": _admission,
    "retire-cluster": _retirement,
    "approve-recovery": _recovery,
    "lane-policy": _lane,
    "federation": _parameters,
    "vouch-for-header": _vouching,
    "readers": _readers,
    "addresses": _addresses,
}
FEDERATION_WORDS = tuple(_NUMBERS)
"""The kinds of changes about other clusters, as they are written."""


def in_words(change: FederationChange) -> str:
    """The change as a sentence, ids in full: operators compare them."""
    match change:
        case AdmitCluster():
            name, count = change.identity.name, len(change.addresses)
            return f"admit cluster {change.identity.cluster_id.hex()} as {name}, {count} places to dial"
        case RetireCluster(cluster_id):
            return f"retire cluster {cluster_id.hex()} for ever"
        case ApproveRecovery(cluster_id, incarnation, digest):
            return (
                f"approve recovery {digest.hex()} of cluster {cluster_id.hex()} to incarnation {incarnation}"
            )
        case SetLanePolicy(cluster_id, port, mode, policy):
            quota = "any number" if policy.quota is None else f"{policy.quota} in {policy.window_ms} ms"
            receive = f"receive {quota}" if policy.may_receive else "receive nothing"
            return (
                f"lane {port}, {mode.name.lower()}, with cluster {cluster_id.hex()}: "
                f"{'send' if policy.may_send else 'send nothing'}, {receive}"
            )
        case SetFederation(params):
            return (
                f"the federation: {params.witnesses} witnesses, anchor at least every {params.heartbeat_ms} "
                f"ms, stale after {params.stale_after_ms} ms"
            )
        case VouchForHeader(cluster_id, height, header_hash):
            return f"vouch for header {height}:{header_hash.hex()} of cluster {cluster_id.hex()}"
        case SetReaders(cluster_id, grants):
            told = "; ".join(map(_grant_in_words, grants)) or "nothing"
            return f"members of cluster {cluster_id.hex()} may read {told}"
        case SetAddresses(cluster_id, addresses):
            places = ", ".join(f"{one.node_key.hex()} at {one.host}:{one.port}" for one in addresses)
            return f"dial cluster {cluster_id.hex()} at {places or 'no address'}"


def _grant_in_words(grant: Grant) -> str:
    fits = [
        f"{what} {', '.join(names)}"
        for what, names in (
            ("organisations", grant.organisations),
            ("roles", grant.roles),
            ("keys", tuple(key.hex() for key in grant.keys)),
        )
        if names
    ]
    listing = " and list" if grant.may_list else ""
    return f"{grant.prefix}*{listing} ({'; '.join(fits) or 'every member'})"


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} cannot be {value!r:.40}")
    return value


def _bytes(value: object, name: str) -> bytes:
    return bytes.fromhex(_text(value, name))


def _list(value: object, name: str) -> list[object]:
    if not isinstance(value, list):
        raise ValueError(f"{name} must be a list")
    return value


def _flag(value: object, name: str) -> int:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false")
    return int(value)
