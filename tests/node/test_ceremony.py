"""A genesis made by several organisations: the same for everybody, and nothing another can claim for you."""

import json
from dataclasses import replace
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import SigningKey
from node.ceremony import ENTRIES_MAX, CeremonyError, Entry, Plan, collect
from node.genesis import Genesis, GenesisError
from node.ledger.members import Member
from node.ledger.params import Params
from node.ledger.roster import ValidatorRecord

PLAN = Plan("health", Params(1_750_000_000_000))


def key(number: int) -> SigningKey:
    return SigningKey(number.to_bytes(32, "big"))


def record(number: int, name: str | None = None) -> ValidatorRecord:
    first = 10 * number
    return ValidatorRecord(
        name or f"node{number}",
        f"org{number}",
        key(first + 1).public_key,
        key(first + 2).public_key,
        1 + number % 3,
        key(first + 3).public_key,
    )


def entry(number: int, plan: Plan = PLAN, name: str | None = None) -> Entry:
    member = Member(key(10 * number + 4).public_key, f"org{number}", ("client",), "ana")
    return Entry.sign(plan, key(10 * number + 3), record(number, name), f"n{number}.example", 27600, [member])


ENTRIES = [entry(number) for number in range(1, 5)]


def test_the_order_of_the_entries_does_not_matter() -> None:
    ids = {collect(PLAN, list(order)).cluster_id for order in permutations(ENTRIES)}
    assert len(ids) == 1


def test_a_genesis_holds_every_validator_member_and_operator() -> None:
    genesis = collect(PLAN, ENTRIES)
    assert [validator.name for validator in genesis.validators] == ["node1", "node2", "node3", "node4"]
    keys = {bytes(member.public_key) for member in genesis.members}
    for number in range(1, 5):
        assert {bytes(key(10 * number + 3).public_key), bytes(key(10 * number + 4).public_key)} <= keys
    assert genesis.params == PLAN.params
    assert Genesis.from_json(genesis.to_json()).cluster_id == genesis.cluster_id


def test_plans_and_entries_survive_the_post() -> None:
    assert Plan.from_json(PLAN.to_json()) == PLAN
    for one in ENTRIES:
        assert Entry.from_json(one.to_json()) == one


def test_an_operator_who_is_listed_as_a_member_keeps_his_own_name_and_roles() -> None:
    operator = key(13)
    chief = Member(operator.public_key, "org1", ("admin", "auditor"), "chief")
    one = Entry.sign(PLAN, operator, record(1), "a.example", 1, [chief])
    assert chief in collect(PLAN, [one]).members


def refused(entries: list[Entry], plan: Plan = PLAN) -> str:
    with pytest.raises((CeremonyError, GenesisError)) as caught:
        collect(plan, entries)
    return str(caught.value.code)


def test_an_entry_counts_for_its_own_plan_only() -> None:
    other = replace(PLAN, params=replace(PLAN.params, heartbeat_ms=30_000))
    assert refused([entry(1, other)]) == "other-plan"


def test_a_changed_entry_is_refused_whatever_was_changed() -> None:
    one = ENTRIES[0]
    for changed in (
        replace(one, host="evil.example"),
        replace(one, port=1),
        replace(one, members=()),
        replace(one, validator=replace(one.validator, weight=99)),
        replace(one, validator=replace(one.validator, consensus_key=key(99).public_key)),
        replace(one, validator=replace(one.validator, operator_key=key(99).public_key)),
    ):
        assert refused([changed]) == "signature"


def test_an_organisation_cannot_register_members_of_another() -> None:
    foreign = Member(key(99).public_key, "org2", ("client",), "mallory")
    one = Entry.sign(PLAN, key(13), record(1), "a.example", 1, [foreign])
    assert refused([one]) == "organisation"


@pytest.mark.parametrize(
    "changed",
    [
        replace(record(1), organisation="Org1"),
        replace(record(1), name="n 1"),
        replace(record(1), name="n" * 60),
    ],
)
def test_names_that_no_genesis_takes_are_refused_before_an_entry_is_signed(changed: ValidatorRecord) -> None:
    with pytest.raises(CeremonyError) as caught:
        Entry.sign(PLAN, key(13), changed, "a.example", 1, [])
    assert caught.value.code == "name"


def test_nobody_can_claim_anothers_keys_or_name() -> None:
    for stolen in ("consensus_key", "node_key"):
        thief = replace(record(2), **{stolen: getattr(record(1), stolen)})
        code = refused([ENTRIES[0], Entry.sign(PLAN, key(23), thief, "b.example", 1, [])])
        assert code in ("duplicate", "invalid")
    assert refused([ENTRIES[0], entry(2, name="node1")]) == "duplicate"
    assert refused([ENTRIES[0], ENTRIES[0]]) in ("duplicate", "invalid")


def test_the_number_of_entries_is_bounded() -> None:
    assert refused([]) == "entries"
    assert refused(ENTRIES * (ENTRIES_MAX // 4 + 1)) == "entries"


def test_a_plan_that_was_edited_says_so() -> None:
    document = json.loads(PLAN.to_json())
    document["params"]["heartbeat_ms"] += 1
    with pytest.raises(CeremonyError, match="changed after it was made"):
        Plan.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("format",), "isthmus-genesis-plan/1"),
        (("plan",), "00"),
        (("signature",), "zz"),
        (("port",), 0),
        (("port",), True),
        (("host",), ""),
        (("host",), "x" * 300),
        (("host",), "n1.example:27600"),
        (("host",), "n1.example\nx"),
        (("host",), "\x1b[2J"),
        (("members",), {}),
        (("members", 0, "roles"), ["b", "a"]),
        (("members", 0, "public_key"), "00"),
        (("members", 0, "extra"), 1),
        (("validator", "weight"), "1"),
        (("validator", "node_key"), 7),
        (("validator", "name"), None),
        (("surplus",), 1),
    ],
)
def test_damaged_entries_are_refused_in_words(path: tuple[str | int, ...], value: object) -> None:
    document = json.loads(ENTRIES[0].to_json())
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    with pytest.raises(CeremonyError):
        Entry.from_json(json.dumps(document))


@given(st.text(max_size=40))
def test_whatever_is_no_document_is_refused(text: str) -> None:
    for read in (Plan.from_json, Entry.from_json):
        with pytest.raises(CeremonyError):
            read(text)


def test_a_key_written_twice_is_refused() -> None:
    text = ENTRIES[0].to_json().replace('"port":', '"port": 1, "port":')
    with pytest.raises(CeremonyError, match="twice"):
        Entry.from_json(text)
