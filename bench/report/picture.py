"""A picture as data: lines of points, words and places. Nothing is drawn here."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.report.reading import Point, Run
from bench.report.readme import place_of


@dataclass(frozen=True, slots=True)
class Line:
    """Points in order. `hollow` are positions of points that were taken on a noisy machine or were not
    carried."""

    label: str
    points: tuple[Point, ...]
    dashed: bool = False
    hollow: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Picture:
    """`verticals` and `horizontals` are positions with words; `x_ticks` replace the numbers of the x axis;
    `below` is the caption: where the figures were taken, and what marks them."""

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]
    below: tuple[str, ...]
    x_log: bool = False
    y_log: bool = False
    verticals: tuple[tuple[float, str], ...] = ()
    horizontals: tuple[tuple[float, str], ...] = ()
    x_ticks: tuple[tuple[float, str], ...] = ()


def titled(label: str, marks: Sequence[str]) -> str:
    """A label with what must stand beside its figures."""
    return f"{label} [{', '.join(marks)}]" if marks else label


def place(run: Run) -> str:
    """Where a figure was taken, and what a signature costs there."""
    return f"{place_of(run)}; an Ed25519 check takes {run.record.signatures.verify_us:.0f} us there"
