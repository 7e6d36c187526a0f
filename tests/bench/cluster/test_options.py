"""The command line: what is refused with a sentence before anything starts, and which scenario it means."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cluster.command import command
from bench.cluster.options import scenario_of
from bench.cluster.scenarios import BY_NAME, DEFAULT, SCENARIOS, Fault, Scenario, at_rate, row_at
from bench.cluster.shapes import ClosedLoop, NoLoad, OpenLoop
from bench.results import HISTORY


def chosen(*arguments: str) -> Scenario:
    """The scenario that these arguments come to."""
    with command.make_context("cluster", list(arguments)) as context:
        return scenario_of(context.params)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--mode opaque --clients 7", "Nobody signs opaque transactions; leave --clients out."),
        ("--mode opaque --verification-certificates", "Nobody signs opaque transactions; leave --verif"),
        (
            "--attach http://127.0.0.1:1 --verification-certificates",
            "--verification-certificates cannot be chosen for a cluster that runs already",
        ),
        ("--mode transparent", "'transparent' is not one of 'honest', 'signed', 'opaque'"),
        ("--mode signed --payload-bytes 96", "A signed transaction has at least 97 bytes"),
        (
            "--mode signed --verification-certificates",
            "Every node verifies; leave --verif",
        ),
        ("--mode signed --scenario opaque-60k", "of signed mode there are signed-saturate."),
        ("--mode signed --attach http://a:1", "needs --key FILE, the key that signs, anybody's."),
        ("--mode opaque --payload-bytes 0", "An opaque transaction has at least 1 byte"),
        (
            "--mode opaque --payload-bytes 8192",
            "has 16777216 bytes, a node takes 8388608; lower --per-request",
        ),
        ("--mode opaque --scenario saturate", "Scenario saturate is of honest mode"),
        ("--mode honest --scenario opaque-60k", "Scenario opaque-60k is of opaque mode"),
        ("--scenario nonsense", "'nonsense' is not one of"),
        ("--nodes 0", "0 is not in the range"),
        ("--rate 5 --rates 3,4", "--rate and --rates contradict each other"),
        ("--knee --outstanding 4", "--outstanding and --knee contradict each other"),
        ("--knee --rates 4,5", "--rates and --knee contradict each other"),
        ("--rates 1,x", "must be whole numbers"),
        ("--rates 0", "must be whole numbers"),
        ("--rates " + ",".join("1" * 33), "at most 32 rates"),
        ("--fault crash-f --nodes 3", "3 nodes tolerate no fault"),
        ("--fault slow-node --knee", "A fault is for one trial"),
        ("--rate 5 --p99-ms 80", "--p99-ms is the bound of a search; give it with --knee."),
        ("--mode opaque --rates 5 --per-request 8192 --payload-bytes 4096", "A request of 8192 transactions"),
        ("--scenario idle --per-request 3", "sends nothing"),
        ("--outstanding 4 --per-request 5", "more than the 4"),
        ("--payload-bytes 10000", "10000 is not in the range"),
        ("--attach ftp://x:1", "must be http://HOST:PORT"),
        ("--attach http://x", "must be http://HOST:PORT"),
        ("--attach http://127.0.0.1:1", "--attach needs --key FILE"),
        ("--attach http://127.0.0.1:1 --nodes 4 --no-fsync", "--nodes, --no-fsync cannot be chosen"),
        ("--attach http://127.0.0.1:1 --scenario idle-rounds", "needs a cluster of its own"),
        ("--key pyproject.toml", "--key is for --attach"),
    ],
)
def test_what_cannot_be_done_is_refused_in_words(arguments: str, sentence: str) -> None:
    ended = CliRunner().invoke(command, arguments.split())
    assert ended.exit_code == 2
    assert sentence in " ".join(ended.output.split())


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    ended = CliRunner().invoke(command, ["--keep", str(tmp_path)])
    assert ended.exit_code == 2
    assert "is not empty" in ended.output
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_history_has_a_usual_place_and_may_have_another() -> None:
    for arguments, place in (([], None), (["--record", "--json"], HISTORY), (["--record", "x"], Path("x"))):
        with command.make_context("cluster", arguments) as context:
            assert context.params["record"] == place


def test_without_options_the_cluster_sets_the_rate() -> None:
    assert chosen() == BY_NAME[DEFAULT]
    assert isinstance(chosen().shape, ClosedLoop)


def test_options_that_say_what_a_scenario_says_anyway_change_nothing() -> None:
    assert chosen("--mode", "honest", "--nodes", "4", "--seconds", "20").label == "saturate"


def test_what_is_different_stands_in_the_label() -> None:
    scenario = chosen("--scenario", "steady-800", "--nodes", "7", "--no-fsync", "--fault", "crash-f")
    assert scenario.label == "steady-800 nodes=7 fsync=False fault=crash-f"
    assert (scenario.nodes, scenario.fsync, scenario.fault) == (7, False, Fault.CRASH_F)


def test_figures_with_verification_certificates_are_told_apart_from_those_without() -> None:
    scenario = chosen("--verification-certificates")
    assert scenario.label == "saturate verification_certificates=True"
    assert scenario.verification_certificates
    assert not BY_NAME["saturate"].verification_certificates


def test_a_rate_is_a_scenario_of_its_own_unless_something_breaks() -> None:
    assert chosen("--rate", "800") == chosen("--scenario", "steady-800", "--rate", "800")
    assert chosen("--rate", "800").shape == at_rate(800)
    assert chosen("--rate", "800").label == "steady-800"
    assert chosen("--rate", "77").label == "steady-77"
    assert chosen("--scenario", "large", "--rate", "77").label == "large rate=77"
    assert chosen("--scenario", "lone", "--outstanding", "9").label == "lone outstanding=9"
    hurt = chosen("--scenario", "leader-killed", "--rate", "50")
    assert (hurt.label, hurt.shape, hurt.fault) == ("leader-killed rate=50", at_rate(50), Fault.CRASH_LEADER)


def test_outstanding_and_per_request_shape_the_load() -> None:
    assert chosen("--outstanding", "300").shape == ClosedLoop(300, 50)
    assert chosen("--outstanding", "30").shape == ClosedLoop(30, 30)
    assert chosen("--outstanding", "30").label == "outstanding-30"
    asked = chosen("--rate", "800", "--per-request", "1")
    assert asked.shape == at_rate(800, 1)
    assert asked.label == "steady-800 per_request=1"


def test_several_rates_of_a_scenario_keep_what_else_it_stands_for() -> None:
    assert row_at(chosen("--rates", "20,40"), 40).label == "steady-40"
    assert row_at(chosen("--rates", "20,40"), 40).shape == at_rate(40)
    large = row_at(chosen("--scenario", "large", "--rates", "20,40"), 40)
    assert (large.label, large.payload_bytes, large.shape) == ("large rate=40", 8_192, at_rate(40))
    lone = chosen("--rates", "20,40", "--per-request", "1")
    assert (lone.label, row_at(lone, 40, 1).label) == ("saturate per_request=1", "steady-40 per_request=1")
    opaque = row_at(chosen("--mode", "opaque", "--knee"), 60_000)
    assert opaque.label == "opaque-saturate rate=60000", "its batches are larger than those of opaque-60k"


def test_a_request_of_several_rates_is_measured_by_those_rates() -> None:
    wide = ("--mode", "opaque", "--payload-bytes", "8192")
    assert chosen(*wide, "--rates", "100").payload_bytes == 8_192


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_scenario_can_be_chosen_and_says_what_it_is(scenario: Scenario) -> None:
    assert chosen("--scenario", scenario.name) == scenario
    assert scenario.words
    assert isinstance(scenario.shape, OpenLoop | ClosedLoop | NoLoad)
    assert scenario.words in " ".join(CliRunner().invoke(command, ["--help"]).output.split())


def test_all_names_are_different() -> None:
    assert len(BY_NAME) == len(SCENARIOS)
