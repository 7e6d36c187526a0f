"""The answer of one check: does it hold, how much was looked at, and what speaks against it."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import islice

FINDINGS_MAX = 20


class Verdict(Enum):
    """Only the first is success."""

    HOLDS = "holds"
    VIOLATED = "VIOLATED"
    GAVE_UP = "gave up"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's answer. `examined` counts what was looked at, `what` names it; `against` are at most
    FINDINGS_MAX sentences."""

    check: str
    verdict: Verdict
    examined: int
    what: str
    against: tuple[str, ...] = ()


def finding(check: str, examined: int, what: str, against: Iterable[str]) -> Finding:
    """Holds if nothing speaks against it; where there was nothing to look at, it does not."""
    sentences = tuple(islice(against, FINDINGS_MAX))
    if not sentences and not examined:
        return Finding(check, Verdict.GAVE_UP, 0, what, (f"there were no {what} to look at",))
    return Finding(check, Verdict.VIOLATED if sentences else Verdict.HOLDS, examined, what, sentences)
