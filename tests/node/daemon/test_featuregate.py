"""A feature is asked for and approved only where more than two thirds of the weight were seen to know it."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from consensus import SigningKey
from node import wire
from node.api.backend import Rejected, Submitted
from node.api.live import LiveBackend
from node.daemon import featuregate
from node.daemon.featuregate import proposed_features, unsupported
from node.diagnosis import ProposedFeature
from node.home import read_key
from node.ledger.codes import Code
from node.ledger.features import REVOCABLE_APPROVALS, Feature
from node.ledger.governance.changes import EnableFeature
from node.ledger.governance.door import features_named
from node.ledger.state import Space
from node.wallet import Wallet
from tests.node.daemon.running import config_of, running_node, written
from tests.node.ledger.parliament import Parliament, operator
from tests.node.ledger.world import make_genesis

OLD, NEW = 3, 4
LATER = Feature("later", NEW, "something")
ROSTER = make_genesis(None).roster()
KEYS = [bytes(validator.node_key) for validator in ROSTER.validators]


@pytest.mark.parametrize(("upgraded", "is_enough"), [(4, True), (3, True), (2, False), (0, False)])
def test_more_than_two_thirds_of_the_weight_must_have_told_that_they_know_it(
    upgraded: int, is_enough: bool
) -> None:
    versions = {key: NEW if place < upgraded else OLD for place, key in enumerate(KEYS)}
    found = unsupported(["later"], ROSTER, versions, (LATER,))
    assert (found is None) == is_enough
    if found is not None:
        assert f"weight {upgraded} of 4" in found
        assert found.endswith(", ".join(v.name for v in ROSTER.validators[upgraded:]))


def test_who_was_never_seen_counts_for_nothing_and_weights_count() -> None:
    assert unsupported(["later"], ROSTER, dict.fromkeys(KEYS[:2], NEW), (LATER,)) is not None
    heavy = replace(ROSTER.validators[0], weight=7)
    roster = replace(ROSTER, validators=(heavy, *ROSTER.validators[1:]))
    assert unsupported(["later"], roster, {KEYS[0]: NEW}, (LATER,)) is None
    assert unsupported(["later"], roster, dict.fromkeys(KEYS[1:], NEW), (LATER,)) is not None
    assert unsupported(["unheard-of"], ROSTER, {}, (LATER,)) is None, "that is admission's to refuse"


async def test_a_node_refuses_what_no_quorum_can_do_and_takes_the_rest_of_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testnet = written(tmp_path / "net")
    key = read_key(testnet.directory / "keys" / f"operator-{testnet.nodes[0].name}.key")
    wallet = Wallet(SigningKey(key), testnet.cluster_id)
    enable = wallet.sign("governance", "propose", ((EnableFeature(REVOCABLE_APPROVALS).to_value(),), 0))
    other = wallet.sign("governance", "withdraw", (bytes(32),))
    async with running_node(config_of(testnet)) as node:
        backend = LiveBackend(node)
        with monkeypatch.context() as changed:
            changed.setattr(wire, "PROTOCOL_VERSION", 2)
            refused, taken = await backend.submit([enable.encoded, other.encoded])
        assert isinstance(refused, Rejected)
        assert (refused.code, refused.name) == (Code.FEATURE_UNSUPPORTED, "feature-unsupported")
        assert "weight 0 of 1 is seen to speak it, not that of node0" in refused.sentence
        assert "no validator" not in refused.sentence
        assert taken == Submitted(other.id)
        assert await backend.submit([enable.encoded]) == (Submitted(enable.id),)
        assert featuregate.refusal(node, b"governance") is None, "what is no transaction, admission refuses"


async def test_an_observer_that_sees_too_few_says_whose_node_to_ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testnet = written(tmp_path / "net")
    key = read_key(testnet.directory / "keys" / f"operator-{testnet.nodes[0].name}.key")
    wallet = Wallet(SigningKey(key), testnet.cluster_id)
    enable = wallet.sign("governance", "propose", ((EnableFeature(REVOCABLE_APPROVALS).to_value(),), 0))
    async with running_node(replace(config_of(testnet), role="observer")) as node:
        monkeypatch.setattr(wire, "PROTOCOL_VERSION", 2)
        refused = featuregate.refusal(node, enable.encoded)
    assert refused is not None
    assert "this node is no validator: ask through a validator's node" in refused.sentence


def test_open_proposals_say_which_features_they_would_bring() -> None:
    assert proposed_features(lambda _key: None) == ()
    parliament = Parliament()
    changes = (EnableFeature(REVOCABLE_APPROVALS), EnableFeature("unheard-of"))
    proposal_id = parliament.propose(operator(0), *changes)
    leaf = partial(parliament.store.get, Space.STATE)
    assert proposed_features(leaf) == (
        ProposedFeature(REVOCABLE_APPROVALS, 3),
        ProposedFeature("unheard-of", None),
    )
    assert features_named("approve", (proposal_id,), leaf) == (REVOCABLE_APPROVALS, "unheard-of")
