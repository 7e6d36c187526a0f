"""The gossip core alone, and in simulated networks of 50 and 200 nodes with loss."""

import heapq
import random
from dataclasses import dataclass, field

import pytest

from p2p import GossipConfig, PeerId
from p2p.gossip import ID_BYTES, Gossip, decode_ids, encode_ids, message_id
from p2p.gossip_effects import Deliver, Effect, Penalise, SendAnnounce, SendBody, SendPull

TOPIC = 4


def peer(number: int) -> PeerId:
    return PeerId(number.to_bytes(32, "big"))


def make_gossip(peers: int, **changes: int) -> Gossip:
    gossip = Gossip(GossipConfig(**changes), random.Random(7))
    for number in range(peers):
        assert gossip.connected(peer(number), 0) == []
    return gossip


@dataclass
class World:
    """Many gossip cores, joined by lossy links with latency, in virtual time."""

    gossips: list[Gossip]
    rng: random.Random
    loss: float
    now_ms: int = 0
    bodies_sent: int = 0
    ids_sent: int = 0
    delivered: dict[bytes, set[int]] = field(default_factory=dict)
    _order: int = 0
    _events: list[tuple[int, int, int, int, Effect]] = field(default_factory=list)

    def publish(self, node: int, body: bytes) -> bytes:
        identity = message_id(TOPIC, body)
        self.delivered[identity] = {node}
        self.perform(node, self.gossips[node].publish(TOPIC, body))
        return identity

    def perform(self, node: int, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendBody(peers, _, _):
                    self.bodies_sent += len(peers)
                    for target in peers:
                        self._post(node, target, effect)
                case SendAnnounce(target, ids) | SendPull(target, ids):
                    self.ids_sent += len(ids)
                    self._post(node, target, effect)
                case Deliver(_, _, _, identity):
                    assert node not in self.delivered[identity], "a message was delivered twice"
                    self.delivered[identity].add(node)
                    self.perform(node, self.gossips[node].accept(identity))
                case Penalise():
                    pass

    def run(self, until_ms: int) -> None:
        while self.now_ms < until_ms:
            self.now_ms += 10
            while self._events and self._events[0][0] <= self.now_ms:
                _, _, sender, target, effect = heapq.heappop(self._events)
                self._arrive(self.gossips[target], peer(sender), target, effect)
            for node, gossip in enumerate(self.gossips):
                self.perform(node, gossip.tick(self.now_ms))

    def _arrive(self, gossip: Gossip, sender: PeerId, node: int, effect: Effect) -> None:
        match effect:
            case SendBody(_, topic, payload):
                self.perform(node, gossip.receive(sender, topic, payload))
            case SendAnnounce(_, ids):
                self.perform(node, gossip.announced(sender, ids, self.now_ms))
            case SendPull(_, ids):
                self.perform(node, gossip.pulled(sender, ids, self.now_ms))

    def _post(self, node: int, target: PeerId, effect: Effect) -> None:
        if self.rng.random() < self.loss:
            return
        self._order += 1
        at = self.now_ms + self.rng.randrange(1, 40)
        heapq.heappush(self._events, (at, self._order, node, int.from_bytes(target, "big"), effect))


def make_world(nodes: int, degree: int, loss: float, seed: int) -> World:
    """`degree` random neighbours a node at least; `nodes - 1` gives the full mesh."""
    rng = random.Random(seed)
    gossips = [Gossip(GossipConfig(), random.Random(seed * 1000 + node)) for node in range(nodes)]
    links = {(a, (a + 1) % nodes) for a in range(nodes)}
    links |= {
        (a, b) for a in range(nodes) for b in rng.sample(range(nodes), min(degree, nodes - 1)) if a != b
    }
    for a, b in sorted({(min(link), max(link)) for link in links}):
        gossips[a].connected(peer(b), 0)
        gossips[b].connected(peer(a), 0)
    return World(gossips, rng, loss)


@pytest.mark.parametrize(
    ("nodes", "degree", "loss"),
    [(50, 49, 0.0), (50, 10, 0.1), (200, 199, 0.0), (200, 16, 0.0), (200, 16, 0.2), (200, 199, 0.2)],
)
def test_every_message_reaches_every_node_and_bodies_are_sent_less_than_twice_a_node(
    nodes: int, degree: int, loss: float
) -> None:
    world = make_world(nodes, degree, loss, seed=nodes + degree)
    messages = 20
    for number in range(messages):
        world.publish(number % nodes, b"message %d" % number)
        world.run(world.now_ms + 30)
    world.run(world.now_ms + 15_000)
    assert all(len(reached) == nodes for reached in world.delivered.values())
    assert world.bodies_sent < 2 * messages * nodes
    assert world.ids_sent < 30 * messages * nodes


@pytest.mark.parametrize("nodes", [2, 4, 9])
def test_up_to_the_fanout_everybody_gets_a_message_in_one_hop_and_once(nodes: int) -> None:
    world = make_world(nodes, nodes - 1, 0.0, seed=1)
    world.publish(0, b"small cluster")
    assert world.bodies_sent == nodes - 1
    world.run(5_000)
    assert world.bodies_sent == nodes - 1
    assert all(len(reached) == nodes for reached in world.delivered.values())


def test_a_message_is_delivered_once_and_forwarded_only_after_it_was_accepted() -> None:
    gossip = make_gossip(3)
    identity = message_id(TOPIC, b"tx")
    assert gossip.receive(peer(0), TOPIC, b"\x04tx") == [Deliver(peer(0), TOPIC, b"tx", identity)]
    assert gossip.receive(peer(1), TOPIC, b"\x04tx") == []
    assert gossip.tick(1_000) == [], "an unvalidated message must not be announced"
    assert gossip.pulled(peer(2), (identity,), 1_000) == [], "an unvalidated message must not be served"
    assert gossip.accept(identity) == [SendBody((peer(2),), TOPIC, b"\x00tx")]
    assert gossip.accept(identity) == []


def test_a_rejected_message_is_neither_forwarded_nor_delivered_again() -> None:
    gossip = make_gossip(3)
    (delivery,) = gossip.receive(peer(0), TOPIC, b"\x04junk")
    assert isinstance(delivery, Deliver)
    gossip.reject(delivery.message_id)
    assert gossip.accept(delivery.message_id) == []
    assert gossip.receive(peer(1), TOPIC, b"\x04junk") == []
    assert gossip.pulled(peer(1), (delivery.message_id,), 0) == []


def test_a_message_that_never_reached_the_application_may_come_again() -> None:
    gossip = make_gossip(3)
    (delivery,) = gossip.receive(peer(0), TOPIC, b"\x04tx")
    assert isinstance(delivery, Deliver)
    gossip.forget(delivery.message_id)
    assert len(gossip.receive(peer(1), TOPIC, b"\x04tx")) == 1


def test_a_received_budget_is_cut_to_what_a_relay_may_push() -> None:
    gossip = make_gossip(40)
    gossip.receive(peer(0), TOPIC, b"\xfftx")
    (push,) = gossip.accept(message_id(TOPIC, b"tx"))
    assert isinstance(push, SendBody)
    assert len(push.peers) == 4
    assert push.payload[0] == 2


def test_an_unanswered_pull_is_retried_with_its_holders_in_turn_and_then_given_up() -> None:
    gossip = make_gossip(3, pull_timeout_ms=1_000, pull_attempts_max=3)
    identity = message_id(TOPIC, b"tx")
    assert gossip.announced(peer(0), (identity,), 0) == [SendPull(peer(0), (identity,))]
    assert gossip.announced(peer(1), (identity,), 10) == []
    assert gossip.tick(999) == []
    assert gossip.tick(1_000) == [Penalise(peer(0), "unanswered-pull", 1), SendPull(peer(1), (identity,))]
    assert gossip.tick(2_000) == [Penalise(peer(1), "unanswered-pull", 1), SendPull(peer(0), (identity,))]
    assert gossip.tick(3_000) == [Penalise(peer(0), "unanswered-pull", 1)]
    assert gossip.sizes()["gossip_pulls"][0] == 0
    assert gossip.announced(peer(2), (identity,), 3_001) == [SendPull(peer(2), (identity,))]


def test_a_pull_from_a_peer_that_left_is_retried_at_once_and_nobody_is_blamed() -> None:
    gossip = make_gossip(3)
    identity = message_id(TOPIC, b"tx")
    gossip.announced(peer(0), (identity,), 0)
    gossip.announced(peer(1), (identity,), 0)
    gossip.disconnected(peer(0))
    assert gossip.tick(1) == [SendPull(peer(1), (identity,))]


def test_a_new_neighbour_learns_of_recent_messages() -> None:
    gossip = make_gossip(0)
    gossip.publish(TOPIC, b"one")
    gossip.publish(TOPIC, b"two")
    ids = (message_id(TOPIC, b"one"), message_id(TOPIC, b"two"))
    assert gossip.connected(peer(9), 5) == [SendAnnounce(peer(9), ids)]
    assert gossip.pulled(peer(9), ids, 6) == [
        SendBody((peer(9),), TOPIC, b"\0one"),
        SendBody((peer(9),), TOPIC, b"\0two"),
    ]


def test_one_peer_can_neither_make_us_ask_nor_serve_without_bound() -> None:
    gossip = make_gossip(2, pulls_per_peer=10, announced_ids_per_second=100, served_bytes_per_second=10)
    ids = tuple(number.to_bytes(ID_BYTES, "big") for number in range(50))
    (pull,) = gossip.announced(peer(0), ids, 0)
    assert isinstance(pull, SendPull)
    assert len(pull.ids) == 10
    assert gossip.announced(peer(0), ids, 1) == []
    gossip.publish(TOPIC, b"twelve bytes")
    wanted = (message_id(TOPIC, b"twelve bytes"),)
    assert len(gossip.pulled(peer(1), wanted, 0)) == 1
    assert gossip.pulled(peer(1), wanted, 999) == []
    assert len(gossip.pulled(peer(1), wanted, 1_000)) == 1


def test_announcements_of_a_busy_network_are_dropped_and_only_a_flood_is_blamed() -> None:
    gossip = make_gossip(1, announced_ids_per_second=100)
    ids = tuple(number.to_bytes(ID_BYTES, "big") for number in range(100))
    assert gossip.announced(peer(0), ids, 0), "asked for"
    new = tuple(number.to_bytes(ID_BYTES, "big") for number in range(100, 200))
    heard = [gossip.announced(peer(0), new, 1 + frame) for frame in range(15)]
    assert heard == [[]] * 15, "16 times what is heard is dropped without blame"
    assert gossip.counters.announcements_dropped == 1_500
    assert gossip.announced(peer(0), new, 20) == [Penalise(peer(0), "too-many-announcements", 1)]
    assert gossip.announced(peer(0), new, 30) == [], "a fault costs once a second"
    assert gossip.announced(peer(0), new, 1_000), "and the next second everything is heard again"


def test_a_neighbour_that_answers_some_pulls_is_not_blamed_for_the_others() -> None:
    gossip = make_gossip(1, pull_timeout_ms=500, pull_attempts_max=1)
    bodies = [bytes([number]) for number in range(1, 3)]
    gossip.announced(peer(0), tuple(message_id(TOPIC, body) for body in bodies), 0)
    gossip.receive(peer(0), TOPIC, b"\0" + bodies[0])
    assert not [effect for effect in gossip.tick(500) if isinstance(effect, Penalise)]
    gossip.announced(peer(0), (message_id(TOPIC, b"three"),), 2_100)
    gossip.tick(2_600)
    gossip.announced(peer(0), (message_id(TOPIC, b"four"),), 4_000)
    assert Penalise(peer(0), "unanswered-pull", 1) in gossip.tick(4_500)


def test_store_and_memory_of_ids_stay_within_their_bounds() -> None:
    gossip = make_gossip(1, store_items=10, store_bytes=200, seen_items=30, pulls_max=5)
    for number in range(100):
        gossip.receive(peer(0), TOPIC, b"\0" + b"x" * 30 + b"%d" % number)
        gossip.announced(peer(0), (number.to_bytes(ID_BYTES, "big"),), 0)
    sizes = gossip.sizes()
    assert all(current <= bound for current, bound in sizes.values()), sizes
    assert sizes["gossip_seen_items"] == (30, 30)
    assert sizes["gossip_pulls"] == (5, 5)


def test_lists_of_ids_survive_the_wire_and_broken_ones_are_refused() -> None:
    ids = (b"a" * ID_BYTES, b"b" * ID_BYTES)
    assert decode_ids(encode_ids(ids)) == ids
    assert decode_ids(b"") is None
    assert decode_ids(b"a" * (ID_BYTES + 1)) is None


def test_an_empty_body_costs_its_sender() -> None:
    assert make_gossip(1).receive(peer(0), TOPIC, b"\x04") == [Penalise(peer(0), "empty-gossip", 10)]
