"""The lemmas the safety proof rests on, each checked against the shipped rules (DESIGN.md 6).

Four real signers, all subsets of them, and schedules in which certificates stay hidden: what cannot be
signed cannot be certified.
"""

from collections.abc import Iterator
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    Block,
    Certificates,
    Commit,
    QuorumCertificate,
    RecoveredState,
    Replica,
    Round,
    Started,
    TimeoutCertificate,
    TimeoutReason,
    ValidatorIndex,
)
from consensus.safety import SafetyRules
from tests.consensus.cluster import ROOT, START_MS, config_of, keys_of, validators_of
from tests.consensus.forge import VALIDATORS, block, certify, give_up, propose, rules
from tests.consensus.test_replica import give

WHY = TimeoutReason.NO_QUORUM


def subsets(size: int) -> Iterator[tuple[int, ...]]:
    for count in range(size + 1):
        yield from combinations(range(size), count)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=7))
def test_two_quorums_share_a_blocking_set(weights: list[int]) -> None:
    """Quorum intersection on integer weights, all pairs of subsets."""
    validators = validators_of(keys_of(len(weights)), weights)
    quorums = [set(s) for s in subsets(len(weights)) if validators.is_quorum(validators.weight_of(s))]
    for first in quorums:
        for second in quorums:
            assert validators.is_blocking(validators.weight_of(first & second))
    for some in subsets(len(weights)):
        rest = set(range(len(weights))) - set(some)
        if validators.is_blocking(validators.weight_of(some)):
            assert not validators.is_quorum(validators.weight_of(rest))  # nothing passes against them
        elif 3 * validators.weight_of(some) < validators.total_weight:
            assert validators.is_quorum(validators.weight_of(rest))  # the correct ones need nobody else


def test_one_block_a_round_is_certified_even_if_one_signer_votes_for_both() -> None:
    first, twin = block(1), block(1, payload=b"twin")
    for liar in range(4):
        for voters_of_first in subsets(4):
            honest = {i: rules(i) for i in range(4) if i != liar}
            votes: dict[bytes, set[int]] = {first.id: {liar}, twin.id: {liar}}
            for index, safety in honest.items():
                order = (first, twin) if index in voters_of_first else (twin, first)
                for made in order:
                    if safety.may_vote(made) is None:
                        safety.sign_vote(made)
                        votes[made.id].add(index)
            certified = [v for v in votes.values() if VALIDATORS.is_quorum(VALIDATORS.weight_of(v))]
            assert len(certified) <= 1


def test_every_timeout_certificate_above_a_commit_carries_the_lock() -> None:
    """A quorum voted for B2 on B1: it is locked on round 1. Whatever quorum gives up round 2 or a later one,
    one of the liar included, its TC reports at least round 1: no block below B1 can follow."""
    b1 = block(1)
    b2 = block(2, certify(b1))
    for voters in combinations(range(4), 3):
        for quitters in combinations(range(4), 3):
            for liar in range(4):
                hqcs = []
                for index in quitters:
                    safety = rules(index)
                    if index in voters:
                        safety.sign_vote(b2)
                    hqcs.append(0 if index == liar else lowest_hqc_it_admits(safety, b1))
                assert max(hqcs) >= 1


def lowest_hqc_it_admits(safety: SafetyRules, b1: Block) -> int:
    """The lowest highest-QC round that this signer will sign into a timeout of round 2."""
    for round, hqc, tc in ((0, ROOT, give_up(1)), (1, certify(b1), None)):
        if safety.may_time_out(Round(2), hqc, tc) is None:
            return round
    raise AssertionError("a correct signer can always give a round up with the certificate it knows")


def test_the_lock_survives_two_timeouts_in_a_row() -> None:
    """Trap of another engine: the lock was lost when the second round failed as well."""
    b1 = block(1)
    b2 = block(2, certify(b1))
    safety = rules()
    safety.sign_vote(b2)
    for round in (3, 4):
        assert safety.may_time_out(Round(round), ROOT, give_up(round - 1)) is not None
        safety.sign_timeout(Round(round), certify(b1), give_up(round - 1, (1, 1, 1)), WHY, None)
    below = block(5, ROOT, give_up(4, (1, 1, 1)))
    assert "below the highest round 1" in str(safety.may_vote(below))


