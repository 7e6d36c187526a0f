"""Golden vectors of the federation: what holds, holds for ever; every damage is refused by its code."""

from typing import Any

import pytest

from consensus import decode, encode
from node.anchoring.client.state import ClientState
from tests.node.anchoring import independent_client, independent_judge
from tests.node.anchoring.bundle_vectors import from_json, opened, replaced, to_json
from tests.node.anchoring.federation_vectors import SHAPES, UNBOUND, outcome, refusal
from tests.node.anchoring.independent_verifier import Refused
from tests.node.proofs.vector_files import load

KNOWN: dict[str, Any] = load("federation_known")
DAMAGED: list[dict[str, Any]] = load("federation_damaged")
OBJECTS: dict[str, dict[str, Any]] = {entry["name"]: entry for entry in KNOWN["objects"]}
TRUST = bytes.fromhex(KNOWN["trust"])


def bytes_of(name: str) -> bytes:
    return bytes.fromhex(OBJECTS[name]["bytes"])


@pytest.mark.parametrize("name", OBJECTS)
def test_what_comes_of_a_known_object_never_changes(name: str) -> None:
    entry = OBJECTS[name]
    assert outcome(entry["object"], bytes_of(name), KNOWN) == from_json(entry["result"])
    assert encode(decode(bytes_of(name))) == bytes_of(name)


@pytest.mark.parametrize("of", sorted({case["of"] for case in DAMAGED}))
def test_every_damaged_object_is_refused_with_the_code_of_its_damage(of: str) -> None:
    kind, whole = OBJECTS[of]["object"], opened(bytes_of(of))
    for case in DAMAGED:
        if case["of"] == of:
            data = encode(replaced(whole, case["at"], from_json(case["value"])))
            assert refusal(kind, data, KNOWN) == case["refused"], case["name"]


def test_every_kind_of_object_has_a_vector_and_each_was_damaged() -> None:
    assert {entry["object"] for entry in OBJECTS.values()} == set(SHAPES)
    assert {case["of"] for case in DAMAGED} == set(OBJECTS)
    assert {case["refused"] for case in DAMAGED} >= {
        "malformed",
        "certificate-mismatch",
        "certificate-invalid",
        "wrong-cluster",
        "wrong-incarnation",
        "wrong-epoch",
        "wrong-validators",
        "link-next-set",
        "link-not-an-end",
        "link-height",
        "not-consistent",
        "tip-not-included",
        "leaf-not-included",
        "no-conflict",
        "unknown-set",
        "bad-witness",
        "recovery-signers",
    }


def independently(name: str, data: bytes) -> Any:
    """What the second implementation makes of an update or of evidence."""
    if OBJECTS[name]["object"] == "update":
        return independent_client.updated(bytes.fromhex(KNOWN["clients"]["active"]), data)
    return independent_client.convicted(data, TRUST)


CLIENTS = {
    "recovery": "frozen",
    "replacement": "recovered",
    "higher-replacement": "stopped",
    "late-evidence": "recovered",
}
"""Which known client is offered objects of this kind."""
BOTH = [name for name, entry in OBJECTS.items() if entry["object"] in ("update", "evidence")]


@pytest.mark.parametrize("name", BOTH)
def test_a_second_implementation_comes_to_the_same_and_refuses_every_damage(name: str) -> None:
    result = from_json(OBJECTS[name]["result"])
    told = independently(name, bytes_of(name))
    if OBJECTS[name]["object"] == "update":
        state = ClientState.decode(result)
        assert told == (state.epoch, state.last.height, state.last.header_hash, state.validators.hash())
    else:
        assert from_json(to_json((*told[:4], tuple(told[4])))) == result
    whole = opened(bytes_of(name))
    for case in DAMAGED:
        if case["of"] == name:
            with pytest.raises(Refused):
                independently(name, encode(replaced(whole, case["at"], from_json(case["value"]))))


RECOVERING = [name for name, kind in ((n, e["object"]) for n, e in OBJECTS.items()) if kind in CLIENTS]


def judged_independently(kind: str, data: bytes) -> bytes:
    """The client that a second implementation makes of a recovery or of late evidence."""
    client = bytes.fromhex(KNOWN["clients"][CLIENTS[kind]])
    if kind == "late-evidence":
        return independent_judge.told(client, data)
    if kind == "higher-replacement":
        return independent_judge.replaced(client, data, KNOWN["now_ms"])
    return independent_judge.recovered(client, data, KNOWN["now_ms"])


@pytest.mark.parametrize("name", RECOVERING)
def test_a_second_judge_comes_to_the_same_client_and_refuses_every_damage(name: str) -> None:
    entry = OBJECTS[name]
    assert judged_independently(entry["object"], bytes_of(name)) == from_json(entry["result"])
    whole = opened(bytes_of(name))
    for case in DAMAGED:
        if case["of"] == name:
            data = encode(replaced(whole, case["at"], from_json(case["value"])))
            with pytest.raises(Refused):
                judged_independently(entry["object"], data)


def test_objects_that_only_a_root_binds_are_damaged_in_their_form_alone() -> None:
    codes = {case["refused"] for case in DAMAGED if OBJECTS[case["of"]]["object"] in UNBOUND}
    assert codes == {"malformed"}
