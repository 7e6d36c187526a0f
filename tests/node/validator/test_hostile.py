"""Bytes from liars on every topic: nothing raises, the fault names its sender, and the cluster goes on."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.sim.host import Host
from bench.sim.world import World
from consensus import (
    Digest,
    Epoch,
    Height,
    Round,
    Status,
    ValidatorIndex,
    Vote,
    decode_message,
    encode,
)
from node import wire
from node.pool.batches import Batch
from node.pool.messages import (
    Acknowledge,
    FetchBatches,
    FetchedBatch,
    PushBatch,
    SyncItem,
    SyncRequest,
    SyncResponse,
)
from node.validator import Frame, ServeSync
from tests.node.diagnosis.scene import A_CONDITION
from tests.node.validator.world import world_of

STRANGER = b"\x99" * 32
DIRECT = (wire.Code.AGREEMENT, wire.Code.BLOCKS, wire.Code.DATA, wire.Code.BATCHES, wire.Code.SYNC)
SINCE_LATER = (wire.Code.ATTESTATIONS, wire.Code.CONDITION)
GOSSIPED = (wire.Code.EVIDENCE, wire.Code.TRANSACTIONS)
NAME = b"n" * 16
CONDITION = wire.frame_of_condition(A_CONDITION)[1]


@pytest.fixture(scope="module")
def running() -> World:
    """A running cluster that hostile bytes must not change."""
    world = world_of(1).start()
    world.run(500)
    assert world.stored(world.submit(0), 2_000)
    return world


def faults_of(node: Host, topic: int, body: bytes, sender: bytes, name: bytes | None = None) -> list[str]:
    """The codes for which `sender` is punished after sending this."""
    node.punished.clear()
    node.feed(Frame(sender, topic, body, name))
    for punished in node.punished:
        assert punished.peer == sender
        assert punished.gossip == (None if name is None else (topic, name))
        assert punished.weight > 0
        assert punished.detail
    return [punished.code for punished in node.punished]


@pytest.mark.parametrize("topic", [*DIRECT, *SINCE_LATER, *GOSSIPED, 0, 8, 99, 2**31])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x00",
        b"\xc1",
        b"\x90",
        b"\x91\x01",
        b"\x91" * 5_000,
        b"\x82\x01\x01\x01\x02",
        b"\x91\xcd\x00\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        encode((1, 2, 3)) + b"\x00",
        encode((77,)),
        encode((-5,)),
        encode(("one",)),
        bytes(100_000),
    ],
    ids=lambda body: body[:6].hex() or "empty",
)
@pytest.mark.parametrize("sender", ["validator", "stranger"])
def test_garbage_is_its_senders_fault(running: World, topic: int, body: bytes, sender: str) -> None:
    node = running.hosts[0]
    peer = running.hosts[1].peer if sender == "validator" else STRANGER
    assert len(faults_of(node, topic, body, peer)) == 1
    assert len(faults_of(node, topic, body, peer, NAME)) == 1


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*DIRECT, *SINCE_LATER, *GOSSIPED]), st.data())
def test_damaged_real_frames_never_raise(topic: int, data: st.DataObject) -> None:
    world, frames = recorded()
    bodies = [body for recorded_topic, body in frames if recorded_topic == topic] or [CONDITION]
    body = bytearray(data.draw(st.sampled_from(bodies)))
    for _ in range(data.draw(st.integers(0, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(body)))
    node = world.hosts[data.draw(st.integers(0, 3))]
    gossip = data.draw(st.sampled_from((None, NAME)))
    item = Frame(
        data.draw(st.sampled_from((world.hosts[1].peer, STRANGER))), topic, bytes(body[:cut]), gossip
    )
    node.validator.step(item, node.now_ms)
    world.checkers.check_bounds(node)


_RECORDED: list[tuple[World, list[tuple[int, bytes]]]] = []


def recorded() -> tuple[World, list[tuple[int, bytes]]]:
    """A cluster that nobody needs afterwards, and real frames of every topic it used."""
    if not _RECORDED:
        world = world_of(2, certification_lag_max=8)
        frames: list[tuple[int, bytes]] = []

        def record(source: Host, target: Host, topic: int, body: bytes) -> bool:
            if len(frames) < 20_000 and (topic, body) not in frames[-8:]:
                frames.append((topic, body))
            return True

        world.network.filter = record
        world.start().run(300)
        world.partition((0, 1, 2), (3,))
        for _ in range(10):
            assert world.stored(world.submit(0), 5_000, 0, 1, 2)
        world.heal()
        world.network.filter = record
        world.submit(1, 120, size=200)
        world.run(3_000)
        assert {topic for topic, _ in frames} >= {*DIRECT[:1], *DIRECT[2:]}
        _RECORDED.append((world, frames))
    return _RECORDED[0]


def test_every_message_travels_on_its_own_topic_only(running: World) -> None:
    node, peer = running.hosts[0], running.hosts[1].peer
    bodies = {
        wire.Code.DATA: wire.frame_of_pool(Acknowledge((Digest(b"d" * 32),)))[1],
        wire.Code.BATCHES: wire.frame_of_pool(PushBatch(b"x"))[1],
        wire.Code.SYNC: wire.frame_of_pool(SyncResponse(Height(1), (), (), None))[1],
    }
    for own, body in bodies.items():
        for topic in (*DIRECT[2:], wire.Code.ATTESTATIONS):
            if topic != own:
                assert faults_of(node, topic, body, peer) == ["topic"]
        assert faults_of(node, wire.Code.CONDITION, body, peer) == ["condition-malformed"]
    for topic in DIRECT:
        assert len(faults_of(node, topic, CONDITION, peer)) == 1
    assert faults_of(node, wire.Code.CONDITION, CONDITION, peer) == []


def test_votes_and_timeouts_of_others_are_no_ones_to_send(running: World) -> None:
    world, frames = recorded()
    node = world.hosts[0]
    vote = next(b for t, b in frames if t == wire.Code.AGREEMENT and b[1] == 2)
    message = decode_message(vote)
    assert isinstance(message, Vote)
    wrong = world.hosts[(message.author + 1) % 4].peer
    assert len(faults_of(node, wire.Code.AGREEMENT, vote, wrong)) == 1
    assert len(faults_of(node, wire.Code.AGREEMENT, vote, STRANGER)) == 1


def test_unsolicited_answers_and_false_bodies_are_faults(running: World) -> None:
    node, peer = running.hosts[0], running.hosts[1].peer
    sync = wire.frame_of_pool(SyncResponse(Height(7), (SyncItem(b"h", b"p", ()),), (), None))
    assert faults_of(node, *sync, peer) == ["sync-unsolicited"]
    assert len(faults_of(node, *wire.frame_of_pool(PushBatch(b"no batch")), peer)) == 1
    assert len(faults_of(node, *wire.frame_of_pool(FetchedBatch(b"no batch")), peer)) == 1


def test_a_batch_pushed_for_somebody_else_is_a_fault(running: World) -> None:
    node = running.hosts[0]
    batch = batch_of(running, 2, running.transaction().encoded)
    assert len(faults_of(node, *wire.frame_of_pool(PushBatch(batch.encoded)), running.hosts[1].peer)) == 1


def batch_of(world: World, author: int, *transactions: bytes) -> Batch:
    """A batch as `author` might seal it."""
    return Batch.make(
        cluster_id=world.genesis.cluster_id,
        author=ValidatorIndex(author),
        epoch=Epoch(0),
        created_ms=world.now_ms,
        expires_at_ms=world.now_ms + 30_000,
        transactions=transactions,
    )


def test_a_batch_with_a_forged_transaction_is_its_authors_fault_and_is_never_ordered() -> None:
    world = world_of(1).start()
    world.run(500)
    good = world.transaction()
    forged = good.encoded[:-1] + bytes((good.encoded[-1] ^ 1,))
    body = wire.frame_of_pool(PushBatch(batch_of(world, 1, forged).encoded))
    for index in (0, 2, 3):
        world.hosts[index].punished.clear()
        world.hosts[index].feed(Frame(world.hosts[1].peer, *body))
    world.run(2_000)
    for index in (0, 2, 3):
        assert [(p.peer, p.code) for p in world.hosts[index].punished] == [
            (world.hosts[1].peer, "batch-invalid")
        ]
    assert world.stored(world.submit(1), 2_000)
    assert not world.everywhere([good])


def test_a_range_beyond_what_is_stored_is_answered_with_nothing(running: World) -> None:
    node = running.hosts[0]
    request = wire.frame_of_pool(SyncRequest(Height(10**6), 64, 1_000))
    outputs = node.validator.step(Frame(STRANGER, *request), node.now_ms)
    assert [type(output) for output in outputs] == [ServeSync]


def test_far_rounds_and_heights_neither_raise_nor_move_anything(running: World) -> None:
    node, peer = running.hosts[0], running.hosts[1].peer
    before = node.validator.replica.view().round
    far = 2**63 - 1
    status = Status(Epoch(0), Round(far), Round(far - 1), Round(0), Height(far), Height(far))
    node.feed(Frame(peer, *wire.frame_of_agreement(status)))
    assert node.validator.replica.view().round == before
    fetch = wire.frame_of_pool(FetchBatches((Digest(b"q" * 32),)))
    node.feed(Frame(STRANGER, *fetch))
    assert running.stored(running.submit(2), 5_000)
