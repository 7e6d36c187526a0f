"""Golden vectors of governance: what operators and joining validators sign, and what the state keeps of it.

A failure here means that stored proposals and signatures change their meaning. When that is intended it takes
a new version tag, and `python -m tests.node.ledger.test_governance_vectors` writes the file anew.
"""

import json
from pathlib import Path

import pytest

from consensus import CodecError, Epoch, Value, decode, encode
from node.ledger.governance.changes import (
    AddValidator,
    Change,
    RemoveMember,
    RemoveValidator,
    Reweigh,
    RotateKeys,
    SetMember,
    SetPolicy,
    change_of,
)
from node.ledger.governance.history import RECENT_KEY
from node.ledger.governance.proposals import (
    OPEN_KEY,
    Proposal,
    decode_open,
    proposal_id_of,
    proposal_key,
    ready_digest,
)
from node.ledger.members import Member
from node.ledger.policy import Policy
from node.ledger.roster import Roster
from node.ledger.state import Space
from tests.node.ledger.parliament import Parliament, consensus, joining, operator, record
from tests.node.ledger.world import BOB, key_of

VECTORS = Path(__file__).parents[3] / "vectors" / "governance.json"
CHANGES: dict[str, Change] = {
    "add-validator": AddValidator(record(4, 2)),
    "remove-validator": RemoveValidator("v3"),
    "weight": Reweigh("v1", 3),
    "rotate": RotateKeys("v2", key_of("new consensus").public_key, None, key_of("new operator").public_key),
    "set-member": SetMember(Member(key_of("carol").public_key, "crates", ("admin", "client"), "carol")),
    "remove-member": RemoveMember(BOB.public_key),
    "set-policy": SetPolicy("records", "put", Policy("ANY", ("acme",), ("client",))),
}


def session() -> dict[str, object]:
    """A validator joins: every leaf that the ledger keeps on the way, and the headers."""
    world = Parliament()
    headers = [world.ledger.tip.header.encoded.hex()]
    leaves: list[dict[str, str | None]] = []
    proposal_id = world.propose(operator(0), joining(4))
    keys = (proposal_key(proposal_id), OPEN_KEY, RECENT_KEY, b"governance/validators")

    def look() -> None:
        headers.append(world.ledger.tip.header.encoded.hex())
        stored = {key: world.store.get(Space.STATE, key) for key in keys}
        leaves.append({k.hex(): None if value is None else value.hex() for k, value in stored.items()})

    look()
    world.approve(proposal_id, 1)
    look()
    world.ready(proposal_id, 4)
    look()
    world.approve(proposal_id, 2)
    look()
    world.run()
    look()
    return {"proposal_id": proposal_id.hex(), "headers": headers, "leaves": leaves}


def current() -> dict[str, object]:
    """What this software makes of fixed keys."""
    changes = tuple(CHANGES.values())
    ready = ready_digest(bytes(32), b"\x01" * 32, 7, b"\x02" * 32)
    return {
        "roster": {
            "encoded": Roster(Epoch(1), (record(0), record(1, 2))).encode().hex(),
            "set_hash": Roster(Epoch(1), (record(0), record(1, 2))).validator_set().hash().hex(),
        },
        "changes": {name: encode(change.to_value()).hex() for name, change in CHANGES.items()},
        "proposal_id": proposal_id_of(changes, True, b"\x03" * 32).hex(),
        "ready": {"digest": ready.hex(), "signature": consensus(4).sign(ready).hex()},
        "session": session(),
    }


def test_every_encoding_is_the_golden_one() -> None:
    golden, made = json.loads(VECTORS.read_text()), current()
    assert sorted(golden) == sorted(made)
    for what, expected in golden.items():
        assert json.loads(json.dumps(made[what])) == expected, what


def test_the_golden_bytes_decode_to_what_they_say() -> None:
    golden = json.loads(VECTORS.read_text())
    for name, encoded in golden["changes"].items():
        assert change_of(decode(bytes.fromhex(encoded))) == CHANGES[name]
    proposal_id = bytes.fromhex(golden["session"]["proposal_id"])
    for kept in golden["session"]["leaves"]:
        proposal = Proposal.decode(bytes.fromhex(kept[proposal_key(proposal_id).hex()]))
        assert proposal.id == proposal_id
        assert proposal.encode().hex() == kept[proposal_key(proposal_id).hex()]
        assert len(decode_open(bytes.fromhex(kept[OPEN_KEY.hex()]))) == (proposal.executed_height is None)


DAMAGED_CHANGES: dict[str, tuple[Value, ...]] = {
    "no kind": (),
    "an unknown kind": (8, "v1"),
    "a kind as text": ("1", "v1"),
    "a joiner without a record": (1,),
    "a joiner without weight": (1, record(4, 0).to_value()),
    "a removal of nobody": (2,),
    "a removal by a name of the wrong form": (2, "V1"),
    "a weight above all": (3, "v1", 1_000_001),
    "a weight of a fraction": (3, "v1", "1.5"),
    "a rotation to nothing": (4, "v1", None, None, None),
    "a rotation to a short key": (4, "v1", bytes(31), None, None),
    "a rotation to what is no key": (4, "v1", b"\xff" * 32, None, None),
    "a member without roles": (5, (BOB.public_key, "acme", (), "bob")),
    "a member with what is no key": (5, (b"\xff" * 32, "acme", ("client",), "bob")),
    "a removal of a short key": (6, bytes(31)),
    "a policy with an unknown rule": (7, "records", "put", ("MOST", (), ())),
    "a policy with a field too few": (7, "records", "put", ("ANY", ())),
    "a policy for a name of the wrong form": (7, "records/x", "put", ("ANY", (), ())),
}


@pytest.mark.parametrize("damage", DAMAGED_CHANGES)
def test_a_damaged_change_is_refused(damage: str) -> None:
    with pytest.raises(CodecError):
        change_of(DAMAGED_CHANGES[damage])


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(current(), indent=1) + "\n")
