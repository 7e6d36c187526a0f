"""How long a validator's own rounds take, which tells its window what a batch needs."""

from itertools import pairwise

import pytest

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import World
from consensus import Broadcast, Proposal, Round, Send, Signature
from node.ledger.params import Params
from node.pool.window import BATCH_ROUNDS, SLOW_FACTOR, TURNS
from node.validator import ClockSet, Tuning
from node.validator.ownrounds import OwnRounds
from tests.node.pool.world import CONFIG, START_MS, Node, block, validator_set

FACTOR = SLOW_FACTOR * BATCH_ROUNDS
SLOW_MS = CONFIG.commit_target_ms
"""Whatever a batch needs."""


class Leader:
    """One that proposes; `slow_ms` is what its window made of it."""

    def __init__(self) -> None:
        self.rounds = OwnRounds()
        self.pool = Node(0, validator_set()).pool

    def propose(self, round: int, now_ms: int) -> None:
        """An empty block of this round is sent to everybody."""
        proposal = Proposal(block(b"", round=round), Signature(bytes(64)))
        self.rounds.said(Broadcast(proposal), START_MS + now_ms)

    def certified(self, round: int, now_ms: int) -> None:
        """A certificate of this round is here."""
        self.rounds.certified(Round(round), self.pool, START_MS + now_ms)

    def good(self, round: int, took_ms: int) -> None:
        """This round of four validators, for which somebody waited, took so long."""
        self.rounds.good(Round(round), took_ms, 4, self.pool)

    @property
    def slow_ms(self) -> int | None:
        """Milliseconds."""
        return self.pool.sealer.window.slow_ms


def test_the_least_from_a_proposal_to_its_certificate_tells_what_a_batch_needs() -> None:
    leader = Leader()
    for round, took_ms in ((1, 40), (2, 30), (3, 90)):
        leader.propose(round, 100 * round)
        leader.certified(round - 1, 100 * round + 1)
        leader.certified(round, 100 * round + took_ms)
        leader.certified(round, 100 * round + took_ms + 1)
    assert leader.slow_ms == FACTOR * 30


def test_a_proposal_that_is_sent_again_was_sent_when_it_was_first() -> None:
    leader = Leader()
    leader.propose(1, 0)
    leader.propose(1, 50)
    proposal = Proposal(block(b"", round=2), Signature(bytes(64)))
    leader.rounds.said(Send(b"one peer", proposal), START_MS + 55)
    leader.certified(1, 60)
    assert leader.slow_ms == FACTOR * 60


def test_a_proposal_that_nobody_certifies_tells_nothing() -> None:
    leader = Leader()
    leader.propose(1, 0)
    leader.certified(2, 10)
    assert leader.slow_ms is None


def test_a_clock_that_was_set_back_tells_nothing() -> None:
    leader = Leader()
    leader.propose(1, 0)
    leader.certified(1, -10)
    assert leader.slow_ms is None


@pytest.mark.parametrize("shown_ms", [3_600_030, 10, 0])
def test_a_clock_that_was_set_meanwhile_tells_nothing_of_that_round_and_all_of_the_next(
    shown_ms: int,
) -> None:
    """Set forward, the round seems an hour long; set back a little, shorter than any can be, which would hold
    for ever."""
    leader = Leader()
    leader.propose(1, 0)
    leader.rounds.clock_set()
    leader.propose(1, shown_ms - 1)  # again
    leader.certified(1, shown_ms)
    assert leader.slow_ms is None
    leader.propose(2, shown_ms)
    leader.certified(2, shown_ms + 30)
    assert leader.slow_ms == FACTOR * 30


def test_a_turn_in_which_the_clock_was_set_is_none() -> None:
    leader = Leader()
    leader.propose(1, 0)
    leader.certified(1, 2)
    for round in range(2, 5):
        leader.good(round, 4)
    leader.rounds.clock_set()
    leader.good(5, 3_600_000)
    for round in range(6, 9):
        leader.good(round, 100)
    assert leader.slow_ms == SLOW_MS
    leader.good(9, 100)
    assert leader.slow_ms == SLOW_FACTOR * 100


def test_in_the_next_epoch_rounds_begin_anew() -> None:
    leader = Leader()
    leader.propose(900, 0)
    leader.propose(1, 100)
    leader.certified(1, 130)
    assert leader.slow_ms == FACTOR * 30


