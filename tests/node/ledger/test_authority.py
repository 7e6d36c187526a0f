"""Members and policies that were read hold from block to block, never longer than governance lets them."""

from dataclasses import replace

import pytest

from node.ledger import authority
from node.ledger.codes import Code
from node.ledger.governance.changes import Change, RemoveMember, SetMember, SetPolicy
from node.ledger.members import Member, find_member
from node.ledger.policy import Policy
from tests.node.ledger.parliament import Parliament, operator, was_executed
from tests.node.ledger.world import ALICE, BOB, key_of


def decided(world: Parliament, *changes: Change) -> None:
    assert was_executed(world.approve(world.propose(operator(0), *changes), 1, 2))


def test_who_acted_in_earlier_blocks_is_refused_from_the_removal_on() -> None:
    world = Parliament()
    for number in range(3):
        assert world.run(world.put(BOB, f"bolts/{number}")).receipts[0].ok
    decided(world, RemoveMember(BOB.public_key))
    assert world.run(world.put(BOB, "bolts/later")).receipts[0].status == Code.UNKNOWN_SENDER


def test_a_member_whose_organisation_changed_owns_what_it_puts_from_then_on() -> None:
    world = Parliament()
    assert world.run(world.put(BOB, "x/first")).receipts[0].ok
    member = find_member(world.store, BOB.public_key)
    assert isinstance(member, Member)
    decided(world, SetMember(replace(member, organisation="acme")))
    assert world.run(world.put(BOB, "x/second")).receipts[0].ok
    refused = world.run(world.supersede(BOB, "x/first", 1, b"new")).receipts[0]
    assert refused.status == Code.NOT_OWNER
    assert world.run(world.supersede(ALICE, "x/second", 1, b"new")).receipts[0].ok


def test_a_method_closed_by_governance_is_closed_in_later_blocks() -> None:
    world = Parliament()
    assert world.run(world.put(ALICE, "acme/a")).receipts[0].ok
    decided(world, SetPolicy("records", "put", Policy("FORBIDDEN")))
    assert world.run(world.put(ALICE, "acme/b")).receipts[0].status == Code.FORBIDDEN


def test_members_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authority, "MEMBERS_KEPT_MAX", 1)
    world = Parliament()
    for number in range(2):
        execution = world.run(world.put(ALICE, f"acme/{number}"), world.put(BOB, f"bolts/{number}"))
        assert all(receipt.ok for receipt in execution.receipts)
        assert world.ledger.authority.limits() == (("ledger_members_kept", 1, 1),)


def test_a_stranger_is_not_remembered() -> None:
    world = Parliament()
    stranger = key_of("stranger")
    assert world.run(world.put(stranger, "x/y")).receipts[0].status == Code.UNKNOWN_SENDER
    assert world.ledger.authority.limits()[0][1] == 0
