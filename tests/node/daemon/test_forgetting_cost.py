"""A slice of pruning costs what it deletes: nothing of it grows with the chain, or with how fast it grows."""

from dataclasses import replace

import pytest

from node.daemon import forgetting
from node.daemon.forgetting import forget_slice
from node.daemon.pruning import header_at, pruned_below
from node.daemon.store import LmdbSnapshot
from node.storage import Table
from tests.node.daemon.grown import LEAP_SECONDS, Grown
from tests.node.daemon.test_pruning import opened

SLICE = 8


def test_a_slice_reads_its_own_heights_alone(grown: Grown, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are younger than a batch can live: 2,400 on a cluster of twenty blocks a second."""
    monkeypatch.setattr(forgetting, "SLICE_HEIGHTS", SLICE)
    reads, get = [], LmdbSnapshot.get

    def counted(view: LmdbSnapshot, table: Table, key: bytes) -> bytes | None:
        reads.append(table)
        return get(view, table, key)

    store, rules = opened(grown)
    long = replace(rules, payload=replace(rules.payload, horizon_ms=80 * LEAP_SECONDS * 1_000))
    costs = []
    for each in (rules, long):
        reads.clear()
        with monkeypatch.context() as patched:
            patched.setattr(LmdbSnapshot, "get", counted)
            assert forget_slice(store, each, 40, ()) == SLICE
        costs.append(len(reads))
    store.close()
    assert abs(costs[0] - costs[1]) <= 4
    assert max(costs) <= 8 * SLICE, costs


def test_what_a_start_looks_back_on_stays_though_it_is_not_to_be_kept(
    grown: Grown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "SLICE_HEIGHTS", SLICE)
    store, rules = opened(grown)
    horizon = 80 * LEAP_SECONDS * 1_000
    rules = replace(rules, payload=replace(rules.payload, horizon_ms=horizon))
    while forget_slice(store, rules, 1, ()):
        pass
    with store.snapshot() as view:
        below, tip = pruned_below(view), grown.tip
        border = header_at(view, below).time_ms
        assert border < header_at(view, tip).time_ms - horizon
        assert tip - 80 - SLICE <= below <= tip - 80
    store.close()
