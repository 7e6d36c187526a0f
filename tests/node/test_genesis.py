"""Genesis: one identity for one content, and errors that say what to write instead."""

import json
from dataclasses import replace
from typing import Any

import pytest

from consensus import LocalError, digest, encode, root_id
from node.genesis import Genesis, GenesisError
from node.ledger.beginning import begin, state_root_of
from node.ledger.members import Member, find_member
from node.ledger.params import RANGES, Benchmark, Params
from node.ledger.policy import Policy
from node.ledger.roster import ValidatorRecord
from node.ledger.state import Space
from node.proofs import rfc6962
from tests.node.ledger.world import ALICE, CREATED_MS, MEMBERS, STRANGER, Store, key_of, make_genesis

GENESIS = make_genesis()


def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(GENESIS.to_json())
    del loaded["cluster_id"]
    return loaded


def refused(changed: Any) -> GenesisError:
    with pytest.raises(GenesisError) as caught:
        Genesis.from_json(changed if isinstance(changed, str) else json.dumps(changed))
    return caught.value


def test_json_reads_back_to_the_same_identity() -> None:
    again = Genesis.from_json(GENESIS.to_json())
    assert again == GENESIS
    assert again.cluster_id == GENESIS.cluster_id == digest("isthmus/genesis/v1", GENESIS.body)
    assert again.to_json() == GENESIS.to_json()


def test_defaults_may_be_left_out_and_orders_that_mean_nothing_are_ignored() -> None:
    short = document()
    short["params"] = {"created_ms": CREATED_MS}
    del short["policies"], short["version"]
    short["members"].reverse()
    assert Genesis.from_json(json.dumps(short)).cluster_id == GENESIS.cluster_id


def test_every_part_changes_the_identity() -> None:
    seen = {GENESIS.cluster_id}
    changes: list[dict[str, Any]] = []
    for name, (low, high) in RANGES.items():
        changed = document()
        changed["params"][name] += 1 if changed["params"][name] < high else -1
        assert low <= changed["params"][name] <= high
        changes.append(changed)
    for field in ("name", "organisation", "weight", "consensus_key", "node_key", "operator_key"):
        changed = document()
        changed["validators"][0][field] = {"weight": 2}.get(
            field, key_of("new").public_key.hex() if field.endswith("key") else "new"
        )
        changes.append(changed)
    for field in ("name", "organisation", "public_key", "roles"):
        changed = document()
        changed["members"][0][field] = {"public_key": key_of("new").public_key.hex(), "roles": ["new"]}.get(
            field, "new"
        )
        changes.append(changed)
    changes.append(document() | {"name": "other"})
    changes.append(document() | {"policies": {"records.put": {"rule": "FORBIDDEN"}}})
    changed = document()
    changed["validators"].reverse()
    changes.append(changed)
    for changed in changes:
        cluster_id = Genesis.from_json(json.dumps(changed)).cluster_id
        assert cluster_id not in seen
        seen.add(cluster_id)


def test_header_0_is_over_the_first_state_and_the_first_validators() -> None:
    header = GENESIS.genesis_header()
    assert (header.height, header.epoch, header.incarnation) == (0, 0, 0)
    assert header.time_ms == CREATED_MS
    assert header.cluster_id == GENESIS.cluster_id
    assert header.block_id == root_id(GENESIS.cluster_id, 0, bytes(32))
    assert header.validators_hash == GENESIS.validator_set().hash()
    assert header.state_root == GENESIS.state_root == state_root_of(GENESIS.initial_state())
    assert list(GENESIS.initial_state()) == sorted(GENESIS.initial_state())


def test_the_beginning_is_what_a_home_stores() -> None:
    beginning = GENESIS.beginning()
    store = Store(beginning.state_writes)
    assert tuple(sorted(store.spaces[Space.STATE].items())) == GENESIS.initial_state()
    assert find_member(store, ALICE.public_key) == MEMBERS[0]
    assert find_member(store, STRANGER.public_key) is None
    leaf = rfc6962.leaf_hash(beginning.tip.header_hash)
    assert beginning.history_nodes == ((0, 0, leaf),)
    assert beginning.tip.history.root() == leaf
    with pytest.raises(LocalError, match="does not begin"):
        begin(GENESIS.initial_state()[1:], GENESIS.genesis_header())


