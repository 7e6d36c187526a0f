"""How long a validator may be away before nobody prunes less than it has missed (`storage.keep_blocks`)."""

from pathlib import Path

from consensus import LocalError
from node.config import KEEP_BLOCKS_MIN, NodeConfig
from node.daemon.pruning import header_at
from node.daemon.reading import open_view
from node.doctor.finding import Finding, good, warning
from node.storage import HEIGHT_KEY, Reader, StateTable, StorageError

AWAY_MS = 3_600_000
"""An absence that a cluster should get over by itself: a repair, a slow reinstallation."""
BUSY_HEIGHTS_PER_HOUR = 20 * 3_600
"""What is assumed of a cluster that has no past: as many as a busy one makes."""


def look_at_kept(config: NodeConfig) -> Finding:
    """Whether who is away for an hour still catches up from a node that is set like this one."""
    keep = config.storage.keep_blocks
    if not keep:
        return good("keep-blocks", "every height is kept: whoever was away catches up from here")
    rate = seen_heights_per_hour(config.home.data_dir, keep)
    known = BUSY_HEIGHTS_PER_HOUR if rate is None else max(1, rate)
    lasts_ms = keep * 3_600_000 // known
    as_seen = "as this node has seen" if rate is not None else "as in a busy cluster"
    words = f"{keep} heights are kept; at {known} an hour, {as_seen}, those last {_span(lasts_ms)}"
    if lasts_ms >= AWAY_MS:
        return good("keep-blocks", words)
    needed = -(-known * AWAY_MS // 3_600_000)
    return warning(
        "keep-blocks",
        f"{words}: a validator that is down for longer cannot catch up where every node is set like this",
        f"set storage.keep_blocks to {needed} or more, or keep one node, an observer will do, with 0",
    )


def seen_heights_per_hour(data_dir: Path, keep: int) -> int | None:
    """Of the newest `keep` heights; None without enough of a past, or where it cannot be read."""
    if not data_dir.exists():
        return None
    try:
        with open_view(data_dir) as view:
            return heights_per_hour(view.snapshot, keep)
    except (StorageError, LocalError):
        return None  # what is wrong with a database is for `isthmus db check` to say


def heights_per_hour(reader: Reader, keep: int) -> int | None:
    """Of the newest `keep` heights, by the times in their headers; None where there are fewer than 100.
    Raises LocalError when one is missing."""
    tip = int.from_bytes(reader.get(StateTable.META, HEIGHT_KEY) or b"", "big")
    count = min(keep, tip - 1)
    if count < KEEP_BLOCKS_MIN:
        return None
    took_ms = header_at(reader, tip).time_ms - header_at(reader, tip - count).time_ms
    return count * 3_600_000 // max(1, took_ms)


def _span(length_ms: int) -> str:
    minutes = length_ms // 60_000
    if minutes < 1:
        return f"{length_ms // 1_000} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
