"""Recovery: a convicted cluster goes on in a later incarnation, on nobody's word that stands accused."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from consensus import CodecError, PublicKey, SignatureCache, encode
from node.anchoring.client.lightclient import freeze, recover, retire, update
from node.anchoring.client.state import ACCOUNTABLE_MS, BEFORE_MAX, CLIENT_BYTES_MAX, Before, ClientState
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Statement
from node.anchoring.forks.recovery import ACCUSED_MAX, RecoveredBy, RecoveryCertificate
from node.anchoring.refusals import Code, Refused
from tests.node.anchoring.chains import START_MS, Chain, certify, changed, keys
from tests.node.anchoring.client.test_lightclient import active, step

NEW = keys("harbour", (1, 1, 1, 1), first=10)
NEW_OPERATORS = keys("harbour/operator", (1, 1, 1, 1), first=10)
NOW_MS = START_MS + 60_000
NEWER = keys("harbour", (1, 1, 1, 1), first=30)


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


def refused(state: ClientState, recovery: RecoveryCertificate, tip_path: tuple[bytes, ...] = ()) -> Code:
    with pytest.raises(Refused) as caught:
        recovered(state, recovery, tip_path)
    return caught.value.code


def recovered(
    state: ClientState, recovery: RecoveryCertificate, tip_path: tuple[bytes, ...] = ()
) -> ClientState:
    brought = RecoveryCertificate.decode(recovery.encode())
    return recover(state, brought, NOW_MS, SignatureCache(), tip_path)


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


def test_evidence_of_the_incarnation_that_ended_freezes_nobody_again_whom_the_recovery_says_guilty() -> None:
    chain, other, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    after = recovered(state, chain.recovery(7, NEW, NEW_OPERATORS, (0, 3)))
    same = ForkEvidence(
        ForkKind.TWO_HEADERS,
        8,
        (),
        Statement(chain.certified(8, (0, 1, 2))),
        Statement(other.certified(8, (1, 2, 3))),
    )
    assert freeze(after, same, SignatureCache())[0] == after
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


def accusing(
    chain: Chain, other: Chain, height: int, first: Sequence[int], second: Sequence[int]
) -> ForkEvidence:
    """Headers of both branches at this height, by these signers."""
    statements = (Statement(chain.certified(height, first)), Statement(other.certified(height, second)))
    return ForkEvidence(ForkKind.TWO_HEADERS, height, (), *statements)


def test_a_recovery_waits_for_the_evidence_that_it_names() -> None:
    """One was shown 0, 1 and 2 signing twice, another also saw 0 and 3 do so, and the operators signed."""
    chain, other, some = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    more = accusing(chain, other, 7, (0, 2, 3), (0, 2, 3))
    all_of_them, _ = freeze(some, more, SignatureCache())
    assert (len(some.accused), len(all_of_them.accused)) == (2, 4)
    judged(all_of_them, chain)
    by_all = chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2), RecoveredBy.OPERATORS)
    assert refused(some, by_all) is Code.RECOVERY_EVIDENCE
    told, _ = freeze(some, more, SignatureCache())
    assert recovered(told, by_all) == recovered(all_of_them, by_all)


def test_who_signed_and_is_accused_taints_the_recovery_whenever_that_comes_to_light() -> None:
    chain, other, some = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    more = accusing(chain, other, 7, (0, 2, 3), (0, 2, 3))
    knowing, _ = freeze(some, more, SignatureCache())
    judged(some, chain)
    by_some = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    sooner = recovered(knowing, by_some)
    assert (sooner.incarnation, sooner.status) == (1, ClientStatus.FROZEN)
    before = recovered(some, by_some)
    assert before.status is ClientStatus.ACTIVE
    later, verdict = freeze(before, more, SignatureCache())
    assert len(verdict.accused) == 3
    assert later == sooner
    # A better one ends that, on either branch, wherever the first was taken or not.
    judged(knowing, chain, other)
    for branch in (chain, other):
        better = branch.recovery(7, NEWER, NEW_OPERATORS, (0, 1, 2), RecoveredBy.OPERATORS, replaces=1)
        assert recovered(later, better) == recovered(knowing, better)
        assert recovered(later, better).status is ClientStatus.ACTIVE
        assert refused(before, better) is Code.RECOVERY_EVIDENCE


def test_who_is_accused_and_follows_taints_the_recovery() -> None:
    chain, other, some = forked((1,) * 7, (0, 1, 2, 3, 4), (2, 3, 4, 5, 6))
    more = accusing(chain, other, 7, (0, 2, 3, 4, 5), (0, 2, 3, 4, 6))
    knowing, _ = freeze(some, more, SignatureCache())
    assert len(knowing.accused) == len(some.accused) + 1
    good = chain.recovery(7, NEW, NEW_OPERATORS, (1, 5, 6))
    assert recovered(some, good).status is recovered(knowing, good).status is ClientStatus.ACTIVE
    assert freeze(recovered(some, good), more, SignatureCache())[0] == recovered(knowing, good)
    with_accused = keys("harbour", (1, 1), first=0)
    hiding = chain.recovery(7, with_accused, NEW_OPERATORS, (1, 5, 6))
    assert recovered(some, hiding).status is ClientStatus.ACTIVE
    assert recovered(knowing, hiding).status is ClientStatus.FROZEN


def test_an_earlier_conviction_taints_a_recovery_by_a_set_that_came_after_it() -> None:
    """Whoever forked may name the next set, let it convict a third of itself, and recover by the others."""
    common = Chain().grow(4)
    chain, other = rotated("a", common.fork(4)), rotated("b", common.fork(4))
    inner = chain.fork(7).grow(2, salt="inner")
    late = replace(accusing(chain, inner, 8, (0, 1, 2), (1, 2, 3)), links=chain.links())
    first = accusing(chain, other, 6, (0, 1, 2), (1, 2, 3))
    some, _ = freeze(active(common, 4), late, SignatureCache())
    judged(some, chain)
    puppets = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3), with_links=True)
    assert recovered(some, puppets).status is ClientStatus.ACTIVE
    knowing, _ = freeze(some, first, SignatureCache())
    assert recovered(knowing, puppets).status is ClientStatus.FROZEN
    told, _ = freeze(recovered(some, puppets), first, SignatureCache())
    assert told == recovered(knowing, puppets)
    only_first, _ = freeze(active(common, 4), first, SignatureCache())
    assert refused(only_first, puppets) is Code.RECOVERY_EVIDENCE


def test_a_recovery_that_accuses_nobody_is_tainted_by_any_evidence() -> None:
    chain = Chain().grow(8)
    other = chain.fork(5).grow(4, salt="b")
    kept_back = accusing(chain, other, 8, (0, 1, 2), (1, 2, 3))
    stopped = chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2))
    going_on = recovered(active(chain, 8), stopped)
    assert going_on.status is ClientStatus.ACTIVE
    told, _ = freeze(going_on, kept_back, SignatureCache())
    assert told.status is ClientStatus.FROZEN
    frozen, _ = freeze(active(chain, 8), kept_back, SignatureCache())
    assert recovered(frozen, stopped).status is ClientStatus.FROZEN


def test_keys_that_were_retired_with_an_incarnation_freeze_nothing_a_week_after_it() -> None:
    chain = Chain().grow(8)
    leaked = accusing(chain, chain.fork(5).grow(4, salt="leaked"), 8, (0, 1, 2, 3), (0, 1, 2, 3))
    after = recovered(active(chain, 8), chain.recovery(8, NEW, NEW_OPERATORS, (0, 1, 2)))
    going_on = chain.recovered(8, NEW, NEW_OPERATORS).grow(2, next_set=NEWER).grow(2)
    in_time = step(after, going_on, 12)
    late = step(after, chain.recovered(8, NEW, NEW_OPERATORS).grow(1, gap_ms=ACCOUNTABLE_MS + 60_000), 9)
    # Ending the epoch cuts nothing short: whoever forked would do so at once.
    assert freeze(in_time, leaked, SignatureCache())[0].status is ClientStatus.FROZEN
    told, _ = freeze(late, leaked, SignatureCache())
    assert told.status is late.status
    assert told.before is not None
    assert len(told.before.client.accused) == 4
    assert replace(told, before=late.before) == late


def test_a_cluster_that_leaked_keys_froze_alone_comes_back_by_two_recoveries_a_week_apart() -> None:
    """It was behind when keys of an epoch that is over for the others were shown to it; nobody believes them
    there, so no recovery can name what it was shown."""
    chain = Chain().grow(3, next_set=keys("harbour", first=1)).grow(4)
    leaked = accusing(chain, chain.fork(1).grow(3, salt="leaked"), 2, (0, 1, 2, 3), (0, 1, 2, 3))
    ahead, behind = active(chain, 7), active(chain, 1)
    with pytest.raises(Refused) as caught:
        freeze(ahead, leaked, SignatureCache())
    assert caught.value.code is Code.PAST_EPOCH
    behind, _ = freeze(behind, leaked, SignatureCache())
    first = chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2), with_links=True)
    states = [recovered(state, first) for state in (ahead, behind)]
    assert [state.status for state in states] == [ClientStatus.ACTIVE, ClientStatus.FROZEN]
    for gap_ms, status in ((0, ClientStatus.FROZEN), (ACCOUNTABLE_MS + 60_000, ClientStatus.ACTIVE)):
        going_on = chain.recovered(7, NEW, NEW_OPERATORS).grow(2, gap_ms=gap_ms)
        moved = step(states[0], going_on, 9)
        second = going_on.recovery(9, NEWER, NEW_OPERATORS, (0, 1, 2))
        ends = [recover(state, second, going_on.now_ms, SignatureCache()) for state in (moved, states[1])]
        assert [state.status for state in ends] == [ClientStatus.ACTIVE, status]
    assert ends[0].last == ends[1].last


def test_whose_word_a_recovery_stands_on_is_the_same_for_everybody() -> None:
    """Signatures of other validators under the same recovery, and one cluster would be frozen by evidence
    against a signer that another has nothing to do with."""
    chain, _, state = forked((1,) * 7, (0, 1, 2, 3, 4), (2, 3, 4, 5, 6))
    one, other = (chain.recovery(7, NEW, NEW_OPERATORS, signers) for signers in ((0, 1, 5), (1, 5, 6)))
    assert one.digest() != other.digest()
    bitmap, joined = chain.sets[0].sign(one.digest(), (1, 5, 6))
    assert refused(state, replace(one, signers=bitmap, signatures=joined)) is Code.RECOVERY_SIGNERS
    _, _, state = forked((1,) * 4, (0, 1, 2), (0, 1, 2))
    chain.accusations = (state.accused, state.convicted)
    by = RecoveredBy.OPERATORS
    digests = {
        chain.recovery(7, NEW, NEW_OPERATORS, signers, by).digest() for signers in ((0, 1, 2), (1, 2, 3))
    }
    assert len(digests) == 1


def test_an_accusation_cannot_be_taken_out_of_a_recovery_or_put_into_it() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    good = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    fewer = replace(good, accused=good.accused[:1])
    assert refused(state, fewer) is Code.RECOVERY_EVIDENCE
    assert refused(state, replace(good, convicted=None)) is Code.RECOVERY_EVIDENCE
    assert refused(state, replace(good, accused=())) is Code.RECOVERY_EVIDENCE
    assert refused(state, replace(good, accused=(), convicted=None)) is Code.RECOVERY_WEIGHT
    assert refused(state, replace(good, convicted=(1, good.convicted[1]))) is Code.RECOVERY_BASE  # type: ignore[index]  # it is set
    stranger = keys("stranger").keys[0].public_key
    framed = replace(good, accused=tuple(sorted((*good.accused, stranger))))
    assert refused(state, framed) is Code.RECOVERY_EVIDENCE
    for wrong in (good.accused[::-1], good.accused * 2):
        with pytest.raises(CodecError):
            RecoveryCertificate.decode(replace(good, accused=wrong).encode())
    assert refused(active(chain, 7), good) is Code.RECOVERY_EVIDENCE


# --- one recovery in place of another ----------------------------------------------------------------


def test_whoever_could_sign_a_recovery_replaces_it_also_after_headers_of_it_were_anchored() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    first = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    second = chain.recovery(7, NEWER, NEW_OPERATORS, (0, 3), replaces=1)
    stuck = recovered(state, first)
    dropped = chain.recovered(7, NEW, NEW_OPERATORS).grow(4, next_set=keys("harbour", first=40)).grow(2)
    after = recovered(state, second)
    assert (after.incarnation, after.epoch, after.status) == (2, 2, ClientStatus.ACTIVE)
    assert (after.last, after.validators) == (stuck.last, NEWER.set(2))
    assert recovered(stuck, second) == after
    assert recovered(step(stuck, dropped, 9), second) == after
    assert recovered(step(stuck, dropped, 13), second) == after
    assert refused(after, first) is refused(after, second) is Code.WRONG_INCARNATION
    # Headers of the set that it replaced are of an incarnation that is over.
    with pytest.raises(Refused) as caught:
        step(after, dropped, 9)
    assert caught.value.code is Code.WRONG_INCARNATION
    going_on = chain.recovered(7, NEWER, NEW_OPERATORS, skipped=1).grow(2)
    assert step(after, going_on, 9).last.height == 9


def test_a_replacement_is_judged_as_what_it_replaces() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    stuck = recovered(state, chain.recovery(7, NEW, NEW_OPERATORS, (0, 3)))
    for signers, by, code in (
        ((0,), RecoveredBy.VALIDATORS, Code.RECOVERY_WEIGHT),
        ((0, 1), RecoveredBy.VALIDATORS, Code.RECOVERY_ACCUSED),
        ((0, 1, 2), RecoveredBy.OPERATORS, Code.RECOVERY_WEIGHT),
    ):
        assert refused(stuck, chain.recovery(7, NEWER, NEW_OPERATORS, signers, by, replaces=1)) is code
    # Those whom the first one named have a say on their own headers alone.
    own = chain.recovered(7, NEW, NEW_OPERATORS).grow(2)
    by_named = replace(own.recovery(9, NEWER, NEW_OPERATORS, (0, 1, 2)), base=chain.certified(7))
    assert refused(stuck, by_named) in (Code.RECOVERY_EVIDENCE, Code.RECOVERY_SIGNERS)
    with pytest.raises(CodecError):
        RecoveryCertificate.decode(chain.recovery(7, NEWER, NEW_OPERATORS, (0, 3), replaces=16).encode())


def test_without_evidence_no_replacement_goes_below_the_base_that_it_replaces() -> None:
    """The bad case of a cluster that stopped: one holder anchored a header that the operators did not know
    of. It takes no base below, the others did: the next one stands on the highest header, and all take it."""
    chain = Chain().grow(8)
    low, high = active(chain, 7), active(chain, 8)
    first = chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 2))
    taken = recovered(low, first)
    assert refused(high, first) is Code.RECOVERY_BASE
    second = chain.recovery(8, NEWER, NEW_OPERATORS, (0, 1, 2), replaces=1)
    path = chain.path(7, 8)
    assert recovered(high, second).last == recovered(taken, second, path).last == high.last
    assert recovered(taken, second, path).validators == recovered(high, second).validators
    lower = chain.recovery(6, NEWER, NEW_OPERATORS, (0, 1, 2), replaces=1)
    assert refused(taken, lower) is refused(low, lower) is Code.RECOVERY_BASE
    # Who brings it proves to each what was anchored there, and another's proof is none.
    for wrong in ((), path[:-1], (*path, path[0]), chain.path(6, 8), path[::-1]):
        assert refused(taken, second, wrong) is Code.RECOVERY_BASE


def test_a_recovery_is_replaced_with_all_that_stands_on_it() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    going_on = chain.recovered(7, NEW, NEW_OPERATORS).grow(2)
    moved = step(recovered(state, chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))), going_on, 9)
    after = recovered(moved, going_on.recovery(9, NEWER, NEW_OPERATORS, (0, 1, 2)))
    assert (after.incarnation, after.epoch) == (2, 2)
    beneath = chain.recovery(7, keys("harbour", first=40), NEW_OPERATORS, (0, 3), replaces=2)
    for standing in (after, moved, state):
        assert (recovered(standing, beneath).incarnation, recovered(standing, beneath).epoch) == (3, 3)
        assert recovered(standing, beneath) == recovered(state, beneath)
    assert refused(after, chain.recovery(7, NEWER, NEW_OPERATORS, (0, 3))) is Code.WRONG_INCARNATION
    below = going_on.recovery(9, NEWER, NEW_OPERATORS, (0, 1, 2))
    sunk = changed(going_on.headers[9], height=7)
    frozen = replace(moved, status=ClientStatus.FROZEN)
    assert refused(frozen, replace(below, base=replace(below.base, header=sunk))) is Code.RECOVERY_BASE


def test_a_client_with_what_it_was_before_is_read_back_and_nothing_else_is() -> None:
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    after = recovered(state, chain.recovery(7, NEW, NEW_OPERATORS, (0, 3)))
    assert after.before is not None
    assert (after.before.lowest, after.before.base_height, len(after.before.signers)) == (0, 7, 2)
    assert ClientState.decode(after.encode()) == after
    nested = after
    for _ in range(BEFORE_MAX - 1):
        nested = replace(after, before=replace(after.before, client=nested))
        assert ClientState.decode(nested.encode()) == nested
    deeper = replace(after, before=replace(after.before, client=nested))
    with pytest.raises(CodecError):
        ClientState.decode(deeper.encode())
    kept = deeper.remembering(BEFORE_MAX)
    assert ClientState.decode(kept.encode()) == kept
    assert nested.remembering(BEFORE_MAX) == nested
    assert after.remembering(0).before is None


def test_what_stands_on_a_tainted_recovery_is_tainted_too() -> None:
    """Or those who forked would be washed by recovering once more."""
    chain, other, some = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    kept_back = accusing(chain, other, 7, (0, 2, 3), (0, 2, 3))
    first = chain.recovery(7, NEW, NEW_OPERATORS, (0, 3))
    going_on = chain.recovered(7, NEW, NEW_OPERATORS).grow(2)
    child = going_on.recovery(9, NEWER, NEW_OPERATORS, (0, 1, 2))
    unknowing = recovered(step(recovered(some, first), going_on, 9), child)
    assert unknowing.status is ClientStatus.ACTIVE
    later, _ = freeze(unknowing, kept_back, SignatureCache())
    knowing, _ = freeze(some, kept_back, SignatureCache())
    sooner = recovered(recovered(knowing, first), child)
    assert (
        (later.incarnation, later.status) == (sooner.incarnation, sooner.status) == (2, ClientStatus.FROZEN)
    )
    chain.accusations = (knowing.accused, knowing.convicted)
    by = RecoveredBy.OPERATORS
    better = chain.recovery(7, keys("harbour", first=40), NEW_OPERATORS, (0, 1, 2), by, replaces=2)
    assert recovered(later, better).status is recovered(sooner, better).status is ClientStatus.ACTIVE


def test_a_base_from_the_future_is_taken_by_nobody() -> None:
    """It would outrun the week in which those who made it can be held to account."""
    chain, _, state = forked((1,) * 4, (0, 1, 2), (1, 2, 3))
    ahead = chain.fork(7).grow(1, gap_ms=ACCOUNTABLE_MS + 3_600_000)
    ahead.accusations = chain.accusations
    assert refused(state, ahead.recovery(8, NEW, NEW_OPERATORS, (0, 3))) is Code.TIME_AHEAD


def test_the_largest_client_that_remembers_all_it_may_is_within_its_bound() -> None:
    crowd = keys("crowd", (1_000_000,) * 128)
    everybody, high = crowd.set(2**40), 2**60
    accused = tuple(PublicKey(bytes((number // 256, number % 256)) * 16) for number in range(ACCUSED_MAX))
    state = replace(
        active(Chain()),
        name="x" * 64,
        validators=everybody,
        origin=everybody,
        operators=everybody,
        accused=accused,
        convicted=everybody,
    )
    signers = tuple(member.public_key for member in crowd.members)
    for _ in range(BEFORE_MAX):
        before = Before(state, high, high, signers, (high, everybody.hash()), high)
        state = replace(state, before=before)
    assert ClientState.decode(state.encode()) == state
    assert CLIENT_BYTES_MAX // 2 < len(state.encode()) <= CLIENT_BYTES_MAX