def test_validators_keep_the_order_of_the_document() -> None:
    keys = [validator.public_key for validator in GENESIS.validator_set().validators]
    assert keys == [key_of(f"consensus {i}").public_key for i in range(4)]
    assert GENESIS.validator_set().epoch == 0


@pytest.mark.parametrize("kind", Benchmark, ids=lambda kind: kind.value)
def test_a_benchmark_cluster_is_told_by_its_genesis_and_by_no_other(kind: Benchmark) -> None:
    assert GENESIS.params.benchmark is None
    params = replace(GENESIS.params, apps=(kind.value,))
    genesis = Genesis.new(GENESIS.name, params, GENESIS.validators, GENESIS.members)
    read = Genesis.from_json(genesis.to_json())
    assert (read.params.benchmark, read.params.apps) == (kind, (kind.value,))
    assert read.cluster_id == genesis.cluster_id != GENESIS.cluster_id


def set_at(*path: Any) -> Any:
    """A document with the last item of `path` at the place that the others name."""
    changed = document()
    target = changed
    for step in path[:-2]:
        target = target[step]
    target[path[-2]] = path[-1]
    return changed


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ("", "json", "no JSON"),
        ("{", "json", "no JSON"),
        ("[" * 100_000, "json", "no JSON"),
        ("[]", "type", "genesis must be an object"),
        ('{"name": "a", "name": "b"}', "duplicate", "'name' is written twice"),
        (set_at("nmae", "x"), "unknown-key", "did you mean 'name'?"),
        (set_at("params", "heartbeat", 1), "unknown-key", "did you mean 'heartbeat_ms'?"),
        (set_at("params", "zzz", 1), "unknown-key", "known are apps, "),
        (set_at("validators", 1, "wieght", 1), "unknown-key", "validators[1]: .*did you mean 'weight'?"),
        (set_at("members", 2, "role", []), "unknown-key", r"members[2]: .*did you mean 'roles'?"),
        (set_at("policies", "records.putt", {"rule": "ANY"}), "unknown-key", "did you mean 'records.put'?"),
        (set_at("policies", "records.put", {"rulle": "ANY"}), "unknown-key", "did you mean 'rule'?"),
        (set_at("policies", "records.put", {}), "missing-key", "'rule' is missing"),
        (set_at("policies", "records.put", {"rule": "SOME"}), "invalid", "none of ALL, ANY"),
        (set_at("policies", "records.put", {"rule": 3}), "type", "rule must be text"),
        (set_at("policies", "records.put", {"rule": "ANY", "roles": "x"}), "type", "list of texts"),
        (set_at("policies", []), "type", "policies must be an object"),
        (set_at("params", {}), "missing-key", "'created_ms' is missing"),
        (set_at("params", "heartbeat_ms", "1"), "invalid", "heartbeat_ms must be an integer"),
        (set_at("params", "heartbeat_ms", True), "invalid", "heartbeat_ms must be an integer"),
        (set_at("params", "heartbeat_ms", 1.5), "invalid", "heartbeat_ms must be an integer"),
        (set_at("params", "replay_cap_ms", 1_000), "invalid", "at least replay_bucket_ms"),
        (set_at("params", "batch_bytes_max", 16_384), "invalid", "largest would never fit"),
        (set_at("params", "apps", ["recorsd"]), "unknown-app", "'recorsd' is not available"),
        (set_at("params", "apps", ["sealed"]), "unknown-app", "there are: opaque, signed, records"),
        (set_at("params", "apps", ["opaque", "signed"]), "invalid", "opaque is the whole ledger"),
        (set_at("params", "apps", ["records", "signed"]), "invalid", "signed is the whole ledger"),
        (set_at("params", "apps", ["records", "records"]), "invalid", "different names"),
        (set_at("params", "apps", "records"), "type", "list of texts"),
        (set_at("version", 2), "version", "version 2 is not 1"),
        (set_at("name", "Capital"), "invalid", "cluster name"),
        (set_at("name", 5), "type", "name must be text"),
        (set_at("validators", []), "type", "list that is not empty"),
        (set_at("members", {}), "type", "list that is not empty"),
        (set_at("validators", 0, 5), "type", r"validators[0] must be an object"),
        (set_at("validators", 0, "weight", 0), "invalid", "weight is 1 to"),
        (set_at("validators", 0, "weight", "1"), "type", "whole number"),
        (set_at("validators", 0, "consensus_key", "00"), "key", "64 lower-case hex digits"),
        (set_at("validators", 0, "consensus_key", "zz" * 32), "key", "64 hex digits"),
        (set_at("validators", 0, "consensus_key", "AB" * 32), "key", "lower-case"),
        (set_at("validators", 0, "name", "v1"), "duplicate", "validator name v1 occurs twice"),
        (set_at("members", 0, "roles", []), "invalid", r"members[0]: .*roles"),
        (set_at("members", 0, "roles", ["a", "a"]), "invalid", r"members[0]: .*different roles"),
        (set_at("cluster_id", "00" * 32), "cluster-id", "was changed after it was made"),
        ("x" * (8 * 1024 * 1024 + 1), "too-large", "exceed"),
    ],
)
def test_each_mistake_is_named_with_its_place(changed: Any, code: str, words: str) -> None:
    error = refused(changed)
    assert error.code == code
    for part in words.split(".*"):
        assert part in str(error)


