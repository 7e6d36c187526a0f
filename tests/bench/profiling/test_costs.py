"""CPU is spread over samples thread by thread, nothing is lost, and costs are for one transaction."""

import json
import os
import threading

import pytest

from bench.profiling.costs import SAMPLES_ENOUGH, ProcessProfile, Profile
from bench.profiling.phases import NOT_SAMPLED, PHASES, WAITING
from bench.profiling.stacks import Frame, Recording, Stack
from bench.profiling.threads import cpu_of_threads

STEP, DIGEST = Frame("Replica.step", "consensus/replica.py"), Frame("digest", "consensus/keys.py")


def process(cpu_seconds: float, threads: dict[int, float], *stacks: Stack) -> ProcessProfile:
    return ProcessProfile.of("node0", cpu_seconds, threads, Recording(stacks, 0))


def test_the_cpu_of_a_thread_is_spread_over_its_own_samples() -> None:
    measured = process(
        4.0, {1: 3.0, 2: 1.0}, Stack(1, (STEP,), 10), Stack(1, (STEP, DIGEST), 20), Stack(2, (DIGEST,), 500)
    )
    assert measured.phases["agreement"] == pytest.approx(1.0)
    assert measured.phases["crypto"] == pytest.approx(3.0)
    assert measured.phases[NOT_SAMPLED] == pytest.approx(0.0)
    assert sum(measured.phases.values()) == pytest.approx(measured.cpu_seconds)


def test_a_thread_that_waits_gets_no_cpu_however_often_it_is_seen() -> None:
    measured = process(3.0, {1: 3.0, 2: 0.0}, Stack(1, (STEP,), 3), Stack(2, (DIGEST,), 999))
    assert measured.phases["agreement"] == pytest.approx(3.0)
    assert measured.phases["crypto"] == 0.0


def test_samples_of_waiting_are_counted_apart() -> None:
    measured = process(1.0, {1: 1.0}, Stack(1, (STEP, WAITING[0]), 90), Stack(1, (STEP,), 10))
    assert (measured.samples, measured.waiting) == (10, 90)
    assert measured.phases["agreement"] == pytest.approx(1.0)


def test_what_no_sample_explains_is_shown_as_such() -> None:
    measured = process(5.0, {1: 2.0, 3: 1.0}, Stack(1, (STEP,), 1))
    assert measured.phases[NOT_SAMPLED] == pytest.approx(3.0)
    assert process(5.0, {}).phases[NOT_SAMPLED] == pytest.approx(5.0)


def profile(transactions: int, *processes: ProcessProfile) -> Profile:
    return Profile("saturate", 4, 10.0, transactions, processes)


def test_a_cluster_costs_what_its_processes_cost_together() -> None:
    one = process(1.0, {1: 1.0}, Stack(1, (STEP,), 1))
    two = process(3.0, {1: 3.0}, Stack(1, (DIGEST,), 1))
    measured = profile(1_000, one, two)
    assert measured.unit == "transaction"
    assert measured.cost_us("agreement") == pytest.approx(1_000.0)
    assert measured.cost_us("crypto") == pytest.approx(3_000.0)
    assert measured.total_us == pytest.approx(4_000.0)
    assert [function.name for function in measured.top(1)] == ["consensus/keys.py: digest"]
    assert measured.top(1)[0].share == pytest.approx(0.75)


def test_without_transactions_costs_are_for_a_second() -> None:
    measured = profile(0, process(1.0, {1: 1.0}, Stack(1, (STEP,), 1)))
    assert measured.unit == "second"
    assert measured.total_us == pytest.approx(100_000.0)


def test_few_samples_are_called_thin() -> None:
    few, enough = Stack(1, (STEP,), SAMPLES_ENOUGH - 1), Stack(1, (STEP,), SAMPLES_ENOUGH)
    assert profile(1, process(1.0, {1: 1.0}, few)).is_thin
    assert not profile(1, process(1.0, {1: 1.0}, enough)).is_thin


def test_a_profile_of_nothing_is_no_division_by_zero() -> None:
    assert profile(0, process(0.0, {})).top(3) == ()


def test_json_has_every_phase_of_every_process() -> None:
    measured = profile(10, process(1.0, {1: 1.0}, Stack(1, (STEP,), 1)))
    plain = json.loads(json.dumps(measured.to_json(top=5)))
    assert set(plain) == {
        "scenario",
        "nodes",
        "seconds",
        "transactions",
        "unit",
        "samples",
        "is_thin",
        "total_us",
        "phases_us",
        "processes",
        "functions",
    }
    assert set(plain["phases_us"]) == set(PHASES) == set(plain["processes"][0]["phases_us"])


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs Linux's /proc")
def test_every_thread_of_a_process_is_found() -> None:
    hold = threading.Event()
    thread = threading.Thread(target=hold.wait)
    thread.start()
    try:
        found = cpu_of_threads([os.getpid()])
        assert {thread.native_id, threading.main_thread().native_id} <= set(found)
        assert found[os.getpid()] > 0
    finally:
        hold.set()
        thread.join()
