"""`isthmus-bench sim absence`: what is judged, what is said, and with which exit code."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from bench.sim.absence import Absence, absence_command, spread
from bench.sim.violation import Violation
from consensus import MEMORY_ROUNDS

GOOD = Absence(4, (1,), 10_000, 200, 1, 0, (1,), (1,))


def test_places_are_spread_and_spare_the_first() -> None:
    assert spread(4, 1) == (1,)
    assert spread(16, 5) == (1, 4, 7, 10, 13)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"lost": 3}, "cost 3 of 200 rounds, allowed are 2"),
        ({"lost_late": 1}, "after everybody had a turn"),
        ({"left_out": ()}, "left out are"),
        ({"led_again": ()}, "led again within"),
    ],
)
def test_absence_that_costs_too_much_or_does_not_end_is_a_violation(
    changes: dict[str, object], words: str
) -> None:
    GOOD.judge()
    with pytest.raises(Violation, match=words):
        replace(GOOD, **changes).judge()  # type: ignore[arg-type]  # the fields are named above


def test_in_every_memory_the_dead_are_tried_again() -> None:
    replace(GOOD, rounds=2 * MEMORY_ROUNDS, lost=4, lost_late=3).judge()


def test_the_command_says_what_was_lost() -> None:
    told = CliRunner().invoke(absence_command, ["--seconds", "2", "--json"])
    found = json.loads(told.stdout)
    assert (told.exit_code, found["lost"], found["left_out"]) == (0, 1, [1])


def test_a_third_is_too_many() -> None:
    told = CliRunner().invoke(absence_command, ["--nodes", "6", "--dead", "2"])
    assert told.exit_code == 2
    assert "a third or more" in told.output
