"""C12: who leads, how fairly, and that huge weights cost nothing."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    LeaderSchedule,
    RecoveredState,
    Replica,
    Round,
    Standing,
    ValidatorIndex,
)
from consensus.leader import SCHEDULE_SLOTS_MAX, scaled_weights, smooth_turns
from consensus.validators import WEIGHT_MAX
from tests.consensus.cluster import ROOT, START_MS, config_of, keys_of, validators_of


def test_equal_weights_take_turns() -> None:
    schedule = LeaderSchedule(validators_of(keys_of(4), [7, 7, 7, 7]))
    assert [schedule.leader_of(Round(r), ()) for r in range(8)] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_heavy_validator_leads_more_often_but_not_in_a_row() -> None:
    turns = smooth_turns([3, 1, 1, 1])
    assert [turns.count(i) for i in range(4)] == [3, 1, 1, 1]
    assert all(a != 0 or b != 0 for a, b in pairwise(turns))


def test_large_weights_keep_the_schedule_small_and_leave_nobody_out() -> None:
    weights = [WEIGHT_MAX, WEIGHT_MAX - 1, 1, 999_983]
    schedule = LeaderSchedule(validators_of(keys_of(4), weights))
    assert len(schedule) <= SCHEDULE_SLOTS_MAX + 4
    assert {schedule.leader_of(Round(r), None) for r in range(len(schedule))} == {0, 1, 2, 3}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, WEIGHT_MAX), min_size=1, max_size=12))
def test_turns_are_proportional_to_weight(weights: list[int]) -> None:
    scaled = scaled_weights(weights)
    total, scaled_total = sum(weights), sum(scaled)
    for weight, turns in zip(weights, scaled, strict=True):
        assert abs(turns * total - weight * scaled_total) <= 2 * total * len(weights)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=7))
def test_turns_are_spread_evenly(weights: list[int]) -> None:
    """After k turns nobody is more than one turn away from its share, times the members."""
    turns, total = smooth_turns(weights), sum(weights)
    for taken in range(1, len(turns) + 1):
        for index, weight in enumerate(weights):
            led = sum(1 for turn in turns[:taken] if turn == index)
            assert abs(led * total - weight * taken) <= total * len(weights)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=7))
def test_a_whole_turn_is_the_shortest_run_in_which_everybody_leads_wherever_it_begins(
    weights: list[int],
) -> None:
    schedule = LeaderSchedule(validators_of(keys_of(len(weights)), weights))
    cycle, everybody = len(schedule), set(range(len(weights)))

    def leaders(first: int, rounds: int) -> set[ValidatorIndex]:
        return {schedule.leader_of(Round(first + r), None) for r in range(rounds)}

    turn = schedule.turn_rounds
    assert all(leaders(first, turn) == everybody for first in range(cycle))
    assert turn == 1 or any(leaders(first, turn - 1) != everybody for first in range(cycle))


def test_a_whole_turn_is_as_many_rounds_as_validators_only_where_they_weigh_the_same() -> None:
    assert LeaderSchedule(validators_of(keys_of(4), [7, 7, 7, 7])).turn_rounds == 4
    assert LeaderSchedule(validators_of(keys_of(4), [3, 1, 1, 1])).turn_rounds == 6


class OneLeads:
    """A schedule of a single leader."""

    def leader_of(self, round: Round, standing: Standing | None) -> ValidatorIndex:
        return ValidatorIndex(2)


def test_a_replica_follows_the_schedule_it_is_given() -> None:
    validators, recovered = validators_of(keys_of(4)), RecoveredState(ROOT, START_MS)
    me = ValidatorIndex(0)
    given = Replica(config_of(), validators, me, None, recovered, schedule=OneLeads())
    default = Replica(config_of(), validators, me, None, recovered)
    assert (given.view().leader, default.view().leader) == (2, 1)
    assert given.rounds() == (1, 0, 0)
