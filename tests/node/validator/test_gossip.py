"""Headers, evidence and blame: believed only after verification, passed on once, stored once."""

import pytest

from bench.sim.host import Host, gossip_id_of
from bench.sim.world import World
from consensus import (
    Block,
    Epoch,
    Evidence,
    InvalidMessage,
    Offence,
    PeerError,
    Proposal,
    ProposalClaim,
    QuorumCertificate,
    Round,
    Signature,
    SignatureCache,
    Timeout,
    TimeoutReason,
    ValidatorIndex,
    decode,
    encode,
    proposal_digest,
    root_certificate,
    root_id,
)
from node import wire
from node.storage import ChainTable
from node.validator import ForwardGossip, Frame, PublishFrame, Punish, Tell
from node.validator.durable import EVIDENCE_PER_ACCUSED
from node.validator.gossip import GossipRoom
from tests.node.validator.world import world_of

STRANGER = b"\x99" * 32


def running(seed: int = 1) -> World:
    """A cluster with a little history."""
    world = world_of(seed).start()
    world.run(500)
    assert world.stored(world.submit(0), 2_000)
    world.run(100)
    return world


def gossip(node: Host, topic: int, body: bytes, peer: bytes = STRANGER) -> list[object]:
    """What a gossiped message leads to, but for timers and frames."""
    outputs = node.validator.step(Frame(peer, topic, body, gossip_id_of(topic, body)), node.now_ms)
    return [output for output in outputs if isinstance(output, ForwardGossip | Punish | PublishFrame | Tell)]


def claims(world: World, index: int, round: int, qc: QuorumCertificate) -> list[Proposal]:
    """Two blocks of one round, both signed by validator `index`."""
    genesis = world.genesis
    world.checkers.exempt[index] = None
    proposals = []
    for time_ms in (world.now_ms + 1, world.now_ms + 2):
        block = Block.make(
            cluster_id=genesis.cluster_id,
            epoch=Epoch(0),
            round=Round(round),
            qc=qc,
            tc=None,
            certified=None,
            payload=b"",
            author=ValidatorIndex(index),
            time_ms=time_ms,
        )
        signed = proposal_digest(genesis.cluster_id, Epoch(0), Round(round), block.id)
        proposals.append(Proposal(block, world.hosts[index].key.sign(signed)))
    return proposals


def root_of(world: World) -> QuorumCertificate:
    """The certificate every chain begins with."""
    genesis = world.genesis
    return root_certificate(Epoch(0), root_id(genesis.cluster_id, Epoch(0), genesis.genesis_header().hash))


def evidence_against(world: World, index: int, round: int = 5) -> Evidence:
    """A double proposal."""
    first, second = (ProposalClaim.of(proposal) for proposal in claims(world, index, round, root_of(world)))
    evidence = Evidence.of(world.genesis.validator_set(), first, second)
    assert evidence is not None
    return evidence


def test_an_equivocating_proposer_is_proven_stored_and_gossiped_once() -> None:
    world = running()
    view = world.hosts[0].validator.replica.view()
    liar = int(view.leader)
    witness = world.hosts[(liar + 1) % 4]
    for proposal in claims(world, liar, view.round, view.hqc) * 2:
        witness.feed(Frame(world.hosts[liar].peer, *wire.frame_of_agreement(proposal)))
    world.run(1_000)
    assert witness.events == ["evidence"]
    assert [published.topic for published in witness.published].count(wire.Code.EVIDENCE) == 1
    for node in world.hosts:
        with node.disk.store.snapshot() as snapshot:
            [(name, stored)] = snapshot.scan(ChainTable.EVIDENCE, b"", limit=9)
        proof = Evidence.decode(stored)
        assert (proof.id, proof.offence, proof.accused) == (name, Offence.DOUBLE_PROPOSAL, liar)
        proof.verify(world.genesis.cluster_id, world.genesis.validator_set())
        assert node.events == ["evidence"]
    assert world.stored(world.submit(1), 5_000)


