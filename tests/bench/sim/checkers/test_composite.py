"""The checkers together: they see what a real world does, believe Byzantine hosts nothing but what a quorum
signed, and hear of it wherever it is said."""

import pytest

from bench.sim.checkers import INVARIANTS, Checkers
from bench.sim.host import Host
from bench.sim.world import World
from node import wire
from node.validator import Flush
from tests.bench.sim.checkers.ledgers import OneHost
from tests.bench.sim.checkers.statements import (
    ROOT,
    ROOT_QC,
    SETTING,
    Fields,
    block_of,
    caught,
    certificate_of,
    chain_of,
    name,
    pack,
    qc_of,
    tc_of,
    timeout_of,
    vote_of,
)

A, B = name("a"), name("b")
PROPOSAL, VOTE, TIMEOUT, CERTIFICATES, BLOCKS = 1, 2, 3, 7, 9


def fresh(*exempt: int) -> Checkers:
    checkers = Checkers(SETTING, World(SETTING).pool_config, lambda: 0)
    for index in exempt:
        checkers.exempt[index] = None
    return checkers


def running() -> World:
    world = World(SETTING, 3).start()
    world.run(300)
    return world


def test_a_real_world_is_silent_and_everything_in_it_was_looked_at() -> None:
    world = running()
    world.hosts[2].crash_at = world.hosts[2].boundaries + 40
    for turn in range(8):
        world.submit(turn % 4, 5)
        world.run(300)
    world.run(2_000)
    world.checkers.on_calm()
    probe = world.transaction(life_ms=500_000)
    world.hosts[0].submit(probe)
    assert world.stored([probe], world.checkers.liveness.bound_ms)
    world.settle(5_000)
    checkers = world.checkers
    assert len(checkers.acknowledged) >= 40
    assert checkers.votes > 20
    assert len(checkers.agreement.chain) > 10
    assert checkers.agreement._compared == max(checkers.headers)
    assert checkers.validity._complete == max(checkers.headers)
    assert checkers.liveness.proven == 1
    assert {kind for kind, _, _ in checkers.signed} >= {"vote", "proposal", "header"}
    assert checkers.high_water["shell_timers"].most > 0
    assert len(checkers.quorum._certified) > 10
    assert len(INVARIANTS) == len(set(INVARIANTS)) == 11


FALSE_QC = qc_of(3, A, B, 2, (0, 1))
FALSE_HEADER = certificate_of(1, A, B, (0, 1))


@pytest.mark.parametrize(
    ("topic", "frame"),
    [
        (wire.Code.AGREEMENT, (TIMEOUT, *timeout_of(1, 4, FALSE_QC))),
        (wire.Code.AGREEMENT, (TIMEOUT, *timeout_of(1, 4, ROOT_QC, tc_of(3, (0, 0), (0, 1))))),
        (wire.Code.AGREEMENT, (PROPOSAL, block_of(4, FALSE_QC).data, bytes(64))),
        (wire.Code.AGREEMENT, (PROPOSAL, block_of(1, certified=FALSE_HEADER).data, bytes(64))),
        (wire.Code.AGREEMENT, (CERTIFICATES, FALSE_QC, None, None)),
        (wire.Code.AGREEMENT, (CERTIFICATES, None, None, FALSE_HEADER)),
        (wire.Code.BLOCKS, (BLOCKS, ((block_of(4, FALSE_QC).data, bytes(64)),))),
        (wire.Code.SYNC, (7, 1, (), (), FALSE_HEADER)),
    ],
)
def test_a_false_certificate_is_found_wherever_an_honest_host_sends_it_and_ignored_from_others(
    topic: int, frame: Fields
) -> None:
    host = OneHost(1, 1).host
    caught("certificates", lambda: fresh().on_frame(host, topic, pack(frame)))
    liar = fresh(1)
    liar.on_frame(host, topic, pack(frame))
    assert not liar.quorum._certified
    assert liar.executed.keys() == {0}


