"""What counts as a success, and that every figure reaches scripts and people with its marks."""

import json
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from bench.cluster.figures import UNREACHABLE, Aftermath, Pause
from bench.cluster.outcome import code_name, pause_words
from bench.cluster.scenarios import BY_NAME, Fault, at_rate
from bench.cluster.screen import Screen, show_one, show_rates, sparkline
from node.ledger.codes import Code
from tests.bench.cluster.made_up import LOUD, WORK, outcome_of, trial_at

STEADY = replace(BY_NAME["steady-800"], shape=at_rate(800))


def test_a_rate_that_was_kept_is_a_success() -> None:
    outcome = outcome_of(STEADY, trial_at(800))
    assert outcome.problems == ()
    assert outcome.achieved_rate == 800


def test_a_rate_that_was_not_kept_is_none_at_a_lower_rate() -> None:
    late = outcome_of(STEADY, trial_at(800, lag_us=300_000))
    assert late.achieved_rate == 0
    assert any("Only 0 of 800 tx/s were sent" in sentence for sentence in late.problems)
    slow = outcome_of(STEADY, trial_at(700))
    assert len(slow.problems) == 2
    assert not slow.to_json()["success"]


def test_a_transaction_that_failed_is_told_by_name() -> None:
    outcome = outcome_of(STEADY, trial_at(800, failing=3))
    assert outcome.problems == ("Not all transactions were certified: 3 wrong-previous.",)
    unreachable = outcome_of(STEADY, trial_at(800, failing=1, code=UNREACHABLE))
    assert "1 no-node-answered" in unreachable.problems[0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [({"ran_out": True}, "ran out of signed"), ({"deaths": ("node1 was killed",)}, "node1 was killed")],
)
def test_what_spoils_a_trial_is_a_problem(change: dict[str, object], sentence: str) -> None:
    trial = replace(trial_at(800), **change)  # type: ignore[arg-type]  # two fields of different types
    assert sentence in outcome_of(STEADY, trial).problems[0]


def test_a_saturated_cluster_has_no_rate_to_miss_but_must_certify_something() -> None:
    assert outcome_of(BY_NAME["saturate"], trial_at(10)).problems == ()
    nothing = outcome_of(BY_NAME["saturate"], trial_at(1, failing=2))
    assert "Nothing was certified in the measured time." in nothing.problems
    assert outcome_of(BY_NAME["idle"], trial_at(1, seconds=0.5)).problems == ()


def test_a_rate_that_is_too_late_for_the_bound_of_a_search_is_not_carried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = outcome_of(STEADY, trial_at(800))
    assert replace(outcome, p99_ms_bound=10.1).problems == ()
    late = replace(outcome, p99_ms_bound=10.0)
    assert late.problems == ("The 99th percentile was 10 ms, not under 10 ms.",)
    show_rates([late], [800])
    assert "not carried" in capsys.readouterr().out


def test_a_cluster_that_should_hurry_and_finishes_no_round_is_no_success() -> None:
    trial = trial_at(1, seconds=0.5)
    still = {name: replace(node, rounds=0) for name, node in WORK.nodes.items()}
    for nodes in (still, {}):
        silent = replace(trial, work=replace(WORK, nodes=nodes))
        assert outcome_of(BY_NAME["idle-rounds"], silent).problems == ("No node told of any finished round.",)
        assert outcome_of(BY_NAME["idle"], silent).problems == ()
    assert outcome_of(BY_NAME["idle-rounds"], trial).problems == ()


def test_the_object_for_scripts_has_what_was_promised() -> None:
    figures = json.loads(json.dumps(outcome_of(STEADY, trial_at(800)).to_json(), allow_nan=False))
    assert figures["throughput_tps"] == pytest.approx(800, rel=0.01)
    assert {"p50", "p90", "p99", "p99_9", "max"} <= set(figures["latency_ms"])
    assert figures["latency_ms"]["p50"] == 10.0
    assert figures["cpu_seconds"] == {"node0": 0.5, "node0/child1": 0.1, "load0": 0.2}
    assert figures["rss_bytes"] == {"node0": 7}
    assert figures["cpu_us_per_transaction"]["daemons"] == pytest.approx(0.6 / 1592 * 1e6)
    assert (figures["mode"], figures["scenario"], figures["fsync"]) == ("honest", "steady-800", True)
    assert figures["commit_target_ms"] == 0, "nothing is held back for latency where throughput is measured"
    assert figures["load"]["words"].startswith("open loop: 800 tx/s")
    assert (figures["rounds"], figures["rounds_per_second"]) == (40, 20.0)
    assert figures["timeouts"] == {"no_quorum": 2}
    assert (figures["refused"], figures["refused_by_nodes"]) == ({"pool-full": 3}, {"pool-full": 4})
    assert figures["node_work"]["node0"]["fsyncs"] == {"journal": 100, "guard": 14, "database": 10}
    assert figures["node_work"]["node0"]["link_bytes"] == {"node1": 1_000_000}
    assert [second["sent"] for second in figures["series"]] == [800, 800]
    assert figures["machine"]["commit"] == "0123456789ab"
    assert figures["noise"]["is_noisy"] is False
    assert figures["fault"] is None


