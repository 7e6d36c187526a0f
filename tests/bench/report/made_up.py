"""A history that never happened, one run of everything, in the lines that the commands really write."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.cluster.scenarios import BY_NAME, Fault, Scenario
from bench.machine import Machine, Noise
from bench.results import Record, append
from bench.yardstick import SignatureCost
from tests.bench.cluster.made_up import LOUD, MACHINE, QUIET, outcome_of, trial_at

COST = SignatureCost(57.4, 20.0)
GOSSIP = {"delivered_per_second": 6_000.0, "peers": 3, "message_bytes": 1_024, "lost": 0}
DATE = "2026-11-20T10:00:00+00:00"


def record_of(
    bench: str,
    scenario: str,
    figures: Mapping[str, Any],
    noise: Noise = QUIET,
    machine: Machine = MACHINE,
) -> Record:
    return Record(DATE, bench, scenario, machine, noise, COST, figures)


def figures_of(
    scenario: Scenario, *, rate: int = 800, failing: int = 0, hurt: bool = False
) -> dict[str, Any]:
    """What `cluster --json` prints of 2 seconds at a rate."""
    trial = trial_at(rate, failing=failing)
    if hurt:
        trial = replace(trial, fault_at_s=1.0)
    figures = outcome_of(scenario, trial).to_json()
    return {name: value for name, value in figures.items() if name not in ("machine", "noise")}


def cluster_run(scenario: Scenario, noise: Noise = QUIET, /, **changed: Any) -> Record:
    """One trial, with some of its figures changed."""
    figures = figures_of(scenario, hurt=scenario.fault is not Fault.NONE) | {"trials": []} | changed
    return record_of("cluster", figures["scenario"], figures, noise)


def rates_run() -> Record:
    """Three rates, the last of which was not carried."""
    trials = [
        figures_of(BY_NAME["steady-800"], rate=800, failing=5 if rate == 3 else 0)
        | {"throughput_tps": 100.0 * rate}
        for rate in (1, 2, 3)
    ]
    return record_of("cluster", "rates-1-2-3", trials[1] | {"scenario": "rates-1-2-3", "trials": trials})


def scale_run() -> Record:
    """Two sizes simulated, one real."""
    row = {
        "headers_per_round": 0.75,
        "rounds_per_second": 150.0,
        "crypto_us": 11_700.0,
        "predicted": {"crypto_us": 9_900.0},
    }
    simulated = [
        row | {"nodes": 4, "load": "payload", "cpu_us": 1_300.0},
        row | {"nodes": 100, "load": "empty", "cpu_us": 8_500.0},
        row | {"nodes": 100, "load": "payload", "cpu_us": 20_285.0},
    ]
    real = [{"nodes": 4, "rounds_per_second": 250.0, "cpu_us": 1_400.0, "fsync": True}]
    return record_of("scale", "scale", {"simulated": simulated, "processes": real})


def micro_run() -> Record:
    """Two operations."""
    subjects = [
        {"name": name, "unit": "signature", "median_us": cost, "is_noisy": noisy}
        for name, cost, noisy in (("ed25519/sign", 20.0, False), ("ed25519/verify", 57.4, True))
    ]
    return record_of("micro", "micro", {"subjects": subjects})


def profile_run() -> Record:
    """Two phases."""
    figures = {
        "unit": "transaction",
        "nodes": 4,
        "total_us": 1_000.0,
        "phases_us": {"crypto": 600.0, "ledger": 400.0, "HTTP": 0.0},
        "is_thin": False,
    }
    return record_of("profile", "bulk", figures)


def everything() -> list[Record]:
    return [
        cluster_run(BY_NAME["lone"]),
        cluster_run(BY_NAME["lone"], LOUD),
        cluster_run(BY_NAME["leader-killed"]),
        cluster_run(replace(BY_NAME["saturate"], fsync=False, changed=("fsync=False",))),
        cluster_run(BY_NAME["idle-rounds"], distribution_ms=[], latency_ms=None, series=[]),
        rates_run(),
        scale_run(),
        micro_run(),
        profile_run(),
        record_of("gossip", "gossip", GOSSIP),
    ]


def written(path: Path, records: list[Record]) -> Path:
    for record in records:
        append(record, path)
    return path
