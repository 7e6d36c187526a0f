"""Samples and CPU seconds become a cost: the shares come from the samples, the amounts from the kernel.

A sampler sees where a thread is and not how much CPU it uses: threads that wait are caught now and then as
if they ran. The kernel counts each thread's CPU and not where it went. So each thread's CPU is spread over
its own samples, without those taken in `WAITING`. What remains is work and waiting inside one call of C: a
commit of the database counts with its wait for the disk. A process is a daemon with its workers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.profiling.phases import NOT_SAMPLED, PHASES, WAITING, phase_of
from bench.profiling.stacks import Recording

SAMPLES_ENOUGH = 1_000
"""Below this many samples a phase of a tenth is known to about a tenth of itself, and no better."""
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class ProcessProfile:
    """One daemon over the measured time: CPU seconds by phase (every one of `PHASES`) and by innermost
    function. `samples` are those that count; `waiting` were taken in `WAITING`, `torn` cannot be read."""

    name: str
    cpu_seconds: float
    samples: int
    waiting: int
    torn: int
    phases: Mapping[str, float]
    functions: Mapping[str, float]

    @staticmethod
    def of(
        name: str, cpu_seconds: float, threads: Mapping[int, float], recording: Recording
    ) -> "ProcessProfile":
        """`threads` are the CPU seconds of each thread, `cpu_seconds` those of all, ended ones included."""
        recorded = [stack for stack in recording.stacks if stack.frames[-1] not in WAITING]
        taken = sum(stack.count for stack in recording.stacks)
        samples: dict[int, int] = {}
        for stack in recorded:
            samples[stack.thread] = samples.get(stack.thread, 0) + stack.count
        phases = dict.fromkeys(PHASES, 0.0)
        functions: dict[str, float] = {}
        for stack in recorded:
            seconds = threads.get(stack.thread, 0.0) * stack.count / samples[stack.thread]
            phases[phase_of(stack.frames)] += seconds
            innermost = str(stack.frames[-1])
            functions[innermost] = functions.get(innermost, 0.0) + seconds
        known = sum(phases.values())
        phases[NOT_SAMPLED] = max(0.0, cpu_seconds - known)
        counted = sum(samples.values())
        spent = max(cpu_seconds, known)
        return ProcessProfile(name, spent, counted, taken - counted, recording.torn, phases, functions)

    def cost_us(self, phase: str, per: float) -> float:
        """CPU microseconds of a phase for each of `per` things."""
        return self.phases[phase] * _MICRO / per

    def total_us(self, per: float) -> float:
        """CPU microseconds for each of `per` things."""
        return self.cpu_seconds * _MICRO / per

    def to_json(self, per: float) -> dict[str, object]:
        """Plain values."""
        return {
            "name": self.name,
            "cpu_seconds": self.cpu_seconds,
            "samples": self.samples,
            "waiting_samples": self.waiting,
            "torn_samples": self.torn,
            "total_us": self.total_us(per),
            "phases_us": {phase: self.cost_us(phase, per) for phase in PHASES},
        }


@dataclass(frozen=True, slots=True)
class Function:
    """A function that was innermost: what it itself costs, all profiled processes together."""

    name: str
    share: float
    cost_us: float


@dataclass(frozen=True, slots=True)
class Profile:
    """All profiled daemons. Costs are for one transaction or, under a load without any, for one second."""

    scenario: str
    nodes: int
    seconds: float
    transactions: int
    processes: tuple[ProcessProfile, ...]

    @property
    def unit(self) -> str:
        """What costs are divided by."""
        return "transaction" if self.transactions else "second"

    @property
    def per(self) -> float:
        """How many of that there were."""
        return self.transactions or self.seconds

    def cost_us(self, phase: str) -> float:
        """CPU microseconds of a phase, all profiled processes together."""
        return sum(process.cost_us(phase, self.per) for process in self.processes)

    @property
    def total_us(self) -> float:
        """CPU microseconds, all profiled processes together."""
        return sum(process.total_us(self.per) for process in self.processes)

    @property
    def samples(self) -> int:
        """Those that count, all profiled processes together."""
        return sum(process.samples for process in self.processes)

    @property
    def is_thin(self) -> bool:
        """Whether there are too few samples for the smaller phases to mean anything."""
        return self.samples < SAMPLES_ENOUGH

    def top(self, count: int) -> tuple[Function, ...]:
        """The functions that cost most themselves, without what they call."""
        costs: dict[str, float] = {}
        for process in self.processes:
            for name, seconds in process.functions.items():
                costs[name] = costs.get(name, 0.0) + seconds * _MICRO / self.per
        ordered = sorted(costs.items(), key=lambda item: (-item[1], item[0]))[:count]
        total = self.total_us
        return tuple(Function(name, cost / total, cost) for name, cost in ordered if total)

    def to_json(self, top: int) -> dict[str, object]:
        """Plain values."""
        return {
            "scenario": self.scenario,
            "nodes": self.nodes,
            "seconds": self.seconds,
            "transactions": self.transactions,
            "unit": self.unit,
            "samples": self.samples,
            "is_thin": self.is_thin,
            "total_us": self.total_us,
            "phases_us": {phase: self.cost_us(phase) for phase in PHASES},
            "processes": [process.to_json(self.per) for process in self.processes],
            "functions": [{"name": f.name, "share": f.share, "cost_us": f.cost_us} for f in self.top(top)],
        }


def phases_by_cost(profile: Profile) -> Sequence[str]:
    """The phases, the dearest first."""
    return sorted(PHASES, key=lambda phase: -profile.cost_us(phase))
