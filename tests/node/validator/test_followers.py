"""Nodes without a seat: fed once and whole, whatever feeds them dies or lies."""

from collections import Counter

import pytest

from bench.sim.host import Host
from bench.sim.network import Quality
from bench.sim.remembered import remembered
from bench.sim.setting import make_setting
from bench.sim.world import World
from consensus import (
    Certificates,
    Digest,
    HeaderCertificate,
    HeaderSignature,
    Height,
    Round,
    Signature,
    ValidatorIndex,
    Vote,
    decode,
)
from node import wire
from node.pool.messages import Follow, SyncItem, SyncResponse
from node.storage import ChainTable
from node.validator import Frame, SendFrame, fresh
from node.validator.feeding import FOLLOW_TIMER
from node.validator.layout import height_key

VALIDATORS = 4


def observed(followers: int, *, knowing: tuple[int, ...] = (), seed: int = 0, loss_percent: int = 0) -> World:
    """Four validators and followers that were fed for a moment; the followers know only the validators
    `knowing`, or all, and each other."""
    world = World(
        make_setting(VALIDATORS, remembered(), candidates=followers),
        seed,
        quality=Quality(loss_percent=loss_percent),
    )
    if knowing:
        for place in range(VALIDATORS, VALIDATORS + followers):
            for validator in range(VALIDATORS):
                if validator not in knowing:
                    world.network.keep_apart(validator, place)
    world.start().run(2_000)
    return world


def followers_of(world: World) -> list[Host]:
    return world.hosts[VALIDATORS:]


def heights_sent(world: World) -> Counter[int]:
    """Heights sent to followers, by the place of whom they reach; counted from now on."""
    counted: Counter[int] = Counter()

    def watch(source: Host, target: Host, topic: int, body: bytes) -> None:
        if topic == wire.Code.SYNC and target.place >= VALIDATORS:
            message = wire.pool_message(topic, body)
            assert isinstance(message, SyncResponse)
            counted[target.place] += len(message.items)

    world.network.watch = watch
    return counted


def test_every_height_comes_once_and_no_vote_reaches_who_has_no_seat() -> None:
    world = observed(12)
    counted = heights_sent(world)
    for number in range(10):
        sent = world.submit(number % VALIDATORS, 3)
        assert world.stored(sent, 5_000, *range(VALIDATORS + 12))
    assert counted == {place: 10 for place in range(VALIDATORS, VALIDATORS + 12)}
    fed = [len(host.validator.feeding.following.fed) for host in world.hosts[:VALIDATORS]]
    assert max(fed) <= 2
    assert not any(host.punished for host in world.hosts)


def test_what_is_large_is_told_and_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fresh, "PUSH_BYTES_MAX", 1_000)
    world = observed(2)
    for number in range(3):
        assert world.stored(world.submit(number, 20), 5_000)
    assert not any(host.punished for host in world.hosts)


@pytest.mark.parametrize("seed", range(3))
def test_frames_that_get_lost_are_made_up_for(seed: int) -> None:
    world = observed(6, seed=seed, loss_percent=20)
    sent = [transaction for place in (0, 1, 2, 3) * 3 for transaction in world.submit(place)]
    # A range that catching up asks for waits 5 s for its answer, and each time that it or its answer is lost
    # twice as long as before, up to 40 s: some follower of six loses five in a row.
    assert world.stored(sent, 180_000)
    world.settle(30_000)


def test_when_its_feeder_dies_a_follower_goes_on_with_another() -> None:
    world = observed(3)
    feeders = Counter(host.validator.feeding.following.feeder for host in followers_of(world))
    victim = next(
        host for host in followers_of(world) if host.peer in feeders or host.key.public_key in feeders
    )
    victim.crash()
    left = [host.place for host in followers_of(world) if host is not victim]
    assert world.stored(world.submit(0), 10_000, *left)


def test_the_only_validator_it_knows_comes_back_and_so_does_the_follower() -> None:
    world = observed(2, knowing=(0,))
    world.hosts[0].crash()
    sent = world.submit(1)
    assert world.stored(sent, 10_000, 1, 2, 3)
    world.run(3_000)
    assert not world.everywhere(sent, (4, 5))
    world.hosts[0].start()
    assert world.stored(sent, 20_000)


def test_an_empty_follower_comes_after_years_and_gets_everything() -> None:
    world = World(make_setting(VALIDATORS, remembered(), candidates=1))
    for host in world.hosts[:VALIDATORS]:
        host.start()
    for number in range(100):
        assert world.stored(world.submit(number % VALIDATORS), 5_000, *range(VALIDATORS))
    newcomer = world.hosts[VALIDATORS]
    newcomer.start()
    world.run(150)
    newcomer.crash()
    newcomer.start()
    world.settle(20_000)
    told = [tell.detail for tell in newcomer.told if tell.event == "sync"]
    assert told[0].startswith("began at height 0 towards ")
    assert told[-1].startswith("done: ")


