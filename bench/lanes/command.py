"""`isthmus-bench lanes`: messages between local clusters of real daemons, lightly loaded and at a rate.

Exit code 0 when both loads were carried, 1 when not or without figures. Floors are told beside the figures;
missing them is told, and is no failure of the command.
"""

import json
import secrets
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import trio

from bench.cluster.connection import BadAnswer
from bench.cluster.figures import Latency
from bench.finiterange import FiniteRange
from bench.lanes.away import measure_absence
from bench.lanes.ground import CLUSTERS_MAX, GroundError, open_federation
from bench.lanes.sailing import Lane
from bench.lanes.trial import Trial, run_trial
from bench.machine import Machine, Noise, describe_machine, noise_around, probe_noise
from bench.recordoption import record_option
from bench.results import append, record_now
from node.cli.failures import root_of
from node.client import ClientError
from node.local.interruption import INTERRUPTED, until_interrupted
from node.local.testnet import NODES_MAX, TestnetError

LIGHT_PER_SECOND = 4
ONE_WAY_MS_FLOOR = 1_000.0
"""Median under light load, three clusters of four."""
RATE_FLOOR = 200
MEMBERS = 16
_WARM_SECONDS = 2.0


async def measure(
    directory: Path, clusters: int, nodes: int, rate: int, seconds: float
) -> tuple[Trial, Trial]:
    """The light load and the rate, one after the other on one federation."""
    async with open_federation(directory, clusters, nodes, MEMBERS) as ground:
        source, destination = ground.local.testnets[:2]
        lane = Lane(source, destination, ground.seeds, secrets.token_hex(4))
        async with lane.watching():
            await run_trial(ground, lane, LIGHT_PER_SECOND, _WARM_SECONDS)
            _say(f"{LIGHT_PER_SECOND} messages/s for {seconds:g} s")
            light = await run_trial(ground, lane, LIGHT_PER_SECOND, seconds)
            _say(f"{rate} messages/s for {seconds:g} s")
            return light, await run_trial(ground, lane, rate, seconds)


@click.command("lanes")
@click.option("--clusters", type=click.IntRange(2, CLUSTERS_MAX), default=3, show_default=True)
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True)
@click.option("--rate", type=click.IntRange(1, 10_000), default=RATE_FLOOR, show_default=True)
@click.option("--seconds", type=FiniteRange(1, 300), default=20.0, show_default=True)
@click.option(
    "--away",
    type=FiniteRange(10, 7_200),
    metavar="SECONDS",
    help="Instead of a load: the second of three clusters is killed for so long, while others send to it.",
)
@click.option("--json", "as_json", is_flag=True)
@record_option
def command(
    clusters: int,
    nodes: int,
    rate: int,
    seconds: float,
    away: float | None,
    as_json: bool,
    record: Path | None,
) -> None:
    """Messages from one local cluster to another: how long they take, and whether a rate is carried."""
    if away is not None and clusters < 3:
        raise click.BadParameter("a third cluster must go on meanwhile", param_hint="--clusters")
    machine, noise = describe_machine(), probe_noise()
    directory = Path(tempfile.mkdtemp(prefix="isthmus-lanes-"))
    figures, problem = None, ""

    async def run() -> dict[str, Any]:
        if away is not None:
            return await measure_away(directory, clusters, nodes, away)
        return _figures(*await measure(directory, clusters, nodes, rate, seconds), clusters, nodes)

    try:
        _say(f"{clusters} clusters of {nodes}: starting, admitting each other")
        figures = trio.run(until_interrupted, run)
        problem = "interrupted; there are no figures" if figures is None else ""
    except* (ClientError, GroundError, TestnetError, BadAnswer, OSError, RuntimeError) as group:
        problem = f"there are no figures: {root_of(group)}"
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if figures is None:
        if as_json:
            click.echo(json.dumps({"success": False, "problems": [problem]}))
        else:
            click.echo(f"Error: {problem}", err=True)
        sys.exit(INTERRUPTED if problem.startswith("interrupted") else 1)
    noise = noise_around(noise)
    if record is not None:
        load = f"rate={rate}" if away is None else f"away={away:g}"
        label = f"lanes clusters={clusters} nodes={nodes} {load}"
        append(record_now("lanes", label, machine, noise, figures), record)
    if as_json:
        click.echo(json.dumps({**figures, "machine": machine.to_json(), "noise": noise.to_json()}))
    elif away is None:
        _show(figures, machine, noise)
    else:
        _show_away(figures)
    sys.exit(0 if figures["success"] else 1)


