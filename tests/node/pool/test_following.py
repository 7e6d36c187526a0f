"""Who feeds whom: a tree without rings, few children, and nobody left behind for long."""

from collections import deque
from dataclasses import dataclass, field
from random import Random

import pytest

from consensus import Digest, Epoch, HeaderCertificate, Height
from node.pool.effects import Send, Wake
from node.pool.following import FollowEffect, Following, FollowLimits, Pull, Tell
from node.pool.messages import Fed, Follow

LIMITS = FollowLimits()
START_MS = 1_000_000


def certificate(height: int) -> HeaderCertificate:
    """Of a height; nobody here verifies it."""
    name = Digest(height.to_bytes(32, "big"))
    return HeaderCertificate(0, Epoch(0), Height(height), name, name, b"\x07", bytes(192))


@dataclass
class Node:
    """A node and what it asked for."""

    machine: Following
    height: int = 0
    wake_ms: int | None = None
    pulled: list[tuple[int, bytes]] = field(default_factory=list)


class Tree:
    """Nodes with links: messages arrive at once and in order, timers when their time comes."""

    def __init__(self, validators: int, followers: int) -> None:
        self.now_ms = START_MS
        self.nodes: dict[bytes, Node] = {}
        self.links: dict[tuple[bytes, bytes], None] = {}
        self.queue: deque[tuple[bytes, bytes, Follow | Fed]] = deque()
        for number in range(validators + followers):
            follows = number >= validators
            machine = Following(LIMITS, follows=follows, epoch=Epoch(0), height=Height(0))
            self.nodes[name_of(number)] = Node(machine)
        self.validators = [name_of(number) for number in range(validators)]

    def link(self, one: bytes, other: bytes) -> None:
        self.links[one, other] = self.links[other, one] = None
        for here, there in ((one, other), (other, one)):
            up = self.nodes[here].machine.on_link_up(there, there in self.validators, self.now_ms)
            self.take(here, up)
        self.settle()

    def part(self, one: bytes, other: bytes) -> None:
        del self.links[one, other], self.links[other, one]
        for here, there in ((one, other), (other, one)):
            self.take(here, self.nodes[here].machine.on_link_down(there, self.now_ms))
        self.settle()

    def kill(self, name: bytes) -> None:
        for other in [there for here, there in self.links if here == name]:
            self.part(name, other)
        del self.nodes[name]

    def take(self, name: bytes, effects: list[FollowEffect]) -> None:
        node = self.nodes[name]
        for effect in effects:
            match effect:
                case Send(peer, message):
                    assert isinstance(message, Follow | Fed)
                    self.queue.append((name, peer, message))
                case Wake(delay_ms):
                    node.wake_ms = self.now_ms + delay_ms
                case Pull(certified, peer):
                    node.pulled.append((certified.height, peer))
                case Tell(peer, _, height):
                    if node.height > height and (name, peer) in self.links:
                        told = self.nodes[peer].machine.on_told(name, certificate(node.height), self.now_ms)
                        self.take(peer, told)

    def settle(self) -> None:
        while self.queue:
            source, target, message = self.queue.popleft()
            if (source, target) not in self.links:
                continue
            machine = self.nodes[target].machine
            if isinstance(message, Follow):
                self.take(target, machine.on_follow(source, message, self.now_ms))
            else:
                self.take(target, machine.on_fed(source, message, self.now_ms))

    def run(self, duration_ms: int) -> None:
        end_ms = self.now_ms + duration_ms
        while True:
            wakes = [(node.wake_ms, name) for name, node in self.nodes.items() if node.wake_ms is not None]
            due = min(wakes, default=None)
            if due is None or due[0] > end_ms:
                self.now_ms = end_ms
                return
            self.now_ms = max(self.now_ms, due[0])
            self.nodes[due[1]].wake_ms = None
            self.take(due[1], self.nodes[due[1]].machine.on_tick(self.now_ms))
            self.settle()

    def grow(self, name: bytes, height: int) -> None:
        """A node has everything up to this height."""
        self.nodes[name].height = height
        self.nodes[name].machine.on_height(Height(height))

    def check(self) -> None:
        """No ring, both ends agree on who feeds whom, and nobody feeds more than it may."""
        for name, node in self.nodes.items():
            machine = node.machine
            assert len(machine.fed) <= machine.fed_max
            seen, at = {name}, machine.feeder
            while at is not None:
                assert at not in seen, "a ring"
                seen.add(at)
                at = self.nodes[at].machine.feeder
            if machine.feeder is not None:
                assert name in self.nodes[machine.feeder].machine.fed
                assert machine.distance is not None
                assert machine.distance > 0


