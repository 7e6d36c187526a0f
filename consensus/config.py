"""What a replica is told before it starts: its bounds and times, and what was recovered from disk."""

from dataclasses import dataclass, field

from consensus.blocks import PAYLOAD_BYTES_MAX, Block
from consensus.certificates import HeaderCertificate, QuorumCertificate, TimeoutCertificate
from consensus.messages import Proposal
from consensus.validators import Height

_GENESIS_HEIGHT = Height(0)


@dataclass(frozen=True, slots=True)
class ReplicaConfig:
    """Times in milliseconds, sizes in bytes. `cluster_id`, `heartbeat_ms`, `certification_lag_max` and
    `precision_ms` must be equal on all validators: they decide votes and heights (genesis holds them)."""

    cluster_id: bytes
    """The 32-byte hash of the genesis; in everything signed."""
    incarnation: int = 0
    """Raised only by an operator-signed recovery (C3)."""
    base_timeout_ms: int = 600
    """A round's time when nothing failed, to begin with: it follows what rounds take (pacemaker.py, C11)."""
    max_timeout_ms: int = 30_000
    """The longest round (C11): an outage of hours must not cost hours afterwards."""
    resend_ms: int = 1_000
    """What is not superseded is sent again at least this often while a round lasts (C7)."""
    status_ms: int = 1_000
    """Rounds and heights are told to all this often, idle or not (C7)."""
    fetch_delay_ms: int = 50
    """Before a missing block is asked for: its proposal is usually just slower than the votes."""
    idle_interval_ms: int = 5_000
    """With nothing to order a leader waits this long before an empty block; 0 for round benchmarks."""
    heartbeat_ms: int = 60_000
    """An empty block this long after the last header yields one (C24): proof of life for other clusters."""
    precision_ms: int = 500
    """How far ahead of our clock a block's timestamp may be (C8)."""
    payload_bytes_max: int = PAYLOAD_BYTES_MAX
    """Payload asked of the data plane for one block."""
    certification_lag_max: int = 64
    """K of C13: heights that ordering may run ahead of certification before payload is refused; and the
    distance beyond which a laggard syncs by headers instead of walking blocks (C25)."""
    rounds_ahead_max: int = 64
    """Votes are kept for this many rounds above ours: more than a second of rounds of a good cluster."""
    heights_ahead_max: int = 256
    """Header signatures are kept this far above the certified height; above certification_lag_max."""
    tree_blocks_max: int = 4_096
    """Blocks in the tree, committed and not: an hour of empty ones; older ones are in storage."""
    orphans_max: int = 512
    """Blocks waiting for a parent: eight answers of BLOCKS_COUNT_MAX."""
    orphan_bytes_max: int = 32 * 1024 * 1024
    """Their encoded size."""
    held_bytes_max: int = 16 * 1024 * 1024
    """Encoded proposals of which it cannot be told yet whether their authors lead (E15): eight of the largest
    at least; the oldest rounds make room, and in a round the largest."""
    wants_max: int = 64
    """Missing blocks asked for at one time."""
    evidence_max: int = 256
    """Offences remembered, so that each is reported once."""
    peers_max: int = 1_024
    """Peers whose requests are counted between two status ticks; beyond it none is answered."""
    requests_per_tick: int = 64
    """Block requests answered to one peer between two status ticks."""

    def __post_init__(self) -> None:
        if len(self.cluster_id) != 32:
            raise ValueError(f"a cluster id has 32 bytes, not {len(self.cluster_id)}")
        if not 0 < self.base_timeout_ms <= self.max_timeout_ms:
            raise ValueError(f"base_timeout_ms {self.base_timeout_ms}, max_timeout_ms {self.max_timeout_ms}")
        if self.heights_ahead_max <= self.certification_lag_max:
            raise ValueError("heights_ahead_max must exceed certification_lag_max")
        if self.heartbeat_ms <= 0 or self.status_ms <= 0 or self.resend_ms <= 0:
            raise ValueError("heartbeat_ms, status_ms and resend_ms must be positive")


@dataclass(frozen=True, slots=True)
class RecoveredState:
    """What was found on disk, in any combination a crash can leave.

    `root_certificate` is the epoch's unsigned root QC (C4). `root` is the newest block whose header is
    certified (None: the epoch's root itself), `root_height` and `root_header_time_ms` that header's height
    and time; for the epoch's root, those of the header that ended the epoch before (0 and the genesis time
    in epoch 0). `proposals` are uncommitted or uncertified blocks above the root in any order, as journaled;
    `high_qc` and `high_tc` the highest journaled. `epoch_height` is the height the epoch started from.
    """

    root_certificate: QuorumCertificate
    root_header_time_ms: int
    root: Block | None = None
    root_height: Height = _GENESIS_HEIGHT
    certified: HeaderCertificate | None = None
    proposals: tuple[Proposal, ...] = field(default=())
    high_qc: QuorumCertificate | None = None
    high_tc: TimeoutCertificate | None = None
    epoch_height: Height = _GENESIS_HEIGHT
