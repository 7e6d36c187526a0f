"""The attack that Twins found on the first Fast-HotStuff, which committed along parent links alone.

The published scenario (four nodes, no twins, nine rounds) hides certificates by silencing the one node that
all votes go to. Our votes go to all, so there it shows only as a commit that nothing proves; with
certificates hidden as broadcast votes allow it, the same rule forks four correct nodes in five rounds.
"""

from pathlib import Path

import pytest

from bench.sim.twins.executor import World, play
from bench.sim.twins.oracles import Check, Violation
from bench.sim.twins.scenario import decode_scenarios
from tests.bench.twins.broken import commit_across_gaps

FOLDER = Path(__file__).parents[2] / "regressions"


def outcome(file: str, *watched: Check) -> Check | None:
    (scenario,) = decode_scenarios((FOLDER / file).read_text(encoding="utf-8"))
    try:
        play(scenario, World(scenario.nodes, 0, len(scenario.rounds), watched=watched))
    except Violation as violation:
        return violation.check
    return None


def test_the_published_scenario_commits_without_a_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome("fast_hotstuff.json", *Check) is None
    commit_across_gaps(monkeypatch)
    assert outcome("fast_hotstuff.json", *Check) is Check.PROOF


def test_hidden_certificates_fork_four_correct_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome("fast_hotstuff_hidden_certificates.json", *Check) is None
    commit_across_gaps(monkeypatch)
    assert outcome("fast_hotstuff_hidden_certificates.json", Check.AGREEMENT) is Check.AGREEMENT