def test_every_validator_knows_in_calm_what_a_batch_needs_before_any_client_came() -> None:
    params = Params(created_ms=CREATED_MS, idle_interval_ms=500)
    setting = make_setting(4, KEYED_HASH, params=params)
    world = World(setting, 0, quality=Quality((30_000, 30_000)), tuning=Tuning(commit_target_ms=50))
    world.start()
    world.run(5_000)
    windows = [host.validator.data.pool.sealer.window for host in world.hosts]
    known = [window.slow_ms for window in windows]
    assert all(ms is not None and 2 * 30 * FACTOR <= ms < 3 * 30 * FACTOR for ms in known)
    world.submit(0, 1)
    world.run(1_000)
    own_ms = windows[0].took_ms
    assert 0 < own_ms <= BATCH_ROUNDS * 3 * 30


def test_a_node_whose_clock_is_set_to_and_fro_goes_on_by_what_it_knew() -> None:
    params = Params(created_ms=CREATED_MS, idle_interval_ms=100)
    setting = make_setting(4, KEYED_HASH, params=params)
    world = World(setting, 0, quality=Quality((30_000, 30_000)), tuning=Tuning(commit_target_ms=50))
    world.start()
    world.run(5_000)
    host = world.hosts[0]
    window = host.validator.data.pool.sealer.window
    known_ms = window.slow_ms

    def set_clock() -> None:
        before_ms, host.skew_ms = host.skew_ms, 0 if host.skew_ms else -20
        host.feed(ClockSet(host.skew_ms - before_ms))
        world.after(50, set_clock)

    set_clock()
    world.run(5_000)
    assert window.slow_ms == known_ms is not None


def test_an_observer_knows_nothing_of_it_and_needs_nothing() -> None:
    observer = Leader()
    for round, now_ms in pairwise(range(5)):
        observer.certified(round, now_ms)
    assert observer.slow_ms is None


def test_who_is_far_away_leads_too_and_what_waits_for_it_is_not_slow() -> None:
    leader = Leader()
    leader.propose(1, 0)
    leader.certified(1, 2)
    assert leader.slow_ms == SLOW_MS
    for round, took_ms in enumerate((1, 4, 5, 300, 4, 4, 5, 100, 6, 4, 5, 200, 7), start=2):
        leader.good(round, took_ms)
        leader.good(round, took_ms)
    assert leader.slow_ms == SLOW_FACTOR * 100


def test_who_was_left_out_for_a_while_and_leads_again_counts_soon() -> None:
    leader = Leader()
    leader.propose(1, 0)
    leader.certified(1, 2)
    for round in range(1, 41):
        leader.good(round, 3)
    for round in range(41, 41 + 4 * TURNS):
        assert leader.slow_ms == SLOW_MS
        leader.good(round, 3 if round % 4 else 100)
    assert leader.slow_ms == SLOW_FACTOR * 100


def test_rounds_with_one_missing_between_them_are_no_turn() -> None:
    """The one that is missing may be that of who is far away."""
    leader = Leader()
    leader.propose(1, 0)
    leader.certified(1, 2)
    for first in (2, 7, 12, 17):
        for round in range(first, first + 4):
            leader.good(round, 50)
    assert leader.slow_ms == SLOW_MS
    leader.good(21, 50)
    assert leader.slow_ms == SLOW_FACTOR * 50


@pytest.mark.parametrize("weights", [(1, 1, 1, 1), (3, 1, 1, 1)])
def test_a_validator_that_is_far_away_does_not_make_a_queue_of_what_the_others_carry(
    weights: tuple[int, ...],
) -> None:
    """Also where it leads in less than one of four rounds."""
    params = Params(created_ms=CREATED_MS, idle_interval_ms=500)
    setting = make_setting(4, KEYED_HASH, weights, params)
    world = World(setting, 0, quality=Quality((1_000, 2_000)))
    for near in range(3):
        world.network.worsen(near, 3, Quality((50_000, 52_000)))
        world.network.worsen(3, near, Quality((50_000, 52_000)))
    world.start()
    world.run(1_000)

    def ask() -> None:
        world.submit(0, 10, size=500)
        world.after(20, ask)

    ask()
    world.run(2_000)
    before = len(world.checkers.acknowledged)
    world.run(1_000)
    assert len(world.checkers.acknowledged) - before >= 400  # of 500 that are asked for
    window = world.hosts[0].validator.data.pool.sealer.window
    assert 2 * 100 <= (window.slow_ms or 0) <= 2 * 120
