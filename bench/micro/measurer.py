"""A process that measures one revision's subjects when told: `python -m bench.micro.measurer [SCRATCH]`.

One line of JSON in, one line out: requests are `[verb, argument ...]`, answers `["ok", value]` or
`["fault", words]`. It ends with its standard input.
"""

import gc
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path

from bench.micro.registry import Registry
from bench.micro.revision import PACKAGES
from bench.micro.sampling import calibrate, microseconds
from bench.micro.subject import Sampler, Subject, Workshop


class Measurer:
    """At most one subject at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._registry = Registry.load()
        self._stack = ExitStack()
        self._made = 0
        self._current: tuple[Subject, Sampler] | None = None

    def places(self) -> list[str]:
        """The folders the product's packages were imported from."""
        found = [import_module(package).__file__ for package in PACKAGES]
        return [str(Path(file).parent.parent) for file in found if file is not None]

    def missing(self) -> dict[str, str]:
        """Files of subjects that this revision does not support, with the reason."""
        return dict(self._registry.missing)

    def make(self, name: str) -> None:
        """Prepare a subject and forget the one before. Raises what its preparation raises."""
        self.close()
        subject = self._registry.subjects.get(name)
        if subject is None:
            raise LookupError(f"no subject {name}; {self._registry.missing}")
        self._made += 1
        folder = self._folder / str(self._made)
        folder.mkdir()
        sampler = subject.make(Workshop(folder, subject.clock, self._stack))
        self._current = (subject, sampler)
        sampler(1)
        gc.collect()

    def calibrate(self, run_seconds: float) -> int:
        """How many calls a run shall have."""
        subject, sampler = self._prepared()
        return calibrate(sampler, subject.clock, run_seconds)

    def run(self, count: int) -> float:
        """Microseconds an operation."""
        subject, sampler = self._prepared()
        return microseconds(sampler, count, subject.per)

    def close(self) -> None:
        """Let go of what the subject opened."""
        self._current = None
        self._stack.close()

    def _prepared(self) -> tuple[Subject, Sampler]:
        if self._current is None:
            raise ValueError("no subject was made")
        return self._current


def answer(measurer: Measurer, line: str) -> list[object]:
    """One request's answer. What a revision cannot do is a fault of that revision, in words."""
    verb, *arguments = json.loads(line)
    operations: dict[str, Callable[..., object]] = {
        "places": measurer.places,
        "missing": measurer.missing,
        "make": measurer.make,
        "calibrate": measurer.calibrate,
        "run": measurer.run,
    }
    try:
        return ["ok", operations[verb](*arguments)]
    except (ImportError, AttributeError, TypeError, LookupError, ValueError, AssertionError) as error:
        return ["fault", f"{type(error).__name__}: {error}"]


def main() -> None:
    """Until standard input ends; garbage is collected between subjects only."""
    gc.disable()
    scratch = sys.argv[1] if len(sys.argv) > 1 else None
    with tempfile.TemporaryDirectory(prefix="isthmus-micro-", dir=scratch) as folder:
        measurer = Measurer(Path(folder))
        for line in sys.stdin:
            sys.stdout.write(json.dumps(answer(measurer, line)) + "\n")
            sys.stdout.flush()
        measurer.close()


if __name__ == "__main__":
    main()
