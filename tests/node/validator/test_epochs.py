"""A cluster changes its validators while clients go on: nothing is lost, nothing waits for a timeout (C4)."""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import pytest

from bench.sim.checkers.reading import unpack
from bench.sim.host import Host
from bench.sim.operators import Operators
from bench.sim.remembered import remembered
from bench.sim.setting import make_setting
from bench.sim.world import World
from node import wire
from node.ledger.governance.changes import AddValidator, Change, RemoveValidator, Reweigh, RotateKeys
from node.ledger.transactions import Transaction
from node.pool.messages import FetchedBatch
from node.storage import ChainTable
from node.validator.epochs import EpochLink, epoch_key
from node.validator.inputs import Frame

HEAL_MS = 30_000


class Changing:
    """A world with candidates, its operators, and clients who never stop."""

    def __init__(self, seed: int = 0, *, candidates: int = 0, asleep: tuple[int, ...] = ()) -> None:
        self.setting = make_setting(4, remembered(), candidates=candidates)
        self.world = World(self.setting, seed)
        self.operators = Operators(self.world)
        self.load: list[Transaction] = []
        for host in self.world.hosts:
            if host.place not in asleep:
                host.start()
        assert self.world.stored(self.world.submit(0), 5_000, 0)

    def keep_submitting(
        self, count: int, *, every_ms: int = 10, places: tuple[int, ...] = (0, 1, 2, 3)
    ) -> None:
        """`count` transactions from now on, at these hosts in turn."""

        def submit(number: int) -> None:
            host = self.world.hosts[places[number % len(places)]]
            if host.up:
                self.load += self.world.submit(host.place)
            if number < count:
                self.world.after(every_ms, partial(submit, number + 1))

        submit(1)

    def settle(self, epoch: int) -> None:
        """Everybody comes to this epoch with everything that was taken, and nobody honest was blamed."""
        world = self.world
        taken = self.load
        assert world.run(HEAL_MS, lambda: world.everywhere(taken))
        world.settle(HEAL_MS)
        assert world.run(HEAL_MS, lambda: {host.validator.term.epoch for host in world.hosts} == {epoch})
        world.checkers.check_blame()

    def failed_rounds(self) -> int:
        """Own timeouts of all hosts in their current epoch."""
        return self.failed_rounds_of(self.world.hosts)

    def failed_rounds_of(self, hosts: Sequence[Host]) -> int:
        """The same of these."""
        views = (host.validator.replica.view() for host in hosts)
        return sum(count for view in views for _, count in view.timeouts_by_reason)


def add(changing: Changing, place: int) -> Change:
    return AddValidator(changing.setting.records[place])


def test_new_weights_begin_an_epoch_without_a_failed_round_and_nothing_is_lost() -> None:
    changing = Changing()
    changing.keep_submitting(200)
    assert changing.operators.decide(Reweigh("v0", 2)) == 1
    changing.world.run(1_000)
    assert [host.validator.term.validators.total_weight for host in changing.world.hosts] == [5] * 4
    assert changing.failed_rounds() == 0
    changing.settle(1)


def test_who_has_a_seat_in_the_epoch_knows_its_node_key_for_its_own_and_no_other() -> None:
    """Whoever signs with it passes by what holds clients back."""
    changing = Changing(seed=7, candidates=1)
    hosts, records = changing.world.hosts, changing.setting.records

    def own() -> list[list[int]]:
        doors = (host.validator.data.desk.admission for host in hosts)
        return [[n for n, record in enumerate(records) if door.is_own(record.node_key)] for door in doors]

    assert own() == [[0], [1], [2], [3], []]
    changing.operators.decide(add(changing, 4))
    changing.operators.decide(RemoveValidator("v0"), place=1)
    changing.settle(2)
    assert own() == [[], [1], [2], [3], [4]]


def test_the_pause_of_a_healthy_crossing_is_far_below_a_timeout() -> None:
    changing = Changing(seed=3)
    changing.keep_submitting(200, every_ms=5)  # ten times as long as the crossing takes
    changing.operators.decide(Reweigh("v1", 2))
    changing.settle(1)
    headers = changing.world.checkers.headers
    times = [unpack(headers[height])[7] for height in sorted(headers)[2:]]
    assert max(later - earlier for earlier, later in pairwise(times)) < 300


