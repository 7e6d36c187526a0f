"""Scenarios as JSON: what is written is read again, and whatever is not exactly that is refused by name."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.sim.faults import Crash, Fault, Loss, Partition, SlowLink
from bench.sim.notation import NotationError, from_plain, to_plain
from bench.sim.scenario import Options, Scenario, generate


@pytest.mark.parametrize("seed", range(30))
def test_a_scenario_survives_being_written_down(seed: int) -> None:
    chosen = generate(seed, Options(nodes=4 + seed % 4))
    assert Scenario.decode(chosen.encode()) == chosen


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_and_options_draw_the_same_scenario(seed: int) -> None:
    options = Options(nodes=7, ms=30_000)
    assert generate(seed, options) == generate(seed, options)
    assert generate(seed, options) != generate(seed + 1, options)


def test_a_story_is_for_people_alone() -> None:
    chosen = generate(1, Options())
    told = chosen.encode("How it came to this.")
    assert json.loads(told)["story"] == "How it came to this."
    assert Scenario.decode(told) == chosen


def test_every_field_of_a_fault_is_written_with_its_kind() -> None:
    fault = SlowLink(5, 0, 1, (20, 60), 400)
    written = to_plain(fault)
    kind = {"kind": "slow-link", "at_ms": 5, "source": 0, "target": 1, "delay_ms": [20, 60], "ms": 400}
    assert written == kind


Change = Callable[[dict[str, Any]], object]
WRONG: tuple[tuple[str, Change, str], ...] = (
    ("a missing field", lambda s: s.pop("ms"), "scenario.ms: is missing"),
    ("an unknown field", lambda s: s.update(colour=1), "scenario.colour: is none of"),
    ("a text for a number", lambda s: s.update(seed="1"), "scenario.seed: must be a whole number"),
    ("true for a number", lambda s: s.update(ms=True), "scenario.ms: must be a whole number"),
    ("a fraction", lambda s: s.update(ms=1.5), "scenario.ms: must be a whole number"),
    ("a number for a list", lambda s: s.update(faults=0), "scenario.faults: must be a list"),
    ("no kind", lambda s: s["faults"][0].pop("kind"), r"scenario.faults\[0\].kind: must be one of"),
    ("a kind nobody knows", lambda s: s["faults"][0].update(kind="x"), r"scenario.faults\[0\].kind"),
    ("a fault's missing field", lambda s: s["faults"][0].pop("ms"), r"faults\[0\].ms: is missing"),
    ("a host that is not there", lambda s: s["faults"][0].update(host=4), r"faults\[0\]: there is no host 4"),
    (
        "a fault before the beginning",
        lambda s: s["faults"][0].update(at_ms=-1),
        r"faults\[0\]: at_ms must not",
    ),
    ("a fault that ends first", lambda s: s["faults"][0].update(ms=-1), r"faults\[0\]: ms must not be neg"),
    ("a delay into the past", lambda s: s["quality"].update(delay_us=[-9, -1]), "scenario.quality: delay_us"),
    ("more than all", lambda s: s["quality"].update(loss_percent=101), "scenario.quality: percentages"),
    ("a worker ahead of time", lambda s: s["pace"].update(worker_us=[-2, 1]), "scenario.pace: times are not"),
    ("a lag of nothing", lambda s: s.update(certification_lag_max=0), "certification_lag_max is at least 1"),
    ("a delay of one time", lambda s: s["quality"].update(delay_us=[1]), "delay_us: must be a list of 2"),
    ("a scheme nobody knows", lambda s: s.update(signatures="rsa"), "signatures are ed25519 or keyed-hash"),
    ("a weight of nothing", lambda s: s.update(weights=[1, 0, 1, 1]), "a weight of at least 1"),
    ("too many clients", lambda s: s["workload"].update(clients=9), "scenario.workload: at most 4 clients"),
)


@pytest.mark.parametrize(("change", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_what_is_no_scenario_is_refused_with_its_place(change: Change, words: str) -> None:
    document = json.loads(generate(1, Options(faults=("crash",))).encode())
    change(document["scenario"])
    with pytest.raises(NotationError, match=words):
        Scenario.decode(json.dumps(document))


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "[" * 5_000, '{"format": "x", "scenario": {}}', "{}", "null"]
)
def test_what_is_no_file_of_ours_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        Scenario.decode(text)


def test_a_wrong_item_of_a_list_is_named() -> None:
    plain = to_plain(Partition(1, ((0, 1), (2,)), 5))
    assert isinstance(plain, dict)
    broken: dict[str, object] = {**plain, "groups": [[0], ["1"]]}
    del broken["kind"]
    with pytest.raises(NotationError, match=r"here.groups\[1\]\[0\]: must be a whole number"):
        from_plain(Partition, broken, "here")


def test_what_is_not_one_of_ours_has_no_notation() -> None:
    with pytest.raises(TypeError):
        to_plain({1: 2})
    assert from_plain(Crash, {"at_ms": 1, "host": 0, "ms": 2}, "here") == Crash(1, 0, 2)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Partition(1, ((0, 9), (1,)), 5), "there is no host 9"),
        (Partition(1, ((0, 1), (1, 2)), 5), "name a host twice"),
        (Loss(1, 101, 5), "percent is at most 100"),
    ],
)
def test_a_fault_that_cannot_happen_in_this_world_is_refused(fault: Fault, words: str) -> None:
    with pytest.raises(ValueError, match=rf"faults\[0\]: .*{words}"):
        replace(generate(1, Options()), faults=(fault,))
