"""A rule of diagnosis, and what it says: a stable code, one sentence of diagnosis, one of remedy."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

Facts = TypeVar("Facts")


class Verdict(Enum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"
    """It works, and will not for ever or not at full strength."""
    FAULT = "fault"
    """It does not take part, or nothing can be committed."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`about` is a node's name, or `cluster`. `remedy` is empty where nothing is to be done."""

    about: str
    code: str
    verdict: str
    words: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Rule(Generic[Facts]):
    """`words` answers None where the rule does not apply. `meaning` is what `isthmus explain` tells."""

    code: str
    verdict: Verdict
    meaning: str
    remedy: str
    words: Callable[[Facts], str | None]


def first_that_applies(rules: Sequence[Rule[Facts]], facts: Facts, about: str) -> Diagnosis:
    """The diagnosis of the first rule that applies. Raises ValueError when none does: the last one of a table
    always must."""
    for rule in rules:
        words = rule.words(facts)
        if words is not None:
            return Diagnosis(about, rule.code, rule.verdict.value, words, rule.remedy)
    raise ValueError(f"no rule applies to {about}")
