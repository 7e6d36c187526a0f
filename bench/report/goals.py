"""What is to be reached, as data: one entry a figure, and how a run answers it.

Floors and aims are for two cores with four daemons and TLS, on a machine whose Ed25519 check takes about
40 us; beside every figure stands what it takes on the machine that was measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum

from bench.report.reading import CERTIFIED, HONEST, OPAQUE, ClusterRun, OtherRun, Run, ScaleRun, Trial


class Better(Enum):
    """Which way is good."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True)
class Found:
    """A run's answer: the figure, or None when it was not reached, then `words` say what happened instead.

    `is_spoiled`: whatever the figure, the goal was missed, and `words` say by what.
    """

    value: float | None
    words: str = ""
    is_spoiled: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure to reach. `find` answers None for a run that is about something else."""

    name: str
    unit: str
    floor: float
    aim: float
    better: Better
    command: str
    find: Callable[[Run], Found | None]
    digits: int = 0
    aim_words: str = ""

    def verdict(self, found: Found) -> str:
        """In words."""
        if found.value is None:
            return found.words
        if found.is_spoiled:
            return f"below the floor: {found.words}"
        if self._is_met(found.value, self.aim):
            return "aim reached"
        return "floor reached" if self._is_met(found.value, self.floor) else "below the floor"

    def _is_met(self, value: float, bound: float) -> bool:
        return value >= bound if self.better is Better.HIGHER else value <= bound

    def written(self, value: float) -> str:
        """With its unit."""
        return f"{value:,.{self.digits}f} {self.unit}"

    @property
    def written_floor(self) -> str:
        """With its unit."""
        return f"{self.floor:,g} {self.unit}"

    @property
    def written_aim(self) -> str:
        """With its unit, and with what else was said of it."""
        return f"{self.aim:,g} {self.unit}" + (f"; {self.aim_words}" if self.aim_words else "")


@dataclass(frozen=True, slots=True)
class Answer:
    """A run that answers a goal."""

    run: Run
    found: Found


def latest(goal: Goal, runs: Sequence[Run]) -> Answer | None:
    """Of the answers taken on the last one's revision and machine the median one, of an even number the worse
    of the middle two; None when there is none. A machine that others share is quick and slow by turns: the
    last run alone tells which it was last."""
    answers = all_answers(goal, runs)
    if not answers:
        return None
    last = answers[-1].run.record
    same = [
        answer
        for answer in answers
        if last.commit is not None
        and (answer.run.record.commit, answer.run.record.machine) == (last.commit, last.machine)
    ]
    sign = -1 if goal.aim > goal.floor else 1
    from_the_best = sorted(
        same or answers[-1:],
        key=lambda a: (a.found.value is None or a.found.is_spoiled, sign * (a.found.value or 0)),
    )
    return from_the_best[len(from_the_best) // 2]


def all_answers(goal: Goal, runs: Sequence[Run]) -> list[Answer]:
    """Every answer, in the order of the history."""
    found = ((run, goal.find(run)) for run in runs)
    return [Answer(run, answer) for run, answer in found if answer is not None]


Measure = Callable[[Trial], float | None]
Wanted = Callable[[Trial], bool]


def _of_cluster(wanted: Wanted, measure: Measure) -> Callable[[Run], Found | None]:
    def find(run: Run) -> Found | None:
        if not isinstance(run, ClusterRun) or run.trials or not run.trial.is_usual or not wanted(run.trial):
            return None
        trial = run.trial
        value = measure(trial)
        if not trial.success or value is None:
            offered = "" if trial.rate is None else f" of {trial.rate:,.0f}"
            return Found(None, f"not carried: {trial.throughput_tps:,.0f}{offered} tx/s")
        return Found(value)

    return find


def _p50(trial: Trial) -> float | None:
    return None if trial.latency is None else trial.latency.p50


def _throughput(trial: Trial) -> float | None:
    return trial.throughput_tps


def _rounds(trial: Trial) -> float | None:
    return trial.rounds_per_second


def _pause(trial: Trial) -> float | None:
    return None if trial.hurt is None else trial.hurt.pause_ms


def _leader_killed(run: Run) -> Found | None:
    """The longest pause, of a cluster that paused no more than once."""
    found = _of_cluster(_named("leader-killed"), _pause)(run)
    hurt = run.trial.hurt if isinstance(run, ClusterRun) else None
    if found is None or found.value is None or hurt is None or hurt.pause_count is None:
        return found
    if hurt.pause_count <= 1:
        return found
    words = f"{hurt.pause_count} pauses longer than {hurt.pause_bound_ms:,.0f} ms"
    return Found(found.value, words, is_spoiled=True)


def _named(name: str) -> Wanted:
    def wanted(trial: Trial) -> bool:
        return (trial.mode == HONEST, trial.promise, trial.label.split()[0]) == (True, CERTIFIED, name)

    return wanted


def _opaque(name: str, promise: str = CERTIFIED) -> Wanted:
    def wanted(trial: Trial) -> bool:
        is_named = trial.label.split()[0] == name and trial.promise == promise
        return trial.mode == OPAQUE and is_named and trial.transaction_bytes == 512

    return wanted


def _gossip(run: Run) -> Found | None:
    if not isinstance(run, OtherRun) or run.record.bench != "gossip":
        return None
    told = run.numbers
    if (told.get("peers"), told.get("message_bytes")) != (3, 1_024) or "delivered_per_second" not in told:
        return None
    lost = told.get("lost", 0)
    return Found(None, f"{lost:,.0f} lost") if lost else Found(told["delivered_per_second"])


def _round_cpu(run: Run) -> Found | None:
    sizes = run.simulated if isinstance(run, ScaleRun) else ()
    found = [size.cpu_us for size in sizes if (size.nodes, size.load) == (100, "payload")]
    return Found(found[-1] / 1000) if found else None


_CLUSTER = "isthmus-bench cluster"
GOALS: tuple[Goal, ...] = (
    Goal(
        "opaque 512 B, certified",
        "tx/s",
        100_000,
        180_000,
        Better.HIGHER,
        f"{_CLUSTER} --scenario opaque-saturate",
        _of_cluster(_opaque("opaque-saturate"), _throughput),
    ),
    Goal(
        "opaque 512 B at 60,000 tx/s, p50",
        "ms",
        40,
        20,
        Better.LOWER,
        f"{_CLUSTER} --scenario opaque-60k",
        _of_cluster(_opaque("opaque-60k"), _p50),
        1,
    ),
    Goal(
        "the same in batches of 1 MiB, 2,048 a request, p50",
        "ms",
        40,
        20,
        Better.LOWER,
        f"{_CLUSTER} --scenario opaque-60k-large",
        _of_cluster(_opaque("opaque-60k-large"), _p50),
        1,
    ),
    Goal(
        "committed alone: opaque 512 B at 60,000 tx/s, p50",
        "ms",
        40,
        20,
        Better.LOWER,
        f"{_CLUSTER} --scenario opaque-60k-committed",
        _of_cluster(_opaque("opaque-60k-committed", "committed"), _p50),
        1,
    ),
    Goal(
        "honest, certified",
        "tx/s",
        3_000,
        5_500,
        Better.HIGHER,
        f"{_CLUSTER} --scenario saturate",
        _of_cluster(_named("saturate"), _throughput),
        aim_words="7,500 with verification certificates",
    ),
    Goal(
        "honest at 800 tx/s, p50",
        "ms",
        80,
        35,
        Better.LOWER,
        f"{_CLUSTER} --scenario steady-800",
        _of_cluster(_named("steady-800"), _p50),
        1,
    ),
    Goal(
        "honest at 3,000 tx/s, p50",
        "ms",
        200,
        80,
        Better.LOWER,
        f"{_CLUSTER} --scenario steady-3000",
        _of_cluster(_named("steady-3000"), _p50),
        1,
    ),
    Goal(
        "one client, one honest transaction at a time, p50",
        "ms",
        12,
        6,
        Better.LOWER,
        f"{_CLUSTER} --scenario lone",
        _of_cluster(_named("lone"), _p50),
        1,
    ),
    Goal(
        "gossip, 1 KiB to 3 peers, delivered",
        "msg/s",
        5_000,
        20_000,
        Better.HIGHER,
        "isthmus-bench gossip",
        _gossip,
    ),
    Goal(
        "leader killed at 800 tx/s, the one pause",
        "ms",
        1_000,
        400,
        Better.LOWER,
        f"{_CLUSTER} --scenario leader-killed",
        _leader_killed,
    ),
    Goal(
        "empty rounds, n = 4",
        "rounds/s",
        250,
        500,
        Better.HIGHER,
        f"{_CLUSTER} --scenario idle-rounds",
        _of_cluster(_named("idle-rounds"), _rounds),
    ),
    Goal(
        "CPU a round and replica, n = 100, simulated",
        "ms",
        12,
        8,
        Better.LOWER,
        "isthmus-bench scale --nodes 100 --processes none",
        _round_cpu,
        1,
    ),
)
"""In the order in which they are told. Every command takes `--record`."""
