"""What growing and shrinking counts as good, and the ways to ask for it wrongly.

The real thing, with kills, is tests/endtoend/test_epochs.py.
"""

from dataclasses import replace

import pytest
from click.testing import CliRunner

from bench.epochs import Crossing, Growth
from bench.main import main
from bench.openload import Account

WHOLE = Account(100, 100, (), 0, 0, True, 40)
GOOD = Growth((Crossing("4 -> 5", 1, 900, 200),), WHOLE, 600)


def test_all_that_was_sent_is_there_and_every_pause_is_within_a_timeout() -> None:
    assert WHOLE.is_whole
    assert GOOD.is_smooth


@pytest.mark.parametrize(
    "hurt",
    [
        replace(WHOLE, missing=1),
        replace(WHOLE, heads_agree=False),
        replace(WHOLE, failed=("transaction 3: refused",)),
        replace(WHOLE, held_back=1),
    ],
)
def test_one_lost_transaction_or_another_chain_is_no_success(hurt: Account) -> None:
    assert not hurt.is_whole


def test_one_long_pause_is_told() -> None:
    assert not replace(GOOD, crossings=(*GOOD.crossings, Crossing("5 -> 4", 2, 900, 601))).is_smooth


def test_growing_to_fewer_than_there_are_is_a_usage_error() -> None:
    result = CliRunner().invoke(main, ["epochs", "--nodes", "7", "--to", "7"])
    assert result.exit_code == 2
    assert "--to must be more than the 7 nodes" in result.output
