"""Scenario files: what is written is read back, and a wrong file is told where it is wrong."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from bench.sim.twins.generate import Space, random_scenario
from bench.sim.twins.scenario import (
    Image,
    Restart,
    ScenarioError,
    decode_scenarios,
    encode_scenarios,
    identity_of,
    instances_of,
)

SPACE = Space(7, 2, 3, 5, per_phase=True, firewalls=True, restarts=True)
Document = dict[str, Any]


def good() -> Document:
    return {
        "num_of_nodes": 4,
        "num_of_twins": 1,
        "scenarios": [
            {
                "round_leaders": {"1": [0, 4], "3": [2]},
                "round_partitions": {"1": [[0, 1, 2], [3, 4]]},
                "phase_partitions": {
                    "2": {
                        "proposal": [[0, 1, 2, 3, 4]],
                        "vote": [[4], [0, 1, 2, 3]],
                        "timeout": [[0, 1, 2, 3, 4]],
                    }
                },
                "firewall": {"3": {"1": [3, 0, 2]}},
                "restarts": {"3": [{"instance": 2, "persist": 1, "image": "lost"}]},
                "jitter": 7,
            }
        ],
    }


def test_random_scenarios_survive_the_file() -> None:
    scenarios = tuple(random_scenario(SPACE, Random(f"file/{number}")) for number in range(30))
    assert decode_scenarios(encode_scenarios(scenarios)) == scenarios


def test_every_field_is_read() -> None:
    (scenario,) = decode_scenarios(json.dumps(good()))
    first, second, third = scenario.rounds
    assert [plan.leader for plan in scenario.rounds] == [0, 2, 2]  # an unnamed round has a correct leader
    assert first.partitions == (((0, 1, 2), (3, 4)),) * 3
    assert second.partitions[1] == ((0, 1, 2, 3), (4,))
    assert third.firewall == ((1, (0, 2, 3)),)
    assert third.restarts == (Restart(2, 1, Image.LOST),)
    assert scenario.jitter == 7


def test_twins_share_an_identity() -> None:
    assert [identity_of(instance, 4) for instance in range(6)] == [0, 1, 2, 3, 0, 1]
    assert [instances_of(identity, 4, 2) for identity in range(4)] == [(0, 4), (1, 5), (2,), (3,)]


def at(*path: str | int) -> Callable[[Document, object], None]:
    def put(document: Document, value: object) -> None:
        inside: Any = document
        for step in path[:-1]:
            inside = inside[step]
        inside[path[-1]] = value

    return put


BAD: tuple[tuple[tuple[str | int, ...], object, str], ...] = (
    (("num_of_nodes",), 0, "num_of_nodes"),
    (("num_of_nodes",), True, "num_of_nodes"),
    (("num_of_twins",), 4, "num_of_twins"),
    (("scenarios",), [], "scenarios: is empty"),
    (("scenarios",), {}, "scenarios: must be a list"),
    (("extra",), 1, "'extra' is none of"),
    (("scenarios", 0, "leaders"), {}, "scenarios[0]: 'leaders' is none of"),
    (("scenarios", 0, "round_leaders"), {}, "round_leaders: names no round"),
    (("scenarios", 0, "round_leaders", "1"), [0], "round_leaders.1: [0] are not all instances"),
    (("scenarios", 0, "round_leaders", "2"), [1, 2], "round_leaders.2: [1, 2] are not all instances"),
    (("scenarios", 0, "round_leaders", "2"), [], "round_leaders.2: [] are not all instances"),
    (("scenarios", 0, "round_leaders", "01"), [1], "'01' is not a round"),
    (("scenarios", 0, "round_leaders", "65"), [1], "'65' is not a round"),
    (("scenarios", 0, "round_partitions", "1"), [[0, 1, 2], [3]], "round_partitions.1: every instance"),
    (("scenarios", 0, "round_partitions", "1"), [[0, 1, 2], [2, 3, 4]], "round_partitions.1: every instance"),
    (
        ("scenarios", 0, "round_partitions", "1"),
        [[0, 1, 2, 3, 4], []],
        "round_partitions.1: a block is empty",
    ),
    (
        ("scenarios", 0, "round_partitions", "1"),
        [[0, 1, 2, 3, 5]],
        "round_partitions.1[0]: must be an integer",
    ),
    (
        ("scenarios", 0, "round_partitions", "2"),
        [[0, 1, 2, 3, 4]],
        "phase_partitions.2: is in round_partitions",
    ),
    (("scenarios", 0, "round_partitions", "9"), [[0, 1, 2, 3, 4]], "round_partitions.9: the last round"),
    (("scenarios", 0, "phase_partitions", "2"), {"vote": [[0]]}, "phase_partitions.2: proposal is missing"),
    (("scenarios", 0, "firewall", "3", "5"), [0], "firewall.3: '5' is none of"),
    (("scenarios", 0, "firewall", "3", "1"), [0, 0], "firewall.3.1: names an instance twice"),
    (("scenarios", 0, "restarts", "3", 0, "image"), "torn", "restarts.3[0].image: 'torn'"),
    (("scenarios", 0, "restarts", "3", 0, "persist"), 0, "restarts.3[0].persist"),
    (("scenarios", 0, "restarts", "3", 0, "when"), 1, "restarts.3[0]: 'when' is none of"),
    (("scenarios", 0, "restarts", "3"), good()["scenarios"][0]["restarts"]["3"] * 2, "crashes twice"),
    (("scenarios", 0, "jitter"), -1, "jitter"),
)


@pytest.mark.parametrize(("path", "value", "told"), BAD)
def test_a_wrong_file_is_told_where(path: tuple[str | int, ...], value: object, told: str) -> None:
    document = good()
    at(*path)(document, value)
    with pytest.raises(ScenarioError) as refused:
        decode_scenarios(json.dumps(document))
    assert told in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "[" * 100_000])
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(ScenarioError):
        decode_scenarios(text)


def test_a_file_holds_scenarios_of_one_size() -> None:
    small, large = random_scenario(Space(), Random(1)), random_scenario(SPACE, Random(1))
    for scenarios in ((), (small, large)):
        with pytest.raises(ScenarioError, match="one or more"):
            encode_scenarios(scenarios)
