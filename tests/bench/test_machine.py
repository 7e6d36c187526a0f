"""What a figure was taken on is complete, publishable, and honest about noise."""

import json
import socket
from pathlib import Path

import pytest

from bench.machine import (
    CROWDING_MAX,
    SPREAD_MAX,
    Noise,
    Spread,
    describe_machine,
    filesystem_of,
    noise_around,
    probe_noise,
)

QUIET = Spread(4.0, 4.1, 4.5)


def test_the_machine_is_described_in_full_and_as_json() -> None:
    machine = describe_machine()
    plain = json.loads(json.dumps(machine.to_json()))
    assert set(plain) == {"cpu", "cores", "kernel", "python", "packages", "commit", "dirty"}
    assert set(plain["packages"]) >= {"trio", "msgpack", "pynacl", "lmdb"}
    assert plain["cores"] >= 1
    assert plain["cpu"]
    assert plain["python"] in str(machine)


def test_the_description_names_no_host_and_no_place() -> None:
    text = json.dumps(describe_machine().to_json()) + str(describe_machine())
    assert str(Path(__file__).resolve().parents[2]) not in text
    assert str(Path.home()) not in text
    assert socket.gethostname() not in text.split()


def test_the_commit_is_that_of_the_checkout() -> None:
    root = Path(__file__).resolve().parents[2]
    commit = describe_machine().commit
    assert (commit is not None) == (root / ".git").exists()
    if commit is not None:
        assert len(commit) >= 12


@pytest.mark.parametrize(
    ("one", "all_cores", "noisy"),
    [
        (QUIET, QUIET, False),
        (Spread(4.0, 4.0 * SPREAD_MAX, 9.0), Spread(4.0, 4.0, 4.0), False),
        (Spread(4.0, 4.0 * SPREAD_MAX + 0.01, 9.0), Spread(4.0, 4.0, 4.0), True),
        (QUIET, Spread(4.0, 4.1 * CROWDING_MAX - 0.01, 20.0), False),
        (QUIET, Spread(4.0, 4.1 * CROWDING_MAX + 0.01, 20.0), True),
        (Spread(4.0, 4.1, 50.0), QUIET, False),
    ],
)
def test_noise_is_judged_by_medians_so_that_one_hiccup_is_none(
    one: Spread, all_cores: Spread, noisy: bool
) -> None:
    noise = Noise(one, all_cores)
    assert noise.is_noisy is noisy
    assert (noise.excess > 1) is noisy
    assert noise.to_json()["is_noisy"] is noisy


def test_the_probe_runs_alone_and_on_all_cores() -> None:
    noise = probe_noise(loops=2)
    for spread in (noise.one_core, noise.all_cores):
        assert 0 < spread.min_ms <= spread.median_ms <= spread.max_ms
    plain = json.loads(json.dumps(noise.to_json()))
    assert set(plain) == {"one_core", "all_cores", "is_noisy", "rule"}


def test_noise_at_either_end_of_a_measurement_is_its_noise() -> None:
    quiet, loud = Noise(QUIET, QUIET), Noise(QUIET, Spread(4.0, 8.2, 20.0))
    assert noise_around(quiet, lambda: loud) == noise_around(loud, lambda: quiet) == loud
    assert not noise_around(quiet, lambda: quiet).is_noisy


def test_the_kind_of_a_disk_is_told_without_its_place(tmp_path: Path) -> None:
    kind = filesystem_of(tmp_path)
    assert kind
    assert "/" not in kind


def test_no_samples_are_no_spread() -> None:
    with pytest.raises(ValueError):
        Spread.of([])