def test_no_key_is_shared_but_an_operators_own() -> None:
    consensus_key = GENESIS.validators[0].consensus_key.hex()
    for path in (
        ("validators", 1, "consensus_key"),
        ("validators", 1, "node_key"),
        ("validators", 0, "node_key"),
        ("validators", 1, "operator_key"),
        ("members", 0, "public_key"),
    ):
        error = refused(set_at(*path, consensus_key))
        assert error.code in ("duplicate", "invalid")
    operator = GENESIS.validators[0].operator_key.hex()
    Genesis.from_json(json.dumps(set_at("members", 0, "public_key", operator)))
    assert refused(set_at("validators", 1, "operator_key", operator)).code == "duplicate"
    member = document()
    member["members"][1]["public_key"] = member["members"][0]["public_key"]
    assert refused(member).code == "duplicate"


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\x02" * 32, b"\xff" * 32])
def test_bytes_that_no_signature_can_verify_under_are_no_key(key: bytes) -> None:
    """Small-order and off-curve points: a verifier would refuse them later, member by member."""
    for path in (
        ("members", 0, "public_key"),
        ("validators", 3, "node_key"),
        ("validators", 3, "operator_key"),
    ):
        error = refused(set_at(*path, key.hex()))
        assert error.code == "key"
        assert "no Ed25519 public key" in str(error)


def test_made_in_code_it_is_checked_as_strictly() -> None:
    with pytest.raises(GenesisError, match=r"records\.get"):
        make_genesis({"records.get": Policy("ANY")})
    with pytest.raises(GenesisError, match="1 to 128"):
        Genesis.new("x", Params(created_ms=1), [], MEMBERS)
    with pytest.raises(GenesisError, match="version 2"):
        Genesis("x", GENESIS.params, GENESIS.validators, MEMBERS, GENESIS.policies, version=2)
    with pytest.raises(GenesisError, match="needs one policy"):
        Genesis("x", GENESIS.params, GENESIS.validators, MEMBERS, GENESIS.policies[1:])
    twin = Member(key_of("twin").public_key, "acme", ("client",), "alice")
    with pytest.raises(GenesisError, match="acme/alice occurs twice"):
        Genesis.new("x", GENESIS.params, GENESIS.validators, (*MEMBERS, twin))


def test_params_decode_strictly() -> None:
    params = Params(created_ms=5)
    assert Params.from_value(params.to_value()) == params
    for value in (
        (),
        params.to_value()[:-1],
        (0, *params.to_value()[1:]),
        (*params.to_value()[:-1], ("b", "a")),
    ):
        with pytest.raises(ValueError):
            Params.from_value(value)


def test_the_body_is_the_documented_array() -> None:
    assert GENESIS.body == encode(
        (
            1,
            "test",
            GENESIS.params.to_value(),
            tuple(validator.to_value() for validator in GENESIS.validators),
            tuple(member.to_value() for member in GENESIS.members),
            tuple((named, policy.to_value()) for named, policy in GENESIS.policies),
            GENESIS.state_root,
        )
    )
    first: ValidatorRecord = GENESIS.validators[0]
    assert first.to_value()[:2] == ("v0", "acme")
