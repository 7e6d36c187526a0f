"""What is noted of peers: the last of each kind, clocks by fresh proposals, never too many peers."""

from dataclasses import replace

from consensus import Epoch, Height, Round, Status
from node import wire
from node.validator.sightings import SIGHTINGS_MAX, Sightings
from tests.node.diagnosis.scene import A_CONDITION
from tests.node.validator.world import world_of

PEER = b"\x01" * 32
NO_ROUND = Round(0)


def status(round: int, height: int, epoch: int = 0) -> Status:
    zero = Round(0)
    return Status(Epoch(epoch), Round(round), zero, zero, Height(height), Height(height))


def test_a_status_is_remembered_with_its_time_and_strangers_make_room() -> None:
    seen = Sightings()
    assert seen.of(PEER) is None
    seen.note(PEER, status(7, 5), 1_000, NO_ROUND)
    found = seen.of(PEER)
    assert found is not None
    assert (found.heard_ms, found.round, found.certified_height) == (1_000, 7, 5)
    assert (found.vote_round, found.timeout_round, found.clock_skew_ms) == (None, None, None)
    for number in range(SIGHTINGS_MAX):
        seen.note(number.to_bytes(32, "big"), status(1, 1), 2_000 + number, NO_ROUND)
    assert seen.of(PEER) is None
    assert seen.limits() == (("sightings", SIGHTINGS_MAX, SIGHTINGS_MAX),)


def test_of_what_a_peer_says_of_itself_the_latest_is_remembered_however_often_it_says_it() -> None:
    seen = Sightings()
    for number in range(1_000):
        seen.told(PEER, replace(A_CONDITION, inbox=number), 5_000 + number)
    found = seen.of(PEER)
    assert found is not None
    assert found.condition == replace(A_CONDITION, inbox=999)
    assert (found.condition_ms, found.heard_ms, found.has_told) == (5_999, 0, False), "no word of agreement"
    seen.note(PEER, status(7, 5), 6_000, NO_ROUND)
    seen.on_link_up(PEER)
    assert found.condition is not None, "it stays, with its age"
    for number in range(SIGHTINGS_MAX):
        seen.told(number.to_bytes(32, "big"), A_CONDITION, 7_000 + number)
    assert seen.limits() == (("sightings", SIGHTINGS_MAX, SIGHTINGS_MAX),)


def test_what_a_node_says_of_itself_is_noted_by_whom_it_tells_and_a_lie_in_form_is_punished() -> None:
    world = world_of().start()
    world.run(500)
    speaker, listener = world.hosts[2], world.hosts[0]
    speaker.send(listener, *wire.frame_of_condition(A_CONDITION))
    world.run(100)
    found = listener.validator.sightings.of(speaker.peer)
    assert found is not None
    assert found.condition == A_CONDITION
    assert not any(host.punished for host in world.hosts)
    speaker.send(listener, wire.Code.CONDITION, b"\x01")
    world.run(100)
    assert [(punished.peer, punished.code) for punished in listener.punished] == [
        (speaker.peer, "condition-malformed")
    ]
    assert found.condition == A_CONDITION


def test_with_an_epoch_rounds_begin_anew() -> None:
    seen = Sightings()
    seen.note(PEER, status(90, 5), 1_000, NO_ROUND)
    found = seen.of(PEER)
    assert found is not None
    found.vote_round = found.timeout_round = Round(90)
    seen.note(PEER, status(2, 6, epoch=1), 2_000, NO_ROUND)
    anew = seen.of(PEER)
    assert anew is not None
    assert (anew.round, anew.vote_round, anew.timeout_round) == (2, None, None)
    assert anew.certified_height == 6


