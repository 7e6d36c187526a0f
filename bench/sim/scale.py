"""`isthmus-bench sim scale`: how fast a large cluster is simulated when nothing is wrong with it."""

import json
import sys

import click

from bench.processes import machine
from bench.sim import report
from bench.sim.network import Quality
from bench.sim.scenario import NODES_MAX, SCHEMES, Scenario, run
from bench.sim.workload import Workload
from bench.sim.world import Pace


@click.command("scale")
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=100, show_default=True)
@click.option("--seconds", type=click.IntRange(1, 3_600), default=2, show_default=True, help="Virtual ones.")
@click.option("--signatures", type=click.Choice(SCHEMES), default=SCHEMES[1], show_default=True)
@click.option("--rounds-per-second", type=click.IntRange(0, 1_000), default=10, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def scale_command(nodes: int, seconds: int, signatures: str, rounds_per_second: int, as_json: bool) -> None:
    """How fast a large cluster is simulated when nothing is wrong with it."""
    load = Workload(1, 1, 1, 0, 1_000, 0, 0, 0)
    chosen = Scenario(
        0,
        (1,) * nodes,
        seconds * 1_000,
        signatures,
        rounds_per_second,
        64,
        Quality(),
        Pace(),
        load,
        (),
    )
    stopwatch = report.Stopwatch()
    with report.Waiting("virtual time", chosen.ms) as waiting:
        outcome = run(chosen, on_progress=waiting.show)
    spent = stopwatch.read()
    rates = {
        "rounds_per_real_second": round(outcome.counts["rounds"] * 1_000 / spent.real_ms, 3),
        "rounds_per_cpu_second": round(outcome.counts["rounds"] * 1_000 / spent.cpu_ms, 3),
    }
    if as_json:
        known: dict[str, object] = {"machine": machine(), "nodes": nodes}
        click.echo(json.dumps(known | rates | report.figures(outcome, spent)))
    else:
        report.show_outcome(outcome, spent)
        click.echo(
            f"{nodes} validators, {signatures}: {rates['rounds_per_real_second']:g} rounds per real second, "
            f"{rates['rounds_per_cpu_second']:g} per second of CPU, on {machine()}"
        )
    sys.exit(0 if outcome.violation is None else 1)