def lying(host: Host, body: bytes) -> bytes:
    """A pushed height with another batch in it."""
    message = wire.pool_message(wire.Code.SYNC, body)
    assert isinstance(message, SyncResponse)
    items = tuple(SyncItem(item.header, item.proposal[:-1] + b"\x00", item.batches) for item in message.items)
    _, changed = wire.frame_of_pool(
        SyncResponse(message.from_height, items, message.links, message.certificate)
    )
    return changed


class Liar:
    """Changes every height that it sends."""

    def __init__(self) -> None:
        self.lies = 0

    def started(self, host: Host) -> None:
        """Nothing."""

    def incoming(self, host: Host, item: object) -> tuple[object, ...]:
        """As it is."""
        return (item,)

    def outgoing(self, host: Host, target: Host, topic: int, body: bytes) -> tuple[tuple[int, bytes], ...]:
        """Heights are changed."""
        if topic != wire.Code.SYNC:
            return ((topic, body),)
        self.lies += 1
        return ((topic, lying(host, body)),)


def test_a_feeder_that_lies_is_scored_left_and_made_up_for() -> None:
    liar = Liar()
    world = World(
        make_setting(VALIDATORS, remembered(), candidates=2),
        behaviours={0: liar},  # type: ignore[dict-item]  # its inputs pass unread
    )
    for place in (4, 5):
        for validator in (2, 3):
            world.network.keep_apart(validator, place)
    world.start().run(2_000)
    for number in range(8):
        assert world.stored(world.submit(1 + number % 3), 20_000, 1, 2, 3, 4, 5)
    if liar.lies:
        blamed = [fault for host in followers_of(world) for fault in host.punished]
        assert {fault.peer for fault in blamed} == {world.hosts[0].peer}


def test_heights_that_nobody_asked_for_are_their_senders_fault() -> None:
    world = observed(2)
    follower = followers_of(world)[0]
    stored = world.hosts[0].disk.store.reader()
    item = SyncItem(stored.get(ChainTable.HEADERS, height_key(0)) or b"", b"p", ())
    stranger = b"\x77" * 32
    frame = Frame(stranger, *wire.frame_of_pool(SyncResponse(1, (item,), (), None)))  # type: ignore[arg-type]  # any height
    follower.feed(frame)
    assert [fault.code for fault in follower.punished] == ["sync-unsolicited"]


def test_a_false_certificate_is_its_tellers_fault() -> None:
    world = observed(1)
    assert world.stored(world.submit(0), 5_000)
    follower = followers_of(world)[0]
    encoded = world.hosts[0].disk.store.reader().get(ChainTable.CERTIFICATES, height_key(1))
    assert encoded is not None
    known = HeaderCertificate.from_value(decode(encoded))
    false = HeaderCertificate(
        0,
        known.epoch,
        type(known.height)(99),
        Digest(bytes(32)),
        known.header_hash,
        known.signers,
        known.signatures,
    )
    follower.feed(Frame(world.hosts[1].peer, *wire.frame_of_agreement(Certificates(None, None, false))))
    assert [fault.code for fault in follower.punished] == ["told-certificate"]


def test_a_vote_or_header_signature_sent_to_who_has_no_seat_is_not_looked_at() -> None:
    world = observed(1)
    assert world.stored(world.submit(0), 5_000)
    follower = followers_of(world)[0]
    seen, nothing, unsigned = follower.validator.replica.view(), Digest(bytes(32)), Signature(bytes(64))
    vote = Vote(
        seen.epoch, Round(seen.round + 1), nothing, nothing, Round(0), None, ValidatorIndex(1), unsigned
    )
    height = Height(seen.certified_height + 1)
    header = HeaderSignature(0, seen.epoch, height, nothing, nothing, ValidatorIndex(1), unsigned)
    for ballot in (vote, header):
        follower.feed(Frame(world.hosts[1].peer, *wire.frame_of_agreement(ballot)))
    assert not follower.punished


def test_a_follower_is_asked_no_more_than_its_share() -> None:
    world = observed(1)
    validator = world.hosts[0]
    frame = Frame(b"\x55" * 32, *wire.frame_of_pool(Follow(0, 0, True)))  # type: ignore[arg-type]  # plain numbers
    outputs = [output for _ in range(50) for output in validator.validator.step(frame, validator.now_ms)]
    assert not [output for output in outputs if isinstance(output, SendFrame)], "no link, no answer"
    assert FOLLOW_TIMER not in validator.timers, "a validator follows nobody"
