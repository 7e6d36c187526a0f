"""Which subjects there are, and how a person names some of them.

Files are imported one by one: measured against an older revision, a file that needs what that revision does
not have is reported, and the others still run.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from importlib import import_module

from bench.micro.subject import Subject

MODULES = (
    "messages",
    "wire",
    "hashing",
    "signatures",
    "certificates",
    "anchors",
    "trees",
    "disk",
    "steps",
    "batches",
    "admission",
    "execution",
    "gossip",
    "transport",
)
"""The files of `bench/micro/subjects/`, in the order of the report."""
_NEAREST = 3


class UnknownSubject(Exception):
    """The user's fault: a name that fits nothing; `str()` lists the nearest."""


@dataclass(frozen=True, slots=True)
class Registry:
    """The subjects by name, in order; `missing` says of each file that could not be imported why."""

    subjects: Mapping[str, Subject]
    missing: Mapping[str, str]

    @staticmethod
    def load(modules: Iterable[str] = MODULES) -> "Registry":
        """Everything that can be imported here. Raises ValueError when two subjects share a name."""
        subjects: dict[str, Subject] = {}
        missing: dict[str, str] = {}
        for module in modules:
            try:
                table: tuple[Subject, ...] = import_module(f"bench.micro.subjects.{module}").SUBJECTS
            except (ImportError, AttributeError, TypeError) as error:
                missing[module] = f"{type(error).__name__}: {error}"
                continue
            for subject in table:
                if subject.name in subjects:
                    raise ValueError(f"two subjects are called {subject.name}")
                subjects[subject.name] = subject
        return Registry(subjects, missing)

    def choose(self, wanted: Sequence[str]) -> tuple[Subject, ...]:
        """Subjects by full name, by the beginning of it up to a slash, or by a pattern with `*`; all
        without any. Each once, in the order of the registry. Raises UnknownSubject."""
        chosen: dict[str, None] = {}
        for text in wanted:
            fitting = [name for name in self.subjects if _fits(name, text)]
            if not fitting:
                raise UnknownSubject(self._refusal(text))
            chosen.update(dict.fromkeys(fitting))
        names = [name for name in self.subjects if name in chosen or not wanted]
        return tuple(self.subjects[name] for name in names)

    def _refusal(self, text: str) -> str:
        known = dict.fromkeys(part for name in self.subjects for part in _beginnings(name))
        close = get_close_matches(text, list(known), n=_NEAREST, cutoff=0.4)
        hint = f"the nearest are {', '.join(close)}" if close else "see isthmus-bench micro --list"
        return f"There is no subject {text!r}: {hint}."


def _beginnings(name: str) -> list[str]:
    parts = name.split("/")
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _fits(name: str, text: str) -> bool:
    return text in _beginnings(name) or fnmatchcase(name, text)
