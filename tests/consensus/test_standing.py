"""C12: what a chain remembers of failed leaders, who is left out for it, and when they lead again."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import (
    MEMORY_ROUNDS,
    Block,
    CodecError,
    Fault,
    LeaderSchedule,
    QuorumCertificate,
    Round,
    Standing,
    ValidatorIndex,
    ValidatorSet,
    bitmap_of,
    standing_after,
)
from consensus.leader import excluded, out_until
from consensus.standing import STRIKES_MAX, standing_from, standing_value
from tests.consensus.cluster import ROOT, keys_of, validators_of
from tests.consensus.forge import block, certify


class Chain:
    """A chain of blocks without blocks: rounds, and who signs the certificates between them."""

    def __init__(self, weights: list[int]) -> None:
        self.validators: ValidatorSet = validators_of(keys_of(len(weights)), weights)
        self.schedule = LeaderSchedule(self.validators)
        self.standing: Standing = ()
        self.round = 0
        self.lost = 0

    def certificate(self, signers: list[int]) -> QuorumCertificate:
        """The QC of the chain's last block."""
        bitmap = bitmap_of(signers, len(self.validators))
        return replace(ROOT, round=Round(self.round), signers=bitmap if self.round else b"")

    def leader(self, round: int, *, by_qc: bool) -> int:
        """Who leads it."""
        return self.schedule.leader_of(Round(round), self.standing if by_qc else None)

    def live(self, rounds: int, up: list[int], leads: list[int] | None = None) -> int:
        """So many rounds of which only `up` vote, and only `leads` propose; the rounds that failed."""
        failed, end = 0, self.round + rounds
        tried = self.round + 1
        while tried <= end:
            leader = self.leader(tried, by_qc=tried == self.round + 1)
            if leader not in (up if leads is None else leads):
                failed += 1
            else:
                qc = self.certificate(up)
                self.standing = standing_after(
                    self.standing, qc, Round(tried), ValidatorIndex(leader), self.schedule, self.validators
                )
                self.round = tried
            tried += 1
        self.lost += failed
        return failed


def test_while_nobody_fails_the_turns_are_those_of_the_weights() -> None:
    chain = Chain([1, 1, 1, 1])
    assert chain.live(400, [0, 1, 2, 3]) == 0
    assert chain.standing == ()
    assert [chain.leader(r, by_qc=True) for r in range(400, 404)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("nodes", "dead"), [(4, [2]), (7, [3]), (7, [0, 4]), (16, [5]), (16, [1, 2, 7, 8, 15])]
)
def test_a_dead_validator_costs_one_round_in_a_memory(nodes: int, dead: list[int]) -> None:
    chain = Chain([1] * nodes)
    up = [index for index in range(nodes) if index not in dead]
    lost = chain.live(200, up)
    assert len(dead) <= lost <= 2 * len(dead)  # a TC may give a turn to one that is dead too
    assert excluded(chain.standing, Round(chain.round + 1), chain.validators) == tuple(dead)
    assert chain.live(MEMORY_ROUNDS - 300, up) == 0


def test_a_dead_validator_is_tried_again_after_the_memory_then_after_twice_as_many_rounds() -> None:
    chain = Chain([1, 1, 1, 1])
    assert chain.live(2 * MEMORY_ROUNDS, [0, 1, 3]) == 2
    assert chain.live(4 * MEMORY_ROUNDS, [0, 1, 3]) == 1
    [fault] = chain.standing
    assert fault.silent
    assert out_until(fault, 4) == fault.round + (MEMORY_ROUNDS << (fault.strikes - 1))