def test_a_dead_validator_costs_one_round_in_each_epoch_because_nothing_of_who_failed_crosses() -> None:
    """Who enters an epoch by its link alone could not know it (E14)."""
    changing = Changing(seed=5)
    live = changing.world.hosts[:3]
    changing.world.hosts[3].crash()
    changing.keep_submitting(120, every_ms=40, places=(0, 1, 2))
    changing.world.run(1_500)
    for epoch, weight in ((1, 2), (2, 1)):
        changing.operators.decide(Reweigh("v0", weight))
        changing.world.run(1_500)
        assert [host.validator.term.epoch for host in live] == [epoch] * 3
        assert changing.failed_rounds_of(live) == 3
    changing.world.hosts[3].start()
    changing.settle(2)


def test_validators_join_and_leave_under_load() -> None:
    changing = Changing(seed=1, candidates=3)
    operators, names = changing.operators, [f"v{number}" for number in range(7)]
    changing.keep_submitting(300, every_ms=20)
    for place in (4, 5, 6):
        operators.decide(add(changing, place))
    operators.decide(Reweigh("v5", 2))
    for name in names[:3]:
        operators.decide(RemoveValidator(name), place=5)
    changing.settle(7)
    members = changing.world.hosts[5].validator.term.roster.validators
    assert [(record.name, record.weight) for record in members] == [
        ("v3", 1),
        ("v4", 1),
        ("v5", 2),
        ("v6", 1),
    ]
    assert [host.validator.term.me for host in changing.world.hosts] == [None, None, None, 0, 1, 2, 3]
    assert not any(host.punished for host in changing.world.hosts)


def test_every_epoch_has_its_link_for_ever() -> None:
    changing = Changing(seed=2)
    for weight in (2, 3, 4):
        changing.operators.decide(Reweigh("v0", weight))
    changing.settle(3)
    for host in changing.world.hosts:
        for epoch in (1, 2, 3):
            stored = host.disk.store.reader().get(ChainTable.EPOCHS, epoch_key(epoch))
            assert stored is not None
            link = EpochLink.decode(stored)
            assert (link.roster.epoch, link.certificate.epoch, link.header.epoch) == (
                epoch,
                epoch - 1,
                epoch - 1,
            )
            assert link.certificate.header_hash == link.header.hash
            assert link.header.next_validators_hash == link.roster.validator_set().hash()


def restarted(host: Host) -> None:
    host.crash()
    host.start()


def test_a_restart_after_the_crossing_goes_on_in_the_new_epoch() -> None:
    changing = Changing(seed=4)
    changing.operators.decide(Reweigh("v0", 2))
    changing.settle(1)
    for host in changing.world.hosts:
        restarted(host)
    assert {host.validator.term.epoch for host in changing.world.hosts} == {1}
    changing.keep_submitting(40)
    changing.world.run(1_000)
    changing.settle(1)


@pytest.mark.parametrize("boundary", [1, 2, 3, 4, 5, 7, 9])
def test_a_crash_at_any_border_of_the_crossing_recovers(boundary: int) -> None:
    changing = Changing(seed=boundary)
    world = changing.world
    proposed, proposal_id = changing.operators.propose([Reweigh("v0", 2)])
    assert world.stored([proposed], 5_000)
    changing.keep_submitting(100)
    changing.operators.approve(proposal_id)
    for host in world.hosts:
        if host.place in (boundary % 4, (boundary + 1) % 4):
            host.crash_at = host.boundaries + boundary
    world.run(3_000)
    for host in world.hosts:
        host.start()
    changing.load = [t for t in changing.load if world.everywhere([t], [2, 3])]
    changing.settle(1)


@pytest.mark.parametrize("delay_ms", [4, 12, 18, 24, 30, 36, 44])
def test_a_power_cut_in_the_midst_of_the_crossing_recovers(delay_ms: int) -> None:
    changing = Changing(seed=delay_ms)
    world = changing.world
    proposed, proposal_id = changing.operators.propose([Reweigh("v0", 2)])
    assert world.stored([proposed], 5_000)
    changing.operators.approve(proposal_id)
    world.run(delay_ms)
    for host in world.hosts:
        host.crash()
    for host in world.hosts:
        host.start()
    world.run(3_000)
    changing.operators.approve(proposal_id)
    changing.settle(1)


