"""One validator of four breaks the rules with its real key: the others agree, go on, and can prove it."""

from dataclasses import replace

import pytest

from bench.sim.host import Host
from bench.sim.world import World
from consensus import (
    Block,
    Evidence,
    HeaderSignature,
    Offence,
    Proposal,
    Vote,
    decode_message,
    header_digest,
    proposal_digest,
)
from node import wire
from node.storage import ChainTable
from tests.node.validator.world import world_of

LIAR = 1


def other_block(world: World, proposal: Proposal) -> bytes:
    """Another block of the same round by the same author, properly signed."""
    block = proposal.block
    twin = Block.make(
        cluster_id=block.cluster_id,
        epoch=block.epoch,
        round=block.round,
        qc=block.qc,
        tc=block.tc,
        certified=block.certified,
        payload=b"",
        author=block.author,
        time_ms=block.time_ms + 1,
        standing=block.standing,
    )
    signed = proposal_digest(twin.cluster_id, twin.epoch, twin.round, twin.id)
    return wire.frame_of_agreement(Proposal(twin, world.hosts[LIAR].key.sign(signed)))[1]


def other_header(world: World, signed: HeaderSignature) -> bytes:
    """A signature of another result at the same height."""
    wrong = replace(signed, header_hash=signed.block_id)
    statement = header_digest(
        world.genesis.cluster_id,
        wrong.incarnation,
        wrong.epoch,
        wrong.height,
        wrong.block_id,
        wrong.header_hash,
    )
    return wire.frame_of_agreement(replace(wrong, signature=world.hosts[LIAR].key.sign(statement)))[1]


def other_vote(world: World, vote: Vote) -> bytes:
    """A vote for another block of the same round."""
    wrong = replace(vote, block_id=vote.parent_id)
    signed = world.hosts[LIAR].key.sign(wrong.digest(world.genesis.cluster_id))
    return wire.frame_of_agreement(replace(wrong, signature=signed))[1]


def lie_to(world: World, kind: type, targets: tuple[int, ...], *, both: bool) -> None:
    """The liar's messages of `kind` reach `targets` changed; or both versions do."""
    forge = {Proposal: other_block, HeaderSignature: other_header, Vote: other_vote}[kind]

    def twist(source: Host, target: Host, topic: int, body: bytes) -> bool:
        if source.index != LIAR or target.index not in targets or topic != wire.Code.AGREEMENT:
            return True
        message = decode_message(body)
        if not isinstance(message, kind):
            return True
        false = forge(world, message)  # type: ignore[operator]  # each forger takes its own kind
        world.after(2, lambda: target.receive(source.peer, topic, false))
        return both

    world.network.filter = twist
    world.checkers.exempt[LIAR] = None


@pytest.mark.parametrize(
    ("kind", "offence"),
    [
        (Proposal, Offence.DOUBLE_PROPOSAL),
        (Vote, Offence.DOUBLE_VOTE),
        (HeaderSignature, Offence.DOUBLE_HEADER),
    ],
)
@pytest.mark.parametrize("targets", [(3,), (0, 2, 3)])
def test_whoever_says_two_things_is_proven_guilty_and_holds_nobody_up(
    kind: type, offence: Offence, targets: tuple[int, ...]
) -> None:
    world = world_of(4, latency_ms=(1, 4)).start()
    world.run(500)
    lie_to(world, kind, targets, both=True)
    honest = (0, 2, 3)
    for turn in range(8):
        assert world.stored(world.submit(honest[turn % 3]), 10_000, *honest)
    world.run(2_000)
    for index in honest:
        node = world.hosts[index]
        assert "evidence" in node.events
        assert "diverged" not in node.events
        with node.disk.store.snapshot() as snapshot:
            proofs = [Evidence.decode(data) for _, data in snapshot.scan(ChainTable.EVIDENCE, b"", limit=99)]
        assert proofs
        assert {proof.accused for proof in proofs} == {LIAR}
        assert offence in {proof.offence for proof in proofs}
    world.settle(5_000, honest)


@pytest.mark.parametrize("kind", [Proposal, Vote, HeaderSignature])
def test_whoever_says_different_things_to_different_nodes_splits_nothing(kind: type) -> None:
    world = world_of(5, latency_ms=(1, 4)).start()
    world.run(500)
    lie_to(world, kind, (2, 3), both=False)
    honest = (0, 2, 3)
    for turn in range(8):
        assert world.stored(world.submit(honest[turn % 3]), 10_000, *honest)
    for index in honest:
        assert "diverged" not in world.hosts[index].events
    world.settle(5_000, honest)
