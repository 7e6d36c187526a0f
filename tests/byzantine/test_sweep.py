"""The sweep of Byzantine drivers: a failure is told with the command that repeats it."""

import pytest
from click.testing import CliRunner

from tests.byzantine.sweep import judge, main


def test_a_failure_comes_with_the_command_that_repeats_it() -> None:
    verdict = judge((("mute", "mute"), 1, 4))
    assert verdict.words.startswith("liveness: ")
    repeated = "python -m tests.byzantine --seeds 1 --nodes 4 --driver mute --driver mute --together"
    assert verdict.command == repeated


def test_a_good_fight_has_no_words() -> None:
    verdict = judge((("mute",), 1, 4))
    assert verdict.words == ""
    assert verdict.strikes > 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--seeds", "x"], "seeds are A..B"),
        (["--driver", "nobody"], "'nobody' is not one of"),
        (["--pairs"], "4 nodes bear no more than 1 liars"),
        (["--together", "--driver", "mute", "--driver", "mute"], "4 nodes bear no more than 1 liars"),
        (["--together"], "--together needs drivers"),
    ],
)
def test_what_cannot_be_fought_is_a_sentence(arguments: list[str], told: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert told in result.output
