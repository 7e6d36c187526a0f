"""Scenarios of the simulator that once broke something: each file tells its story and plays again, and shows
that it would still find what it found.
"""

import json
from pathlib import Path

import pytest

from bench.sim.drivers import Drivers
from bench.sim.scenario import Scenario, run

FOLDER = Path(__file__).parent / "simulated"
STILL_FINDS = {
    "journal-lost-beside-a-backup.json": ("tests.bench.sim.planted:overlooks_a_lost_journal", "signing"),
}
"""By file: a mutant that brings the bug back, and what it breaks."""


def files() -> list[Path]:
    """Every saved scenario."""
    return sorted(FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_what_was_mended_stays_mended(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(json.loads(text)["story"]) > 100, "say what happened, why, and what was done"
    assert run(Scenario.decode(text)).violation is None


@pytest.mark.parametrize(("name", "mutant", "invariant"), [(n, *found) for n, found in STILL_FINDS.items()])
def test_the_scenario_still_finds_the_bug(name: str, mutant: str, invariant: str) -> None:
    chosen = Scenario.decode((FOLDER / name).read_text(encoding="utf-8"))
    with Drivers(mutant=mutant).parts() as parts:
        found = run(chosen, parts).violation
    assert found is not None
    assert found.invariant == invariant


def test_there_are_scenarios_and_each_name_is_one_of_them() -> None:
    assert {path.name for path in files()} >= set(STILL_FINDS)
    assert STILL_FINDS