def test_who_is_cut_off_across_two_borders_comes_after() -> None:
    changing = Changing(seed=5)
    world = changing.world
    world.partition((0, 1, 2), (3,))
    changing.keep_submitting(200, places=(0, 1, 2))
    changing.operators.decide(Reweigh("v0", 2))
    changing.operators.decide(Reweigh("v1", 2))
    world.run(2_000)
    assert world.hosts[3].validator.term.epoch == 0
    world.heal()
    changing.settle(2)


def test_the_minority_that_crossed_late_does_not_hold_up_who_is_behind() -> None:
    changing = Changing(seed=6)
    world = changing.world
    proposed, proposal_id = changing.operators.propose([Reweigh("v0", 2)])
    assert world.stored([proposed], 5_000)
    changing.operators.approve(proposal_id)
    world.run(20)
    world.partition((0, 1), (2, 3))
    world.run(5_000)
    world.heal()
    changing.keep_submitting(50)
    world.run(1_000)
    changing.settle(1)


def test_who_catches_up_to_just_below_a_border_that_all_others_have_crossed_comes_after() -> None:
    """What catching up leaves to agreement is then of an epoch that nobody else is in any more."""
    changing = Changing(seed=8)
    world, victim = changing.world, changing.world.hosts[3]
    world.partition((0, 1, 2), (3,))
    for _ in range(90):
        world.submit(0)
        world.run(25)
    world.heal()
    world.network.filter = lambda source, target, topic, body: topic != wire.Code.SYNC
    world.run(200)
    target_height = victim.validator.data.catchup.target_height
    assert changing.operators.decide(Reweigh("v0", 2)) == 1
    changing.keep_submitting(20, places=(0, 1, 2))
    world.run(500)
    assert [host.validator.term.epoch for host in world.hosts] == [1, 1, 1, 0]
    assert victim.validator.data.catchup.target_height == target_height < world.hosts[0].height
    world.heal()
    changing.settle(1)


def test_an_empty_node_joins_after_two_epochs() -> None:
    changing = Changing(seed=7, candidates=1, asleep=(4,))
    changing.keep_submitting(200)
    changing.operators.decide(Reweigh("v0", 2))
    changing.operators.decide(Reweigh("v1", 2))
    changing.world.run(1_000)
    changing.world.hosts[4].start()
    changing.keep_submitting(100)
    assert changing.operators.decide(add(changing, 4)) == 3
    changing.world.run(2_000)
    assert changing.world.hosts[4].validator.term.me == 4
    changing.settle(3)


def test_what_a_removed_validator_took_is_handed_to_the_others() -> None:
    changing = Changing(seed=8, candidates=1)
    changing.operators.decide(add(changing, 4))
    changing.keep_submitting(300, places=(1,), every_ms=3)
    changing.operators.decide(RemoveValidator("v1"))
    changing.settle(2)
    assert changing.world.hosts[1].validator.term.me is None
    assert len(changing.load) > 100


def test_a_validator_gets_a_new_consensus_key_only_with_proof_and_the_old_one_signs_no_more() -> None:
    changing = Changing(seed=9)
    with pytest.raises(Exception, match="not carried out"):
        changing.operators.decide(
            RotateKeys("v3", changing.setting.clients[0].public_key, None, None), within_ms=2_000
        )
    changing.settle(0)


def test_an_answer_to_what_was_asked_in_the_epoch_before_is_nobodys_fault() -> None:
    changing = Changing(seed=10)
    world, asking = changing.world, changing.world.hosts[3]
    proposed, proposal_id = changing.operators.propose([Reweigh("v0", 2)])
    assert world.stored([proposed], 5_000)
    withheld: list[Frame] = []

    def passes(source: Host, target: Host, topic: int, body: bytes) -> bool:
        if target is not asking or topic != wire.Code.BATCHES:
            return True
        if withheld and isinstance(wire.pool_message(topic, body), FetchedBatch):
            return True  # it asks somebody else, and goes on
        if isinstance(wire.pool_message(topic, body), FetchedBatch):
            withheld.append(Frame(source.peer, topic, body))
        return False

    world.network.filter = passes
    changing.load += world.submit(0, size=200, count=40)
    assert world.run(5_000, lambda: bool(withheld))
    changing.operators.approve(proposal_id)
    assert world.run(10_000, lambda: asking.validator.term.epoch == 1)
    world.network.filter = lambda source, target, topic, body: True
    asking.feed(withheld[0])
    assert not asking.punished
    changing.settle(1)
