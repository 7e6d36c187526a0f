"""A cluster whose quorum is corrupt, and whoever holds such keys, against clients that follow the rules."""

from dataclasses import replace

import pytest

from consensus import Digest, SignatureCache
from node.anchoring.client.lightclient import Corroboration, freeze, recover, update
from node.anchoring.client.state import ACCUSED_MAX, ClientState
from node.anchoring.cluster.anchors import Anchor, ClientStatus, Point, SplitView, Witness
from node.anchoring.cluster.epochs import EpochLink
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Statement
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.anchoring.refusals import Code, Refused
from tests.node.anchoring.chains import Anchors, Chain, anchor_of, certify, changed, keys
from tests.node.anchoring.client.test_lightclient import active
from tests.node.anchoring.forks.test_recovery import NEW, NEW_OPERATORS, rotated

CROWD = 128


def fork_at(
    chain: Chain, other: Chain, height: int, first: tuple[int, ...], second: tuple[int, ...]
) -> ForkEvidence:
    """Both branches' headers of `height`, by these signers, with the links that `chain` has before it."""
    links = chain.links(until=chain.headers[height].epoch)
    statements = (Statement(chain.certified(height, first)), Statement(other.certified(height, second)))
    return ForkEvidence(ForkKind.TWO_HEADERS, height, links, *statements)


def crowded(common: Chain) -> tuple[Chain, list[ForkEvidence]]:
    """A forged branch that names four crowds of invented validators, each of which convicts itself."""
    branch, pieces = common.fork(common.height), []
    for number in range(4):
        crowd = keys(f"crowd-{number}", (1,) * CROWD)
        branch = branch.grow(1, salt="forged", next_set=crowd).grow(1, salt="forged")
        beside = branch.fork(branch.height - 1).grow(1, salt="beside")
        everybody = tuple(range(CROWD))
        pieces.append(fork_at(branch, beside, branch.height, everybody, everybody))
    return branch, pieces


def test_a_crowd_that_the_forkers_invented_keeps_no_forker_from_being_accused() -> None:
    common = Chain(weights=(1,) * 7).grow(4)
    forged, pieces = crowded(common)
    truth = common.fork(4).grow(5)
    state = active(common, 4)
    for piece in pieces:
        state, _ = freeze(state, piece, SignatureCache())
    assert len(state.accused) == ACCUSED_MAX
    seven = truth.fork(4).grow(1, salt="b")
    for first, second, accused in (
        ((0, 1, 2, 3, 4), (2, 3, 4, 5, 6), {2, 3, 4}),
        ((1, 2, 3, 4, 5), (1, 2, 3, 4, 5), {1, 2, 3, 4, 5}),
    ):
        state, _ = freeze(state, fork_at(truth, seven, 5, first, second), SignatureCache())
        assert len(ClientState.decode(state.encode()).accused) <= ACCUSED_MAX
        known = {key.public_key: number for number, key in enumerate(common.sets[0].keys)}
        assert {known[key] for key in state.accused if key in known} == accused
        assert state.convicted == common.sets[0].set(0)
    for piece in pieces[:3]:
        state, _ = freeze(state, piece, SignatureCache())
    with pytest.raises(Refused) as caught:
        freeze(state, pieces[3], SignatureCache())
    assert caught.value.code is Code.ACCUSED_FULL
    truth.accusations = (state.accused, state.convicted)
    after = recover(
        state,
        truth.recovery(5, NEW, NEW_OPERATORS, (0, 1, 2, 3, 4, 5, 6), RecoveredBy.OPERATORS),
        truth.now_ms,
        SignatureCache(),
    )
    assert after.last.header_hash == truth.headers[5].hash
    assert forged.headers[5].hash != truth.headers[5].hash


def test_who_stands_at_a_recoverys_base_has_seen_nothing_of_the_branch_that_was_dropped() -> None:
    chain = Chain().grow(5).grow(2, next_set=keys("harbour", (1,) * 4, first=1)).grow(3)
    now_ms = chain.headers[10].time_ms
    for base in (6, 7):
        # A cluster that applied the recovery is in epoch 1 like the dropped branch, but stands below it.
        recovered = Anchor(0, 1, Point.of(chain.headers[base]), ClientStatus.ACTIVE)
        witness = Witness(Digest(bytes(32)), recovered, chain.path(base, 10))
        with pytest.raises(Refused) as caught:
            update(
                replace(active(chain, 5), status=ClientStatus.STALE),
                chain.update(5, 10),
                now_ms,
                SignatureCache(),
                corroboration=Corroboration(1, (witness,)),
            )
        assert caught.value.code is Code.BAD_WITNESS


