"""Recovery: a convicted cluster goes on in a later incarnation, on nobody's word that stands accused."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from consensus import CodecError, SignatureCache, encode
from node.anchoring.client.lightclient import freeze, recover, retire, update
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Statement
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.anchoring.refusals import Code, Refused
from tests.node.anchoring.chains import Chain, Keys, certify, changed, keys
from tests.node.anchoring.client.test_lightclient import active, step

NEW = keys("harbour", (1, 1, 1, 1), first=10)
NEW_OPERATORS = keys("harbour/operator", (1, 1, 1, 1), first=10)


def forked(
    weights: Sequence[int], first: Sequence[int], second: Sequence[int]
) -> tuple[Chain, Chain, ClientState]:
    """A chain, its other branch from height 6 on, and a client frozen by these two quorums at height 8."""
    chain = Chain(weights=weights).grow(8)
    other = chain.fork(5).grow(4, salt="b")
    statements = (Statement(chain.certified(8, first)), Statement(other.certified(8, second)))
    evidence = ForkEvidence(ForkKind.TWO_HEADERS, 8, (), *statements)
    state, _ = freeze(active(chain, 8), evidence, SignatureCache())
    judged(state, chain, other)
    return chain, other, state


def judged(state: ClientState, *branches: Chain) -> None:
    """Recoveries of these branches name what the client knows."""
    for branch in branches:
        branch.accusations = (state.accused, state.convicted)


def refused(state: ClientState, recovery: RecoveryCertificate) -> Code:
    with pytest.raises(Refused) as caught:
        recover(state, RecoveryCertificate.decode(recovery.encode()), SignatureCache())
    return caught.value.code


def recovered(state: ClientState, recovery: RecoveryCertificate) -> ClientState:
    return recover(state, RecoveryCertificate.decode(recovery.encode()), SignatureCache())


def test_more_than_half_of_the_unaccused_weight_begins_the_next_incarnation_on_either_branch() -> None:
    for is_other in (False, True):
        chain, other, state = forked((1,) * 7, (0, 1, 2, 3, 4), (2, 3, 4, 5, 6))
        base = other if is_other else chain
        after = recovered(state, base.recovery(7, NEW, NEW_OPERATORS, (0, 1, 5)))
        assert (after.status, after.incarnation, after.epoch) == (ClientStatus.ACTIVE, 1, 1)
        assert (after.last.height, after.last.header_hash) == (7, base.headers[7].hash)
        assert after.validators == after.origin == NEW.set(1)
        assert (after.operators, after.accused) == (NEW_OPERATORS.set(1), ())
        going_on = base.recovered(7, NEW, NEW_OPERATORS).grow(5)
        assert step(after, going_on, 12).last.header_hash == going_on.headers[12].hash
        with pytest.raises(Refused) as caught:
            step(after, base.fork(7).grow(3), 10)
        assert caught.value.code is Code.WRONG_INCARNATION


def test_half_of_the_unaccused_weight_and_accused_signers_are_not_enough() -> None:
    chain, _, state = forked((1,) * 7, (0, 1, 2, 3, 4), (2, 3, 4, 5, 6))
    for signers, code in (
        ((0, 1), Code.RECOVERY_WEIGHT),
        ((), Code.RECOVERY_WEIGHT),
        ((0, 1, 2, 5), Code.RECOVERY_ACCUSED),
    ):
        assert refused(state, chain.recovery(7, NEW, NEW_OPERATORS, signers)) is code
    accused_again = keys("harbour", (1,) * 4, first=3)
    assert (
        refused(state, chain.recovery(7, accused_again, NEW_OPERATORS, (0, 1, 5, 6))) is Code.RECOVERY_ACCUSED
    )


def test_operators_sign_only_where_at_most_a_third_of_the_weight_is_unaccused() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (0, 1, 2))
    by = RecoveredBy.OPERATORS
    assert recovered(state, chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 3), by)).incarnation == 1
    assert refused(state, chain.recovery(8, NEW, NEW_OPERATORS, (0, 1), by)) is Code.RECOVERY_WEIGHT
    assert refused(state, chain.recovery(8, NEW, NEW_OPERATORS, (3,))) is Code.RECOVERY_WEIGHT
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    assert refused(state, chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2, 3), by)) is Code.RECOVERY_WEIGHT
    assert recovered(state, chain.recovery(8, NEW, NEW_OPERATORS, (0, 3))).incarnation == 1


def test_a_recovery_is_signed_by_these_for_this_and_for_nothing_else() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    good = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    other_base = chain.recovery(6, NEW, NEW_OPERATORS, (0, 3)).base
    epoch_set = keys("stranger").set(1)
    for wrong in (
        replace(good, base=other_base),
        replace(good, validators=epoch_set),
        replace(good, operators=epoch_set),
        replace(good, signatures=good.signatures[64:] + good.signatures[:64]),
        replace(good, signatures=good.signatures[:64]),
        replace(good, signers=b"\x11"),
        replace(good, signers=b"\x09\x00"),
        replace(good, signers=b""),
    ):
        assert refused(state, wrong) is Code.RECOVERY_SIGNERS
    as_operators = replace(good, by=RecoveredBy.OPERATORS)
    assert refused(state, as_operators) is Code.RECOVERY_WEIGHT


def test_the_base_must_be_certified_by_its_own_set_in_the_incarnation_that_ends() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    good = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    weak = replace(good, base=chain.certified(7, (0, 1)))
    assert refused(state, weak) is Code.CERTIFICATE_INVALID
    raised = certify(changed(chain.headers[7], incarnation=1), chain.sets[0])
    assert refused(state, replace(good, base=raised, incarnation=2)) is Code.WRONG_INCARNATION
    elsewhere = Chain("elsewhere").grow(8).recovery(7, NEW, NEW_OPERATORS, (0, 3))
    assert refused(state, elsewhere) is Code.WRONG_CLUSTER


def test_a_recovery_is_applied_once_and_later_ones_count_on_from_it() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    first = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    after = recovered(state, first)
    assert refused(after, first) is Code.WRONG_INCARNATION
    going_on = chain.recovered(7, NEW, NEW_OPERATORS).grow(4)
    newer = keys("harbour", (1,) * 4, first=20)
    moved = step(after, going_on, 11)
    second = going_on.recovery(11, newer, NEW_OPERATORS, (0, 1, 2))
    again = recovered(moved, second)
    assert (again.incarnation, again.epoch) == (2, 2)
    assert refused(state, second) is Code.WRONG_INCARNATION


def test_evidence_of_the_incarnation_that_ended_freezes_nobody_again() -> None:
    chain, other, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    after = recovered(state, chain.recovery(7, NEW, NEW_OPERATORS, (0, 3)))
    old = ForkEvidence(
        ForkKind.TWO_HEADERS, 8, (), Statement(chain.certified(8)), Statement(other.certified(8))
    )
    with pytest.raises(Refused) as caught:
        freeze(after, old, SignatureCache())
    assert caught.value.code in (Code.WRONG_INCARNATION, Code.UNKNOWN_SET)
    going_on = chain.recovered(7, NEW, NEW_OPERATORS).grow(3)
    beside = chain.recovered(7, NEW, NEW_OPERATORS).grow(3, salt="b")
    new = ForkEvidence(
        ForkKind.TWO_HEADERS, 10, (), Statement(going_on.certified(10)), Statement(beside.certified(10))
    )
    assert freeze(after, new, SignatureCache())[0].status is ClientStatus.FROZEN
    mixed = replace(new, second=Statement(chain.fork(8).grow(2).certified(10)))
    with pytest.raises(Refused) as caught:
        freeze(after, mixed, SignatureCache())
    assert caught.value.code is Code.WRONG_INCARNATION


def test_a_client_that_is_not_frozen_takes_no_base_below_beside_or_above_its_tip() -> None:
    chain = Chain().grow(8)
    beside = chain.fork(6).grow(2, salt="b")
    state = active(chain, 7)
    for branch, height in ((chain, 6), (beside, 7), (chain, 8), (beside, 8)):
        assert refused(state, branch.recovery(height, NEW, NEW_OPERATORS, (0, 1, 2))) is Code.RECOVERY_BASE
    after = recovered(state, chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2)))
    assert (after.last, after.incarnation) == (state.last, 1)
    assert refused(retire(state), chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2))) is Code.CLIENT_RETIRED


def rotated(salt: str, chain: Chain) -> Chain:
    return chain.grow(2, salt=salt, next_set=keys(f"set-{salt}")).grow(3, salt=salt)


def test_a_base_of_a_set_that_the_client_never_held_comes_with_its_links() -> None:
    common = Chain().grow(4)
    chain, other = rotated("a", common.fork(4)), rotated("b", common.fork(4))
    ends = (Statement(chain.certified(6)), Statement(other.certified(6)))
    evidence = ForkEvidence(ForkKind.TWO_HEADERS, 6, (), *ends)
    # A client of epoch 1 knows that set 0 is past; one of epoch 0 freezes, and its base may be of epoch 1.
    state, _ = freeze(active(common, 4), evidence, SignatureCache())
    judged(state, chain, other)
    by = RecoveredBy.OPERATORS
    bare = other.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2), by)
    assert refused(state, bare) is Code.UNKNOWN_SET
    linked = other.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2), by, with_links=True)
    after = recovered(state, linked)
    assert (after.epoch, after.last.header_hash) == (2, other.headers[8].hash)
    crossed = replace(linked, links=chain.links())
    assert refused(state, crossed) is Code.WRONG_VALIDATORS


def test_a_set_that_the_forkers_named_cannot_recover_the_cluster_although_nobody_accuses_it() -> None:
    common = Chain().grow(4)
    chain, other = rotated("a", common.fork(4)), rotated("b", common.fork(4))
    ends = (Statement(chain.certified(6)), Statement(other.certified(6)))
    evidence = ForkEvidence(ForkKind.TWO_HEADERS, 6, (), *ends)
    state, _ = freeze(active(common, 4), evidence, SignatureCache())
    assert state.convicted == chain.sets[0].set(0)
    judged(state, chain, other)
    for branch in (chain, other):
        named = branch.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2, 3), with_links=True)
        assert refused(state, named) is Code.RECOVERY_WEIGHT
    later = replace(state, validators=chain.sets[1].set(1))
    unlinked = chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2, 3))
    assert refused(later, unlinked) is Code.RECOVERY_BASE


def test_a_recovery_admits_nobody_who_was_not_admitted() -> None:
    chain, _, frozen = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    pending = replace(active(chain, 7), status=ClientStatus.PENDING, is_admitted=False)
    chain.accusations = ((), None)
    base = chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2))
    assert recovered(pending, base).status is ClientStatus.PENDING
    never_admitted = ClientState.decode(replace(frozen, is_admitted=False).encode())
    judged(frozen, chain)
    after = recovered(never_admitted, chain.recovery(7, NEW, NEW_OPERATORS, (0, 3)))
    assert (after.status, after.is_admitted) == (ClientStatus.PENDING, False)


def test_a_base_that_ended_its_epoch_asks_for_no_link_of_the_set_it_named() -> None:
    chain = Chain().grow(3).grow(1, next_set=keys("harbour", (1,) * 4, first=1))
    state = active(chain, 4)
    after = recovered(state, chain.recovery(4, NEW, NEW_OPERATORS, (0, 1, 2)))
    going_on = chain.recovered(4, NEW, NEW_OPERATORS).grow(3)
    moved = update(after, going_on.update(4, 7), going_on.now_ms, SignatureCache())
    assert moved.last.height == 7


def test_a_recovery_is_read_back_as_it_was_written_and_nothing_else_is() -> None:
    chain = Chain().grow(4, next_set=keys("harbour", (1,) * 4, first=1)).grow(4)
    whole = chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2), with_links=True)
    data = whole.encode()
    assert RecoveryCertificate.decode(data) == whole
    for wrong in (b"", data[:-1], data + b"\xc0", encode(()), encode((2,) * 8)):
        with pytest.raises(CodecError):
            RecoveryCertificate.decode(wrong)


# --- everybody judges alike --------------------------------------------------------------------------


def test_clusters_that_know_different_evidence_take_the_same_recovery() -> None:
    """One was shown 0, 1 and 2 signing twice, another also saw 3 do so. Judged each by its own evidence, one
    would ask for a validator's signature and the other for the operators'."""
    chain, other, some = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    more = ForkEvidence(
        ForkKind.TWO_HEADERS,
        7,
        (),
        Statement(chain.certified(7, (0, 2, 3))),
        Statement(other.certified(7, (0, 2, 3))),
    )
    all_of_them, _ = freeze(some, more, SignatureCache())
    assert (len(some.accused), len(all_of_them.accused)) == (2, 4)
    judged(all_of_them, chain)
    by_all = chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2), RecoveredBy.OPERATORS)
    assert refused(some, by_all) is Code.RECOVERY_EVIDENCE
    told, _ = freeze(some, more, SignatureCache())
    assert recovered(told, by_all) == recovered(all_of_them, by_all)
    judged(some, chain)
    by_some = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    assert recovered(some, by_some).incarnation == 1
    # Who knows more never lets the guilty sign; by operators, with the same outcome, it goes on as well.
    assert refused(all_of_them, by_some) is Code.RECOVERY_ACCUSED
    assert recovered(all_of_them, by_all) == recovered(some, by_some)


def test_who_knows_more_lets_no_accused_key_follow_and_takes_a_recovery_that_needs_none() -> None:
    chain, other, some = forked((1,) * 7, (0, 1, 2, 3, 4), (2, 3, 4, 5, 6))
    more = ForkEvidence(
        ForkKind.TWO_HEADERS,
        7,
        (),
        Statement(chain.certified(7, (0, 2, 3, 4, 5))),
        Statement(other.certified(7, (0, 2, 3, 4, 6))),
    )
    knowing, _ = freeze(some, more, SignatureCache())
    assert len(knowing.accused) == len(some.accused) + 1
    good = chain.recovery(7, NEW, NEW_OPERATORS, (1, 5, 6))
    assert recovered(some, good) == recovered(knowing, good)
    naming = keys("harbour", (1,) * 4, first=0)
    hidden = chain.recovery(7, naming, NEW_OPERATORS, (1, 5, 6))
    assert refused(knowing, hidden) is Code.RECOVERY_ACCUSED
    assert recovered(some, chain.recovery(7, keys("harbour", (1, 1), first=0), NEW_OPERATORS, (1, 5, 6)))


def test_an_accusation_cannot_be_taken_out_of_a_recovery_or_put_into_it() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    good = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    fewer = replace(good, accused=good.accused[:1])
    assert refused(state, fewer) in (Code.RECOVERY_SIGNERS, Code.RECOVERY_WEIGHT)
    assert refused(state, replace(good, convicted=None)) is Code.RECOVERY_EVIDENCE
    assert refused(state, replace(good, convicted=(1, good.convicted[1]))) is Code.RECOVERY_EVIDENCE  # type: ignore[index]  # it is set
    stranger = keys("stranger").keys[0].public_key
    framed = replace(good, accused=tuple(sorted((*good.accused, stranger))))
    assert refused(state, framed) is Code.RECOVERY_EVIDENCE
    for wrong in (good.accused[::-1], good.accused * 2):
        with pytest.raises(CodecError):
            RecoveryCertificate.decode(replace(good, accused=wrong).encode())
    assert refused(active(chain, 7), good) is Code.RECOVERY_EVIDENCE


# --- a recovery that came to nothing -----------------------------------------------------------------


def replacing(chain: Chain, operators: Keys, signers: Sequence[int], **more: object) -> RecoveryCertificate:
    """Another recovery on header 7, in place of one whose set never certified."""
    proposed = RecoveryCertificate.proposed(
        chain.certified(7),
        keys("harbour", first=30).members,
        NEW_OPERATORS.members,
        RecoveredBy.OPERATORS,
        replaces=1,
    )
    proposed = replace(proposed, **more)  # type: ignore[arg-type]  # by name
    bitmap, joined = operators.sign(proposed.digest(), signers)
    return replace(proposed, signers=bitmap, signatures=joined)


def test_a_recovery_whose_set_never_certified_is_replaced_by_its_operators() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    stuck = recovered(state, chain.recovery(7, NEW, NEW_OPERATORS, (0, 3)))
    second = replacing(chain, NEW_OPERATORS, (0, 1, 2))
    after = recovered(stuck, second)
    assert (after.incarnation, after.epoch, after.status) == (2, 2, ClientStatus.ACTIVE)
    assert after.last == stuck.last
    assert after.validators == keys("harbour", first=30).set(2)
    assert refused(after, second) is Code.WRONG_INCARNATION
    assert refused(state, second) is Code.WRONG_INCARNATION  # the first one comes first
    # Headers of the set that it replaced are of an incarnation that is over.
    late = chain.recovered(7, NEW, NEW_OPERATORS).grow(2)
    with pytest.raises(Refused) as caught:
        step(after, late, 9)
    assert caught.value.code is Code.WRONG_INCARNATION


def test_only_a_quorum_of_its_operators_replaces_a_recovery_and_only_on_its_base() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    stuck = recovered(state, chain.recovery(7, NEW, NEW_OPERATORS, (0, 3)))
    assert refused(stuck, replacing(chain, NEW_OPERATORS, (0, 1))) is Code.RECOVERY_WEIGHT
    assert refused(stuck, replacing(chain, chain.operators, (0, 1, 2))) is Code.RECOVERY_SIGNERS
    as_validators = replacing(chain, NEW, (0, 1, 2), by=RecoveredBy.VALIDATORS)
    assert refused(stuck, as_validators) is Code.RECOVERY_SIGNERS
    elsewhere = replacing(chain, NEW_OPERATORS, (0, 1, 2), base=chain.certified(6))
    assert refused(stuck, elsewhere) is Code.WRONG_INCARNATION
    accusing = replacing(chain, NEW_OPERATORS, (0, 1, 2), accused=(NEW.keys[0].public_key,))
    assert refused(stuck, accusing) is Code.RECOVERY_EVIDENCE
    moved = step(stuck, chain.recovered(7, NEW, NEW_OPERATORS).grow(2), 9)
    assert refused(moved, replacing(chain, NEW_OPERATORS, (0, 1, 2))) is Code.WRONG_INCARNATION
