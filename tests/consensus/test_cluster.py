"""Whole clusters under crashes, losses, partitions and laggards: safe always, live afterwards."""

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consensus import Offence, Verdict
from consensus.pacemaker import BASE_FLOOR_MS
from tests.consensus.cluster import Cluster, Disk, config_of


def trouble(seed: int) -> Cluster:
    """Random misfortune; then everything heals, and everything submitted must be certified everywhere."""
    random = Random(seed)
    cluster = Cluster(
        seed=seed,
        latency_ms=(1, random.choice([1, 5, 40])),
        drop_percent=random.choice([0, 2, 10, 25]),
        persist_ms=random.choice([0, 1, 4]),
        execution_ms=random.choice([1, 10]),
        config=config_of(certification_lag_max=random.choice([3, 64])),
    ).start()
    for number in range(12):
        harm(cluster, random, number)
        cluster.run(random.choice([3, 20, 200, 1500]))
    cluster.heal()
    cluster.drop_percent = 0
    cluster.restart(*[node.name for node in cluster.nodes if not node.up])
    cluster.submit(b"last")
    return cluster


def harm(cluster: Cluster, random: Random, number: int) -> None:
    up = [node.name for node in cluster.nodes if node.up]
    down = [node.name for node in cluster.nodes if not node.up]
    match random.randrange(7):
        case 0 | 1:
            cluster.submit(b"p%d" % number)
        case 2 if len(up) > 1:
            cluster.crash(random.choice(up))
        case 3 if down:
            cluster.restart(random.choice(down))
        case 4:
            names = "".join(random.sample("abcd", 4))
            cut = random.randrange(1, 4)
            cluster.partition(names[:cut], names[cut:])
        case 5:
            cluster.heal()
        case 6:
            cluster.crash(*up)
            cluster.run(random.choice([0, 10]))
            cluster.restart(*"abcd")
        case _:
            pass


def settled(cluster: Cluster) -> bool:
    """Everything is certified, and everybody has the same chain."""
    total = len(cluster.payloads)
    return (
        len(cluster.committed_payloads) == total
        and all(node.log == cluster.chain for node in cluster.nodes)
        and all(node.replica.view().certified_height == total for node in cluster.nodes)
    )


@pytest.mark.parametrize("seed", [684, 1139, 1595])
def test_seeds_that_once_broke_the_cluster(seed: int) -> None:
    """An answer of the data plane was taken for the answer to a later question, about another parent."""
    cluster = trouble(seed)
    assert cluster.run(60_000, until=lambda: settled(cluster))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_whatever_happens_nothing_is_lost_and_nobody_is_blamed(seed: int) -> None:
    cluster = trouble(seed)
    assert cluster.run(60_000, until=lambda: settled(cluster)), f"seed {seed}"
    for node in cluster.nodes:
        assert node.penalties == [], f"seed {seed}"
        assert node.evidence == [], f"seed {seed}"
        assert node.diverged == [], f"seed {seed}"


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10**9))
def test_a_twin_of_a_validator_splits_nobody_and_convicts_itself_alone(seed: int) -> None:
    """Twins (arXiv 2004.10617): two instances with one key, both leading, under changing partitions."""
    honest = with_a_twin(seed).nodes[1:]
    accused = {evidence.accused for node in honest for evidence in node.evidence}
    assert accused <= {0}, f"seed {seed}"
    assert all(node.diverged == [] for node in honest), f"seed {seed}"


def test_twins_are_really_at_work() -> None:
    """Otherwise the test above would prove nothing: both offences happen, and are seen."""
    found = [e.offence for seed in range(8) for node in with_a_twin(seed).nodes[1:] for e in node.evidence]
    assert {Offence.DOUBLE_VOTE, Offence.DOUBLE_PROPOSAL} <= {*found}


def with_a_twin(seed: int) -> Cluster:
    """a has a twin; after ten changes of the partition all is well, and what was submitted is committed."""
    random = Random(seed)
    cluster = Cluster(seed=seed, latency_ms=(1, random.choice([1, 20])))
    twin = cluster.add_twin("a")
    cluster.start()
    for number in range(10):
        cluster.submit(b"p%d" % number)
        names = "".join(random.sample("abcdA", 5))
        cut = random.randrange(1, 5)
        cluster.partition(names[:cut], names[cut:])
        cluster.run(random.choice([10, 50, 700, 1500]))
    cluster.heal()
    twin.crash()
    cluster.submit(b"last")
    honest = cluster.nodes[1:]

    def agreed() -> bool:
        chains = [node.log for node in honest]
        return not cluster.open_payloads() and all(log == chains[0] for log in chains)

    assert cluster.run(60_000, until=agreed), f"seed {seed}"
    return cluster


