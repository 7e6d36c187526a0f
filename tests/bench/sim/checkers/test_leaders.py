"""A committed block by the wrong author, or with the wrong tale of failed leaders, is caught."""

from dataclasses import replace

import pytest

from bench.sim.checkers.leaders import Leaders
from bench.sim.checkers.reading import Fields
from bench.sim.checkers.rosters import Rosters
from tests.bench.sim.checkers.statements import MEMBERS, Made, block_of, caught, tc_of

SILENT = ((2, 2, 1, 1),)
HEARD = ((2, 2, 1, 0),)


def leaders() -> Leaders:
    return Leaders(Rosters([key for key, _ in MEMBERS], MEMBERS))


def on(
    parent: Made, round: int, author: int, standing: Fields = (), signers: tuple[int, ...] = (0, 1, 3)
) -> Made:
    """A block on `parent`, with a TC where rounds failed."""
    tc = None if parent.seen.round + 1 == round else tc_of(round - 1, (parent.seen.round,) * 3)
    return block_of(round, parent.qc(signers), tc, author=author, standing=standing)


def told(*blocks: Made) -> Leaders:
    checker = leaders()
    for made in blocks:
        checker.on_committed(made.seen)
    return checker


def test_the_turns_of_good_rounds_are_silent() -> None:
    blocks = [block_of(1, author=1)]
    for round in range(2, 12):
        blocks.append(on(blocks[-1], round, round % 4))
    told(*blocks)


def test_a_block_of_another_than_the_leader_is_caught() -> None:
    words = caught("leaders", lambda: told(block_of(1, author=2)))
    assert words == "round 1 was led by 2, it belongs to 1"


def test_who_failed_is_left_out_of_rounds_that_a_qc_opens_until_it_votes() -> None:
    first = block_of(1, author=1)
    third = on(first, 3, 3, SILENT)
    fourth = on(third, 4, 1, SILENT)  # turns of 0, 1 and 3
    fifth = on(fourth, 5, 3, HEARD, signers=(0, 1, 2))
    sixth = on(fifth, 6, 2, HEARD)
    told(first, third, fourth, fifth, sixth)
    assert "belongs to 1" in caught("leaders", lambda: told(first, third, on(third, 4, 0, SILENT)))
    assert "belongs to 3" in caught("leaders", lambda: told(first, third, fourth, on(fourth, 5, 1, SILENT)))


@pytest.mark.parametrize("tale", [(), HEARD, ((2, 2, 2, 1),), ((1, 2, 1, 1),), ((2, 3, 1, 1),)])
def test_another_tale_than_the_chain_shows_is_caught(tale: Fields) -> None:
    first = block_of(1, author=1)
    assert "its chain shows" in caught("leaders", lambda: told(first, on(first, 3, 3, tale)))


def test_a_block_of_an_epoch_that_has_not_begun_is_caught() -> None:
    later = replace(block_of(1, author=1).seen, epoch=1)
    assert "before it began" in caught("leaders", lambda: leaders().on_committed(later))
