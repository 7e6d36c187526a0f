"""Schedules: the same for one seed, every kind of fault, and at most f nodes hurt unless it is told."""

from random import Random

import pytest

from bench.chaos.schedule import VARIANTS, Fault, FaultKind, Phase, Slot, make_schedule, tolerated

ALL = tuple(FaultKind)


def planned(seed: int, nodes: int = 4, total_ms: int = 120_000) -> tuple[Slot, ...]:
    return make_schedule(Random(seed), nodes, total_ms, ALL)


def faults_of(slots: tuple[Slot, ...]) -> list[Fault]:
    return [fault for slot in slots for fault in slot.faults]


def test_a_seed_is_a_schedule() -> None:
    assert planned(1) == planned(1)
    assert planned(1) != planned(2)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize(("nodes", "total_ms"), [(4, 20_000), (4, 120_000), (7, 60_000), (13, 300_000)])
def test_a_minority_is_never_more_than_f_and_every_kind_occurs(seed: int, nodes: int, total_ms: int) -> None:
    slots = planned(seed, nodes, total_ms)
    ordinary = [slot for slot in slots if slot.phase is Phase.MINORITY]
    assert {fault.kind for slot in ordinary for fault in slot.faults} == set(ALL)
    for slot in ordinary:
        assert 1 <= len({fault.node for fault in slot.faults}) == len(slot.faults) <= tolerated(nodes)
    (everybody, *_) = [slot for slot in slots if slot.phase is Phase.ALL]
    assert {(fault.kind, fault.node) for fault in everybody.faults} == {
        (FaultKind.KILL, node) for node in range(nodes)
    }
    for slot in (slot for slot in slots if slot.phase is Phase.BEYOND):
        assert len({fault.node for fault in slot.faults}) > tolerated(nodes)
    assert slots[0].phase is Phase.MINORITY
    low = [slot for slot in slots if "low" in [fault.variant for fault in slot.faults]]
    assert all(slot.held_ms >= 6_000 for slot in low)
    spent_ms = sum(slot.held_ms + slot.rest_ms for slot in slots)
    assert 0.99 * total_ms <= spent_ms <= total_ms + 6_000 * len(low)


def test_a_long_run_uses_every_variant_and_comes_back_to_the_worst() -> None:
    slots = planned(5, 4, 1_200_000)
    used = {(fault.kind, fault.variant) for fault in faults_of(slots)}
    assert used == {(kind, variant) for kind, variants in VARIANTS.items() for variant in variants}
    assert sum(slot.phase is Phase.ALL for slot in slots) > 3


def test_some_faults_of_longer_runs_outlast_the_silence_that_ends_a_link() -> None:
    assert sum(slot.held_ms > 20_000 for slot in planned(5)) == 2
    assert all(slot.held_ms < 10_000 for slot in planned(5, 4, 20_000))


def test_only_chosen_kinds_are_used() -> None:
    slots = make_schedule(Random(1), 4, 60_000, (FaultKind.DISK,))
    assert {fault.kind for fault in faults_of(slots)} == {FaultKind.DISK}
    assert {slot.phase for slot in slots} == {Phase.MINORITY}


def test_cables_lead_from_the_victim_to_others() -> None:
    for fault in faults_of(planned(3, 7, 600_000)):
        assert (fault.kind is FaultKind.CUT) == bool(fault.peers)
        assert fault.node not in fault.peers


@pytest.mark.parametrize(("nodes", "kinds"), [(3, ALL), (4, ())])
def test_a_schedule_that_cannot_be_is_refused(nodes: int, kinds: tuple[FaultKind, ...]) -> None:
    with pytest.raises(ValueError, match="four nodes"):
        make_schedule(Random(1), nodes, 60_000, kinds)


def test_every_fault_has_words() -> None:
    words = {fault.words("node1") for fault in faults_of(planned(5, 4, 1_200_000))}
    assert "node1 killed" in words
    assert "node1's disk full" in words
    assert all(text.startswith("node1") for text in words)
