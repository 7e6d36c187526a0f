"""Policies: who may call a method, as the triple `(rule, organisations, roles)` known from ChainMaker.

A rule is ALL, ANY, MAJORITY, a count "k", a fraction "p/q", SELF or FORBIDDEN. Approvals are counted by
organisation: one member with a fitting role speaks for its organisation. No organisations means all of
them, no roles means any role; MAJORITY always asks for admins. One policy a method, one state leaf each.
A transaction carries one signature, so a rule that asks for more is refused in words here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from consensus import CodecError, Value, as_array, as_text, as_tuple, decode
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.members import Member
from node.ledger.names import check_name

ADMIN = "admin"
"""The role whose holders speak for their organisation under MAJORITY."""
LISTED_MAX = 256
"""Most organisations or roles a policy may list."""
_COUNT = re.compile(r"[1-9][0-9]{0,3}")
_FRACTION = re.compile(r"([1-9][0-9]{0,3})/([1-9][0-9]{0,3})")
_PREFIX = b"policies/"


class Kind(Enum):
    """What a rule counts."""

    ALL = "ALL"
    ANY = "ANY"
    MAJORITY = "MAJORITY"
    COUNT = "k"
    FRACTION = "p/q"
    SELF = "SELF"
    FORBIDDEN = "FORBIDDEN"


@dataclass(frozen=True, slots=True)
class Rule:
    """A parsed rule; `numerator` and `denominator` carry k/1 for COUNT and p/q for FRACTION."""

    kind: Kind
    numerator: int = 0
    denominator: int = 1

    @staticmethod
    def parse(text: str) -> "Rule":
        """The rule that `text` writes. Raises ValueError with the accepted forms."""
        if text in ("ALL", "ANY", "MAJORITY", "SELF", "FORBIDDEN"):
            return Rule(Kind(text))
        if _COUNT.fullmatch(text):
            return Rule(Kind.COUNT, int(text))
        fraction = _FRACTION.fullmatch(text)
        if fraction and int(fraction[1]) <= int(fraction[2]):
            return Rule(Kind.FRACTION, int(fraction[1]), int(fraction[2]))
        raise ValueError(
            f"policy rule {text!a:.40} is none of ALL, ANY, MAJORITY, SELF, FORBIDDEN, "
            "a count such as 3, or a fraction up to one such as 2/3"
        )

    @property
    def is_about_owner(self) -> bool:
        """Whether the outcome depends on who owns what the call is about."""
        return self.kind is Kind.SELF

    def needed(self, organisations: int) -> int:
        """How many of that many organisations must approve. Raises ValueError for FORBIDDEN."""
        match self.kind:
            case Kind.ALL:
                return organisations
            case Kind.MAJORITY:
                return organisations // 2 + 1
            case Kind.FRACTION:
                return -(-organisations * self.numerator // self.denominator)
            case Kind.COUNT:
                return self.numerator
            case Kind.ANY | Kind.SELF:
                return 1
            case Kind.FORBIDDEN:
                raise ValueError("no approvals can meet FORBIDDEN")


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may call a method. Raises ValueError for a rule or name of the wrong form."""

    rule: str
    organisations: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        Rule.parse(self.rule)
        for names, what in ((self.organisations, "organisation"), (self.roles, "role")):
            for name in names:
                check_name(name, what)
            if len(names) > LISTED_MAX or list(names) != sorted(set(names)):
                raise ValueError(f"a policy lists at most {LISTED_MAX} different {what}s, sorted")

    def to_value(self) -> tuple[Value, ...]:
        """`[rule, [organisation, ...], [role, ...]]`."""
        return (self.rule, self.organisations, self.roles)

    @staticmethod
    def from_value(value: Value) -> "Policy":
        """The inverse of `to_value`; raises CodecError."""
        rule, organisations, roles = as_tuple(value, 3, "policy")
        try:
            return Policy(
                as_text(rule, "rule", max_length=16),
                tuple(as_text(o, "organisation") for o in as_array(organisations, LISTED_MAX, "names")),
                tuple(as_text(r, "role") for r in as_array(roles, LISTED_MAX, "roles")),
            )
        except ValueError as error:
            raise CodecError(str(error)) from error


def policy_key(app: str, method: str) -> bytes:
    """The state key of a method's policy."""
    return _PREFIX + f"{app}.{method}".encode()


@lru_cache(maxsize=1024)
def decode_policy(stored: bytes) -> tuple[Policy, Rule]:
    """The policy in a stored leaf with its rule parsed; cached by the bytes."""
    policy = Policy.from_value(decode(stored))
    return policy, Rule.parse(policy.rule)


def admits_everybody(policy: Policy, rule: Rule) -> bool:
    """Whether every member may call, whoever it is: the usual case, decided once a block."""
    return rule.kind is Kind.ANY and not policy.organisations and not policy.roles


def missing_approvals(
    policy: Policy, rule: Rule, approvals: Sequence[Member], organisation_count: int, owner: str | None
) -> int:
    """How many more organisations must approve: 0 admits.

    `organisation_count` is that of the cluster, used when the policy lists none; `owner` is the
    organisation that owns what the call is about, for SELF (None when nobody owns it yet).
    Raises ValueError for FORBIDDEN, which no approvals can meet.
    """
    if rule.kind is Kind.FORBIDDEN:
        raise ValueError("no approvals can meet FORBIDDEN")
    roles = (ADMIN,) if rule.kind is Kind.MAJORITY else policy.roles
    approving = {
        member.organisation
        for member in approvals
        if (not policy.organisations or member.organisation in policy.organisations)
        and (not roles or any(role in roles for role in member.roles))
        and (rule.kind is not Kind.SELF or owner is None or member.organisation == owner)
    }
    return max(0, rule.needed(len(policy.organisations) or organisation_count) - len(approving))


def require(policy: Policy, rule: Rule, sender: Member, organisation_count: int, owner: str | None) -> None:
    """Admit the single signature of `sender`. Raises RejectedTransaction that says what is lacking."""
    if rule.kind is Kind.FORBIDDEN:
        raise RejectedTransaction(Code.FORBIDDEN, "")
    if missing_approvals(policy, rule, (sender,), organisation_count, owner) == 0:
        return
    needed = rule.needed(len(policy.organisations) or organisation_count)
    if needed > 1:
        raise RejectedTransaction(Code.APPROVALS_NEEDED, f"rule {policy.rule} needs {needed} approvals")
    admitted = f"organisations {_listed(policy.organisations)}, roles {_listed(policy.roles)}"
    roles = "/".join(sender.roles)
    raise RejectedTransaction(
        Code.NOT_AUTHORISED,
        f"rule {policy.rule} ({admitted}) does not admit a {roles} of {sender.organisation}"
        + (f" to what {owner} owns" if rule.kind is Kind.SELF and owner is not None else ""),
    )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "any"
