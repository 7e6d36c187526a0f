"""What a check found: a grade, a sentence, and the way out."""

import errno
from dataclasses import dataclass
from enum import Enum


class Grade(Enum):
    """How bad it is."""

    GOOD = "good"
    WARNING = "warning"
    """The node would start; something will cost later."""
    FAULT = "fault"
    """The node would not start, or would not be part of its cluster."""
    SKIPPED = "skipped"
    """It could not be looked at, and the sentence says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is a stable code; `remedy` is empty where nothing is to be done."""

    check: str
    grade: Grade
    words: str
    remedy: str = ""


def good(check: str, words: str) -> Finding:
    """All is well."""
    return Finding(check, Grade.GOOD, words)


def warning(check: str, words: str, remedy: str) -> Finding:
    """It would start."""
    return Finding(check, Grade.WARNING, words, remedy)


def fault(check: str, words: str, remedy: str) -> Finding:
    """It would not start, or not take part."""
    return Finding(check, Grade.FAULT, words, remedy)


def skipped(check: str, words: str) -> Finding:
    """It was not looked at."""
    return Finding(check, Grade.SKIPPED, words)


def is_full(error: BaseException | None) -> bool:
    """Whether a disk had no room left: then neither an owner nor a mode is to be mended."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
