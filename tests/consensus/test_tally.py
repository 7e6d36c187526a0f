"""L1-L3: weight is counted once a validator, agreement is on full content, and memory is bounded."""

from dataclasses import replace

from consensus import Height, Round, SignatureCache, ValidatorIndex
from consensus.tally import HeaderTally, TimeoutTally, VoteTally
from tests.consensus.cluster import CLUSTER_ID, ROOT, keys_of, validators_of
from tests.consensus.forge import VALIDATORS, block, certify, chain, header, timeout, vote

FIRST, SECOND = chain(2)


def test_the_third_of_four_votes_makes_the_certificate() -> None:
    tally = VoteTally(VALIDATORS)
    assert [tally.add(vote(FIRST, i)) for i in (3, 0)] == [None, None]
    qc = tally.add(vote(FIRST, 1))
    assert qc == certify(FIRST, (0, 1, 3))
    qc.verify(CLUSTER_ID, VALIDATORS, SignatureCache(), ROOT.block_id)


def test_repeated_votes_add_no_weight() -> None:
    tally = VoteTally(VALIDATORS)
    assert [tally.add(vote(FIRST, 0)) for _ in range(5)] == [None] * 5
    assert tally.voters(Round(1)) == (0,)


def test_votes_for_different_blocks_do_not_add_up() -> None:
    tally = VoteTally(VALIDATORS)
    other = block(1, payload=b"other")
    votes = [vote(FIRST, 0), vote(FIRST, 1), vote(other, 2), vote(other, 3)]
    assert [tally.add(v) for v in votes] == [None] * 4


def test_an_odd_field_of_one_voter_does_not_poison_the_others() -> None:
    tally = VoteTally(VALIDATORS)
    tally.add(replace(vote(FIRST, 0), parent_round=Round(7)))
    assert [tally.add(vote(FIRST, i)) for i in (1, 2)] == [None, None]
    assert tally.add(vote(FIRST, 3)) == certify(FIRST, (1, 2, 3))


def test_weights_decide_and_not_heads() -> None:
    tally = VoteTally(validators_of(keys_of(4), [5, 1, 1, 1]))
    assert [tally.add(vote(FIRST, i)) for i in (1, 2, 3)] == [None, None, None]
    assert tally.add(vote(FIRST, 0)) is not None


def test_old_rounds_are_forgotten() -> None:
    tally = VoteTally(VALIDATORS)
    tally.add(vote(FIRST, 0))
    tally.add(vote(SECOND, 0))
    tally.prune(Round(2))
    assert len(tally) == 1
    assert tally.get(Round(1), ValidatorIndex(0)) is None


def test_a_timeout_certificate_carries_each_signers_own_certificate_round() -> None:  # L3
    tally = TimeoutTally(VALIDATORS)
    assert tally.add(timeout(2, 0)) is None
    assert not tally.is_blocking(Round(2))
    assert tally.add(timeout(2, 2, certify(FIRST))) is None
    assert tally.is_blocking(Round(2))
    tc = tally.add(timeout(2, 3))
    assert tc is not None
    assert (tc.hqc_rounds, tc.max_hqc_round) == ((0, 1, 0), 1)
    tc.verify(CLUSTER_ID, VALIDATORS, SignatureCache())


def test_one_liar_blames_nobody_and_a_blocking_set_does() -> None:  # C9
    tally = TimeoutTally(VALIDATORS)
    for author, blamed in ((0, 3), (1, 2), (2, 3)):
        tally.add(replace(timeout(2, author), blamed=ValidatorIndex(blamed)))
    assert tally.blamed(Round(2)) == (3,)
    tally.add(replace(timeout(2, 3), blamed=ValidatorIndex(99)))
    assert tally.blamed(Round(2)) == (3,)


def test_of_several_timeouts_of_one_author_the_best_counts_once() -> None:  # C20
    tally = TimeoutTally(VALIDATORS)
    tally.add(timeout(2, 0))
    tally.add(timeout(2, 0, certify(FIRST)))
    tally.add(timeout(2, 0))
    assert len(tally) == 1
    best = tally.get(Round(2), ValidatorIndex(0))
    assert best is not None
    assert best.hqc_round == 1


def test_a_contradiction_needs_a_blocking_weight_on_one_hash() -> None:  # C3
    tally = HeaderTally(VALIDATORS)
    ours = header(1, 0, content=0).header_hash
    tally.add(header(1, 1, content=1))
    tally.add(header(1, 2, content=2))
    assert tally.contradiction(Height(1), ours) is None
    tally.add(header(1, 3, content=2))
    assert tally.contradiction(Height(1), ours) == bytes((2,)) * 32
    assert tally.contradiction(Height(2), ours) is None


def test_headers_of_another_block_or_incarnation_do_not_add_up() -> None:
    tally = HeaderTally(VALIDATORS)
    tally.add(header(1, 0))
    tally.add(replace(header(1, 1), incarnation=1))
    tally.add(header(1, 2, block_id=FIRST.id))
    assert tally.add(header(1, 3)) is None
