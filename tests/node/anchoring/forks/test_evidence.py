"""Evidence: any two views of a fork convict those who signed both, and nobody else can be framed."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import CodecError, Digest, SignatureCache, encode
from node.anchoring.client.lightclient import freeze, retire
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import ClientStatus, SplitView
from node.anchoring.cluster.epochs import EpochLink
from node.anchoring.forks.evidence import (
    EvidenceFile,
    ForkEvidence,
    ForkKind,
    Ground,
    HeldBranch,
    Leaf,
    Statement,
    Verdict,
    judge,
)
from node.anchoring.forks.finding import find_fork
from node.anchoring.refusals import Code, Refused
from tests.node.anchoring.chains import (
    Anchors,
    Chain,
    anchor_of,
    certify,
    changed,
    keys,
    leaf_of,
)
from tests.node.anchoring.client.test_lightclient import active


def ground(chain: Chain) -> Ground:
    return Ground.of_genesis(chain.identity)


def found(
    ours: Chain, theirs: Chain, our_height: int | None = None, their_height: int | None = None
) -> ForkEvidence:
    evidence = find_fork(ours.branch(our_height), theirs.branch(their_height), leaf_of(ours, theirs))
    assert evidence is not None
    return ForkEvidence.decode(evidence.encode())


def judged(evidence: ForkEvidence, by: Ground) -> Verdict:
    return judge(evidence, by, SignatureCache())


def refused(evidence: ForkEvidence, by: Ground) -> Code:
    with pytest.raises(Refused) as caught:
        judged(evidence, by)
    return caught.value.code


def two_headers(chain: Chain, first: Statement, second: Statement, index: int) -> ForkEvidence:
    links = chain.links(until=first.certified.header.epoch)
    return ForkEvidence(ForkKind.TWO_HEADERS, index, links, first, second)


# --- forks are found ---------------------------------------------------------------------------------


@st.composite
def forked(draw: st.DrawFn) -> tuple[Chain, Chain, int]:
    """Two histories of one cluster with their last common height; both may change their epochs."""
    chain = Chain()
    number = 0

    def grow(branch: Chain, salt: str) -> None:
        nonlocal number
        for length in draw(st.lists(st.integers(1, 4), max_size=3)):
            number += 1
            weights = draw(st.lists(st.integers(1, 4), min_size=1, max_size=5))
            branch.grow(length, salt=salt, next_set=keys("harbour", weights, first=number))
        branch.grow(draw(st.integers(1, 4)), salt=salt)

    grow(chain, "")
    cut = draw(st.integers(0, chain.height - 1))
    other = chain.fork(cut)
    grow(other, "other")
    return chain, other, cut


@settings(max_examples=60, deadline=None)
@given(forked(), st.data())
def test_any_two_views_behind_a_fork_convict_more_than_a_third_of_one_set(
    histories: tuple[Chain, Chain, int], data: st.DataObject
) -> None:
    chain, other, cut = histories
    heights = tuple(data.draw(st.integers(1, branch.height)) for branch in (chain, other))
    evidence = find_fork(chain.branch(heights[0]), other.branch(heights[1]), leaf_of(chain, other))
    assert (evidence is not None) == (min(heights) > cut)
    if evidence is None:
        return
    evidence = ForkEvidence.decode(evidence.encode())
    verdict = judged(evidence, ground(chain))
    signing = chain.sets[verdict.epoch].set(verdict.epoch)
    assert 3 * verdict.weight > verdict.total_weight == signing.total_weight
    assert verdict.freezes
    weights = {member.public_key: member.weight for member in signing.validators}
    assert verdict.weight == sum(weights[key] for key in verdict.accused)
    swapped = replace(evidence, first=evidence.second, second=evidence.first)
    if evidence.kind is ForkKind.TWO_HEADERS:
        assert judged(swapped, ground(chain)).accused == verdict.accused
    else:
        assert refused(swapped, ground(chain)) is Code.NO_CONFLICT


@settings(max_examples=60, deadline=None)
@given(forked(), st.data())
def test_nothing_that_one_history_can_state_convicts_it(
    histories: tuple[Chain, Chain, int], data: st.DataObject
) -> None:
    chain = histories[0]
    first, second = (data.draw(st.integers(1, chain.height)) for _ in range(2))
    index = data.draw(st.sampled_from((first, second, min(first, second), data.draw(st.integers(0, 20)))))

    def statement(height: int) -> Statement:
        certified = chain.certified(height)
        if index == height or index > height or data.draw(st.booleans()):
            return Statement(certified)
        return Statement(certified, chain.leaf(index, height))

    kind = data.draw(st.sampled_from(ForkKind))
    evidence = two_headers(chain, statement(first), statement(second), index)
    with pytest.raises(Refused):
        judged(replace(evidence, kind=kind), ground(chain))


def test_the_accused_are_those_who_signed_both_and_their_weight_is_counted() -> None:
    chain = Chain(weights=(1, 1, 1, 2)).grow(5)
    other = chain.fork(3).grow(2, salt="b")
    first, second = chain.certified(5, (0, 1, 3)), other.certified(5, (1, 2, 3))
    verdict = judged(two_headers(chain, Statement(first), Statement(second), 5), ground(chain))
    signed_both = tuple(chain.sets[0].keys[index].public_key for index in (1, 3))
    assert (verdict.accused, verdict.weight, verdict.total_weight) == (signed_both, 3, 5)
    assert (verdict.epoch, verdict.index, verdict.freezes) == (0, 5, True)


def test_a_lower_header_and_a_higher_history_without_it_convict() -> None:
    chain = Chain().grow(100)
    other = chain.fork(99).grow(11, salt="b")
    evidence = found(chain, other)
    assert (evidence.kind, evidence.index) == (ForkKind.TWO_HEADERS, 100)
    assert evidence.second.leaf is not None
    assert judged(evidence, ground(chain)).freezes


def test_two_leaves_at_one_index_convict_even_where_neither_header_is_at_that_height() -> None:
    chain = Chain().grow(20)
    other = chain.fork(9).grow(8, salt="b")
    first = Statement(chain.certified(20), chain.leaf(12, 20))
    second = Statement(other.certified(17), other.leaf(12, 17))
    assert judged(two_headers(chain, first, second, 12), ground(chain)).freezes
    same = two_headers(
        chain,
        Statement(chain.certified(20), chain.leaf(5, 20)),
        Statement(other.certified(17), other.leaf(5, 17)),
        5,
    )
    assert refused(same, ground(chain)) is Code.NO_CONFLICT


def test_a_fork_that_spans_epochs_is_reduced_to_the_first_set_that_signed_both_sides() -> None:
    chain = Chain().grow(3, next_set=keys("harbour", (1,) * 4, first=1)).grow(4)
    chain.grow(1, next_set=keys("harbour", (1,) * 4, first=2)).grow(5)
    other = chain.fork(4).grow(2, salt="b", next_set=keys("other", (1,) * 4)).grow(9, salt="b")
    evidence = found(chain, other)
    assert (evidence.epoch, len(evidence.links), evidence.kind) == (1, 1, ForkKind.BEYOND_THE_END)
    assert (evidence.index, evidence.second.certified.header.height) == (6, 8)
    assert judged(evidence, ground(chain)).accused == tuple(
        member.public_key for member in chain.sets[1].members[:3]
    )


# --- freezing ----------------------------------------------------------------------------------------


def test_evidence_freezes_an_active_a_stale_and_a_pending_client_and_keeps_the_tip() -> None:
    chain = Chain().grow(8)
    other = chain.fork(5).grow(3, salt="b")
    evidence = found(chain, other)
    for status in (ClientStatus.ACTIVE, ClientStatus.STALE, ClientStatus.PENDING):
        state = replace(active(chain, 7), status=status)
        frozen, verdict = freeze(state, evidence, SignatureCache())
        expected = replace(state, status=ClientStatus.FROZEN, accused=tuple(sorted(verdict.accused)))
        assert frozen == replace(expected, convicted=chain.sets[0].set(0))


def test_further_evidence_adds_to_the_accused_of_a_frozen_client() -> None:
    chain = Chain(weights=(1,) * 7).grow(8)
    other = chain.fork(5).grow(3, salt="b")
    state = active(chain, 8)
    for signers in ((0, 1, 2, 3, 4), (2, 3, 4, 5, 6)):
        first, second = chain.certified(8, (1, 2, 3, 4, 5)), other.certified(8, signers)
        evidence = two_headers(chain, Statement(first), Statement(second), 8)
        state, _ = freeze(state, evidence, SignatureCache())
    assert set(state.accused) == {chain.sets[0].keys[index].public_key for index in (1, 2, 3, 4, 5)}
    with pytest.raises(Refused) as caught:
        freeze(retire(state), found(chain, other), SignatureCache())
    assert caught.value.code is Code.CLIENT_RETIRED


# --- framing -----------------------------------------------------------------------------------------


def test_a_proof_that_fails_convicts_nobody() -> None:
    chain = Chain().grow(12)
    other = chain.fork(5).grow(7, salt="b")
    good = found(chain, other)
    by = ground(chain)
    leaf = other.leaf(8, 12)
    cases: list[tuple[ForkEvidence, Code]] = [
        (replace(good, index=11), Code.LEAF_NOT_INCLUDED),
        (replace(good, second=good.first), Code.NO_CONFLICT),
        (replace(good, kind=ForkKind.BEYOND_THE_END), Code.NO_CONFLICT),
        (replace(good, links=chain.fork(12).grow(1, next_set=keys("x")).links()), Code.WRONG_EPOCH),
    ]
    for wrong in (
        Leaf(leaf.header_hash, leaf.path[:-1]),
        Leaf(leaf.header_hash, chain.leaf(8, 12).path),
        Leaf(Digest(bytes(32)), leaf.path),
    ):
        second = Statement(other.certified(12), wrong)
        cases.append((two_headers(chain, Statement(chain.certified(8)), second, 8), Code.LEAF_NOT_INCLUDED))
    for signers in ((0, 1), ()):
        weak = replace(good, second=Statement(other.certified(12, signers)))
        cases.append((weak, Code.CERTIFICATE_INVALID))
    stranger = certify(other.headers[12], keys("stranger"))
    cases.append((replace(good, second=Statement(stranger)), Code.CERTIFICATE_INVALID))
    mixed = replace(other.certified(12), certificate=chain.certified(12).certificate)
    cases.append((replace(good, second=Statement(mixed)), Code.CERTIFICATE_MISMATCH))
    for evidence, code in cases:
        assert refused(evidence, by) is code
        state = active(chain, 9)
        with pytest.raises(Refused):
            freeze(state, evidence, SignatureCache())


def test_evidence_against_another_cluster_or_another_incarnation_is_none_against_this() -> None:
    chain, elsewhere = Chain().grow(6), Chain("elsewhere").grow(6)
    foreign = found(elsewhere, elsewhere.fork(3).grow(3, salt="b"))
    assert refused(foreign, ground(chain)) is Code.WRONG_CLUSTER
    evidence = found(chain, chain.fork(3).grow(3, salt="b"))
    later = replace(ground(chain), incarnation=1)
    assert refused(evidence, later) is Code.WRONG_INCARNATION
    raised = certify(changed(chain.headers[6], incarnation=1), chain.sets[0])
    both = replace(evidence, first=Statement(raised))
    assert refused(both, ground(chain)) is Code.WRONG_INCARNATION


def rotated(epochs: int) -> Chain:
    """A chain of several epochs whose sets share no key."""
    chain = Chain()
    for number in range(epochs):
        chain.grow(4, next_set=keys("harbour", (1,) * 4, first=4 * (number + 1)))
    return chain.grow(4)


def test_leaked_keys_of_a_past_epoch_accuse_themselves_and_freeze_nobody() -> None:
    chain = rotated(2)
    forged = chain.fork(2).grow(9, salt="leaked")
    evidence = found(chain, forged)
    assert evidence.epoch == 0
    state = active(chain, chain.height)
    verdict = judged(evidence, state.ground)
    assert (verdict.freezes, len(verdict.accused)) == (False, 3)
    assert "leaked" in verdict.reason
    with pytest.raises(Refused) as caught:
        freeze(state, evidence, SignatureCache())
    assert caught.value.code is Code.PAST_EPOCH
    assert judged(evidence, active(chain, 3).ground).freezes


def test_an_epoch_that_the_tip_ended_is_over_although_no_later_set_was_heard_yet() -> None:
    chain = rotated(1)
    evidence = found(chain, chain.fork(2).grow(3, salt="leaked"))
    assert judged(evidence, active(chain, 3).ground).freezes
    state = active(chain, 4)
    assert state.epoch == evidence.epoch == 0
    assert not judged(evidence, state.ground).freezes


def test_past_keys_cannot_invent_a_set_that_convicts_the_present_one() -> None:
    chain = rotated(2)
    invented = chain.fork(2).grow(1, salt="x", next_set=keys("invented"))
    invented.grow(2, salt="x", next_set=keys("invented", first=4)).grow(5, salt="x")
    conflict = found(invented, invented.fork(6).grow(5, salt="y"))
    assert conflict.epoch == 2
    state = active(chain, chain.height)
    assert refused(conflict, state.ground) is Code.UNKNOWN_SET
    assert judged(conflict, ground(chain)).freezes
    past = found(invented, invented.fork(4).grow(5, salt="y"))
    assert past.epoch == 1
    assert not judged(past, state.ground).freezes


def test_evidence_may_begin_at_the_set_that_a_client_holds_and_at_no_set_that_it_does_not() -> None:
    chain = rotated(3)
    evidence = found(chain, chain.fork(14).grow(3, salt="b"))
    assert evidence.epoch == 3
    state = active(chain, 10)
    assert state.epoch == 2
    short = replace(evidence, links=evidence.links[2:])
    assert judged(short, state.ground).accused == judged(evidence, ground(chain)).accused
    assert refused(replace(evidence, links=evidence.links[1:]), state.ground) is Code.UNKNOWN_SET
    assert refused(replace(evidence, links=()), state.ground) is Code.UNKNOWN_SET
    skipping: tuple[EpochLink, ...] = (evidence.links[0], evidence.links[2])
    assert refused(replace(evidence, links=skipping), ground(chain)) is Code.WRONG_EPOCH


def held(chain: Chain, forged: Chain, evidence: ForkEvidence, state: ClientState) -> HeldBranch:
    """The view of somebody who followed the forged branch."""
    top = state.last.height
    link = evidence.links[-1].ending.header.height if evidence.links else None
    ours, theirs = evidence.first, evidence.second
    is_swapped = chain.headers[ours.certified.header.height].hash != ours.certified.header.hash
    own, other = (theirs, ours) if is_swapped else (ours, theirs)
    is_leaf = evidence.kind is ForkKind.TWO_HEADERS
    own_index = evidence.index if is_leaf else own.certified.header.height
    other_index = evidence.index if is_leaf else other.certified.header.height
    return HeldBranch(
        anchor_of(forged, forged.height),
        forged.path(other_index, forged.height),
        chain.path(own_index, top),
        None if link is None else chain.path(link, top),
        ours_is_second=is_swapped,
    )


@pytest.mark.parametrize("cut", [2, 4, 6])
def test_a_past_fork_freezes_where_another_cluster_anchored_the_other_branch(cut: int) -> None:
    chain = rotated(3)
    forged = chain.fork(cut).grow(9, salt="b")
    evidence = found(chain, forged)
    state = active(chain, chain.height)
    view = held(chain, forged, evidence, state)
    frozen, verdict = freeze(state, evidence, SignatureCache(), view)
    assert (frozen.status, verdict.freezes) == (ClientStatus.FROZEN, True)


@pytest.mark.parametrize("cut", [2, 6])
def test_a_view_that_holds_our_branch_or_proofs_that_fail_do_not_freeze_for_the_past(cut: int) -> None:
    chain = rotated(3)
    forged = chain.fork(cut).grow(9, salt="b")
    evidence = found(chain, forged)
    state = active(chain, chain.height)
    view = held(chain, forged, evidence, state)
    for wrong in (
        replace(view, anchor=anchor_of(chain, chain.height)),
        replace(view, their_path=view.our_path),
        replace(view, our_path=()),
        replace(view, ours_is_second=not view.ours_is_second),
        *([replace(view, link_path=None)] if evidence.links else []),
    ):
        assert not judge(evidence, state.ground, SignatureCache(), wrong).freezes


# --- split views -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("our_height", "their_height"), [(20, 20), (20, 15), (15, 20)])
def test_a_certified_view_of_another_branch_is_a_split_view(our_height: int, their_height: int) -> None:
    chain = Chain().grow(20)
    other = chain.fork(9).grow(11, salt="b")
    low, high = min(our_height, their_height), max(our_height, their_height)
    taller = chain if our_height == high else other
    leaf = None if low == high else taller.leaf(low, high)
    anchors = Anchors({chain.cluster_id: anchor_of(other, their_height), bytes(32): anchor_of(chain, 1)})
    seer = Chain("seer").grow(3, anchors_root=anchors.root)
    split = SplitView(
        seer.certified(3),
        anchors.prove(chain.cluster_id),
        None if leaf is None else leaf.header_hash,
        () if leaf is None else leaf.path,
    )
    split = SplitView.from_value(split.to_value())
    ours = anchor_of(chain, our_height).point

    def check(view: SplitView) -> tuple[int, bytes, bytes]:
        seen = view.check(seer.cluster_id, 0, seer.sets[0].set(0), chain.cluster_id, ours, SignatureCache())
        return (seen.height, seen.ours, seen.theirs)

    assert check(split) == (low, chain.headers[low].hash, other.headers[low].hash)
    agreeing = Anchors({chain.cluster_id: anchor_of(chain, their_height)})
    honest = Chain("seer").grow(3, anchors_root=agreeing.root)
    path = chain.leaf(low, high)
    for wrong, code in (
        (replace(split, seer=seer.certified(3, (0, 1))), Code.CERTIFICATE_INVALID),
        (replace(split, view=anchors.prove(Digest(bytes(32)))), Code.WRONG_CLUSTER),
        (
            replace(split, view=replace(split.view, value=agreeing.prove(chain.cluster_id).value)),
            Code.BAD_WITNESS,
        ),
        (
            SplitView(
                honest.certified(3),
                agreeing.prove(chain.cluster_id),
                None if low == high else path.header_hash,
                () if low == high else path.path,
            ),
            Code.NO_CONFLICT,
        ),
    ):
        with pytest.raises(Refused) as caught:
            check(wrong)
        assert caught.value.code is code


# --- bytes -------------------------------------------------------------------------------------------


def test_evidence_and_its_file_are_read_back_as_written_and_nothing_else_is() -> None:
    chain = rotated(2)
    evidence = found(chain, chain.fork(10).grow(3, salt="b"))
    file = EvidenceFile(chain.body, evidence)
    assert EvidenceFile.decode(file.encode()) == file
    assert ForkEvidence.decode(evidence.encode()) == evidence
    assert evidence.id == replace(evidence, links=()).id != found(chain, chain.fork(9).grow(9, salt="b")).id
    pairs: Sequence[tuple[bytes, object]] = (
        (file.encode(), EvidenceFile.decode),
        (evidence.encode(), ForkEvidence.decode),
    )
    for data, decoder in pairs:
        assert callable(decoder)
        for wrong in (b"", data[:-1], data + b"\xc0", encode(()), encode(("isthmus-evidence/1",)), b"\xc1"):
            with pytest.raises(CodecError):
                decoder(wrong)