def test_a_returning_validator_leads_again_after_it_has_voted() -> None:
    chain = Chain([1, 1, 1, 1])
    chain.live(100, [0, 1, 3])
    assert excluded(chain.standing, Round(chain.round + 1), chain.validators) == (2,)
    chain.live(2, [0, 1, 2], leads=[0, 1, 2, 3])
    assert [fault.silent for fault in chain.standing] == [False]
    assert excluded(chain.standing, Round(chain.round + 1), chain.validators) == ()
    assert {chain.leader(chain.round + step, by_qc=True) for step in range(1, 5)} == {0, 1, 2, 3}
    chain.live(MEMORY_ROUNDS, [0, 1, 2, 3])
    assert chain.standing == (), "and in the end nothing is remembered"


def test_a_validator_that_votes_and_never_proposes_waits_longer_each_time() -> None:
    chain = Chain([1, 1, 1, 1])
    lost = [chain.live(1_000, [0, 1, 2, 3], leads=[0, 1, 3]) for _ in range(9)]
    assert sum(lost[:3]) <= 5
    assert sum(lost[3:]) <= 3


def test_a_vote_that_is_not_later_than_the_failure_forgives_nothing() -> None:
    chain = Chain([1, 1, 1, 1])
    fault = Fault(ValidatorIndex(2), Round(6), 1, True)
    qc = replace(chain.certificate([]), round=Round(6), signers=bitmap_of([0, 1, 2], 4))
    after = standing_after((fault,), qc, Round(7), ValidatorIndex(3), chain.schedule, chain.validators)
    assert after == (fault,)
    later = replace(qc, round=Round(7))
    after = standing_after((fault,), later, Round(8), ValidatorIndex(0), chain.schedule, chain.validators)
    assert after == (replace(fault, silent=False),)


def test_an_author_is_not_silent_even_if_it_failed_in_the_rounds_before_its_block() -> None:
    chain = Chain([1, 1, 1, 1])
    after = standing_after((), ROOT, Round(5), ValidatorIndex(1), chain.schedule, chain.validators)
    assert {fault.author: fault.silent for fault in after} == {0: True, 1: False, 2: True, 3: True}


def test_a_round_that_a_tc_opens_is_everybodys_in_turn() -> None:
    chain = Chain([1, 1, 1, 1])
    chain.live(100, [0, 1, 3])
    assert [chain.leader(r, by_qc=False) for r in range(100, 104)] == [0, 1, 2, 3]


def test_a_long_outage_blames_everybody_once_and_the_next_votes_forgive_it() -> None:
    chain = Chain([1, 1, 1, 1])
    chain.live(10, [0, 1, 2, 3])
    qc = chain.certificate([0, 1, 2])
    author = chain.leader(100_010, by_qc=False)
    after = standing_after(
        chain.standing, qc, Round(100_010), ValidatorIndex(author), chain.schedule, chain.validators
    )
    assert [(fault.author, fault.strikes) for fault in after] == [(0, 1), (1, 1), (2, 1), (3, 1)]
    assert len(excluded(after, Round(100_011), chain.validators)) == 1
    chain.standing, chain.round = after, 100_010
    assert chain.live(2, [0, 1, 2], leads=[0, 1, 2, 3]) == 0
    assert [fault.author for fault in chain.standing if fault.silent] == [3]


def test_without_a_fault_to_spare_nobody_is_left_out() -> None:
    for weights in ([1], [1, 1], [1, 1, 1], [5, 1, 1, 1]):
        chain = Chain(weights)
        faults = tuple(Fault(ValidatorIndex(i), Round(1), 1, True) for i in range(len(weights)))
        left_out = excluded(faults, Round(2), chain.validators)
        assert chain.validators.is_quorum(
            chain.validators.total_weight - chain.validators.weight_of(left_out)
        )
        assert 0 not in left_out


