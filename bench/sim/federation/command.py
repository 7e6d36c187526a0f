"""`isthmus-bench sim --federation N`: federations of N clusters, one explained or many swept."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from time import process_time

import click

from bench.sim.federation.scenario import generate
from bench.sim.federation.world import Outcome, run

ONE_CLUSTER = (
    *("scenario", "faults", "signatures", "rounds_per_second", "trace", "jobs", "results", "keep_going"),
    *("shrink", "save", "behaviours", "mutant"),
)
"""Options of `sim` that mean nothing here."""


def play(
    seeds: Sequence[int],
    clusters: int,
    nodes: int,
    minutes: float,
    *,
    as_json: bool,
    is_shipped: bool = False,
) -> bool:
    """Each seed in turn up to the first that breaks something; True when none did."""
    ms = max(1, round(minutes * 60_000))
    for seed in seeds:
        began = process_time()
        outcome = run(generate(seed, clusters, nodes, ms, is_shipped=is_shipped))
        took_s = process_time() - began
        if as_json:
            click.echo(json.dumps(figures(outcome, took_s)))
        else:
            _show(outcome, took_s)
        if outcome.violation is not None:
            if not as_json:
                ledger = "--shipped " if is_shipped else ""
                click.echo(
                    f"\nAgain: isthmus-bench sim --federation {clusters} {ledger}--nodes {nodes} "
                    f"--minutes {minutes:g} --seed {seed}"
                )
            return False
    return True


def figures(outcome: Outcome, cpu_s: float) -> dict[str, object]:
    """As JSON; `violation` is nil or its words."""
    plain = asdict(outcome)
    plain["violation"] = None if outcome.violation is None else str(outcome.violation)
    return {**plain, "cpu_s": round(cpu_s, 3)}


def _show(outcome: Outcome, cpu_s: float) -> None:
    verdict = "nothing broke" if outcome.violation is None else f"BROKEN {outcome.violation}"
    minutes = outcome.virtual_ms / 60_000
    click.echo(f"seed {outcome.seed}: {verdict}  ({minutes:.1f} virtual minutes, {cpu_s:.1f} s of CPU)")
    click.echo(f"  struck    {_words(outcome.struck)}")
    sent = outcome.happened.get("sent", 0)
    click.echo(f"  messages  {sent} sent, of the answers {_words(outcome.results)}")
    size_kib = outcome.bundle_bytes / max(1, outcome.bundles) / 1024
    click.echo(f"  bundles   {outcome.bundles} of {size_kib:.1f} KiB; {outcome.lies} answers were lies")
    click.echo(f"  refused   {_words(outcome.refused)}")
    if outcome.frozen_after_ms is not None:
        after_s = outcome.frozen_after_ms / 1000
        click.echo(f"  fork      frozen by everybody {after_s:.1f} s after two peers held two histories")


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"
