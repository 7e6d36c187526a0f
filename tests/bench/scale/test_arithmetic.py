"""What a round must cost, counted by hand beside the formula."""

import pytest

from bench.scale.arithmetic import Sizes, predict, quorum_of
from bench.yardstick import SignatureCost

COST = SignatureCost(verify_us=40.0, sign_us=15.0)


@pytest.mark.parametrize(("nodes", "quorum"), [(1, 1), (3, 3), (4, 3), (7, 5), (10, 7), (31, 21), (100, 67)])
def test_a_quorum_weighs_more_than_two_thirds(nodes: int, quorum: int) -> None:
    assert quorum_of(nodes) == quorum
    assert 3 * quorum > 2 * nodes >= 3 * (quorum - 1)


def test_an_empty_round_of_four_checks_two_votes_and_three_of_four_proposals() -> None:
    predicted = predict(4, 0.0, COST)
    assert predicted.verifies == 2 + 3 / 4
    assert predicted.signs == 1 + 1 / 4
    assert predicted.crypto_us == 2.75 * 40 + 1.25 * 15
    assert predicted.messages == 3 + 3 / 4


def test_a_hundred_replicas_check_a_quorum_of_votes_and_as_many_header_signatures() -> None:
    predicted = predict(100, 1.0, COST)
    assert predicted.verifies == pytest.approx(66 + 0.99 + 66)
    assert predicted.crypto_us / 1000 == pytest.approx(5.35, abs=0.01)
    sizes = Sizes.of(100, with_header=True)
    assert predicted.bytes == pytest.approx(99 * (sizes.vote + sizes.proposal / 100 + sizes.header_signature))


def test_a_proposal_grows_by_a_signature_for_each_member_of_the_quorum() -> None:
    small, large = Sizes.of(4, with_header=False), Sizes.of(100, with_header=False)
    more_signatures = 64 * (quorum_of(100) - quorum_of(4))
    assert 0 < large.proposal - small.proposal - more_signatures < 32
    assert Sizes.of(100, with_header=True).proposal - large.proposal > 64 * 67
    assert large.vote == small.vote
