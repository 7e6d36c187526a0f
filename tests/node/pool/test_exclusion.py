"""Who is left out, for how long, and what becomes of that when an epoch begins."""

from consensus import Epoch, Validator, ValidatorIndex, ValidatorSet
from node.pool.exclusion import Exclusions
from node.pool.messages import Acknowledge, PushBatch
from node.pool.payload import Payload
from tests.node.pool.world import CONFIG, KEYS, Node, batch, naming, transaction, validator_set

BASE_MS, LONGEST_MS = 1_000, 5_000
FOUR = validator_set(4)


def exclusions() -> Exclusions:
    return Exclusions(BASE_MS, LONGEST_MS)


def test_what_is_left_of_an_exclusion_goes_on_behind_another_clock() -> None:
    before, after = exclusions(), exclusions()
    before.blame(1, 2, FOUR, 10_000)
    after.succeed(before, {1: 3}, 10_400, 50)
    assert [after.is_excluded(3, at) for at in (50, 649, 650)] == [True, True, False]
    assert not any(after.is_excluded(author, 50) for author in (0, 1, 2))
    assert after.end_ms(50) == 650


def test_who_was_excluded_before_is_so_twice_as_long_in_the_next_epoch_as_well() -> None:
    before, after = exclusions(), exclusions()
    before.blame(1, 2, FOUR, 0)
    after.succeed(before, {1: 1}, 90_000, 0)
    assert not after.is_excluded(1, 0)
    after.blame(1, 2, FOUR, 0)
    assert after.end_ms(0) == 2 * BASE_MS


def test_who_has_no_seat_any_more_is_forgotten() -> None:
    before, after = exclusions(), exclusions()
    for author in range(4):
        before.blame(author, 2, FOUR, 0)
    after.succeed(before, {0: 1}, 0, 0)
    assert [after.is_excluded(author, 0) for author in range(4)] == [False, True, False, False]


def test_a_pool_leaves_out_whom_that_of_the_epoch_before_did_under_the_numbers_of_its_own() -> None:
    seats = (0, 5, 4, 1)
    """Whose key has which seat in the next epoch: one came, one left, one has another key than before."""
    validators = ValidatorSet(Epoch(0), tuple(Validator(KEYS[number].public_key, 1) for number in seats))
    before, after = Node(0, validator_set(4)), Node(0, validators)
    for author in (1, 2, 3):
        before.perform(before.pool.on_blamed(ValidatorIndex(author), 2, before.now_ms))
    before.now_ms = after.now_ms = before.now_ms + CONFIG.exclusion_base_ms - 300
    before.tick()
    before.perform(before.pool.on_transactions((), before.now_ms))
    after.pool.succeed(before.pool, {bytes(KEYS[2].public_key): bytes(KEYS[4].public_key)})
    after.perform(after.pool.recover((), (), 0, after.now_ms))
    batches = [batch(transaction(author, size=20_000), author=author) for author in (1, 2, 3)]
    for held in batches:
        after.receive(seats[held.author], PushBatch(held.encoded))
        after.receive(seats[1 + held.author % 3], Acknowledge((held.digest,)))

    def proposed() -> Payload:
        return Payload.decode(after.propose().payload, CONFIG.payload)

    assert proposed() == naming(batches[0])
    after.now_ms += 299
    assert proposed() == naming(batches[0])
    after.now_ms += 1
    assert {reference.author for reference in proposed().references} == {1, 2, 3}