def name_of(number: int) -> bytes:
    return number.to_bytes(32, "big")


def full(validators: int, followers: int) -> Tree:
    tree = Tree(validators, followers)
    names = list(tree.nodes)
    for index, one in enumerate(names):
        for other in names[index + 1 :]:
            if other not in tree.validators:
                tree.link(one, other)
    return tree


def test_a_validator_feeds_few_and_those_feed_the_others() -> None:
    tree = full(4, 30)
    tree.run(3_000)
    tree.check()
    assert all(len(tree.nodes[name].machine.fed) <= LIMITS.fed_by_validator_max for name in tree.validators)
    followers = [node.machine for name, node in tree.nodes.items() if name not in tree.validators]
    assert all(machine.feeder is not None for machine in followers)


def test_who_knows_only_a_validator_that_is_full_asks_it_for_news() -> None:
    tree = Tree(1, 3)
    for number in (1, 2, 3):
        tree.link(name_of(0), name_of(number))
    tree.grow(name_of(0), 5)
    tree.run(LIMITS.probe_ms + 1)
    unfed = [node for node in tree.nodes.values() if node.machine.distance is None]
    assert len(unfed) == 1
    assert dict.fromkeys(unfed[0].pulled) == {(5, name_of(0)): None}


def test_a_feeder_that_withholds_is_left_and_what_it_withheld_is_fetched() -> None:
    tree = full(2, 1)
    follower = tree.nodes[name_of(2)]
    lazy = follower.machine.feeder
    assert lazy is not None
    other = next(name for name in tree.validators if name != lazy)
    tree.grow(other, 9)
    tree.run(2 * LIMITS.probe_ms + LIMITS.grace_ms + 1)
    assert follower.pulled[0] == (9, other)
    assert follower.machine.switches >= 1
    assert follower.machine.feeder == other
    tree.check()


def test_what_the_feeder_brings_in_time_is_not_fetched() -> None:
    tree = full(2, 1)
    follower = tree.nodes[name_of(2)]
    other = next(name for name in tree.validators if name != follower.machine.feeder)
    tree.grow(other, 9)
    tree.run(LIMITS.probe_ms + 1)
    tree.grow(name_of(2), 9)
    tree.run(LIMITS.grace_ms + 1)
    assert follower.pulled == []
    assert follower.machine.switches == 0