def test_a_false_certificate_in_a_journal_is_found() -> None:
    host = OneHost(1, 1).host
    record = pack((1, None, (), FALSE_QC, None, None))
    caught("certificates", lambda: fresh().on_record(host, record))
    fresh(1).on_record(host, record)


def test_two_quorums_are_found_from_byzantine_hosts_too() -> None:
    checkers, host = fresh(1), OneHost(1, 1).host
    checkers.on_frame(host, wire.Code.AGREEMENT, pack((CERTIFICATES, qc_of(3, A, ROOT, 0), None, None)))
    other = pack((CERTIFICATES, qc_of(3, B, ROOT, 0, (1, 2, 3)), None, None))
    caught("quorum", lambda: checkers.on_frame(host, wire.Code.AGREEMENT, other))


def test_a_header_certificate_counts_as_execution_and_as_commit() -> None:
    checkers, host = fresh(1), OneHost(1, 1).host
    blocks = chain_of(1, 2)
    certificate = certificate_of(1, blocks[1].id, A)
    checkers.on_frame(
        host, wire.Code.BLOCKS, pack((BLOCKS, tuple((made.data, bytes(64)) for made in blocks)))
    )
    told = pack((CERTIFICATES, None, None, certificate))
    checkers.on_frame(host, wire.Code.AGREEMENT, told)
    assert checkers.agreement.chain[-1] == blocks[1].id
    other = pack((CERTIFICATES, None, None, certificate_of(1, A, B)))
    caught("headers", lambda: checkers.on_frame(host, wire.Code.AGREEMENT, other))


def test_byzantine_votes_count_only_with_their_signature() -> None:
    checkers, host = fresh(1), OneHost(1, 1).host
    vote = vote_of(1, 3, A)
    checkers.on_frame(host, wire.Code.AGREEMENT, pack((VOTE, *vote[:7], bytes(64))))
    assert not checkers.quorum._votes
    checkers.on_frame(host, wire.Code.AGREEMENT, pack((VOTE, *vote)))
    assert len(checkers.quorum._votes) == 1


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x90", pack((2, 1)), pack({1: 2}), pack((1.5,)), b"\x91" * 99]
)
@pytest.mark.parametrize("topic", list(wire.Code))
def test_rubbish_of_byzantine_hosts_is_no_news(topic: int, body: bytes) -> None:
    fresh(1).on_frame(OneHost(1, 1).host, topic, body)


def test_what_reaches_a_host_from_a_byzantine_one_is_read_however_it_was_sent() -> None:
    world = running()
    world.checkers.exempt[3] = None
    far = 10_000
    sent = [
        wire.Code.AGREEMENT,
        pack((CERTIFICATES, qc_of(far, A, B, far - 2), None, None)),
    ]
    peer = world.hosts[3].peer
    caught("signing", lambda: world.hosts[0].receive(peer, *sent))  # type: ignore[arg-type]  # a topic and a body
    assert far in world.checkers.quorum._certified


def test_a_byzantine_block_with_an_empty_tc_is_no_news() -> None:
    proposal = pack((PROPOSAL, block_of(4, tc=(0, 3, b"\x00", (), b"")).data, bytes(64)))
    fresh(1).on_frame(OneHost(1, 1).host, wire.Code.AGREEMENT, proposal)


def test_evidence_against_an_honest_host_is_found() -> None:
    host = OneHost(1, 1).host
    accusation = pack((1, 1, 0, 2, bytes(32), (), ()))
    caught("signing", lambda: fresh().on_frame(host, wire.Code.EVIDENCE, accusation))
    fresh(2).on_frame(host, wire.Code.EVIDENCE, accusation)


def test_a_height_that_is_stored_twice_is_found() -> None:
    world = running()
    flushes: list[tuple[Host, Flush]] = []
    original = world.checkers.on_flush

    def keep(host: Host, flush: Flush) -> None:
        flushes.append((host, flush))
        original(host, flush)

    world.checkers.on_flush = keep  # type: ignore[method-assign]  # a test listens in
    assert world.stored(world.submit(0, 3), 5_000)
    host, flush = flushes[0]
    caught("agreement", lambda: original(host, flush))
