"""What a figure was taken on, and how quiet it was there: a figure without both is worth nothing.

Nothing here names a machine, a person or a path, so that a record may be published. The noise probe runs one
fixed loop alone and then on all cores at once: what a virtual machine's host takes away shows in neither the
load nor the steal time of that machine, but a loop that always does the same work takes longer.
"""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("trio", "msgpack", "pynacl", "lmdb", "cryptography")
_SOURCES = ("consensus", "p2p", "node", "bench", "pyproject.toml", ":(exclude)bench/results")
"""The history is none: a recorded run would mark the next one as of changed sources."""
_LOOP_ADDITIONS = 100_000
"""About 4 ms: longer than a scheduler's slice, so that a busy neighbour shows."""
_LOOPS = 25
_COMMAND_SECONDS = 30

SPREAD_MAX = 1.25
"""Noisy: alone, the loop's median takes over this multiple of its fastest run."""
CROWDING_MAX = 1.35
"""Noisy: on all cores at once, the loop's median takes over this multiple of its median alone."""
NOISE_RULE = (
    f"noisy when a fixed loop's median exceeds {SPREAD_MAX} of its minimum on one core, or its median on all "
    f"cores at once exceeds {CROWDING_MAX} of its median on one"
)


@dataclass(frozen=True, slots=True)
class Spread:
    """Milliseconds one fixed loop took by the wall clock: fastest, middle, slowest of several runs."""

    min_ms: float
    median_ms: float
    max_ms: float

    @staticmethod
    def of(samples_ms: Sequence[float]) -> "Spread":
        """Of at least one sample; raises ValueError."""
        return Spread(min(samples_ms), median(samples_ms), max(samples_ms))


@dataclass(frozen=True, slots=True)
class Noise:
    """The probe on one core and on all cores at once."""

    one_core: Spread
    all_cores: Spread

    @property
    def is_noisy(self) -> bool:
        """By `NOISE_RULE`."""
        alone, crowded = self.one_core, self.all_cores
        return (
            alone.median_ms > SPREAD_MAX * alone.min_ms or crowded.median_ms > CROWDING_MAX * alone.median_ms
        )

    @property
    def excess(self) -> float:
        """How far beyond the bounds of `NOISE_RULE`, as a multiple of the worse one; above 1 it is noisy."""
        alone, crowded = self.one_core, self.all_cores
        return max(
            alone.median_ms / alone.min_ms / SPREAD_MAX, crowded.median_ms / alone.median_ms / CROWDING_MAX
        )

    def __str__(self) -> str:
        one, all_cores = self.one_core, self.all_cores
        return (
            f"a fixed loop takes {one.min_ms:.1f} to {one.max_ms:.1f} ms alone (median {one.median_ms:.1f}), "
            f"{all_cores.min_ms:.1f} to {all_cores.max_ms:.1f} ms on all cores ({all_cores.median_ms:.1f})"
        )

    def to_json(self) -> dict[str, object]:
        """Plain values, with the verdict and its rule."""
        return {**asdict(self), "is_noisy": self.is_noisy, "rule": NOISE_RULE}


@dataclass(frozen=True, slots=True)
class Machine:
    """Hardware, system and software of a measurement. `commit` is None outside a checkout; `dirty` says that
    the sources were changed since; `packages` are (name, version)."""

    cpu: str
    cores: int
    kernel: str
    python: str
    packages: tuple[tuple[str, str], ...]
    commit: str | None
    dirty: bool

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {**asdict(self), "packages": dict(self.packages)}

    def __str__(self) -> str:
        software = " ".join(f"{name} {number}" for name, number in self.packages)
        source = "no commit" if self.commit is None else self.commit + ("+changes" if self.dirty else "")
        return f"{self.cores} x {self.cpu}, {self.kernel}, Python {self.python}, {software}; {source}"


def describe_machine() -> Machine:
    """This machine, and the sources these lines run from."""
    commit = _git("rev-parse", "--short=12", "HEAD") if _git("rev-parse", "--show-prefix") == "" else None
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", *_SOURCES) if commit else None
    return Machine(
        cpu=_cpu_model(),
        cores=usable_cores(),
        kernel=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        packages=tuple((name, version(name)) for name in _PACKAGES),
        commit=commit,
        dirty=bool(changes),
    )


def probe_noise(loops: int = _LOOPS) -> Noise:
    """Half a second of fixed work, alone and then on every core this process may use."""
    alone = _loop_times(loops)
    cores = usable_cores()
    command = (sys.executable, "-P", str(Path(__file__).resolve()), str(loops))
    pipe = subprocess.PIPE
    children = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(cores)]
    try:
        for child in children:  # each says that it has started, so that all then work at the same time
            if child.stdout is None or child.stdout.readline() != "ready\n":
                raise RuntimeError("a process of the noise probe did not start")
        for child in children:
            if child.stdin is not None:
                child.stdin.write("go\n")
                child.stdin.flush()
        crowded = [float(text) for child in children for text in child.communicate()[0].split()]
    finally:
        for child in children:
            child.kill()
            child.wait()
    return Noise(Spread.of(alone), Spread.of(crowded))


def noise_around(before: Noise, probe: Callable[[], Noise] = probe_noise) -> Noise:
    """Of a measurement that has just ended: the worse of what was found before it and what is found now. Who
    began to disturb it on the way is seen by neither, unless still there."""
    return max(before, probe(), key=lambda noise: noise.excess)


def usable_cores() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def filesystem_of(folder: Path) -> str:
    """The kind of file system a folder is on, for figures that wait for a disk; "unknown" where no table of
    mounts can be read."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return "unknown"
    places = [(fields[1], fields[2]) for fields in (line.split() for line in mounts) if len(fields) > 2]
    above = [place for place in places if folder.resolve().is_relative_to(place[0])]
    return max(above, key=lambda place: len(place[0]))[1] if above else "unknown"


def _loop_times(loops: int) -> list[float]:
    times: list[float] = []
    for _ in range(loops):
        started = time.perf_counter()
        total = 0
        for number in range(_LOOP_ADDITIONS):
            total += number
        times.append((time.perf_counter() - started) * 1000)
    return times


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _git(*arguments: str) -> str | None:
    """What git says of the checkout these lines stand in; None when it is none, or git is missing."""
    command = ("git", "-C", str(_ROOT), *arguments)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_COMMAND_SECONDS)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _probe_child(loops: int) -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    sys.stdout.write(" ".join(str(milliseconds) for milliseconds in _loop_times(loops)))


if __name__ == "__main__":
    _probe_child(int(sys.argv[1]))
