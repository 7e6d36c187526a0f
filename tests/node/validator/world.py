"""The simulated world with the genesis and words of these tests: four validators, one parameter at a time."""

from bench.sim.network import Quality
from bench.sim.setting import Setting
from bench.sim.world import Pace, World
from consensus import ED25519
from tests.node.ledger.world import ALICE, ANNA, BOB, key_of, make_genesis


def world_of(
    seed: int = 0,
    *,
    latency_ms: tuple[int, int] = (1, 3),
    loss_percent: int = 0,
    persist_ms: int = 1,
    flush_ms: int = 5,
    worker_ms: tuple[int, int] = (1, 2),
    **params: int,
) -> World:
    """A world that was not started yet; `params` are those of the genesis."""
    validators = tuple(key_of(f"consensus {number}") for number in range(4))
    return World(
        Setting(make_genesis(None, **params), ED25519, validators, (ALICE, ANNA, BOB)),
        seed,
        quality=Quality((latency_ms[0] * 1_000, latency_ms[1] * 1_000), loss_percent),
        pace=Pace(persist_ms * 1_000, flush_ms * 1_000, (worker_ms[0] * 1_000, worker_ms[1] * 1_000)),
    )
