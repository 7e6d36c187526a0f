"""The recording is of real agreement: a replica told the same again does the same."""

from bench.micro.ring import fresh_replica, recorded
from consensus import Commit, HeaderSignature, Proposal, Received, Status, Timeout, TimerFired, Vote

NODES, ROUNDS = 4, 20


def test_the_recording_holds_every_kind_of_message_that_agreement_needs() -> None:
    kinds = {type(told.event.message) for told in recorded(NODES, ROUNDS) if isinstance(told.event, Received)}
    assert kinds >= {Proposal, Vote, Timeout, HeaderSignature, Status}


def test_timers_fire_because_proposals_are_lost() -> None:
    assert any(isinstance(told.event, TimerFired) for told in recorded(NODES, ROUNDS))


def test_a_fresh_replica_told_the_same_commits_and_comes_to_the_same_round() -> None:
    views = []
    for _ in range(2):
        replica, committed = fresh_replica(NODES, 0), 0
        for told in recorded(NODES, ROUNDS):
            effects = replica.step(told.event, told.now_ms)
            committed += sum(len(effect.blocks) for effect in effects if isinstance(effect, Commit))
        assert committed > 5
        views.append((replica.view(), committed))
    assert views[0] == views[1]
    assert views[0][0].round > ROUNDS
