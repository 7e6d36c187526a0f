"""What lanes need to know of two clusters: the block under execution here, and what is anchored of the other.

Lanes must not depend on how a light client reaches its verdict, so they see it through one narrow type.
"""

from dataclasses import dataclass

from consensus import Digest


@dataclass(frozen=True, slots=True)
class OwnBlock:
    """The block in which a lane operation is executed: our id and incarnation, its height and time."""

    cluster_id: bytes
    incarnation: int
    height: int
    time_ms: int


@dataclass(frozen=True, slots=True)
class AnchoredView:
    """One anchored header of another cluster, as our own ledger holds it.

    `outbox_root` is that header's, `time_ms` the other cluster's time. `is_active` is the light client's
    status now: False while it is pending, stale, frozen or retired. A proof may be judged against any
    header of the current incarnation that our ledger anchored and still remembers, not only the newest.
    """

    cluster_id: bytes
    incarnation: int
    height: int
    time_ms: int
    outbox_root: Digest
    is_active: bool
