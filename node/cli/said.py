"""What nodes say of themselves, as rows of a table: room, what is missing and what waits."""

from node.condition import Condition
from node.diagnosis import NodeFacts, PeerFacts

SAID_HEADINGS = (
    "says of itself",
    "said",
    "disk free",
    "map used",
    "batches missing",
    "pending",
    "inbox",
    "state",
)


def own_row(node: NodeFacts) -> tuple[object, ...]:
    """The line of the node that is asked."""
    now = Condition(
        node.disk_free_bytes,
        node.disk_free_bytes < node.disk_reserve_bytes,
        node.map_used_permille,
        node.missing_batches,
        node.pending_transactions,
        node.inbox,
        node.is_diverged,
        node.never_signs,
        node.sync_target,
    )
    return (node.name, "now", *_cells(now))


def said_row(peer: PeerFacts) -> tuple[object, ...]:
    """The line of another one: what it said last, however long ago."""
    if peer.told is None or peer.told_ms_ago is None:
        return (peer.name, *("-" for _ in SAID_HEADINGS[1:]))
    return (peer.name, f"{peer.told_ms_ago / 1000:.1f} s ago", *_cells(peer.told))


def _cells(said: Condition) -> tuple[object, ...]:
    return (
        f"{said.disk_free_bytes / 1e9:.1f} GB",
        f"{said.map_used_permille / 10:.1f} %",
        said.missing_batches,
        said.pending_transactions,
        said.inbox,
        _state(said),
    )


def _state(said: Condition) -> str:
    words = (
        ("diverged", said.is_diverged),
        ("never signs", said.never_signs),
        ("refuses clients", said.is_disk_low),
        (f"catches up to {said.sync_target}", said.sync_target is not None),
    )
    return ", ".join(word for word, applies in words if applies) or "-"