def test_nodes_that_sync_neither_journal_nor_database_are_told_so(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = outcome_of(replace(STEADY, fsync=False), trial_at(800))
    assert outcome.to_json()["node_work"]["node0"]["fsyncs"] == {"journal": 0, "guard": 14, "database": 0}
    show_one(outcome)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "node0" in line and " 14 " in line]
    assert [cell.strip() for cell in line.split("│")[3:7]] == ["20", "0", "14", "0"]


def test_a_fault_is_told_with_who_was_killed_and_the_pause() -> None:
    trial = replace(trial_at(800), killed=("node2",), fault_at_s=1.0)
    fault = outcome_of(BY_NAME["leader-killed"], trial).to_json()["fault"]
    assert (fault["kind"], fault["killed"], fault["at_s"]) == ("crash-leader", ["node2"], 1.0)
    assert fault["pause_ms"] > 0
    assert (fault["pause_count"], fault["pause_bound_ms"], fault["pauses"]) == (0, 250.0, [])
    assert (
        pause_words(trial.aftermath) == "1 ms at most; longer than 250 ms: no pause"
        if trial.aftermath
        else ""
    )


def test_people_are_told_how_often_a_cluster_paused() -> None:
    never, once, thrice = (Aftermath(Pause(0.1, 512.3), 250.0, count, ()) for count in (0, 1, 3))
    assert pause_words(never) == "512 ms at most; longer than 250 ms: no pause"
    assert pause_words(once) == "512 ms at most; longer than 250 ms: once"
    assert pause_words(thrice) == "512 ms at most; longer than 250 ms: 3 times"


def test_nothing_is_said_of_a_pause_where_nothing_was_sent() -> None:
    assert outcome_of(BY_NAME["idle-rounds"], trial_at(1)).to_json()["pause_ms"] is None


def test_outcomes_have_stable_names() -> None:
    assert [code_name(code) for code in (Code.POOL_FULL, UNREACHABLE, 60_000)] == [
        "pool-full",
        "no-node-answered",
        "code-60000",
    ]


def test_every_table_carries_its_marks(capsys: pytest.CaptureFixture[str]) -> None:
    odd = replace(STEADY, fsync=False, fault=Fault.LOSSY_LINK)
    show_one(outcome_of(odd, trial_at(800), LOUD))
    show_rates([outcome_of(odd, trial_at(700), LOUD)], [800])
    told = capsys.readouterr()
    assert told.out.count("honest mode, NO FSYNC, through proxies, NOISY MACHINE") == 2
    assert told.out.count("NOISY: a fixed loop takes") == 2
    assert "not carried" in told.out
    assert "Only 700 of 800 tx/s were sent" in told.err


def test_people_see_what_each_link_carried(capsys: pytest.CaptureFixture[str]) -> None:
    show_one(outcome_of(STEADY, trial_at(800)))
    shown = [line for line in capsys.readouterr().out.splitlines() if "977" in line]
    assert [line.split()[1] for line in shown] == ["node0", "node1"], "1,000,000 bytes to node1 from each"


def test_opaque_figures_say_that_nothing_is_signed_or_executed(capsys: pytest.CaptureFixture[str]) -> None:
    honest = outcome_of(STEADY, trial_at(800))
    opaque = outcome_of(BY_NAME["opaque-60k"], trial_at(800))
    told = [(figures["signed"], figures["executed"]) for figures in (honest.to_json(), opaque.to_json())]
    assert told == [(True, True), (False, False)]
    show_one(opaque)
    assert "clients" not in capsys.readouterr().out


def test_a_row_of_bars() -> None:
    assert sparkline([0, 5, 10]) == " ▄█  max 10"
    assert sparkline([]) == sparkline([0]) == ""


def pictured(screen: Screen) -> str:
    """What the display's thread would show; there is no event loop in it."""
    console = Console(width=100, file=StringIO(), highlight=False)
    console.print(screen.picture())
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_live_picture_shows_the_last_second_of_all_load_processes() -> None:
    screen = Screen()
    screen.phase("measuring", 20.0)
    assert pictured(screen).startswith("measuring")
    for sent in (100, 250):
        for process in ("load0", "load1"):
            screen.second(process, {"sent": sent, "certified": sent - 50, "p50_ms": 5.0, "p99_ms": 40.0})
    assert "300 sent, 300 done in the last second, p99 40 ms" in pictured(screen)
    screen.second("load0", {"sent": 10, "certified": 0, "p50_ms": None, "p99_ms": None})
    assert "160 sent, 150 done" in pictured(screen)
