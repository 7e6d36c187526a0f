"""The table between the markers: written again and again it stays the same, and nothing else is touched."""

import pytest

from bench.report.goals import GOALS
from bench.report.reading import run_of
from bench.report.readme import BEGIN, END, MarkersError, table, written_into
from tests.bench.report.made_up import everything

RUNS = [run_of(record) for record in everything()]


def row(text: str, beginning: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {beginning}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_one_row_a_goal_with_where_it_was_measured_and_what_a_check_costs_there() -> None:
    text = table(RUNS)
    assert len(text.splitlines()) == 2 + len(GOALS)
    assert len({line.count("|") for line in text.splitlines()}) == 1
    _, floor, aim, value, verdict, place, verify, command = row(text, "one client")
    assert (floor, aim, value) == ("12 ms", "6 ms", "10.0 ms")
    assert verdict == "floor reached, NOISY MACHINE"
    assert place == "012345678, 2026-11-20, 2 x a CPU"
    assert verify == "57 us"
    assert command == "`isthmus-bench cluster --scenario lone`"


def test_what_was_never_measured_says_so() -> None:
    assert row(table([]), "gossip")[3:7] == ["not recorded", "", "", ""]


def test_writing_twice_is_writing_once() -> None:
    text = f"before\n{BEGIN}\nan old table\n{END}\nafter\n"
    once = written_into(text, table(RUNS))
    assert once.startswith(f"before\n{BEGIN}\n| figure |")
    assert once.endswith(f"|\n{END}\nafter\n")
    assert "an old table" not in once
    assert written_into(once, table(RUNS)) == once


@pytest.mark.parametrize(
    "text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{END}\n{BEGIN}\n{END}", f"{BEGIN}{BEGIN}{END}"]
)
def test_without_one_pair_of_markers_nothing_is_written(text: str) -> None:
    with pytest.raises(MarkersError, match="there must be one line"):
        written_into(text, "table")