class Signers:
    """Four correct signers and whoever they agree to sign for."""

    def __init__(self) -> None:
        self.safety = [rules(index) for index in range(4)]

    def vote(self, made: Block, voters: tuple[int, ...]) -> QuorumCertificate:
        """The QC of these voters; raises SigningRefused when one of them must not vote."""
        for index in voters:
            self.safety[index].sign_vote(made)
        return certify(made, voters)

    def give_up(
        self,
        round: int,
        held: dict[int, tuple[QuorumCertificate, TimeoutCertificate | None]],
    ) -> TimeoutCertificate:
        """The TC of signers 0, 1, 2, ... with what each of them holds."""
        for index, (hqc, tc) in held.items():
            self.safety[index].sign_timeout(Round(round), hqc, tc, WHY, None)
        return give_up(round, tuple(held[index][0].round for index in sorted(held)))


def hidden_certificates() -> tuple[list[Block], QuorumCertificate, list[Block], QuorumCertificate]:
    """An all-honest schedule in which two branches are certified (the Fast-HotStuff trap).

    Round 1: B1 is certified, but nobody who times out sees it: TC1 reports 0. Round 2: B2 extends the root
    by TC1 and is certified, and only signer 2 sees that. Round 3: TC2 of 0, 1, 3 reports 1 (signer 0 saw
    QC1 late), so B3 extends B1: it is certified, with a gap of rounds. Round 4: TC3 of 0, 1, 2 reports 2:
    B4 extends B2, and B5 follows in the next round. Only B4 and its ancestors are committed.
    """
    signers = Signers()
    b1 = block(1, payload=b"b1")
    qc1 = signers.vote(b1, (0, 1, 2))
    tc1 = signers.give_up(1, {0: (ROOT, None), 1: (ROOT, None), 2: (ROOT, None)})
    b2 = block(2, ROOT, tc1, b"b2")
    qc2 = signers.vote(b2, (0, 1, 2))
    for index in (0, 1, 3):  # signer 0 has seen QC1 by now
        hqc, tc = (qc1, None) if index == 0 else (ROOT, tc1)
        signers.safety[index].sign_timeout(Round(2), hqc, tc, WHY, None)
    tc2 = tc_of(2, {0: 1, 1: 0, 3: 0})
    b3 = block(3, qc1, tc2, b"b3")
    qc3 = signers.vote(b3, (0, 1, 3))
    tc3 = signers.give_up(3, {0: (qc1, tc2), 1: (qc1, tc2), 2: (qc2, None)})
    b4 = block(4, qc2, tc3, b"b4")
    qc4 = signers.vote(b4, (0, 1, 2))
    b5 = block(5, qc4, payload=b"b5")
    qc5 = signers.vote(b5, (0, 1, 2))
    return [b1, b3], qc3, [b2, b4, b5], qc5


def tc_of(round: int, hqcs: dict[int, int]) -> TimeoutCertificate:
    full = give_up(round, tuple(hqcs.get(index, 0) for index in range(4)))
    kept = sorted(hqcs)
    return TimeoutCertificate(
        full.epoch,
        full.round,
        bytes((sum(1 << index for index in kept),)),
        tuple(full.hqc_rounds[index] for index in kept),
        b"".join(full.signatures[64 * index : 64 * index + 64] for index in kept),
    )


def committed_by_a_replica_that_sees(blocks: list[Block], qc: QuorumCertificate) -> list[int]:
    replica = Replica(config_of(), VALIDATORS, ValidatorIndex(0), rules(0), RecoveredState(ROOT, START_MS))
    effects = list(replica.step(Started(), START_MS + 100))
    for made in blocks:
        effects += give(replica, propose(made), int(made.author))
    effects += give(replica, Certificates(qc, None, None))
    return [c.block.round for e in effects if isinstance(e, Commit) for c in e.blocks]


def test_a_certified_child_across_a_gap_of_rounds_commits_nothing() -> None:
    left, left_qc, right, right_qc = hidden_certificates()
    assert committed_by_a_replica_that_sees(left, left_qc) == []
    assert committed_by_a_replica_that_sees(right, right_qc) == [2, 4]


def test_a_timeout_certificate_without_the_rounds_of_its_signers_would_lose_the_lock() -> None:
    """B4 on B2 is only allowed because TC3 shows 2 as the highest round; on B1 it is refused."""
    left, _, right, _ = hidden_certificates()
    b3, b4 = left[1], right[1]
    assert b4.tc is not None
    assert b4.tc.max_hqc_round == 2
    on_b1 = block(4, b3.qc, b4.tc, b"on the wrong branch")
    assert "below the highest round 2" in str(rules(3).may_vote(on_b1))
