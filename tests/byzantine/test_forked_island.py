"""All validators of one cluster sign two histories, and what the other clusters make of it."""

from functools import cache

import pytest

from bench.sim.federation.scenario import ATTACKS, Fault, FederationScenario, mesh
from bench.sim.federation.transactions import Accuse
from bench.sim.federation.world import FROZEN_WITHIN_MS, Federation, Outcome
from consensus import SignatureCache
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.forks.evidence import EvidenceFile, ForkEvidence, Ground, judge
from node.anchoring.refusals import Refused


@cache
def forked(how: str, clusters: int, seed: int) -> tuple[Federation, Outcome]:
    """A federation whose cluster 0 forks after fifteen seconds, at its end, and what became of it: for all
    tests that only look at it."""
    faults = (Fault("fork", 15_000, 5_000, 0, 1, how),)
    scenario = FederationScenario(seed, clusters, 4, 45_000, mesh(clusters), faults, pace_ms=400)
    federation = Federation(scenario)
    return federation, federation.run()


@pytest.mark.parametrize(("how", "clusters"), [*((how, 3) for how in ATTACKS), ("split", 4)])
def test_everybody_freezes_a_forked_island_and_follows_its_next_incarnation(how: str, clusters: int) -> None:
    federation, outcome = forked(how, clusters, 11)
    assert outcome.violation is None
    assert outcome.happened["frozen"] == outcome.happened["recovered"] == clusters - 1
    island = federation.clusters[0]
    for peer in federation.clusters[1:]:
        client = peer.main.ledger.clients[island.cluster_id]
        assert (client.status, client.incarnation) == (ClientStatus.ACTIVE, 1)


@pytest.mark.parametrize("seed", range(20, 23))
def test_a_split_view_freezes_within_the_delay_of_the_anchoring_path(seed: int) -> None:
    _, outcome = forked("split", 3, seed)
    assert outcome.violation is None
    assert outcome.frozen_after_ms is not None
    assert 0 <= outcome.frozen_after_ms <= FROZEN_WITHIN_MS


def test_the_evidence_file_is_checked_with_nothing_but_the_genesis_hash() -> None:
    federation, outcome = forked("split", 3, 11)
    assert outcome.violation is None
    island = federation.clusters[0]
    body = federation.checkers.histories[island.cluster_id][0].body
    found = 0
    for peer in federation.clusters[1:]:
        for _, _, data in federation.gossip.evidence[peer.cluster_id].values():
            file = EvidenceFile.decode(EvidenceFile(body, ForkEvidence.decode(data)).encode())
            identity = ClusterIdentity.from_body(file.genesis_body)
            assert identity.cluster_id == island.cluster_id
            verdict = judge(file.evidence, Ground.of_genesis(identity), SignatureCache())
            assert 3 * verdict.weight > verdict.total_weight
            assert verdict.freezes
            found += 1
    assert found


def test_nobody_is_told_twice_or_never_across_the_recovery() -> None:
    """The checkers of the run refuse a second delivery; here: nothing that lives is open in the end."""
    federation, outcome = forked("split", 3, 11)
    assert outcome.violation is None
    living = {cluster.cluster_id: cluster.main.ledger for cluster in federation.clusters}
    assert federation.checkers.open_messages(living) == []
    for peer in federation.clusters[1:]:
        (branch,) = federation.checkers.branches[peer.cluster_id]
        assert branch.handled
        assert {message_hash for message_hash in branch.sent} == set(branch.told)


def calm(*faults: Fault) -> Federation:
    return Federation(FederationScenario(3, 3, 4, 40_000, mesh(3), faults, pace_ms=400))


def test_garbage_and_framing_freeze_nobody_and_are_counted() -> None:
    federation = calm(*(Fault("spam", 8_000 + 3_000 * at, 2_000, at, (at + 1) % 3) for at in range(3)))
    outcome = federation.run()
    assert outcome.violation is None
    assert "frozen" not in outcome.happened
    assert outcome.refused["certificate-invalid"] >= 3
    assert set(outcome.refused) & {"not-consistent", "tip-not-included"}


def test_leaked_keys_of_a_retired_epoch_freeze_nobody() -> None:
    federation = calm(Fault("epoch", 5_000, 4_000, 0, 1), Fault("leaked-keys", 25_000, 1_000, 1, 0))
    outcome = federation.run()
    assert outcome.violation is None
    assert outcome.struck["leaked-keys"] == 1
    assert "frozen" not in outcome.happened
    assert "past-epoch" in outcome.refused


@pytest.mark.parametrize("lie", ["garbage", "replay", "omit", "boast"])
def test_a_peer_that_lies_delays_and_no_more(lie: str) -> None:
    outcome = calm(*(Fault("liar", 2_000, 35_000, at, 0, lie) for at in range(3))).run()
    assert outcome.violation is None
    assert outcome.lies
    assert "frozen" not in outcome.happened


def test_evidence_against_an_honest_island_is_refused_by_its_judge() -> None:
    federation = calm(Fault("spam", 8_000, 2_000, 1, 2))
    assert federation.run().violation is None
    accusing = [
        transaction
        for block in federation.clusters[1].main.ledger.blocks
        for transaction in block.transactions
        if isinstance(transaction, Accuse)
    ]
    assert accusing
    ground = Ground.of_genesis(federation.clusters[2].identity)
    refused = 0
    for accusation in accusing:
        try:
            evidence = ForkEvidence.decode(accusation.evidence)
        except ValueError:
            refused += 1
            continue
        with pytest.raises(Refused):
            judge(evidence, ground, SignatureCache())
        refused += 1
    assert refused == len(accusing)
