"""The light client: it goes where honest history goes, and nothing but a proven fork stops it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import CodecError, Digest, SignatureCache, encode
from node.anchoring.client.lightclient import (
    STALE_AFTER_MS,
    TIME_AHEAD_MAX_MS,
    Corroboration,
    Update,
    admit,
    register,
    required_witnesses,
    retire,
    tick,
    update,
)
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import Anchor, ClientStatus, Point, Witness
from node.anchoring.refusals import Code, Refused
from tests.node.anchoring.chains import Chain, certify, changed, keys

APPROVED = Corroboration(is_approved=True)


def fresh() -> SignatureCache:
    return SignatureCache()


def active(chain: Chain, height: int = 0) -> ClientState:
    """An admitted client that holds header `height` of the chain."""
    state = admit(register(chain.identity), APPROVED)
    return step(state, chain, height) if height else state


def step(state: ClientState, chain: Chain, height: int, now_ms: int | None = None) -> ClientState:
    now = chain.headers[height].time_ms if now_ms is None else now_ms
    return update(state, chain.update(state.last.height, height), now, fresh())


def refusal(
    state: ClientState, proposed: Update, now_ms: int, corroboration: Corroboration | None = None
) -> Code:
    before = state.encode()
    with pytest.raises(Refused) as caught:
        update(state, proposed, now_ms, fresh(), corroboration=corroboration)
    assert state.encode() == before
    return caught.value.code


# --- what is accepted --------------------------------------------------------------------------------


def test_a_client_begins_pending_at_header_0_and_follows_before_it_is_admitted() -> None:
    chain = Chain().grow(9)
    state = register(chain.identity)
    assert (state.status, state.last.header_hash) == (ClientStatus.PENDING, chain.headers[0].hash)
    moved = step(state, chain, 9)
    assert (moved.status, moved.last.height) == (ClientStatus.PENDING, 9)
    assert admit(moved, APPROVED).status is ClientStatus.ACTIVE
    with pytest.raises(Refused) as caught:
        admit(admit(moved, APPROVED), APPROVED)
    assert caught.value.code is Code.CLIENT_NOT_PENDING


def test_the_tip_is_all_that_an_update_changes() -> None:
    chain = Chain().grow(3)
    before, after = active(chain), active(chain, 3)
    header = chain.headers[3]
    assert after == replace(before, last=after.last)
    assert after.last.time_ms == header.time_ms
    assert after.last.history_root == header.history_root
    assert after.anchor == Anchor(0, 0, Point.of(header), ClientStatus.ACTIVE)
    assert Anchor.decode(after.anchor.encode()) == after.anchor


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_client_accepts_exactly_the_extensions_of_its_tip(data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4), label="epoch lengths")
    chain = Chain()
    for number, length in enumerate(lengths):
        weights = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=5), label="weights")
        chain.grow(length, next_set=keys("harbour", weights, first=number))
    chain.grow(data.draw(st.integers(1, 4)))
    cut = data.draw(st.integers(0, chain.height - 1), label="last common header")
    other = chain.fork(cut).grow(data.draw(st.integers(1, 6)), salt="other")
    now_ms = chain.now_ms
    heights = sorted(data.draw(st.sets(st.integers(1, chain.height), min_size=1), label="anchored"))
    state = admit(register(chain.identity), APPROVED)
    for height in heights:
        proposed = Update.decode(chain.update(state.last.height, height).encode())
        state = ClientState.decode(update(state, proposed, now_ms, fresh()).encode())
        assert state.last.header_hash == chain.headers[height].hash
        assert state.epoch == chain.headers[height].epoch
        if other.height > height > cut:
            # The other branch with paths of either branch: none binds the tip that is held.
            for foreign in (other.update(height, other.height), _patched(chain, other, height)):
                assert refusal(state, foreign, now_ms) in (
                    Code.TIP_NOT_INCLUDED,
                    Code.NOT_CONSISTENT,
                    Code.EPOCH_ENDED,
                    Code.LINK_HEIGHT,
                )


def _patched(chain: Chain, other: Chain, height: int) -> Update:
    """The other branch's tip with the path that the client's own branch gives for it."""
    top = other.height
    if top > chain.height:
        chain = chain.fork(chain.height).grow(top - chain.height)
    return replace(other.update(height, top), tip_path=chain.path(height, top))


def test_a_fork_after_the_tip_passes_consistency_and_is_refused_for_the_tip_alone() -> None:
    chain = Chain().grow(110)
    fork = chain.fork(99).grow(11, salt="b")
    state = active(chain, 100)
    for height in range(101, 111):
        proposed = fork.update(100, height)
        assert refusal(state, proposed, fork.now_ms) is Code.TIP_NOT_INCLUDED
    assert step(state, chain, 110).last.height == 110


def test_a_fork_before_the_tip_is_refused_as_no_extension() -> None:
    chain = Chain().grow(20)
    fork = chain.fork(9).grow(20, salt="b")
    assert refusal(active(chain, 20), fork.update(20, 25), fork.now_ms) is Code.NOT_CONSISTENT


def test_sets_are_followed_through_several_epochs_in_one_update() -> None:
    chain = Chain()
    for number in range(1, 4):
        chain.grow(3, next_set=keys("harbour", (1, 2, 3, 1, 1), first=2 * number))
    chain.grow(2)
    state = active(chain, chain.height)
    assert state.epoch == 3
    assert state.validators == chain.sets[3].set(3)
    assert state.origin == chain.sets[0].set(0)


def test_an_epochs_last_header_may_be_the_tip_and_then_is_the_first_link() -> None:
    chain = Chain().grow(4, next_set=keys("harbour", (1,) * 5)).grow(4)
    state = active(chain, 4)
    assert (state.epoch, state.last.next_validators_hash) == (0, chain.headers[4].next_validators_hash)
    assert step(state, chain, 8).epoch == 1


# --- what is refused ---------------------------------------------------------------------------------


def test_an_old_header_and_another_header_of_the_same_height_are_not_newer() -> None:
    chain = Chain().grow(10)
    state = active(chain, 10)
    fork = chain.fork(9).grow(1, salt="b")
    for proposed in (chain.update(5, 8), chain.update(5, 10), fork.update(5, 10)):
        assert refusal(state, proposed, chain.now_ms) is Code.NOT_NEWER


def test_no_epoch_is_skipped_and_links_come_in_order() -> None:
    chain = Chain()
    for number in range(1, 4):
        chain.grow(2, next_set=keys("harbour", (1,) * 4, first=number))
    chain.grow(2)
    state = active(chain)
    whole = chain.update(0, chain.height)
    one, two, three = whole.links
    expected = {
        (two, three): Code.WRONG_EPOCH,
        (one, three): Code.WRONG_EPOCH,
        (one, two): Code.WRONG_EPOCH,
        (): Code.WRONG_EPOCH,
        (two, one, three): Code.LINK_HEIGHT,
        (one, one, two, three): Code.LINK_HEIGHT,
        (one, two, three, three): Code.LINK_HEIGHT,
    }
    for links, code in expected.items():
        assert refusal(state, replace(whole, links=links), chain.now_ms) is code
    assert update(state, whole, chain.now_ms, fresh()).epoch == 3


def test_a_link_whose_members_or_signers_were_changed_is_refused() -> None:
    chain = Chain().grow(3, next_set=keys("harbour", (1, 1, 1, 1, 1))).grow(2)
    state, whole = active(chain), chain.update(0, 5)
    (link,) = whole.links
    stranger = keys("stranger").members[0]
    heavier = replace(link.validators[0], weight=9)
    for members in (
        (*link.validators[:-1], stranger),
        link.validators[:-1],
        (heavier, *link.validators[1:]),
        tuple(reversed(link.validators)),
    ):
        wrong = replace(whole, links=(replace(link, validators=members),))
        assert refusal(state, wrong, chain.now_ms) is Code.LINK_NEXT_SET
    weak = replace(link, ending=chain.certified(3, signers=(0, 1)))
    assert refusal(state, replace(whole, links=(weak,)), chain.now_ms) is Code.CERTIFICATE_INVALID
    plain = replace(link, ending=chain.certified(2))
    assert refusal(state, replace(whole, links=(plain,)), chain.now_ms) is Code.LINK_NOT_AN_END


def test_certificates_of_a_retired_set_of_strangers_and_below_a_quorum_are_refused() -> None:
    chain = Chain().grow(3, next_set=keys("harbour", (1,) * 4, first=4)).grow(3)
    state, whole = active(chain, 4), chain.update(4, 6)
    header = chain.headers[6]
    for signing, signers in ((chain.sets[0], None), (keys("stranger"), None), (chain.sets[1], (0, 1))):
        wrong = replace(whole, certified=certify(header, signing, signers))
        assert refusal(state, wrong, chain.now_ms) is Code.CERTIFICATE_INVALID
    retired = changed(header, epoch=0, validators_hash=chain.headers[1].validators_hash)
    wrong = replace(whole, certified=certify(retired, chain.sets[0]))
    assert refusal(state, wrong, chain.now_ms) is Code.WRONG_EPOCH


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"cluster_id": bytes(32)}, Code.WRONG_CLUSTER),
        ({"incarnation": 1}, Code.WRONG_INCARNATION),
        ({"epoch": 1}, Code.WRONG_EPOCH),
        ({"validators_hash": bytes(32)}, Code.WRONG_VALIDATORS),
        ({"time_ms": 0}, Code.TIME_NOT_LATER),
        ({"height": 3}, Code.NOT_NEWER),
        ({"height": 2**62}, Code.NOT_CONSISTENT),
        ({"history_root": bytes(32)}, Code.NOT_CONSISTENT),
    ],
)
def test_a_quorum_cannot_make_a_header_pass_that_is_none_of_this_history(
    fields: dict[str, object], code: Code
) -> None:
    chain = Chain().grow(8)
    state, whole = active(chain, 5), chain.update(5, 8)
    forged = certify(changed(chain.headers[8], **fields), chain.sets[0])
    assert refusal(state, replace(whole, certified=forged), chain.now_ms) is code


def test_a_certificate_for_another_header_is_refused() -> None:
    chain = Chain().grow(8)
    whole = chain.update(5, 8)
    mixed = replace(whole.certified, certificate=chain.certified(7).certificate)
    assert (
        refusal(active(chain, 5), replace(whole, certified=mixed), chain.now_ms) is Code.CERTIFICATE_MISMATCH
    )


def test_true_links_under_a_false_top_cost_no_more_than_the_top() -> None:
    chain = Chain()
    for number in range(1, 11):
        chain.grow(1, next_set=keys("harbour", (1,) * 4, first=number))
    chain.grow(1)
    whole = chain.update(0, 11)
    state, cache = active(chain), SignatureCache()
    forged = certify(chain.headers[11], keys("stranger"))
    with pytest.raises(Refused):
        update(state, replace(whole, certified=forged), chain.now_ms, cache)
    assert cache.misses == 1
    with pytest.raises(Refused):
        update(state, replace(whole, tip_path=()), chain.now_ms, cache)
    assert cache.misses == 1
    update(state, whole, chain.now_ms, cache)
    assert cache.misses == 1 + 11 * 3


def test_after_a_header_that_ended_its_epoch_the_old_set_certifies_nothing_more() -> None:
    chain = Chain().grow(4, next_set=keys("harbour", (1,) * 4, first=1)).grow(2)
    beyond = Chain().grow(4).fork(3)
    beyond.grow(3)
    state = active(chain, 4)
    held = chain.headers[4]
    forged = changed(beyond.headers[5], parent_hash=held.hash, history_root=chain.headers[5].history_root)
    proposed = replace(chain.update(4, 5), certified=certify(forged, chain.sets[0]), links=())
    assert refusal(state, proposed, chain.now_ms) is Code.EPOCH_ENDED
    other = chain.fork(3).grow(1, salt="b").grow(1, next_set=keys("harbour", (1,) * 4, first=2)).grow(2)
    proposed = replace(chain.update(4, 6), links=other.links())
    assert refusal(state, proposed, chain.now_ms) is Code.EPOCH_ENDED


def test_a_frozen_or_retired_client_takes_no_update() -> None:
    chain = Chain().grow(8)
    state = active(chain, 5)
    frozen = replace(state, status=ClientStatus.FROZEN)
    assert refusal(frozen, chain.update(5, 8), chain.now_ms) is Code.CLIENT_FROZEN
    assert refusal(retire(state), chain.update(5, 8), chain.now_ms) is Code.CLIENT_RETIRED


# --- silence -----------------------------------------------------------------------------------------


def test_a_client_goes_stale_by_block_time_and_heals_by_a_plain_update() -> None:
    chain = Chain().grow(5).grow(1, gap_ms=3 * STALE_AFTER_MS)
    state = active(chain, 5)
    edge = state.last.time_ms + STALE_AFTER_MS
    assert tick(state, edge) is state
    stale = tick(state, edge + 1)
    assert (stale.status, stale.last) == (ClientStatus.STALE, state.last)
    assert step(stale, chain, 6).status is ClientStatus.ACTIVE
    assert step(stale, chain, 6, now_ms=chain.now_ms + STALE_AFTER_MS + 1).status is ClientStatus.STALE


def test_neither_a_pending_nor_a_frozen_nor_a_retired_client_goes_stale() -> None:
    state = active(Chain())
    for status in (ClientStatus.PENDING, ClientStatus.FROZEN, ClientStatus.RETIRED):
        assert tick(replace(state, status=status), 2**50).status is status


def across() -> tuple[Chain, ClientState]:
    """A chain that was silent for long and changed its epoch, and the client that waited."""
    chain = Chain().grow(5).grow(2, next_set=keys("harbour", (1,) * 4, first=1), gap_ms=2 * STALE_AFTER_MS)
    return chain.grow(3), active(chain, 5)


def witness(chain: Chain, height: int, for_height: int, seer: int = 1, **more: object) -> Witness:
    header = chain.headers[height]
    anchor = replace(Anchor(0, header.epoch, Point.of(header), ClientStatus.ACTIVE), **more)  # type: ignore[arg-type]  # by name
    return Witness(Digest(bytes((seer,)) * 32), anchor, chain.path(*sorted((height, for_height))))


def test_a_gap_across_epochs_needs_the_operators_or_as_many_witnesses_as_there_can_be() -> None:
    chain, state = across()
    whole, now_ms = chain.update(5, 10), chain.now_ms
    assert refusal(state, whole, now_ms) is Code.NEEDS_APPROVAL
    assert update(state, whole, now_ms, fresh(), corroboration=APPROVED).status is ClientStatus.ACTIVE
    two = tuple(witness(chain, height, 10, seer) for seer, height in ((1, 10), (2, 9)))
    for given_, code in (((), Code.NEEDS_WITNESSES), (two[:1] * 2, Code.NEEDS_WITNESSES)):
        assert refusal(state, whole, now_ms, corroboration=Corroboration(2, given_)) is code
    assert refusal(state, whole, now_ms, corroboration=Corroboration(2, (), True)) is Code.NEEDS_WITNESSES
    assert update(state, whole, now_ms, fresh(), corroboration=Corroboration(2, two)).epoch == 1
    assert [required_witnesses(2, others) for others in (0, 1, 2, 9)] == [0, 1, 2, 2]


def test_a_witness_that_is_ahead_counts_and_one_that_saw_less_another_branch_or_a_frozen_one_does_not() -> (
    None
):
    chain, state = across()
    whole, now_ms = chain.update(5, 10), chain.now_ms
    ahead = chain.fork(10).grow(5)
    good = Corroboration(1, (witness(ahead, 15, 10),))
    assert update(state, whole, now_ms, fresh(), corroboration=good).last.height == 10
    fork = chain.fork(8).grow(4, salt="b")
    wrong = (
        witness(chain, 5, 10),
        witness(fork, 12, 10),
        witness(fork, 9, 10),
        witness(chain, 9, 10, status=ClientStatus.FROZEN),
        replace(witness(chain, 9, 10), path=()),
        replace(witness(chain, 10, 10), path=(bytes(32),)),
    )
    for bad in wrong:
        assert refusal(state, whole, now_ms, corroboration=Corroboration(1, (bad,))) is Code.BAD_WITNESS
    own = replace(witness(chain, 10, 10), seer=chain.cluster_id)
    assert refusal(state, whole, now_ms, corroboration=Corroboration(1, (own,))) is Code.NEEDS_WITNESSES


def test_a_stale_client_cannot_be_led_across_an_epoch_in_two_small_steps() -> None:
    chain, state = across()
    late = chain.now_ms + 2 * STALE_AFTER_MS
    state = step(state, chain, 7, now_ms=late)
    assert (state.status, state.epoch) == (ClientStatus.STALE, 0)
    assert refusal(state, chain.update(7, 10), late) is Code.NEEDS_APPROVAL


def test_one_plain_update_after_a_silence_does_not_spare_the_witnesses_of_the_next_epoch() -> None:
    """Whoever has the keys of the epoch that the client last saw can make a fresh header of that epoch."""
    chain = Chain().grow(5).grow(1, gap_ms=2 * STALE_AFTER_MS)
    healed = step(active(chain, 5), chain, 6, now_ms=chain.now_ms)
    assert (healed.status, healed.is_unwatched) == (ClientStatus.ACTIVE, True)
    assert ClientState.decode(healed.encode()) == healed
    chain.grow(2, next_set=keys("harbour", (1,) * 4, first=1)).grow(3)
    within = step(healed, chain, 7, now_ms=chain.now_ms)
    assert within.is_unwatched
    whole = chain.update(7, 10)
    assert refusal(within, whole, chain.now_ms) is Code.NEEDS_APPROVAL
    after = update(within, whole, chain.now_ms, fresh(), corroboration=APPROVED)
    assert (after.epoch, after.is_unwatched) == (1, False)
    watched = replace(within, is_unwatched=False)
    assert update(watched, whole, chain.now_ms, fresh()).epoch == 1


def test_a_header_of_the_far_future_is_refused_for_it_would_never_grow_stale() -> None:
    chain = Chain().grow(5)
    state = active(chain, 3)
    at = chain.headers[5].time_ms
    assert refusal(state, chain.update(3, 5), at - TIME_AHEAD_MAX_MS - 1) is Code.TIME_AHEAD
    assert update(state, chain.update(3, 5), at - TIME_AHEAD_MAX_MS, fresh()).last.height == 5


def test_a_witness_of_another_incarnation_is_none() -> None:
    chain, state = across()
    other = witness(chain, 10, 10, incarnation=1)
    with_it = Corroboration(1, (other,))
    assert refusal(state, chain.update(5, 10), chain.now_ms, corroboration=with_it) is Code.BAD_WITNESS


def test_a_newcomer_is_admitted_only_with_what_others_saw() -> None:
    chain = Chain().grow(5)
    state = step(register(chain.identity), chain, 5)
    for corroboration, code in (
        (Corroboration(), Code.NEEDS_APPROVAL),
        (Corroboration(1), Code.NEEDS_WITNESSES),
        (Corroboration(1, (witness(chain.fork(4).grow(1, salt="b"), 5, 5),)), Code.BAD_WITNESS),
    ):
        with pytest.raises(Refused) as caught:
            admit(state, corroboration)
        assert caught.value.code is code
    assert admit(state, Corroboration(1, (witness(chain, 4, 5),))).status is ClientStatus.ACTIVE


# --- bytes and sizes ---------------------------------------------------------------------------------


def test_states_and_updates_are_read_back_as_they_were_written_and_nothing_else_is() -> None:
    chain = Chain().grow(3, next_set=keys("harbour", (1, 2, 1, 1, 1))).grow(3)
    state = replace(active(chain, 6), accused=(chain.sets[0].keys[1].public_key,))
    whole = chain.update(0, 6)
    assert ClientState.decode(state.encode()) == state
    assert Update.decode(whole.encode()) == whole
    for data, decoder in ((state.encode(), ClientState.decode), (whole.encode(), Update.decode)):
        for wrong in (b"", data[:-1], data + b"\xc0", encode(()), encode((9,) * 10), encode((9,) * 4)):
            with pytest.raises(CodecError):
                decoder(wrong)


@pytest.mark.parametrize(("nodes", "limit"), [(4, 660), (7, 790)])
def test_a_header_with_its_certificate_stays_as_small_as_the_federation_was_planned_for(
    nodes: int, limit: int
) -> None:
    chain = Chain(weights=(1,) * nodes).grow(3, next_set=keys("harbour", (1,) * nodes, first=1))
    assert len(encode(chain.certified(2).to_value())) <= limit
    tall = changed(chain.headers[2], height=2**40, epoch=2**20, incarnation=3)
    assert len(encode(certify(tall, chain.sets[0]).to_value())) <= limit
    ending = len(encode(chain.certified(3).to_value()))
    assert ending <= limit + 33
