"""Small clusters really run, and what is counted is what the protocol does."""

from cProfile import Profile

import pytest

from bench.scale.findings import Finding
from bench.scale.metering import Cost, Meter
from bench.scale.profiled import shares_of
from bench.scale.simulated import Simulated, measured_of, simulate
from bench.yardstick import SignatureCost, measure_signatures

COST = SignatureCost(40.0, 15.0)
ROUNDS = 8


@pytest.fixture(scope="module")
def paid() -> Simulated:
    return simulate(4, ROUNDS, with_payload=True)


def test_an_empty_round_has_one_vote_of_each_and_no_header() -> None:
    found = simulate(7, ROUNDS, with_payload=False)
    assert (found.nodes, found.measured, found.headers) == (7, 7, 0.0)
    assert found.rounds >= ROUNDS
    assert found.sent_per_round(found.sent["vote"]) == pytest.approx(6, rel=0.2)
    assert set(found.sent) == {"vote", "proposal"}
    # at least the other votes of a quorum of 5, at most those of everybody, and a proposal
    assert 4 <= found.per_round(found.total.verifies) <= 8
    assert found.per_round(found.total.signs) == pytest.approx(1 + 1 / 7, rel=0.2)


def test_rounds_with_payload_have_headers_whose_signatures_are_counted(paid: Simulated) -> None:
    assert 0 < paid.headers <= 1
    assert paid.sent["header signature"] > 0
    header = paid.kinds["header signature"]
    assert 0 < header.verifies <= header.events
    assert paid.total.signs > paid.rounds * 4 * 1.2


def test_what_is_counted_adds_up(paid: Simulated) -> None:
    total = paid.total
    assert total.events == sum(cost.events for cost in paid.kinds.values())
    assert 0 < total.crypto_seconds < total.seconds
    assert paid.cpu_us > paid.crypto_us > 0
    figures = Finding(paid, True, COST).to_json()
    kinds = figures["kinds"]
    assert sum(kind["cpu_us"] for kind in kinds.values()) == pytest.approx(figures["cpu_us"])
    assert figures["cpu_us"] == pytest.approx(figures["crypto_us"] + figures["rest_us"])


def test_the_same_cluster_takes_the_same_rounds_whatever_it_costs(paid: Simulated) -> None:
    again = simulate(4, ROUNDS, with_payload=True)
    assert (again.rounds, again.virtual_us, again.headers) == (paid.rounds, paid.virtual_us, paid.headers)
    assert again.sent_bytes == paid.sent_bytes
    assert {kind: cost.events for kind, cost in again.kinds.items()} == {
        kind: cost.events for kind, cost in paid.kinds.items()
    }


def test_of_a_large_cluster_eight_replicas_are_measured() -> None:
    assert measured_of(4) == (0, 1, 2, 3)
    assert measured_of(100) == (0, 12, 25, 37, 50, 62, 75, 87)


def test_a_profile_names_phases_and_leaves_nothing_out() -> None:
    profiler = Profile()
    counted = simulate(4, 4, with_payload=True, profiler=profiler)
    assert counted.total.events > 0
    assert counted.total.seconds == 0
    shares = shares_of(profiler, 5)
    assert len(shares.functions) == 5
    assert {"crypto", "agreement", "codec"} <= {share.name for share in shares.phases}
    assert sum(share.share for share in shares.phases) == pytest.approx(1, abs=0.02)


def made_up(verifies: int) -> Finding:
    proposal = Cost(events=10, seconds=0.02, verifies=verifies, verify_seconds=0.01)
    vote = Cost(events=30, seconds=0.03, verifies=20, verify_seconds=0.01)
    kinds = {"proposal": proposal, "vote": vote}
    return Finding(Simulated(4, 1, 10, 0.0, 100_000, kinds, {"vote": 120}, {"vote": 21_360}), False, COST)


def test_more_checks_than_predicted_are_explained_and_as_many_as_predicted_are_not() -> None:
    more, *_ = made_up(30).explanations()
    assert "2.2 more signatures are checked" in more
    assert "2.0 of them in proposals" in more
    (rest,) = made_up(7).explanations()
    assert "vote 2.00 ms (667 us each)" in rest


def test_a_meter_forgets_when_told() -> None:
    meter = Meter(kinds={"vote": Cost(events=1)})
    meter.reset()
    assert meter.total() == Cost()


def test_the_yardstick_finds_checking_dearer_than_nothing() -> None:
    cost = measure_signatures()
    assert cost.verify_us > 0
    assert cost.sign_us > 0
