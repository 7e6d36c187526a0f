"""Where two judges of one cluster might part, or be made to drop what they anchored: what is refused so that
they do not, and what parts them all the same and how it ends, as SPEC section 9 says."""

import pytest

from consensus import SignatureCache
from node.anchoring.client.lightclient import freeze
from node.anchoring.refusals import Code
from tests.node.anchoring import independent_judge, independent_verifier
from tests.node.anchoring.chains import Chain
from tests.node.anchoring.client.test_lightclient import active, step
from tests.node.anchoring.forks.test_recovery import (
    NEW,
    NEW_OPERATORS,
    NEWER,
    NOW_MS,
    accusing,
    judged,
    recovered,
    refused,
)


def test_without_evidence_no_replacement_lies_beside_the_base_that_it_replaces() -> None:
    """Or a retired quorum would drop what was anchored, and nobody would be convicted (F3)."""
    chain = Chain().grow(8)
    other = chain.fork(5).grow(4, salt="b")
    first = chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2))
    taken = recovered(active(chain, 8), first)
    moved = step(taken, chain.recovered(8, NEW, NEW_OPERATORS).grow(2), 10)
    for height in (8, 9):
        beside = other.recovery(height, NEWER, NEW_OPERATORS, (0, 1, 2), replaces=1)
        for path in ((), chain.path(8, 9), other.path(8, 9), other.path(7, 9)):
            assert refused(taken, beside, path) is refused(moved, beside, path) is Code.RECOVERY_BASE
    same = chain.recovery(8, NEWER, NEW_OPERATORS, (0, 1, 2), replaces=1)
    assert recovered(taken, same) == recovered(moved, same) == recovered(active(chain, 8), same)
    # By evidence it may: that names what was anchored in vain.
    proof = accusing(chain, other, 8, (0, 1, 2), (1, 2, 3))
    told, _ = freeze(taken, proof, SignatureCache())
    assert told.before is not None
    judged(told.before.client, other)
    named = other.recovery(9, NEWER, NEW_OPERATORS, (0, 3), replaces=1)
    assert recovered(told, named).last.header_hash == other.headers[9].hash


@pytest.mark.parametrize("height", [7, 8, 9])
def test_a_second_judge_takes_and_refuses_the_same_replacements_without_evidence(height: int) -> None:
    chain = Chain().grow(9)
    other = chain.fork(5).grow(4, salt="b")
    taken = recovered(active(chain, 8), chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2)))
    for branch in (chain, other):
        replacement = branch.recovery(height, NEWER, NEW_OPERATORS, (0, 1, 2), replaces=1)
        for path in ((), chain.path(8, 9), other.path(8, 9), chain.path(7, 9)):
            if branch is chain and (height, path) in ((8, ()), (9, chain.path(8, 9))):
                expected = recovered(taken, replacement, path).encode()
                told = independent_judge.recovered(taken.encode(), replacement.encode(), NOW_MS, list(path))
                assert told == expected
                continue
            assert refused(taken, replacement, path) is Code.RECOVERY_BASE
            with pytest.raises(independent_verifier.Refused):
                independent_judge.recovered(taken.encode(), replacement.encode(), NOW_MS, list(path))