def test_every_bound_holds_under_trouble() -> None:
    cluster = trouble(7)
    cluster.run(60_000, until=lambda: settled(cluster))
    for node in cluster.nodes:
        for name, current, bound in node.replica.limits():
            assert 0 <= current <= bound, name


def test_the_same_seed_gives_the_same_trace() -> None:
    traces = []
    for _ in range(2):
        cluster = trouble(99)
        cluster.run(10_000)
        traces.append(cluster.trace)
    assert traces[0] == traces[1]


@pytest.mark.parametrize("weights", [[3, 1, 1, 1, 1], [1] * 7, [5, 5, 5, 1]])
def test_other_sizes_and_weights_agree_too(weights: list[int]) -> None:
    cluster = Cluster(len(weights), weights=weights, seed=1).start()
    for number in range(5):
        cluster.submit(b"p%d" % number)
    assert cluster.run(5_000, until=lambda: settled(cluster))


def test_a_single_validator_is_a_cluster() -> None:
    cluster = Cluster(1).start()
    cluster.submit(b"alone")
    assert cluster.run(100, until=lambda: settled(cluster))


def test_two_of_four_restarting_at_once_recover_without_help() -> None:
    cluster = Cluster().start()
    cluster.submit(b"one")
    cluster.run(6)
    cluster.crash("a", "b")
    cluster.run(5_000)
    cluster.restart("a", "b")
    cluster.submit(b"two")
    assert cluster.run(5_000, until=lambda: settled(cluster))


def test_a_payload_that_arrives_late_is_voted_for_when_it_is_there() -> None:  # C9
    cluster = Cluster().start()
    for name in "cd":
        cluster.node(name).unavailable[b"one"] = True
    cluster.submit(b"one")
    cluster.run(100)
    assert cluster.heights() == [0, 0, 0, 0]
    for name in "cd":
        cluster.node(name).payload_arrives(b"one")
    assert cluster.run(20, until=lambda: cluster.heights() == [1, 1, 1, 1])


def test_an_invalid_payload_gets_no_vote() -> None:
    cluster = Cluster().start()
    for node in cluster.nodes:
        node.verdicts[b"bad"] = Verdict.INVALID
    cluster.submit(b"bad")
    cluster.run(2_000)
    assert cluster.heights() == [0, 0, 0, 0]
    refusals = [node.replica.view().refusal for node in cluster.nodes]
    assert any(refusal is not None and "payload" in refusal for refusal in refusals)


# --- far behind (C25) ------------------------------------------------------------------------------


def lagging(heights: int) -> Cluster:
    """d sleeps through many heights, keeping its data."""
    cluster = Cluster(config=config_of(certification_lag_max=8)).start()
    cluster.submit(b"first")
    cluster.run(50)
    cluster.crash("d")
    for number in range(heights):
        cluster.submit(b"p%d" % number)
    cluster.run(60_000, until=lambda: cluster.heights() == [heights + 1] * 3)
    return cluster


def test_a_replica_far_behind_catches_up_by_headers_and_votes_again() -> None:
    cluster = lagging(30)
    cluster.restart("d")
    life = cluster.node("d").life
    assert cluster.run(10_000, until=lambda: settled(cluster))
    assert any("d fell behind" in line for line in cluster.trace)
    before = cluster.node("d").replica.view().last_voted_round
    cluster.submit(b"after")
    assert cluster.run(5_000, until=lambda: settled(cluster))
    cluster.submit(b"and after that")
    assert cluster.run(5_000, until=lambda: cluster.node("d").replica.view().last_voted_round > before)
    assert cluster.run(5_000, until=lambda: settled(cluster))
    assert cluster.node("d").life == life, "no restart was needed"


def test_a_replica_a_little_behind_walks_the_blocks() -> None:
    cluster = lagging(5)
    cluster.restart("d")
    assert cluster.run(10_000, until=lambda: settled(cluster))
    assert not any("fell behind" in line for line in cluster.trace)


