"""Who may call what, kept from block to block: members, and methods with their policies.

Only governance changes either, and no executed block is ever taken back; so what was read once holds until
a transaction of governance succeeds, which forgets all of it. A cluster of many clients would otherwise read
and decode a member for nearly every transaction.
"""

from dataclasses import dataclass
from typing import Any

from node.ledger.apps import Apps, Method
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.members import ORGANISATIONS_KEY, Member, decode_member, member_key, organisations_of
from node.ledger.policy import Policy, Rule, admits_everybody, decode_policy, policy_key
from node.ledger.state import BlockState

MEMBERS_KEPT_MAX = 16_384
"""Members remembered at a time; all are forgotten beyond it, and read again as they come."""


@dataclass(frozen=True, slots=True)
class Door:
    """A method with its policy: `is_open` iff every member may call it."""

    method: Method[Any]
    policy: Policy
    rule: Rule
    organisation_count: int
    is_open: bool


class Authority:
    """What governance decided, as far as it was asked for."""

    __slots__ = ("_apps", "_doors", "_members")

    def __init__(self, apps: Apps) -> None:
        self._apps = apps
        self._doors: dict[tuple[str, str], Door] = {}  # of enabled methods only, so it is bounded
        self._members: dict[bytes, Member] = {}

    def member(self, state: BlockState, public_key: bytes) -> Member:
        """The member with this key. Raises RejectedTransaction(UNKNOWN_SENDER)."""
        known = self._members.get(public_key)
        if known is None:
            stored = state.get_state(member_key(public_key))
            if stored is None:
                raise RejectedTransaction(Code.UNKNOWN_SENDER, f"key {public_key.hex()}")
            if len(self._members) >= MEMBERS_KEPT_MAX:
                self._members.clear()
            known = self._members[public_key] = decode_member(stored)
        return known

    def door(self, state: BlockState, app: str, name: str) -> Door:
        """The method of this name. Raises RejectedTransaction when there is none, or no policy for it."""
        known = self._doors.get((app, name))
        if known is None:
            method = self._apps.method(app, name)
            stored = state.get_state(policy_key(app, name))
            if stored is None:
                raise RejectedTransaction(Code.FORBIDDEN, f"{app}.{name} has no policy")
            policy, rule = decode_policy(stored)
            count = len(organisations_of(state.get_state(ORGANISATIONS_KEY)))
            known = self._doors[app, name] = Door(method, policy, rule, count, admits_everybody(policy, rule))
        return known

    def forget(self) -> None:
        """Governance changed something."""
        self._members.clear()
        self._doors.clear()

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound) for metrics."""
        return (("ledger_members_kept", len(self._members), MEMBERS_KEPT_MAX),)