def test_a_base_lies_above_the_end_of_the_epoch_before_its_own() -> None:
    common = Chain().grow(4)
    chain, other = rotated("a", common.fork(4)), rotated("b", common.fork(4))
    state, _ = freeze(active(common, 4), fork_at(chain, other, 6, (0, 1, 2), (0, 1, 2)), SignatureCache())
    header = changed(chain.headers[8], height=6)
    base = certify(header, chain.sets[1])
    proposed = RecoveryCertificate.proposed(
        base,
        NEW.members,
        NEW_OPERATORS.members,
        RecoveredBy.OPERATORS,
        chain.links(),
        accused=state.accused,
        convicted=state.convicted,
    )
    signers, signatures = chain.operators.sign(proposed.digest(), (0, 1, 2))
    signed = replace(proposed, signers=signers, signatures=signatures)
    with pytest.raises(Refused) as caught:
        recover(state, signed, chain.now_ms, SignatureCache())
    assert caught.value.code is Code.LINK_HEIGHT


def test_a_recovery_that_too_few_signed_costs_no_signature() -> None:
    chain = Chain(weights=(1,) * 7).grow(2, next_set=keys("harbour", (1,) * 7)).grow(6)
    other = chain.fork(5).grow(4, salt="b")
    state, _ = freeze(
        active(chain, 8), fork_at(chain, other, 8, (0, 1, 2, 3, 4), (2, 3, 4, 5, 6)), SignatureCache()
    )
    chain.accusations = (state.accused, state.convicted)
    good = chain.recovery(7, NEW, NEW_OPERATORS, (0, 1, 5), with_links=True)
    few, accused = ((0, 1), Code.RECOVERY_WEIGHT), ((0, 1, 2, 5), Code.RECOVERY_ACCUSED)
    for signers, code in (few, accused):
        cache = SignatureCache()
        bad = chain.recovery(7, NEW, NEW_OPERATORS, signers, with_links=True)
        with pytest.raises(Refused) as caught:
            recover(state, bad, chain.now_ms, cache)
        assert (caught.value.code, cache.misses) == (code, 0)
    cache = SignatureCache()
    with pytest.raises(Refused) as caught:
        recover(state, replace(good, signatures=bytes(len(good.signatures))), chain.now_ms, cache)
    assert (caught.value.code, cache.misses) == (Code.RECOVERY_SIGNERS, 1)


def test_a_view_that_shows_no_conflict_costs_no_signature() -> None:
    chain = Chain().grow(5)
    anchors = Anchors({chain.cluster_id: anchor_of(chain, 5)})
    seer = Chain("seer").grow(3, anchors_root=anchors.root)
    cache = SignatureCache()
    view = SplitView(seer.certified(3), anchors.prove(chain.cluster_id), None, ())
    with pytest.raises(Refused) as caught:
        view.check(
            seer.cluster_id, 0, seer.sets[0].set(0), chain.cluster_id, anchor_of(chain, 5).point, cache
        )
    assert (caught.value.code, cache.misses) == (Code.NO_CONFLICT, 0)


def test_links_are_not_skipped_where_the_tip_ended_its_epoch_and_another_end_follows() -> None:
    chain = (
        Chain().grow(3, next_set=keys("harbour", first=1)).grow(3, next_set=keys("harbour", first=2)).grow(2)
    )
    state, whole = active(chain, 3), chain.update(3, 8)
    assert update(state, whole, chain.now_ms, SignatureCache()).epoch == 2
    for links, code in (
        (whole.links[1:], Code.EPOCH_ENDED),
        ((), Code.EPOCH_ENDED),
        (whole.links[:1], Code.WRONG_EPOCH),
        ((whole.links[0], whole.links[0]), Code.LINK_HEIGHT),
        ((whole.links[0], EpochLink(chain.certified(8), whole.links[1].validators)), Code.LINK_HEIGHT),
    ):
        with pytest.raises(Refused) as caught:
            update(state, replace(whole, links=links), chain.now_ms, SignatureCache())
        assert caught.value.code is code
