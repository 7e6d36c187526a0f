"""The bounds and delays of one node's data plane: local, unlike the rules of batches and payloads."""

from dataclasses import dataclass, field

from node.pool.batches import BatchRules
from node.pool.payload import PayloadRules


@dataclass(frozen=True, slots=True)
class PoolConfig:
    """`batch` and `payload` are the cluster's rules; the rest each node chooses for itself.

    Sizes are bytes, delays milliseconds. Memory is bounded by `unsealed + (n + 1) * author_bytes_max +
    checks_max * inline_bytes_max` and, for what is committed and not yet executed, by
    `committed_heights_max * body_bytes_max` (C13).
    """

    batch: BatchRules
    payload: PayloadRules = field(default_factory=PayloadRules)
    seal_delay_ms: int = 25
    """Shortest time between two part-filled batches while own ones are in flight, and so the longest wait for
    company; eight times as long behind a backlog (`sealing.py`), none when idle."""
    ack_delay_ms: int = 50
    """How long a small batch waits to be ordered inline before it is journalled and acknowledged."""
    author_bytes_max: int = 16 * 1024 * 1024
    """Unordered batches held of one author; the author itself stops sealing at half of it."""
    author_batches_max: int = 2048
    commit_target_ms: int = 16
    """Own batches are slow that take longer from sealing to execution, and twice what one needs; then fewer
    may be under way (`window.py`). 0: throughput before latency, any number."""
    window_bytes_min: int = 1024
    """Own batches that may be under way however long they take; at most half of `author_bytes_max`."""
    window_bytes_first: int = 4 * 1024
    window_step_bytes: int = 4 * 1024
    sender_windows: int = 4
    """What one sender may have admitted and not executed, in windows, while batches are slow: enough to fill
    the next ones."""
    sender_bytes_min: int = 16 * 1024
    """What one sender may have admitted and not executed however small the window is."""
    unsealed_bytes_max: int = 16 * 1024 * 1024
    """Transactions admitted and neither executed nor expired; beyond it, clients are told to wait."""
    unsealed_count_max: int = 65_536
    repush_ms: int = 2_000
    """How often own batches without a quorum are pushed again to those who have not acknowledged."""
    repush_bytes_max: int = 2 * 1024 * 1024
    verification_certificates: bool = False
    """Whether signatures that a blocking set attests are believed, and what is verified here is attested
    (`attesting.py`)."""
    attestation_wait_ms: int = 500
    """How long those whose turn it is are waited for at least, twice; longer where it usually takes long."""
    attestation_wait_max_ms: int = 2_000
    silence_max_ms: int = 600_000
    """How long who keeps attesting nothing in time is passed over at most; `exclusion_base_ms` at first."""
    attested_transactions_min: int = 8
    """Transactions of a batch below which everybody verifies at once: a message costs as much."""
    reacknowledge_ms: int = 5_000
    """How often acknowledgements of batches still unordered are repeated."""
    early_acknowledgements_max: int = 4096
    """Acknowledgements of batches not yet held, kept for each validator."""
    ordered_digests_max: int = 262_144
    """Ordered digests remembered until they expire; beyond it the replay rule of execution still holds."""
    committed_heights_max: int = 64
    """Heights with payload that may be committed and not certified: the cluster's `certification_lag_max`,
    kept by the voters (C13); here it is only the bound of what waits for execution."""
    evicted_max: int = 65_536
    """Batches that blocks brought in and memory let go, remembered until storage may delete them."""
    checks_max: int = 32
    """Blocks whose payload is being fetched or verified before a verdict."""
    parsed_blocks_max: int = 256
    invalid_digests_max: int = 4096
    resolve_ahead: int = 8
    """Committed blocks, from the next to execute, whose missing batches are being fetched."""
    fetch_retry_ms: int = 200
    fetch_retry_max_ms: int = 2_000
    fetches_max: int = 64
    """Digests asked of peers at a time; further ones wait their turn."""
    wanted_max: int = 4096
    reads_max: int = 64
    """Storage reads under way for peers; beyond it they are told to ask somebody else."""
    exclusion_base_ms: int = 1_000
    exclusion_max_ms: int = 64_000

    def __post_init__(self) -> None:
        if self.payload.body_bytes_max < self.batch.encoded_bytes_max:
            raise ValueError("body_bytes_max must hold at least one batch of the largest size")
