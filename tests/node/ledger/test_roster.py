"""The roster: one encoding for one set of validators, and none for a set that agreement cannot use."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus import VALIDATORS_MAX, WEIGHT_MAX, CodecError, Epoch, LocalError, Value, decode, encode
from node.ledger.roster import (
    ROSTER_BYTES_MAX,
    ROSTER_KEY,
    Roster,
    ValidatorRecord,
    load_roster,
)
from node.ledger.state import Space
from tests.node.ledger.parliament import operator, record
from tests.node.ledger.world import Store, key_of, make_genesis

ROSTER = Roster(Epoch(3), (record(0), record(1, 2), record(2, 3)))


def test_a_roster_reads_back_to_the_same_bytes() -> None:
    assert Roster.decode(ROSTER.encode()) == ROSTER


def test_agreement_sees_keys_and_weights_in_the_same_order() -> None:
    validators = ROSTER.validator_set()
    assert validators.epoch == 3
    assert [(v.public_key, v.weight) for v in validators.validators] == [
        (v.consensus_key, v.weight) for v in ROSTER.validators
    ]
    assert validators.total_weight == ROSTER.total_weight == 6


def test_weight_is_counted_once_for_each_operator() -> None:
    keys = [operator(number).public_key for number in (1, 2, 1, 9)]
    assert ROSTER.operator_weight(keys) == 5
    assert ROSTER.operator_weight([]) == 0


def test_validators_are_found_by_name_and_by_each_of_their_keys() -> None:
    second = record(1, 2)
    assert ROSTER.by_name("v1") == second
    assert ROSTER.operated_by(second.operator_key) == second
    assert ROSTER.signed_by(second.consensus_key) == ROSTER.signed_by(second.node_key) == second
    assert ROSTER.by_name("v9") is ROSTER.operated_by(second.node_key) is None
    assert ROSTER.signed_by(second.operator_key) is None


@pytest.mark.parametrize(
    "validators",
    [
        (),
        tuple(record(number) for number in range(VALIDATORS_MAX + 1)),
        (record(0, 0),),
        (record(0, WEIGHT_MAX + 1),),
        (record(0), replace(record(1), name="v0")),
        (record(0), replace(record(1), node_key=record(0).operator_key)),
        (replace(record(0), operator_key=record(0).consensus_key),),
    ],
    ids=["empty", "too many", "no weight", "too much weight", "one name", "one key", "one key for two uses"],
)
def test_a_set_that_agreement_cannot_use_is_no_roster(validators: tuple[ValidatorRecord, ...]) -> None:
    with pytest.raises(ValueError, match=r"validator|weight|key"):
        Roster(Epoch(0), validators)


def test_the_largest_roster_fits() -> None:
    names = [f"{number:03}" + "n" * 61 for number in range(VALIDATORS_MAX)]
    validators = tuple(
        replace(record(number, WEIGHT_MAX), name=name, organisation="o" * 64)
        for number, name in enumerate(names)
    )
    largest = Roster(Epoch(2**62), validators)
    assert len(largest.encode()) < ROSTER_BYTES_MAX
    assert Roster.decode(largest.encode()) == largest


def _changed(place: tuple[int, ...], value: Value) -> bytes:
    """The roster's bytes with one value replaced."""

    def replaced(item: Value, path: tuple[int, ...]) -> Value:
        if not path:
            return value
        assert type(item) is tuple
        return tuple(replaced(part, path[1:]) if i == path[0] else part for i, part in enumerate(item))

    return encode(replaced(decode(ROSTER.encode()), place))


DAMAGES: dict[str, Callable[[], bytes]] = {
    "another version": lambda: _changed((0,), 2),
    "a negative epoch": lambda: _changed((1,), -1),
    "no validators": lambda: _changed((2,), ()),
    "a name of the wrong form": lambda: _changed((2, 0, 0), "V 0"),
    "an organisation of the wrong form": lambda: _changed((2, 0, 1), ""),
    "a short key": lambda: _changed((2, 0, 2), bytes(31)),
    "a key as text": lambda: _changed((2, 0, 3), "k" * 32),
    "a weight of nothing": lambda: _changed((2, 0, 4), 0),
    "a weight as text": lambda: _changed((2, 0, 4), "1"),
    "a name twice": lambda: _changed((2, 0, 0), "v1"),
    "a key twice": lambda: _changed((2, 0, 2), record(1).consensus_key),
    "a field too few": lambda: _changed((2, 0), record(0).to_value()[:5]),
    "more than its bytes": lambda: ROSTER.encode() + b"\x00",
    "cut short": lambda: ROSTER.encode()[:-1],
    "too large": lambda: _changed((1,), bytes(ROSTER_BYTES_MAX)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_roster_is_refused(damage: str) -> None:
    with pytest.raises(CodecError):
        Roster.decode(DAMAGES[damage]())


def test_a_state_without_a_roster_is_our_own_fault() -> None:
    with pytest.raises(LocalError, match="older software"):
        load_roster(Store())
    stored = Store(((Space.STATE, ROSTER_KEY, ROSTER.encode()),))
    assert load_roster(stored) == ROSTER


def test_the_genesis_writes_its_validators_into_the_state() -> None:
    genesis = make_genesis()
    assert dict(genesis.initial_state())[ROSTER_KEY] == genesis.roster().encode()
    assert genesis.roster().validators == genesis.validators
    assert genesis.roster().validator_set() == genesis.validator_set()
    assert genesis.roster().operated_by(key_of("operator 2").public_key) == genesis.validators[2]