def test_a_walk_that_does_not_fit_is_left_to_catch_up() -> None:
    config = config_of(certification_lag_max=64, orphans_max=4)
    cluster = Cluster(config=config).start()
    cluster.crash("d")
    for number in range(20):
        cluster.submit(b"p%d" % number)
    cluster.run(60_000, until=lambda: cluster.heights() == [20] * 3)
    cluster.restart("d")
    assert cluster.run(20_000, until=lambda: settled(cluster))
    assert any("d fell behind" in line for line in cluster.trace)


def test_a_validator_without_its_guard_follows_and_never_signs() -> None:  # C14
    cluster = Cluster().start()
    cluster.submit(b"one")
    cluster.run(50)
    cluster.crash("d")
    cluster.node("d").disk = Disk(guard=None)
    cluster.restart("d")
    cluster.sent.clear()
    cluster.submit(b"two")
    assert cluster.run(10_000, until=lambda: settled(cluster))
    assert cluster.node("d").replica.view().last_voted_round == 0


def test_an_observer_follows_on_demand() -> None:  # C18
    """It is sent nothing but answers, and has every block and certificate within two status ticks."""
    cluster = Cluster()
    observer = cluster.add_observer()
    cluster.start()
    for number in range(5):
        cluster.submit(b"p%d" % number)
    assert cluster.run(5_000, until=lambda: observer.log == cluster.chain and bool(observer.certified))
    assert observer.replica.view().last_voted_round == 0
    assert observer.replica.view().certified_height == 5


# --- quiet and alive -------------------------------------------------------------------------------


def test_an_idle_cluster_sends_status_and_one_empty_block_per_interval() -> None:  # C7
    cluster = Cluster(config=config_of(idle_interval_ms=5_000)).start()
    cluster.run(30_500)
    assert cluster.sent["Proposal"] == 6 * 3
    assert cluster.sent["Vote"] == 6 * 4 * 3
    assert set(cluster.sent) == {"Status", "Proposal", "Vote"}


def test_an_idle_cluster_with_a_dead_leader_waits_in_silence_until_there_is_something_to_do() -> None:  # C7
    cluster = Cluster(config=config_of(idle_interval_ms=5_000)).start()
    cluster.crash("b")
    cluster.run(60_000)
    assert set(cluster.sent) == {"Status"}
    cluster.submit(b"wake")
    assert cluster.run(700, until=lambda: cluster.heights() == [1, 1, 1])


def test_an_overdue_heartbeat_yields_a_header_and_arms_timers() -> None:  # C24
    cluster = Cluster(config=config_of(idle_interval_ms=100_000, heartbeat_ms=10_000)).start()
    cluster.crash("b")
    cluster.run(35_000)
    assert cluster.heights() == [3, 3, 3]
    assert all(node.certified[-1].height >= 2 for node in cluster.nodes if node.up)


def test_a_clock_that_jumped_ahead_does_not_stop_the_cluster() -> None:  # C8
    """All clocks ran an hour ahead for one block; afterwards time creeps by the smallest step."""
    cluster = Cluster().start()
    for node in cluster.nodes:
        node.clock_skew_ms = 3_600_000
    cluster.submit(b"future")
    cluster.run(100)
    for node in cluster.nodes:
        node.clock_skew_ms = 0
    cluster.submit(b"now")
    assert cluster.run(1_000, until=lambda: settled(cluster))


def test_fast_rounds_shorten_the_timeout_and_idle_ones_are_not_measured() -> None:  # C11
    cluster = Cluster().start()
    for number in range(12):
        cluster.submit(b"payload %d" % number)
        assert cluster.run(20_000, lambda: not cluster.open_payloads())
        cluster.run(7_000)  # idle: a round lasts as long as nobody has anything to order
    timeouts = [node.replica.view().round_timeout_ms for node in cluster.nodes]
    assert max(timeouts) < cluster.config.base_timeout_ms
    assert min(timeouts) >= BASE_FLOOR_MS


def test_slow_links_lengthen_the_timeout_before_rounds_fail() -> None:  # C11
    cluster = Cluster(latency_ms=(110, 120)).start()
    for number in range(6):
        cluster.submit(b"payload %d" % number)
        assert cluster.run(20_000, lambda: not cluster.open_payloads())
    views = [node.replica.view() for node in cluster.nodes]
    assert min(view.round_timeout_ms for view in views) > cluster.config.base_timeout_ms
    assert [view.timeouts_by_reason for view in views] == [()] * 4
