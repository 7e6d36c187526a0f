"""Why a node cannot commit, in sentences: here the one that no broken link tells."""

from dataclasses import replace

from consensus import Height, PendingPayload, Persisted, Replica, Round, SetTimer, TimerFired, TimerKind
from node.daemon.readiness import below_the_floor, stalled_round
from tests.consensus.forge import KEYS, VALIDATORS, timeout
from tests.consensus.test_replica import NOW, give, replica_of

NAMES = ("north", "east", "south", "west")


def replica_that_gave_up() -> Replica:
    """Validator 0, whose timer of round 1 expired and whose own timeout is durable."""
    replica = replica_of()
    effects = replica.step(PendingPayload(True), NOW)
    (timer,) = [e.timer for e in effects if isinstance(e, SetTimer) and e.timer.kind is TimerKind.ROUND]
    replica.step(TimerFired(timer), NOW)
    replica.step(Persisted(1), NOW)
    return replica


def told(replica: Replica) -> str | None:
    return stalled_round(replica.view(), VALIDATORS.index_of(KEYS[0].public_key), NAMES)


def test_a_round_that_goes_on_is_no_reason() -> None:
    replica = replica_of()
    assert told(replica) is None
    replica.step(PendingPayload(True), NOW)
    assert told(replica) is None


def test_connected_validators_that_do_not_answer_are_named() -> None:
    replica = replica_that_gave_up()
    give(replica, timeout(1, 2), 2)
    sentence = told(replica)
    assert sentence is not None
    assert "round 1" in sentence
    assert "east, west" in sentence
    assert "north" not in sentence
    assert "south" not in sentence


def test_a_quorum_that_gave_up_as_well_ends_the_round_and_the_reason() -> None:
    replica = replica_that_gave_up()
    for author in (1, 2):
        give(replica, timeout(1, author), author)
    assert replica.view().round == 2
    assert told(replica) is None


def test_an_observer_waits_for_nobodys_answer() -> None:
    assert stalled_round(replica_that_gave_up().view(), None, NAMES) is None


def test_what_a_start_reserved_of_an_older_epoch_is_no_reason_in_the_next_one() -> None:
    started = replace(replica_of().view(), round=Round(356), floor_round=Round(390), floor_height=Height(0))
    (reason,) = below_the_floor(started)
    assert "signs again only above round 390 (now 356)" in reason
    crossed = replace(started, round=Round(2), floor_round=Round(0))
    assert below_the_floor(crossed) == []
    assert "height 215" in below_the_floor(replace(crossed, floor_height=Height(215)))[0]
