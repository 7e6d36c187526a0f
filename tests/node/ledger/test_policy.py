"""The seven rules, counted by organisation, and what one signature can and cannot meet."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import CodecError, PublicKey, decode, encode
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.members import Member, organisations_of
from node.ledger.policy import Kind, Policy, Rule, admits_everybody, missing_approvals, require
from tests.node.ledger.world import ALICE, ANNA, BOB, World, make_genesis

ORGANISATIONS = ("acme", "bolts", "cogs", "dials")


def member(organisation: str, *roles: str) -> Member:
    return Member(PublicKey(bytes(32)), organisation, tuple(sorted(roles or ("client",))), "m")


def missing(policy: Policy, *approvals: Member, owner: str | None = None, count: int = 4) -> int:
    return missing_approvals(policy, Rule.parse(policy.rule), approvals, count, owner)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("ALL", Rule(Kind.ALL)),
        ("ANY", Rule(Kind.ANY)),
        ("MAJORITY", Rule(Kind.MAJORITY)),
        ("SELF", Rule(Kind.SELF)),
        ("FORBIDDEN", Rule(Kind.FORBIDDEN)),
        ("3", Rule(Kind.COUNT, 3)),
        ("2/3", Rule(Kind.FRACTION, 2, 3)),
        ("3/3", Rule(Kind.FRACTION, 3, 3)),
    ],
)
def test_the_seven_rules_parse(text: str, rule: Rule) -> None:
    assert Rule.parse(text) == rule


@pytest.mark.parametrize(
    "text",
    ["", "all", "any ", "0", "-1", "03", "10000", "0/3", "4/3", "1/0", "1/2/3", "k", "p/q", "\u0663", "1.5"],
)
def test_everything_else_is_refused_with_the_accepted_forms(text: str) -> None:
    with pytest.raises(ValueError, match="none of ALL, ANY, MAJORITY"):
        Rule.parse(text)


def test_needed_approvals_of_each_rule() -> None:
    for organisations in range(1, 60):
        assert Rule.parse("ALL").needed(organisations) == organisations
        assert 2 * Rule.parse("MAJORITY").needed(organisations) > organisations
        assert 2 * (Rule.parse("MAJORITY").needed(organisations) - 1) <= organisations
        assert Rule.parse("7").needed(organisations) == 7
        assert Rule.parse("ANY").needed(organisations) == Rule.parse("SELF").needed(organisations) == 1
        needed = Rule.parse("2/3").needed(organisations)
        assert Fraction(needed, organisations) >= Fraction(2, 3) > Fraction(needed - 1, organisations)


def test_approvals_count_once_an_organisation_and_only_listed_ones_with_a_fitting_role() -> None:
    everybody = [member(name) for name in ORGANISATIONS]
    assert missing(Policy("ALL"), *everybody) == 0
    assert missing(Policy("ALL"), *everybody[:3], everybody[0]) == 1
    assert missing(Policy("3"), everybody[0], everybody[0]) == 2
    assert missing(Policy("ALL", ("acme", "bolts")), *everybody[:2]) == 0
    assert missing(Policy("ALL", ("acme", "bolts")), everybody[0], everybody[2]) == 1
    assert missing(Policy("ANY", (), ("admin",)), *everybody) == 1
    assert missing(Policy("ANY", (), ("admin", "client")), everybody[0]) == 0
    assert missing(Policy("1/2"), *everybody[:2]) == 0
    assert missing(Policy("1/2"), everybody[0]) == 1


def test_majority_asks_for_admins_whatever_roles_are_listed() -> None:
    clients = [member(name) for name in ORGANISATIONS]
    admins = [member(name, "admin") for name in ORGANISATIONS]
    assert missing(Policy("MAJORITY", (), ("client",)), *clients) == 3
    assert missing(Policy("MAJORITY"), *admins[:3]) == 0
    assert missing(Policy("MAJORITY"), *admins[:2]) == 1


def test_self_is_the_owning_organisation() -> None:
    assert missing(Policy("SELF"), member("acme"), owner="acme") == 0
    assert missing(Policy("SELF"), member("bolts"), owner="acme") == 1
    assert missing(Policy("SELF"), member("bolts"), owner=None) == 0


@given(
    st.sampled_from(["ALL", "ANY", "MAJORITY", "1", "2", "1/2", "2/3"]),
    st.sets(st.sampled_from(ORGANISATIONS)),
    st.lists(st.sampled_from(ORGANISATIONS), max_size=6),
)
def test_more_approvals_never_lack_more(rule: str, listed: set[str], approving: list[str]) -> None:
    policy = Policy(rule, tuple(sorted(listed)))
    lacking = [
        missing(policy, *[member(n, "admin") for n in approving[:i]]) for i in range(len(approving) + 1)
    ]
    assert lacking == sorted(lacking, reverse=True)
    assert all(before - after <= 1 for before, after in pairwise(lacking))


def test_one_signature_meets_any_self_and_one_and_nothing_else_among_many() -> None:
    for rule in ("ANY", "SELF", "1", "1/4"):
        require(Policy(rule), Rule.parse(rule), member("acme"), 4, "acme")
    for rule, needed in (("ALL", 4), ("MAJORITY", 3), ("2", 2), ("2/3", 3)):
        with pytest.raises(
            RejectedTransaction, match=f"needs {needed} approvals.*let operators set another policy"
        ) as e:
            require(Policy(rule), Rule.parse(rule), member("acme", "admin"), 4, None)
        assert e.value.code == Code.APPROVALS_NEEDED
    with pytest.raises(RejectedTransaction) as forbidden:
        require(Policy("FORBIDDEN"), Rule.parse("FORBIDDEN"), member("acme"), 4, None)
    assert forbidden.value.code == Code.FORBIDDEN


def test_only_an_unrestricted_any_is_decided_without_the_sender() -> None:
    assert admits_everybody(Policy("ANY"), Rule.parse("ANY"))
    for policy in (Policy("ANY", ("acme",)), Policy("ANY", (), ("admin",)), Policy("1"), Policy("SELF")):
        assert not admits_everybody(policy, Rule.parse(policy.rule))


@pytest.mark.parametrize(
    ("policy", "statuses"),
    [
        (Policy("ANY"), [0, 0, 0]),
        (Policy("1"), [0, 0, 0]),
        (Policy("ANY", ("bolts",)), [Code.NOT_AUTHORISED, Code.NOT_AUTHORISED, 0]),
        (Policy("ANY", (), ("admin",)), [Code.NOT_AUTHORISED, 0, Code.NOT_AUTHORISED]),
        (Policy("1/2"), [0, 0, 0]),
        (Policy("ALL", ("bolts",)), [Code.NOT_AUTHORISED, Code.NOT_AUTHORISED, 0]),
        (Policy("ALL"), [Code.APPROVALS_NEEDED] * 3),
        (Policy("MAJORITY"), [Code.APPROVALS_NEEDED] * 3),
        (Policy("2"), [Code.APPROVALS_NEEDED] * 3),
        (Policy("FORBIDDEN"), [Code.FORBIDDEN] * 3),
        (Policy("SELF"), [0, 0, 0]),
    ],
)
def test_policies_of_genesis_rule_over_calls(policy: Policy, statuses: list[int]) -> None:
    world = World(make_genesis({"records.put": policy}))
    execution = world.execute(*[world.put(key, f"ns/{i}") for i, key in enumerate((ALICE, ANNA, BOB))])
    assert [receipt.status for receipt in execution.receipts] == statuses


def test_self_protects_what_another_organisation_owns() -> None:
    world = World(make_genesis({"records.supersede": Policy("SELF")}))
    world.execute(world.put(ALICE, "acme/a"))
    execution = world.execute(
        world.supersede(BOB, "acme/a", 1, b"two"),
        world.supersede(ANNA, "acme/a", 1, b"two"),
        world.supersede(BOB, "acme/none", 1, b"two"),
    )
    assert [r.status for r in execution.receipts] == [Code.NOT_AUTHORISED, Code.OK, Code.RECORD_UNKNOWN]
    assert "what acme owns" in str(execution.receipts[0].result)


def test_policies_and_members_decode_strictly() -> None:
    policy = Policy("2/3", ("acme", "bolts"), ("admin",))
    assert Policy.from_value(decode(encode(policy.to_value()))) == policy
    for value in (
        ("ANY", ()),
        ("SOME", (), ()),
        ("ANY", ("b", "a"), ()),
        ("ANY", ("a", "a"), ()),
        ("ANY", ("A",), ()),
        ("ANY", (), (1,)),
    ):
        with pytest.raises(CodecError):
            Policy.from_value(value)
    someone = member("acme", "admin", "client")
    assert Member.from_value(decode(encode(someone.to_value()))) == someone
    for value in (
        (bytes(31), "acme", ("client",), "m"),
        (bytes(32), "Acme", ("client",), "m"),
        (bytes(32), "acme", (), "m"),
        (bytes(32), "acme", ("b", "a"), "m"),
        (bytes(32), "acme", ("a", "a"), "m"),
        (bytes(32), "acme", ("client",), "m m"),
        (bytes(32), "acme", ("client",)),
    ):
        with pytest.raises(CodecError):
            Member.from_value(value)
    assert organisations_of(None) == {}
