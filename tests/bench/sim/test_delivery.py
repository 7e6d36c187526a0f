"""Where a simulated shell must not be kinder than the daemon: what outlives a crash on the wire, what a
daemon refuses to start with, and whom it would ban."""

import pytest

from bench.sim.disk import Disk
from bench.sim.host import Host
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.network import Quality
from bench.sim.setting import make_setting
from bench.sim.violation import Violation
from bench.sim.world import World
from consensus import StartKind
from node import wire
from node.validator import Frame, Input

SETTING = make_setting(4, KEYED_HASH)
RUBBISH = b"what a killed process had written"


class Listener:
    """Changes nothing, and keeps what came in."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []

    def started(self, host: Host) -> None:
        return None

    def incoming(self, host: Host, item: Input) -> list[Input]:
        if isinstance(item, Frame) and item.body == RUBBISH:
            self.heard.append(item.body)
            return []
        return [item]

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> list[tuple[int, bytes]]:
        return [(topic, body)]


def listened() -> tuple[World, Listener]:
    """A running world in which host 1 listens."""
    listener = Listener()
    world = World(SETTING, 1, quality=Quality((1_000, 2_000)), behaviours={1: listener}).start()
    world.run(300)
    return world, listener


def say(world: World) -> None:
    """Host 0 says something to host 1."""
    world.network.send(world.hosts[0], world.hosts[1], wire.Code.DATA, RUBBISH, gossip=False)


# --- the wire ---------------------------------------------------------------------------------------


def test_what_was_sent_arrives_after_its_sender_was_killed() -> None:
    world, listener = listened()
    say(world)
    world.hosts[0].crash()
    world.run(10)
    assert listener.heard == [RUBBISH]


def test_what_was_sent_does_not_cross_a_cut_or_reach_another_life() -> None:
    world, listener = listened()
    say(world)
    world.partition((1,), (0, 2, 3))
    world.run(10)
    world.heal()
    say(world)
    world.hosts[1].crash()
    world.hosts[1].start()
    world.run(10)
    assert listener.heard == []


# --- the journal ------------------------------------------------------------------------------------


def filled(world: World) -> Disk:
    """The disk of a stopped host whose database was filled from its journal."""
    assert world.stored(world.submit(0, 3), 5_000)
    world.run(500)
    disk = world.hosts[2].disk
    world.hosts[2].crash()
    return disk


def test_a_journal_older_than_its_database_is_refused_as_a_daemon_does() -> None:
    world = World(SETTING, 1).start()
    disk = filled(world)
    disk.journal, disk.last_seq = [], disk.filled_up_to - 1
    with pytest.raises(Violation, match=r"journal: host 2 cannot start"):
        world.hosts[2].start()


def test_a_journal_that_was_trimmed_too_far_is_refused_as_a_daemon_does() -> None:
    world = World(SETTING, 1).start()
    disk = filled(world)
    first = disk.filled_up_to + 2
    disk.journal, disk.last_seq = [(first, b"")], first
    with pytest.raises(Violation, match=r"journal: host 2 cannot start"):
        world.hosts[2].start()


def test_a_journal_that_is_gone_is_no_reason_not_to_start() -> None:
    world = World(SETTING, 1).start()
    disk = filled(world)
    disk.journal, disk.last_seq, disk.is_journal_lost = [], 0, True
    world.hosts[2].start()
    assert world.hosts[2].up


def test_a_copy_of_a_disk_without_its_journal_knows_that_it_is_gone() -> None:
    world = World(SETTING, 1).start()
    disk = filled(world)
    disk.journal, disk.is_journal_lost = [], True
    world.hosts[2].disk = disk.copy()
    world.hosts[2].start()
    assert world.hosts[2].floor.kind is StartKind.BEHIND


# --- blame ------------------------------------------------------------------------------------------


def babbled(*exempt: int) -> World:
    """A world in which host 1 heard rubbish of host 0."""
    world = World(SETTING, 1).start()
    for index in exempt:
        world.checkers.exempt[index] = None
    world.run(300)
    world.hosts[1].receive(world.hosts[0].peer, wire.Code.AGREEMENT, b"rubbish")
    assert world.hosts[1].punished
    return world


def test_an_honest_host_that_is_punished_is_found_in_the_end() -> None:
    with pytest.raises(Violation, match=r"blame: host 1 punishes the honest host 0 for "):
        babbled().checkers.check_blame()


@pytest.mark.parametrize("exempt", [0, 1])
def test_what_liars_do_and_suffer_is_nobodys_blame(exempt: int) -> None:
    babbled(exempt).checkers.check_blame()


def test_an_answer_that_arrives_twice_is_blamed_only_where_frames_do() -> None:
    world = World(SETTING, 1).start()
    one, other = world.hosts[:2]
    world.checkers.on_punished(one, [other], "batch-unsolicited", doubled=True)
    world.checkers.check_blame()
    world.checkers.on_punished(one, [other], "batch-unsolicited", doubled=False)
    with pytest.raises(Violation, match="blame"):
        world.checkers.check_blame()
