"""What is the matter with another node in its own words: nobody else can see its disk, or what it lacks.

It may lie, so every sentence tells who says it; what counts was said lately, over a link that is open.
"""

from node.condition import Condition
from node.diagnosis.room import DISK_LOW_RESERVES, MAP_FULL_PERMILLE, mib
from node.diagnosis.seen import Seen
from node.diagnosis.verdict import Rule, Verdict

SAID_LATELY_MS = 20_000
"""It is said every 5 s."""
MISSING_BATCHES = 64
"""So many are no busy moment, also where rounds do not fail."""


def _said(seen: Seen) -> Condition | None:
    """What counts of what it said."""
    ago = seen.peer.told_ms_ago
    if not seen.peer.connected or ago is None or ago > SAID_LATELY_MS:
        return None
    return seen.peer.told


def _diverged(seen: Seen) -> str | None:
    said = _said(seen)
    if said is None or not said.is_diverged:
        return None
    return f"{seen.peer.name} says that its ledger differs from the cluster's"


def _never_signs(seen: Seen) -> str | None:
    said = _said(seen)
    if said is None or not said.never_signs:
        return None
    return f"{seen.peer.name} says that the guard beside its key is lost, so it follows and never signs again"


def _disk_full(seen: Seen) -> str | None:
    said = _said(seen)
    if said is None or not said.is_disk_low:
        return None
    return f"{seen.peer.name} says that {mib(said.disk_free_bytes)} are free on its disk: it refuses clients"


def _catching_up(seen: Seen) -> str | None:
    said = _said(seen)
    if said is None or said.sync_target is None:
        return None
    height = seen.peer.certified_height
    at = "" if height is None else f", and is at {height}"
    return f"{seen.peer.name} says that it catches up to height {said.sync_target}{at}"


def _lacks_batches(seen: Seen) -> str | None:
    said = _said(seen)
    if said is None or said.missing_batches < (1 if seen.node.failed_rounds else MISSING_BATCHES):
        return None
    return f"{seen.peer.name} says that it lacks {said.missing_batches} batches that were ordered"


def _overloaded(seen: Seen) -> str | None:
    said = _said(seen)
    if said is None or 2 * said.inbox <= seen.node.inbox_max:
        return None
    return f"{seen.peer.name} says that {said.inbox} inputs wait for it: it does not keep up"


def _map_full(seen: Seen) -> str | None:
    said = _said(seen)
    if said is None or said.map_used_permille < MAP_FULL_PERMILLE:
        return None
    return f"{seen.peer.name} says that {said.map_used_permille / 10:.0f} % of its database's map are used"


def _disk_low(seen: Seen) -> str | None:
    said = _said(seen)
    if said is None or said.disk_free_bytes >= DISK_LOW_RESERVES * seen.node.disk_reserve_bytes:
        return None
    return f"{seen.peer.name} says that no more than {mib(said.disk_free_bytes)} are free on its disk"


SAID_FAULTS: tuple[Rule[Seen], ...] = (
    Rule(
        "says-diverged",
        Verdict.FAULT,
        "The other node says that executing agreed blocks gave another result there than at the others.",
        "its operator keeps the data for comparison and reports it, moves the data folder away (never the "
        "keys) and starts",
        _diverged,
    ),
    Rule(
        "says-guard-lost",
        Verdict.FAULT,
        "The other node says that nobody knows what its key has signed, so it never signs again.",
        "its operator makes a new key with `isthmus key rotate consensus`, and governance accepts it",
        _never_signs,
    ),
    Rule(
        "says-disk-full",
        Verdict.FAULT,
        "The other node says that it has too little room: it refuses clients so that agreement can go on.",
        "use another node, and tell its operator: `isthmus db prune` there, or a larger disk",
        _disk_full,
    ),
)
"""Behind what this node sees itself to be a fault of the link."""
SAID_CAUSES: tuple[Rule[Seen], ...] = (
    Rule(
        "says-batches-missing",
        Verdict.WARNING,
        "The other node says that ordered transactions have not reached it.",
        "look at the links between it and the other validators; it fetches them from whoever it reaches",
        _lacks_batches,
    ),
    Rule(
        "says-catching-up",
        Verdict.WARNING,
        "The other node says that it fetches what it has missed.",
        "wait; if it does not come nearer, ask its operator for `isthmus why` there",
        _catching_up,
    ),
    Rule(
        "says-overloaded",
        Verdict.WARNING,
        "The other node says that more arrives there than its machine can handle.",
        "its operator gives it more CPU, or its clients use other nodes, too",
        _overloaded,
    ),
)
"""Before what they explain: that it is behind, or does not vote."""
SAID_WARNINGS: tuple[Rule[Seen], ...] = (
    Rule(
        "says-map-nearly-full",
        Verdict.WARNING,
        "The other node says that its database's address space is nearly used up.",
        "tell its operator: storage.map_bytes is to be raised there, or transactions pruned",
        _map_full,
    ),
    Rule(
        "says-disk-nearly-full",
        Verdict.WARNING,
        "The other node says that its disk will be full before long.",
        "tell its operator: `isthmus db prune` there, or a larger disk, before it refuses clients",
        _disk_low,
    ),
)
"""Behind all that is felt already."""
