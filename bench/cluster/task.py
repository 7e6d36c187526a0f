"""What one command was asked to measure, and the one object that comes of it, under a label that says all."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.cluster.knee import Knee
from bench.cluster.options import P99_MS
from bench.cluster.outcome import Outcome
from bench.cluster.scenarios import DEFAULT_OF, Scenario
from bench.cluster.session import Place, Search
from bench.machine import Noise


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure: `rates` or `search`, or neither: the scenario once."""

    scenario: Scenario
    place: Place
    per_request: int | None
    rates: tuple[int, ...]
    search: Search | None


@dataclass(frozen=True, slots=True)
class Done:
    """The trials in order; the knee where one was looked for."""

    outcomes: tuple[Outcome, ...]
    knee: Knee | None

    def on(self, noise: Noise) -> "Done":
        """The same, of a machine that was found to be so noisy meanwhile."""
        return replace(self, outcomes=tuple(replace(outcome, noise=noise) for outcome in self.outcomes))


def task_of(options: dict[str, Any], scenario: Scenario, directory: Path) -> Task:
    """Of options that do not contradict each other; `directory` exists once it is carried out."""
    search = Search(options["rate"] or 100, options["p99_ms"] or P99_MS) if options["knee"] else None
    place = Place(directory, options["attach"], options["keys"])
    return Task(scenario, place, options["per_request"], options["rates"], search)


def figures_of(task: Task, done: Done) -> dict[str, Any]:
    """The object for scripts: of the one trial; of several, the one that counts, with all of them in
    `trials`. A row of rates counts as a success when every one was carried, a search when one was."""
    if task.search is None and not task.rates:
        return done.outcomes[0].to_json()
    trials = [outcome.to_json() for outcome in done.outcomes]
    if done.knee is None or task.search is None:
        problems = [sentence for trial in trials for sentence in trial["problems"]]
        best = max(trials, key=lambda trial: (trial["success"], trial["throughput_tps"]))
        name = _label(task, "rates-" + "-".join(str(rate) for rate in task.rates))
        return best | {"scenario": name, "success": not problems, "problems": problems, "trials": trials}
    knee = done.knee
    rates = [rate for rate, _ in knee.tried]
    best = trials[rates.index(knee.rate)] if knee.rate is not None else trials[-1]
    problems = [] if knee.rate is not None else ["No rate was carried.", *best["problems"]]
    found = {
        "rate": knee.rate,
        "refused": knee.refused,
        "p99_ms_bound": task.search.p99_ms,
        "tried": knee.tried,
    }
    bound = () if task.search.p99_ms == P99_MS else (f"p99_ms={task.search.p99_ms:g}",)
    return best | {
        "scenario": _label(task, "knee", *bound),
        "success": not problems,
        "problems": problems,
        "knee": found,
        "trials": trials,
    }


def _label(task: Task, *words: str) -> str:
    """Of several rates: the scenario is named where it is not the usual one of its mode."""
    scenario = task.scenario
    named = () if scenario.name == DEFAULT_OF[scenario.mode] else (scenario.name,)
    return " ".join((*words, *named, *scenario.changed))
