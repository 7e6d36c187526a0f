"""Every value that a genesis may hold makes a cluster that works: nothing refuses it later."""

from typing import Any

import pytest

from node.ledger.params import RANGES, Params
from tests.node.validator.world import world_of

CHOICES = [(name, value) for name, bounds in RANGES.items() if name != "created_ms" for value in bounds]
_TOGETHER = {
    "max_transaction_bytes": "batch_bytes_max",  # a batch holds the largest transaction
    "batch_bytes_max": "max_transaction_bytes",
    "replay_bucket_ms": "replay_cap_ms",  # a bucket is not wider than the cap
    "replay_cap_ms": "replay_bucket_ms",
}


@pytest.mark.parametrize(("name", "value"), CHOICES)
def test_a_cluster_with_a_parameter_at_its_bound_commits(name: str, value: int) -> None:
    params: dict[str, Any] = {name: value}
    other = _TOGETHER.get(name)
    if other is not None:
        params[other] = max(RANGES[other][0], min(value, RANGES[other][1]))
    world = world_of(1, **params).start()
    life_ms = min(60_000, Params(created_ms=1, **params).replay_cap_ms)
    world.run(1_000)
    sent = world.submit(0, 3, life_ms=life_ms)
    assert world.stored(sent, 30_000)
    world.settle(30_000)