def test_evidence_that_comes_again_is_neither_stored_nor_told_again() -> None:
    world = running()
    node = world.hosts[0]
    body = evidence_against(world, 2).encode()
    node.receive(STRANGER, wire.Code.EVIDENCE, body, gossip=True)
    assert node.events == ["evidence"]
    for peer in (world.hosts[1].peer, world.hosts[3].peer, STRANGER):
        outputs = gossip(node, wire.Code.EVIDENCE, body, peer)
        assert [type(output) for output in outputs] == [ForwardGossip]
    assert wire.Code.EVIDENCE not in [published.topic for published in node.published]
    world.run(500)
    node.crash()
    node.start()
    node.receive(STRANGER, wire.Code.EVIDENCE, body, gossip=True)
    world.run(500)
    with node.disk.store.snapshot() as snapshot:
        assert snapshot.count(ChainTable.EVIDENCE) == 1


def test_a_liar_who_proves_itself_guilty_without_end_leaves_room_for_the_proofs_of_others() -> None:
    world = running()
    node = world.hosts[0]
    spread: dict[bytes, None] = {}

    def watch(source: Host, target: Host, topic: int, body: bytes) -> bool:
        if topic == wire.Code.EVIDENCE and source is node:
            spread[body] = None
        return True

    world.network.filter = watch
    for round in range(1, 3 * EVIDENCE_PER_ACCUSED):
        node.receive(STRANGER, wire.Code.EVIDENCE, evidence_against(world, 1, round).encode(), gossip=True)
    node.receive(STRANGER, wire.Code.EVIDENCE, evidence_against(world, 2).encode(), gossip=True)
    assert len(spread) == EVIDENCE_PER_ACCUSED + 1, "what is not kept is not spread either"
    world.run(2_000)
    with node.disk.store.snapshot() as snapshot:
        stored = snapshot.scan(ChainTable.EVIDENCE, b"", limit=100)
    accused = sorted(Evidence.decode(proof).accused for _, proof in stored)
    assert accused == [1] * EVIDENCE_PER_ACCUSED + [2]


def test_false_evidence_is_its_senders_fault() -> None:
    world = running()
    evidence = evidence_against(world, 2)
    value = list(decode(evidence.encode()))  # type: ignore[arg-type]  # an array, by its own decoder
    accused_another = [*value[:3], 1, *value[4:]]
    same_twice = [*value[:6], value[5]]
    for lie in (accused_another, same_twice):
        [punished] = gossip(world.hosts[0], wire.Code.EVIDENCE, encode(tuple(lie)))
        assert isinstance(punished, Punish)
    assert world.hosts[0].events == []


def room_of(world: World) -> GossipRoom:
    """A gossip room of its own."""
    validators = world.genesis.validator_set()
    return GossipRoom(
        world.genesis.cluster_id, validators, {validators.epoch: validators}.get, SignatureCache()
    )


def blame(world: World, round: int, author: int, blamed: int = 0) -> Timeout:
    """A timeout that says `blamed`'s payload is missing."""
    return Timeout(
        Epoch(0),
        Round(round),
        root_of(world),
        None,
        TimeoutReason.PAYLOAD_UNAVAILABLE,
        ValidatorIndex(blamed),
        ValidatorIndex(author),
        Signature(bytes(64)),
    )


def test_blame_counts_each_voice_of_a_round_once() -> None:
    world = world_of(1)
    room = room_of(world)
    now = Round(9)
    assert room.blame(ValidatorIndex(1), blame(world, 9, 1), now) == (0, 1)
    assert room.blame(ValidatorIndex(1), blame(world, 9, 1), now) == (0, 1)
    assert room.blame(ValidatorIndex(2), blame(world, 9, 2), now) == (0, 2)
    assert room.blame(ValidatorIndex(2), blame(world, 10, 2), Round(10)) == (0, 1)
    with pytest.raises(InvalidMessage):
        room.blame(ValidatorIndex(2), blame(world, 10, 2, blamed=7), Round(10))


def test_a_liars_far_round_does_not_drown_the_blame_of_others() -> None:
    world = world_of(1)
    room = room_of(world)
    assert room.blame(ValidatorIndex(3), blame(world, 2**62, 3), Round(9)) is None
    assert room.blame(ValidatorIndex(1), blame(world, 9, 1), Round(9)) == (0, 1)
    assert room.blame(ValidatorIndex(2), blame(world, 9, 2), Round(9)) == (0, 2)


def test_refusals_are_peer_errors_whatever_the_bytes() -> None:
    room = room_of(world_of(1))
    for data in (b"", b"\xc1", encode(()), encode((1,) * 7), bytes(5_000)):
        with pytest.raises(PeerError):
            room.evidence(data)
