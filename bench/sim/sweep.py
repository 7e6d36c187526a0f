"""Many seeds in many processes, in the order of the seeds, and what they found, one JSON line each.

Results do not depend on the number of processes: they are handed out in order, so the first failing seed is
the same for every number of jobs. Shards are made by ranges of seeds and put together by `merge`.
"""

import json
import multiprocessing
import os
import signal
import time
from collections import Counter, deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from threading import Thread

from bench.sim.drivers import Drivers
from bench.sim.scenario import REST, Options, Outcome, Scenario, generate, run

_AHEAD = 3
"""Seeds each process has waiting."""


@dataclass(frozen=True, slots=True)
class Result:
    """One seed. `what` is the command that plays it, without its seed: results of other options do not merge
    with it. `invariant` is None when nothing was broken."""

    seed: int
    what: str
    invariant: str | None
    words: str
    fingerprint: str
    virtual_ms: int
    real_ms: int
    counts: dict[str, int]
    faults: dict[str, int]
    fates: dict[str, int]

    def encode(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self)) + "\n"


def result_of(scenario: Scenario, outcome: Outcome, what: str, real_ms: int) -> Result:
    """What a sweep keeps of a run."""
    broken = outcome.violation
    return Result(
        scenario.seed,
        what,
        None if broken is None else broken.invariant,
        "" if broken is None else broken.words,
        outcome.fingerprint,
        outcome.virtual_ms,
        real_ms,
        outcome.counts,
        outcome.faults,
        outcome.fates,
    )


def play(seed: int, options: Options, drivers: Drivers, what: str) -> Result:
    """One seed from its number to its result; runs in any process."""
    started = time.monotonic()
    scenario = generate(seed, options)
    with drivers.parts() as parts:
        outcome = run(scenario, parts, drivers.load_behaviours(seed))
    return result_of(scenario, outcome, what, int((time.monotonic() - started) * 1_000))


def sweep(
    seeds: Iterable[int], options: Options, drivers: Drivers, what: str, jobs: int
) -> Generator[Result, None, None]:
    """Results in the order of the seeds; close it to stop. Raises DriverError."""
    if jobs == 1:
        for seed in seeds:
            yield play(seed, options, drivers, what)
        return
    # spawned, not forked: the same on every platform, and no state leaks from the parent into a world
    context = multiprocessing.get_context("spawn")
    others = multiprocessing.active_children()
    with ProcessPoolExecutor(jobs, context, begin_work) as workers:
        waiting: deque[Future[Result]] = deque()
        try:
            for seed in seeds:
                waiting.append(workers.submit(play, seed, options, drivers, what))
                if len(waiting) >= jobs * _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            if waiting:  # nobody wants what they play, and a long world would keep whoever interrupts waiting
                for worker in multiprocessing.active_children():
                    if worker not in others:
                        worker.terminate()
            workers.shutdown(wait=True, cancel_futures=True)


def begin_work() -> None:
    """A worker leaves interrupts to the process that it works for, and does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None, "only worker processes begin so"

    def follow() -> None:
        parent.join()
        os._exit(1)

    Thread(target=follow, daemon=True).start()


# --- results of shards ------------------------------------------------------------------------------


class MergeError(ValueError):
    """Result files do not make one whole sweep; the text is a sentence."""


@dataclass(frozen=True, slots=True)
class Totals:
    """A whole sweep, `first` to `last`. `fingerprint` is of all fingerprints in the order of the seeds;
    `slowest` is the seed that came to rest last after calm, and in how many virtual milliseconds."""

    first: int
    last: int
    what: str
    failed: tuple[tuple[int, str, str], ...]
    fingerprint: str
    virtual_ms: int
    real_ms: int
    counts: dict[str, int]
    faults: dict[str, int]
    fates: dict[str, int]
    slowest: tuple[int, int]


def read_results(path: Path) -> list[Result]:
    """The results in a file. Raises MergeError naming the line, OSError."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            found.append(_result_from(json.loads(line)))
        except (ValueError, TypeError) as error:
            raise MergeError(f"{path}, line {number}: is no result of a sweep ({error})") from error
    return found


def _result_from(plain: object) -> Result:
    names = {field.name: field.type for field in fields(Result)}
    if not isinstance(plain, Mapping) or set(plain) != set(names):
        raise ValueError(f"must be an object of {', '.join(names)}")
    result = Result(**plain)
    for name in ("seed", "virtual_ms", "real_ms"):
        if type(plain[name]) is not int:
            raise ValueError(f"{name} must be a whole number")
    for name in ("counts", "faults", "fates"):
        counted = plain[name]
        if not isinstance(counted, Mapping) or any(type(value) is not int for value in counted.values()):
            raise ValueError(f"{name} must be whole numbers by name")
    return result


def merge(results: Sequence[Result]) -> Totals:
    """The totals of shards. Raises MergeError for a gap, an overlap or different options."""
    if not results:
        raise MergeError("there is no result in these files")
    ordered = sorted(results, key=lambda result: result.seed)
    for one, other in pairwise(ordered):
        if one.what != other.what:
            raise MergeError(f"seeds {one.seed} and {other.seed} were run by different commands")
        if one.seed == other.seed:
            raise MergeError(f"seed {one.seed} is there twice")
        if other.seed != one.seed + 1:
            raise MergeError(f"seeds {one.seed + 1} to {other.seed - 1} are missing")
    counts, faults, fates = Counter[str](), Counter[str](), Counter[str]()
    hasher = sha256()
    for result in ordered:
        counts.update(result.counts)
        faults.update(result.faults)
        fates.update(result.fates)
        hasher.update(result.fingerprint.encode())
    slowest = max(ordered, key=lambda result: result.counts.get(REST, 0))
    return Totals(
        ordered[0].seed,
        ordered[-1].seed,
        ordered[0].what,
        tuple((r.seed, r.invariant, r.words) for r in ordered if r.invariant is not None),
        hasher.hexdigest(),
        sum(result.virtual_ms for result in ordered),
        sum(result.real_ms for result in ordered),
        dict(counts),
        dict(faults),
        dict(fates),
        (slowest.seed, slowest.counts.get(REST, 0)),
    )