def test_heavy_validators_that_fail_are_left_out_as_far_as_the_others_are_a_quorum() -> None:
    chain = Chain([3, 3, 3, 1])
    faults = tuple(Fault(ValidatorIndex(i), Round(5 - i), 1, True) for i in range(4))
    assert excluded(faults, Round(6), chain.validators) == (3,)
    assert excluded(faults[:3], Round(6), chain.validators) == (2,)  # the oldest failure first


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_whatever_happens_the_others_are_a_quorum_and_no_more_is_remembered_than_validators(
    data: st.DataObject,
) -> None:
    weights = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=9))
    chain, members = Chain(weights), len(weights)
    for _ in range(data.draw(st.integers(1, 30))):
        gap = data.draw(st.sampled_from([0, 0, 0, 1, 2, 40, MEMORY_ROUNDS]))
        signers = data.draw(st.lists(st.integers(0, members - 1), unique=True))
        round = chain.round + 1 + gap
        author = chain.leader(round, by_qc=gap == 0)
        chain.standing = standing_after(
            chain.standing,
            chain.certificate(signers),
            Round(round),
            ValidatorIndex(author),
            chain.schedule,
            chain.validators,
        )
        chain.round = round
        assert standing_from(standing_value(chain.standing)) == chain.standing
        left_out = excluded(chain.standing, Round(round + 1), chain.validators)
        rest = chain.validators.total_weight - chain.validators.weight_of(left_out)
        assert chain.validators.is_quorum(rest)
        known = {fault.author: fault for fault in chain.standing}
        assert set(left_out) <= set(known), "only who failed is left out"
        assert all(fault.round < round and fault.strikes <= STRIKES_MAX for fault in chain.standing)
        assert chain.leader(round + 1, by_qc=True) not in left_out


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 5), st.data())
def test_up_to_f_liars_that_lead_or_not_as_they_like_keep_no_honest_validator_out(
    f: int, data: st.DataObject
) -> None:
    """Whoever votes and leads when asked fails no round, so nothing is blamed on it whatever liars do: they
    can withhold proposals, and leave honest votes out of the certificates that they embed."""
    members = 3 * f + 1
    chain, honest = Chain([1] * members), list(range(f, members))
    for _ in range(60):
        leader = chain.leader(chain.round + 1, by_qc=True)
        round = chain.round + 1
        while leader < f and data.draw(st.booleans()):
            round += 1
            leader = chain.leader(round, by_qc=False)
        signers = honest if leader >= f else [*range(f), *honest[: f + 1]]
        chain.standing = standing_after(
            chain.standing,
            chain.certificate(signers),
            Round(round),
            ValidatorIndex(leader),
            chain.schedule,
            chain.validators,
        )
        chain.round = round
        assert all(fault.author < f for fault in chain.standing)


def test_a_standing_out_of_order_or_twice_the_same_author_is_refused() -> None:
    one, two = Fault(ValidatorIndex(1), Round(3), 1, True), Fault(ValidatorIndex(2), Round(3), 1, False)
    assert standing_from(standing_value((one, two))) == (one, two)
    for wrong in ((two, one), (one, one)):
        with pytest.raises(CodecError, match="order"):
            standing_from(standing_value(wrong))


@pytest.mark.parametrize(
    "value", [(128, 1, 1, 0), (0, 0, 1, 0), (0, 1, 0, 0), (0, 1, 7, 0), (0, 1, 1, 2), (0, 1, 1), 5]
)
def test_a_fault_that_cannot_be_is_refused(value: object) -> None:
    with pytest.raises(CodecError):
        standing_from((value,))  # type: ignore[arg-type]  # what bytes may hold


def test_a_block_keeps_its_standing_in_its_bytes_and_its_id_covers_it() -> None:
    plain = block(5, certify(block(4)))
    fault = Fault(ValidatorIndex(3), Round(3), 2, True)
    told = Block.make(
        cluster_id=plain.cluster_id,
        epoch=plain.epoch,
        round=plain.round,
        qc=plain.qc,
        tc=None,
        certified=None,
        payload=b"",
        author=plain.author,
        time_ms=plain.time_ms,
        standing=(fault,),
    )
    assert Block.decode(told.encoded) == told
    assert Block.decode(told.encoded).standing == (fault,)
    assert told.id != plain.id
