"""What a cluster agreed on once: the parameters every replica must share, fixed in genesis.

A parameter is here iff two correct validators with different values could disagree about validity,
timing or a root. Everything else is local configuration.
"""

from dataclasses import dataclass, fields
from enum import Enum

from consensus import CodecError, Value, as_array, as_int, as_text, as_tuple

APPS_MAX = 64
_NAME_MAX = 64


class Benchmark(Enum):
    """What a benchmark cluster stores and does not execute (`node/ledger/opaque.py`). The value is the name
    of an application without methods, the only one of its genesis."""

    OPAQUE = "opaque"
    """Bytes that nobody signs and nobody looks at."""
    SIGNED = "signed"
    """Transactions whose signatures every validator verifies, and nothing more."""


OPAQUE, SIGNED = Benchmark.OPAQUE.value, Benchmark.SIGNED.value
_BENCHMARKS: dict[tuple[str, ...], Benchmark] = {(kind.value,): kind for kind in Benchmark}


@dataclass(frozen=True, slots=True)
class Params:
    """The shared parameters. Raises ValueError, naming field and range, for a value out of its range."""

    created_ms: int
    """Time of header 0; the first block's must be later. Unix milliseconds."""
    max_transaction_bytes: int = 65_536
    """Largest encoded transaction accepted anywhere."""
    replay_cap_ms: int = 600_000
    """How far beyond its block's time a transaction may expire (F17): bounds the ids kept."""
    replay_bucket_ms: int = 60_000
    """Width of the time buckets in which ids are kept and forgotten (F17)."""
    batch_bytes_max: int = 262_144
    """Largest batch of transactions."""
    inline_bytes_max: int = 16_384
    """Most batch bodies carried inside one block."""
    idle_interval_ms: int = 10_000
    """How long leaders wait when there is nothing to order."""
    heartbeat_ms: int = 60_000
    """A header is due after this long even without payload (C24)."""
    precision_ms: int = 500
    """How far ahead of the local clock a block's timestamp may be (C8)."""
    certification_lag_max: int = 64
    """Voters refuse payload when this many heights wait for certificates (C13)."""
    apps: tuple[str, ...] = ("records",)
    """The applications this cluster runs."""

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ValueError(f"{name} must be an integer from {low} to {high}, not {value!a:.40}")
        if self.replay_cap_ms < self.replay_bucket_ms:
            raise ValueError(
                f"replay_cap_ms ({self.replay_cap_ms}) must be at least "
                f"replay_bucket_ms ({self.replay_bucket_ms})"
            )
        if self.batch_bytes_max < self.max_transaction_bytes:
            raise ValueError(
                f"batch_bytes_max ({self.batch_bytes_max}) must be at least "
                f"max_transaction_bytes ({self.max_transaction_bytes}), or the largest would never fit"
            )
        if len(self.apps) > APPS_MAX or list(self.apps) != sorted(set(self.apps)):
            raise ValueError(f"apps must be at most {APPS_MAX} different names in alphabetical order")
        alone = next((app for app in self.apps if (app,) in _BENCHMARKS), None)
        if alone is not None and self.benchmark is None:
            others = ", ".join(app for app in self.apps if app != alone)
            raise ValueError(
                f"apps: {alone} is the whole ledger of a benchmark cluster and stands alone; remove it, or "
                f"remove {others}"
            )

    @property
    def benchmark(self) -> Benchmark | None:
        """What a benchmark cluster stores, which executes nothing; None for every ledger."""
        return _BENCHMARKS.get(self.apps)

    def to_value(self) -> tuple[Value, ...]:
        """The fields in the order of their definition."""
        return tuple(getattr(self, field.name) for field in fields(self))

    @staticmethod
    def from_value(value: Value) -> "Params":
        """The inverse of `to_value`; raises CodecError."""
        items = as_tuple(value, len(fields(Params)), "params")
        apps = tuple(as_text(a, "app", max_length=_NAME_MAX) for a in as_array(items[-1], APPS_MAX, "apps"))
        numbers = {
            field.name: as_int(item, field.name) for field, item in zip(_NUMBERS, items[:-1], strict=True)
        }
        try:
            return Params(**numbers, apps=apps)
        except ValueError as error:
            raise CodecError(str(error)) from error


_NUMBERS = fields(Params)[:-1]
"""Every field but `apps`, the last."""
_HOUR_MS = 3_600_000
RANGES: dict[str, tuple[int, int]] = {
    "created_ms": (1, 2**52),
    "max_transaction_bytes": (1_024, 1_048_576),
    "replay_cap_ms": (1_000, 24 * _HOUR_MS),
    "replay_bucket_ms": (1_000, _HOUR_MS),
    "batch_bytes_max": (16_384, 4_194_304),
    "inline_bytes_max": (0, 524_288),
    "idle_interval_ms": (0, _HOUR_MS),
    "heartbeat_ms": (1_000, 24 * _HOUR_MS),
    "precision_ms": (1, 60_000),
    "certification_lag_max": (1, 128),  # execution waits at 192 heights without a certificate, voters earlier
}
"""The range of every whole-number parameter."""