def test_a_liar_is_left_and_not_asked_again_for_a_minute() -> None:
    tree = full(2, 1)
    follower = tree.nodes[name_of(2)].machine
    liar = follower.feeder
    assert liar is not None
    tree.take(name_of(2), follower.on_fault(liar, tree.now_ms))
    tree.settle()
    tree.run(LIMITS.lie_pause_ms // 2)
    assert follower.feeder not in (None, liar)


def test_a_late_yes_is_answered_with_no_thanks() -> None:
    tree = full(1, 1)
    follower = tree.nodes[name_of(1)].machine
    stranger = name_of(77)
    tree.take(name_of(1), follower.on_link_up(stranger, True, tree.now_ms))
    tree.queue.clear()
    effects = follower.on_fed(stranger, Fed(0), tree.now_ms)
    assert Send(stranger, Fed(None)) in effects
    assert follower.feeder == name_of(0)


@pytest.mark.parametrize("seed", range(20))
def test_links_come_and_go_and_the_tree_never_closes_to_a_ring(seed: int) -> None:
    random = Random(seed)
    tree = Tree(2, 14)
    names = list(tree.nodes)
    for place, name in enumerate(names[2:], 2):
        for other in random.sample(names[:place], min(3, place)):
            tree.link(name, other)
    for _ in range(120):
        one, other = random.sample(names, 2)
        if one in tree.validators and other in tree.validators:
            continue
        if (one, other) in tree.links:
            tree.part(one, other)
        else:
            tree.link(one, other)
        tree.check()
        tree.run(random.choice((0, 10, 400, 2_500)))
        tree.check()


@pytest.mark.parametrize("seed", range(5))
def test_when_feeders_die_all_who_are_left_are_fed_again(seed: int) -> None:
    random = Random(seed)
    tree = full(4, 20)
    tree.run(3_000)
    followers = [name for name in tree.nodes if name not in tree.validators]
    for name in random.sample(followers, 5):
        tree.kill(name)
    tree.run(2 * LIMITS.ask_again_max_ms)
    tree.check()
    left = [node.machine for name, node in tree.nodes.items() if name not in tree.validators]
    assert all(machine.feeder is not None for machine in left)


def test_whoever_gets_a_seat_feeds_and_is_fed_no_more() -> None:
    tree = full(1, 3)
    tree.run(1_000)
    member = next(
        name for name, node in tree.nodes.items() if node.machine.fed and name not in tree.validators
    )
    machine = tree.nodes[member].machine
    feeder, children = machine.feeder, machine.fed
    assert feeder is not None
    validators = {peer: peer in tree.validators for peer in tree.nodes if peer != member}
    effects = machine.enter(follows=False, epoch=Epoch(1), renamed={}, validators=validators)
    assert Send(feeder, Fed(None)) in effects
    assert all(Send(child, Fed(None)) in effects for child in children)
    assert (machine.feeder, machine.distance) == (None, 0)


def test_who_asks_too_often_is_not_answered() -> None:
    machine = Following(LIMITS, follows=False, epoch=Epoch(0), height=Height(9))
    machine.on_link_up(name_of(5), False, START_MS)
    asked = Follow(Epoch(0), Height(1), False)
    assert machine.on_follow(name_of(5), asked, START_MS) != []
    assert machine.on_follow(name_of(5), asked, START_MS + LIMITS.answer_pause_ms - 1) == []
    assert machine.on_follow(name_of(5), asked, START_MS + LIMITS.answer_pause_ms) != []


def test_strangers_without_a_link_change_nothing() -> None:
    machine = Following(LIMITS, follows=True, epoch=Epoch(0), height=Height(0))
    assert machine.on_follow(name_of(5), Follow(Epoch(0), Height(0), True), START_MS) == []
    assert machine.on_fed(name_of(5), Fed(0), START_MS) == []
    assert (machine.feeder, machine.fed) == (None, ())


def test_links_beyond_the_bound_are_not_kept() -> None:
    machine = Following(FollowLimits(links_max=2), follows=True, epoch=Epoch(0), height=Height(0))
    for number in range(5):
        machine.on_link_up(name_of(number), False, START_MS)
    assert dict((name, now) for name, now, _ in machine.limits())["follow_links"] == 2


def test_a_question_for_news_does_not_end_the_feeding_and_a_word_does() -> None:
    machine = Following(LIMITS, follows=False, epoch=Epoch(0), height=Height(9))
    machine.on_link_up(name_of(5), False, START_MS)
    machine.on_follow(name_of(5), Follow(Epoch(0), Height(1), True), START_MS)
    machine.on_follow(name_of(5), Follow(Epoch(0), Height(1), False), START_MS + 5_000)
    assert machine.fed == (name_of(5),)
    machine.on_fed(name_of(5), Fed(None), START_MS + 5_000)
    assert not machine.fed
