"""Where two judges of one cluster might part, or be made to drop what they anchored: what is refused so that
they do not, and what parts them all the same and how it ends, as SPEC section 9 says."""

from contextlib import suppress
from dataclasses import replace
from itertools import permutations

import pytest

from consensus import CodecError, SignatureCache, SigningKey
from node.anchoring.client.lightclient import freeze, recover, update
from node.anchoring.client.state import ACCOUNTABLE_MS, ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.recovery import RECOVERIES_MAX, RecoveredBy, RecoveryCertificate
from node.anchoring.refusals import Code, Refused
from tests.node.anchoring import independent_judge, independent_verifier
from tests.node.anchoring.chains import Chain, Keys, key, keys
from tests.node.anchoring.client.test_lightclient import active, step
from tests.node.anchoring.forks.test_convergence import Case
from tests.node.anchoring.forks.test_convergence import judged as judged_in_order
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


def test_recoveries_of_a_stopped_cluster_on_ever_higher_headers_end_alike_in_any_order() -> None:
    chain = Chain().grow(9)
    beside = chain.fork(7).grow(2, salt="b")
    new = [keys("harbour", first=first) for first in (10, 20, 30, 40)]
    first, second, third = (
        chain.recovery(7 + replaces, new[replaces], NEW_OPERATORS, (0, 1, 2), replaces=replaces)
        for replaces in range(3)
    )
    paths = ((), chain.path(7, 8), chain.path(7, 9), chain.path(8, 9))

    def after(state: ClientState, shown: RecoveryCertificate | int) -> ClientState:
        if isinstance(shown, int):
            with suppress(Refused):
                since = min(shown, state.last.height)
                return update(state, chain.update(since, shown), NOW_MS, SignatureCache())
            return state
        for path in paths:
            with suppress(Refused):
                return recovered(state, shown, path)
        return state

    objects: tuple[RecoveryCertificate | int, ...] = (first, second, third, 8, 9)

    ends = set()
    for order in permutations(objects):
        state = active(chain, 7)
        for count in range(1, 6):
            for shown in order[:count] * 3:
                state = after(state, shown)
        ends.add(state.encode())
    assert len(ends) == 1
    end = ClientState.decode(ends.pop())
    assert (end.incarnation, end.last.height) == (3, 9)
    assert end.before is not None
    assert end.before.client.last == end.last
    # What a replacement stands on is anchored: the next one contains that, not only what the first stood on.
    state = recovered(recovered(active(chain, 7), first), second, chain.path(7, 8))
    for height in (8, 9):
        astray = beside.recovery(height, new[3], NEW_OPERATORS, (0, 1, 2), replaces=2)
        for path in (*paths, beside.path(7, height), beside.path(8, height)):
            assert refused(state, astray, path) is Code.RECOVERY_BASE


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


# --- what parts judges all the same, and how it ends -------------------------------------------------


def test_evidence_of_an_epoch_parts_who_had_passed_it_until_two_recoveries_a_week_apart() -> None:
    """The exception of SPEC section 9: evidence of an epoch freezes who has not passed that. The first
    recovery names nobody, for those who had passed hold nobody accused."""
    chain = Chain().grow(8)
    first = chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2))
    on = chain.recovered(8, NEW, NEW_OPERATORS).grow(1)
    fork = on.fork(9).grow(1, salt="b")
    on.grow(1, next_set=NEWER).grow(2)
    late = accusing(on, fork, 10, (0, 1, 2), (0, 1, 2))
    case = Case(active(chain, 8), (first, (on, 9), late, (on, 12)))
    behind, ahead = (judged_in_order(case, order) for order in ((0, 1, 2, 3), (0, 1, 3, 2)))
    assert [(state.incarnation, state.status) for state in (behind, ahead)] == [
        (1, ClientStatus.FROZEN),
        (1, ClientStatus.ACTIVE),
    ]
    with pytest.raises(Refused) as caught:
        freeze(ahead, late, SignatureCache())
    assert caught.value.code is Code.PAST_EPOCH

    # One recovery does not bring them together, whatever it names.
    on.accusations = (behind.accused, behind.convicted)
    by = RecoveredBy.OPERATORS
    naming = on.recovery(12, keys("harbour", first=50), NEW_OPERATORS, (0, 1, 2), by, with_links=True)
    assert recovered(behind, naming).status is ClientStatus.ACTIVE
    assert refused(ahead, naming) is Code.RECOVERY_EVIDENCE
    on.accusations = ((), None)
    next_set, last_set = keys("harbour", first=60), keys("harbour", first=70)
    silent = on.recovery(12, next_set, NEW_OPERATORS, (0, 1, 2), with_links=True)
    behind, ahead = recovered(behind, silent), recovered(ahead, silent)
    assert [state.status for state in (behind, ahead)] == [ClientStatus.FROZEN, ClientStatus.ACTIVE]

    # A second one does, a week later, on a header of the first.
    going_on = on.recovered(12, next_set, NEW_OPERATORS).grow(2, gap_ms=ACCOUNTABLE_MS + 60_000)
    second = going_on.recovery(14, last_set, NEW_OPERATORS, (0, 1, 2))
    ends = [
        recover(state, second, going_on.now_ms, SignatureCache())
        for state in (behind, step(ahead, going_on, 14))
    ]
    assert [(state.incarnation, state.status) for state in ends] == [(3, ClientStatus.ACTIVE)] * 2
    assert ends[0].last == ends[1].last
    assert ends[0].validators == ends[1].validators


