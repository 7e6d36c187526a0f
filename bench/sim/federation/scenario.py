"""A federation from seed to verdict: who is in it, what strikes when, and what must be true in the end."""

from dataclasses import dataclass
from random import Random

KINDS = (
    "couriers",
    "cluster-down",
    "partition",
    "loss",
    "liar",
    "clock",
    "epoch",
    "spam",
    "leaked-keys",
    "fork",
)
SHIPPED_KINDS = ("couriers", "cluster-down", "partition", "loss", "liar", "clock", "spam")
"""What strikes clusters with the shipped ledger: their sets do not change, and nobody forks them."""
ATTACKS = ("split", "flip", "rewrite", "swap")
CLUSTERS_MAX = 16
DOWN_MS = 600_000
"""How long a whole cluster is away."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` strikes cluster `at` (and `other`) at `ms`, for `lasting_ms`; `detail` is the kind's own."""

    kind: str
    ms: int
    lasting_ms: int
    at: int
    other: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FederationScenario:
    """Everything that a run depends on."""

    seed: int
    clusters: int
    nodes: int
    ms: int
    pairs: tuple[tuple[int, int], ...]
    faults: tuple[Fault, ...]
    pace_ms: int = 700
    is_shipped: bool = False
    """Ledgers are the validator's own (`shipped.py`), which only SHIPPED_KINDS strike."""
    heartbeat_ms: int = 60_000


def mesh(clusters: int) -> tuple[tuple[int, int], ...]:
    """Everybody with everybody."""
    return tuple((i, j) for i in range(clusters) for j in range(i + 1, clusters))


def generate(
    seed: int,
    clusters: int = 3,
    nodes: int = 4,
    ms: int = 120_000,
    kinds: tuple[str, ...] = KINDS,
    *,
    is_shipped: bool = False,
) -> FederationScenario:
    """Draw a scenario; at most one cluster is ever corrupt, and which it is depends on the seed alone. With
    the shipped ledger only SHIPPED_KINDS are drawn."""
    if is_shipped:
        kinds = tuple(kind for kind in kinds if kind in SHIPPED_KINDS)
    chance = Random(f"federation/{seed}")
    faults: list[Fault] = []
    for kind in (kind for kind in KINDS if kind in kinds):
        corrupt = kind == "fork"
        for _ in range(1 if corrupt else chance.randint(0, 2)):
            if corrupt and chance.randrange(3) == 0:
                continue
            at, other = chance.sample(range(clusters), 2) if clusters > 1 else (0, 0)
            start = chance.randrange(max(1, ms * 2 // 3))
            lasting = chance.randint(2_000, 30_000)
            detail = ""
            match kind:
                case "cluster-down":
                    lasting = DOWN_MS if chance.randrange(3) == 0 else lasting
                case "liar":
                    detail = chance.choice(("garbage", "replay", "omit", "boast"))
                case "fork":
                    detail = chance.choice(ATTACKS)
                case "clock":
                    detail = str(chance.choice((-3_000, -500, 400, 2_500)))
            faults.append(Fault(kind, start, lasting, at, other, detail))
    faults.sort(key=lambda fault: (fault.ms, fault.kind, fault.at))
    return FederationScenario(seed, clusters, nodes, ms, mesh(clusters), tuple(faults), is_shipped=is_shipped)