async def measure_away(directory: Path, clusters: int, nodes: int, seconds: float) -> dict[str, Any]:
    """The second cluster is killed, and comes back."""
    async with open_federation(directory, clusters, nodes, 1) as ground:
        _say(f"{ground.local.testnets[1].name} is killed for {seconds:g} s")
        return (await measure_absence(ground, seconds)).to_json()


def _show_away(figures: Mapping[str, Any]) -> None:
    click.echo(f"away for {figures['away_s']:.1f} s; its messages ended as {figures['results']}")
    click.echo(
        f"  back after {figures['back_s']:.1f} s, every outcome known {figures['settled_s']:.1f} s later"
    )
    click.echo(
        f"  the third cluster meanwhile: {figures['third']}, slowest {figures['third_slowest_s']:.2f} s"
    )
    for problem in figures["problems"]:
        click.echo(f"  {problem}")


def _figures(light: Trial, loaded: Trial, clusters: int, nodes: int) -> dict[str, Any]:
    problems = [*light.problems, *loaded.problems]
    one_way = light.passage.one_way_ms
    floors = {
        "one_way_p50_ms": {
            "floor": ONE_WAY_MS_FLOOR,
            "reached": one_way is not None and one_way.p50 < ONE_WAY_MS_FLOOR,
        },
        "rate": {
            "floor": RATE_FLOOR,
            "reached": loaded.passage.rate >= RATE_FLOOR and not loaded.problems,
        },
    }
    return {
        "success": not problems,
        "problems": problems,
        "clusters": clusters,
        "nodes": nodes,
        "floors": floors,
        "light": light.to_json(),
        "loaded": loaded.to_json(),
    }


def _show(figures: Mapping[str, Any], machine: Machine, noise: Noise) -> None:
    click.echo(f"{figures['clusters']} clusters of {figures['nodes']} on {machine}")
    if noise.is_noisy:
        click.echo(f"NOISY MACHINE: {noise}")
    for name in ("light", "loaded"):
        trial = figures[name]
        verdict = "carried" if trial["success"] else "NOT CARRIED"
        click.echo(
            f"{name}: {trial['rate']} messages/s for {trial['seconds']:g} s, {verdict}: "
            f"{trial['acknowledged_per_s']:.1f}/s acknowledged in the time, "
            f"{trial['cpu_us_per_message']:,.0f} us of CPU a message, all {figures['clusters']} clusters"
        )
        for what, words in (
            ("certified_ms", "said, certified at the source"),
            ("one_way_ms", "handled at the destination"),
            ("round_trip_ms", "acknowledged at the source"),
        ):
            click.echo(f"  {words:32} {_latency_words(trial[what])}")
        for side in ("receiving", "hearing"):
            click.echo(f"  {side + ' couriers':32} {_courier_words(trial[side])}")
        if trial["found_full"]:
            click.echo(f"  the lane was full, and a message sent again, {trial['found_full']:,} times")
    for problem in figures["problems"]:
        click.echo(f"  {problem}")
    for name, floor in figures["floors"].items():
        click.echo(f"floor {name} {floor['floor']:g}: {'reached' if floor['reached'] else 'NOT REACHED'}")


def _latency_words(latency: Mapping[str, float] | Latency | None) -> str:
    if not isinstance(latency, Mapping):
        return "none"
    return "  ".join(f"{name} {latency[name]:,.0f} ms" for name in ("p50", "p90", "p99", "max"))


def _courier_words(side: Mapping[str, Mapping[str, int]]) -> str:
    counts = side["counts"]
    leaves = counts["leaves"] / max(1, counts["bundles"])
    words = (
        f"{counts['submitted']} bundles submitted of {counts['bundles']} fetched, {leaves:.1f} leaves each"
    )
    return words + (f"; failed rounds {dict(side['errors'])}" if side["errors"] else "")


def _say(text: str) -> None:
    click.echo(text, err=True)