def test_two_recoveries_of_one_number_on_two_incarnations_end_by_a_higher_one() -> None:
    chain = Chain().grow(8)
    first = recovered(active(chain, 8), chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2)))
    on = chain.recovered(8, NEW, NEW_OPERATORS).grow(1)
    one = recovered(step(first, on, 9), on.recovery(9, NEWER, NEW_OPERATORS, (0, 1, 2)))
    other = recovered(
        first, chain.recovery(8, keys("harbour", first=40), NEW_OPERATORS, (0, 1, 2), replaces=1)
    )
    assert (one.incarnation, other.incarnation) == (2, 2)
    third = chain.recovery(8, keys("harbour", first=50), NEW_OPERATORS, (0, 1, 2), replaces=2)
    ends = [recovered(state, third) for state in (one, other)]
    assert [(state.incarnation, state.status) for state in ends] == [(3, ClientStatus.ACTIVE)] * 2
    assert ends[0] == ends[1]


def test_a_number_that_skips_uses_up_those_that_could_replace_it() -> None:
    """Why operators choose the next number that nobody has heard of, and not a higher one to be sure."""
    chain = Chain().grow(8)
    begins = active(chain, 8)
    last = recovered(begins, chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2), replaces=RECOVERIES_MAX - 1))
    assert (last.incarnation, last.epoch) == (RECOVERIES_MAX, RECOVERIES_MAX)
    for replaces in range(RECOVERIES_MAX):
        lower = chain.recovery(8, NEWER, NEW_OPERATORS, (0, 1, 2), replaces=replaces)
        assert refused(last, lower) is Code.WRONG_INCARNATION
    higher = chain.recovery(8, NEWER, NEW_OPERATORS, (0, 1, 2), replaces=RECOVERIES_MAX)
    with pytest.raises(CodecError):
        RecoveryCertificate.decode(higher.encode())


def test_a_successor_that_conspires_with_the_retired_quorum_taints_a_recovery_once() -> None:
    """That quorum names it in a set of a branch that never was, where it signs twice. Whoever does so is
    accused, follows no more, and an honest successor signs nothing there."""
    chain = Chain().grow(8)
    fork = chain.fork(5).grow(4, salt="b")
    everybody = (0, 1, 2, 3)
    state, _ = freeze(active(chain, 6), accusing(chain, fork, 8, everybody, everybody), SignatureCache())
    judged(state, chain)
    by = RecoveredBy.OPERATORS
    successors = NEW
    for turn in range(2):
        recovery = chain.recovery(8, successors, NEW_OPERATORS, (0, 1, 2), by, replaces=turn)
        state = recovered(state, recovery)
        assert (state.incarnation, state.status) == (turn + 1, ClientStatus.ACTIVE)
        traitor = successors.keys[3]
        state = tainted_by(chain, state, traitor_key=traitor)
        assert state.status is ClientStatus.FROZEN
        again = chain.recovery(8, successors, NEW_OPERATORS, (0, 1, 2), by, replaces=turn + 1)
        assert recovered(state, again).status is ClientStatus.FROZEN
        successors = Keys((*successors.keys[:3], key("harbour", 100 + turn)), successors.weights)
    honest = chain.recovery(8, successors, NEW_OPERATORS, (0, 1, 2), by, replaces=2)
    state = recovered(state, honest)
    assert state.status is ClientStatus.ACTIVE
    assert tainted_by(chain, state, traitor_key=key("puppet", 3)).status is ClientStatus.ACTIVE


def tainted_by(chain: Chain, state: ClientState, traitor_key: SigningKey) -> ClientState:
    """After evidence against a set of a forged branch with this key in it."""
    puppets = Keys((key("puppet", 0), key("puppet", 1), key("puppet", 2), traitor_key), (1, 1, 1, 1))
    forged = chain.fork(6).grow(1, salt="p", next_set=puppets)
    one, other = (forged.fork(7).grow(1, salt=salt) for salt in "xy")
    evidence = replace(accusing(one, other, 8, (0, 1, 3), (0, 1, 3)), links=one.links())
    return freeze(state, evidence, SignatureCache())[0]
