"""Trials that never happened, for what is made of them."""

from dataclasses import replace

from bench.cluster.figures import CERTIFIED, Samples, Window, aftermath_of, traffic_of
from bench.cluster.outcome import Outcome
from bench.cluster.readings import NodeWork, Work
from bench.cluster.scenarios import Scenario
from bench.cluster.trial import Trial
from bench.machine import Machine, Noise, Spread

SECOND = 1_000_000
MACHINE = Machine("a CPU", 2, "Linux 6", "3.11", (("trio", "0.35"),), "0123456789ab", False)
QUIET = Noise(Spread(1.0, 1.0, 1.1), Spread(1.0, 1.1, 1.2))
LOUD = Noise(Spread(1.0, 2.0, 9.1), Spread(1.0, 5.1, 9.2))
NODE = NodeWork(40, 20, 100, 10, 7, {"no_quorum": 1, "followed": 0}, {"pool-full": 2}, {"node1": 1_000_000})
WORK = Work(
    2.0, {"node0": NODE, "node1": NODE}, {"node0": 0.5, "node0/child1": 0.1, "load0": 0.2}, {"node0": 7}
)


def trial_at(rate: int, *, lag_us: int = 0, failing: int = 0, code: int = 203, seconds: float = 2.0) -> Trial:
    """`rate` transactions a second, each sent `lag_us` late and certified 10 ms later, the first `failing`
    not."""
    samples, window = Samples(), Window(0, int(seconds * SECOND))
    for number in range(int(rate * seconds)):
        at = number * SECOND // rate
        position = samples.plan(at)
        samples.send(position, at + lag_us)
        samples.answer(position, at + lag_us + 10_000, code if number < failing else CERTIFIED)
    traffic = traffic_of(samples, window)
    after = aftermath_of(samples, window, window.end_us // 2)
    return Trial(traffic, WORK, {10: 3}, False, 242, (), None, after, ())


def outcome_of(scenario: Scenario, trial: Trial, noise: Noise = QUIET) -> Outcome:
    return Outcome(replace(scenario, seconds=2.0), trial, False, MACHINE, noise)