def test_a_running_cluster_sees_rounds_votes_and_clocks_of_everybody() -> None:
    world = world_of().start()
    world.run(500)
    sent = [t for turn in range(8) for t in world.submit(turn % 4)]
    assert world.stored(sent, 5_000)
    watcher = world.hosts[0].validator
    others = watcher.directory.links()
    assert len(others) == 3
    for key in others:
        found = watcher.sightings.of(key)
        assert found is not None
        assert found.vote_round is not None
        assert found.round is not None
        assert found.certified_height is not None
    skews = [seen.clock_skew_ms for key in others if (seen := watcher.sightings.of(key)) is not None]
    known = [skew for skew in skews if skew is not None]
    assert known
    assert all(abs(skew) < 1_000 for skew in known)


def test_rounds_count_as_missed_only_when_others_voted_in_them_while_the_link_was_up() -> None:
    world = world_of(idle_interval_ms=20).start()
    watcher, mute = world.hosts[0], world.hosts[3]
    sent = [t for turn in range(40) for t in world.submit(turn % 4)]
    assert world.stored(sent, 10_000)
    world.run(1_000)
    assert watcher.validator.replica.rounds()[1] > 20
    mute.crash()
    mute.disk.guard = None  # from now on it follows and signs nothing (C14)
    world.run(1_000)
    mute.start()
    assert world.run(2_000, lambda: mute.peer in watcher.validator.directory.links())
    missed = watcher.validator.sightings.missed_rounds
    assert missed(mute.peer) <= 2, "what went by while it was away, or before, was not its to vote for"
    for turn in range(16):
        assert world.stored(world.submit(turn % 3), 5_000)
    assert missed(mute.peer) > 16
    assert missed(world.hosts[1].peer) <= 2
    found = watcher.validator.sightings.of(mute.peer)
    assert found is not None
    assert found.heard_ms > 0
    watcher.crash()
    watcher.start()
    assert world.run(2_000, lambda: len(watcher.validator.directory.links()) == 3)
    missed = watcher.validator.sightings.missed_rounds
    assert [missed(host.peer) <= 2 for host in world.hosts[1:]] == [True] * 3, "a start accuses nobody"


def test_after_a_restart_of_all_nobodys_clock_is_judged_by_what_was_proposed_before() -> None:
    world = world_of(idle_interval_ms=10_000).start()
    assert world.stored(world.submit(0), 5_000)
    world.run(12_000)
    for host in world.hosts:
        host.crash()
    world.run(20_000)
    for host in world.hosts:
        host.start()
    for _ in range(30):
        world.run(100)
        seen = [host.validator.sightings.of(other.peer) for host in world.hosts for other in world.hosts]
        skews = [one.clock_skew_ms for one in seen if one is not None and one.clock_skew_ms is not None]
        assert all(abs(skew) < 1_000 for skew in skews), skews
    for turn in range(12):
        assert world.stored(world.submit(turn % 4), 5_000)
    first = world.hosts[0].validator.sightings
    known = [first.of(host.peer) for host in world.hosts[1:]]
    assert all(one is not None and one.clock_skew_ms is not None for one in known)


def test_what_a_leader_without_a_quorum_sends_again_does_not_set_its_clock_back() -> None:
    world = world_of(idle_interval_ms=50).start()
    for turn in range(12):
        assert world.stored(world.submit(turn % 4), 5_000)
    for host in world.hosts[2:]:
        host.crash()
    world.submit(0)
    first, second = world.hosts[:2]
    for _ in range(600):
        world.run(100)
        seen = [one.validator.sightings.of(other.peer) for one, other in ((first, second), (second, first))]
        skews = [one.clock_skew_ms for one in seen if one is not None and one.clock_skew_ms is not None]
        assert len(skews) == 2
        assert all(abs(skew) < 1_000 for skew in skews), skews


def test_a_clock_is_judged_anew_when_the_link_comes_up_again() -> None:
    seen = Sightings()
    seen.note(PEER, status(7, 5), 1_000, NO_ROUND)
    found = seen.of(PEER)
    assert found is not None
    found.skews_ms.append(7_000)
    assert found.clock_skew_ms == 7_000
    seen.on_link_up(PEER)
    assert found.clock_skew_ms is None
