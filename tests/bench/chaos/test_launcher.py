"""The launcher's interpositions on stand-ins of the modules they replace, and on real files."""

import errno
import os
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from bench.chaos.launcher import fill_database, fill_disk, shift_clock
from bench.chaos.switches import Disk, Switches
from node.daemon.durability import free_bytes, is_disk_full


@pytest.fixture
def switches(tmp_path: Path) -> Switches:
    return Switches(tmp_path / "switches")


def module_of(**contents: object) -> ModuleType:
    """A module object with these names."""
    module = ModuleType("stand_in")
    vars(module).update(contents)
    return module


def test_two_maps_of_one_file_see_each_other(tmp_path: Path) -> None:
    ours, theirs = Switches(tmp_path / "switches"), Switches(tmp_path / "switches")
    ours.disk, ours.clock_ahead_ms = Disk.FULL, -120_000
    theirs.count_low_answer()
    theirs.count_refused_commit()
    theirs.count_refused_write()
    theirs.count_shifted_reading()
    assert (theirs.disk, theirs.clock_ahead_ms) == (Disk.FULL, -120_000)
    assert (ours.low_answers, ours.refused_commits, ours.refused_writes, ours.shifted_readings) == (
        1,
        1,
        1,
        1,
    )


@pytest.mark.parametrize("ahead_ms", [0, 90_000, -90_000])
def test_a_wrong_clock_is_wrong_by_what_the_switch_says(switches: Switches, ahead_ms: int) -> None:
    clock = module_of(time_ns=lambda: 10**18, time=lambda: 1e9)
    shift_clock(clock, switches)
    switches.clock_ahead_ms = ahead_ms
    assert clock.time_ns() == 10**18 + ahead_ms * 10**6
    assert clock.time() == pytest.approx(1e9 + ahead_ms / 1000)
    assert switches.shifted_readings == (2 if ahead_ms else 0)


@pytest.fixture
def system(switches: Switches) -> ModuleType:
    """The operating system's calls, replaced."""
    module = module_of(statvfs=os.statvfs, posix_fallocate=os.posix_fallocate, pwrite=os.pwrite)
    fill_disk(module, switches)
    return module


def test_a_good_disk_is_untouched(switches: Switches, system: ModuleType, tmp_path: Path) -> None:
    with (tmp_path / "file").open("w+b") as file:
        system.posix_fallocate(file.fileno(), 0, 8192)
        assert system.pwrite(file.fileno(), b"data", 4096) == 4
        assert file.read()[4096:4100] == b"data"
    assert system.statvfs(tmp_path).f_blocks == os.statvfs(tmp_path).f_blocks
    assert (switches.low_answers, switches.refused_writes) == (0, 0)


@pytest.mark.parametrize("disk", [Disk.LOW, Disk.FULL, Disk.DEAD])
def test_a_bad_disk_has_hardly_any_room(
    switches: Switches, system: ModuleType, tmp_path: Path, disk: Disk
) -> None:
    switches.disk = disk
    told = system.statvfs(tmp_path)
    assert told.f_bavail == told.f_bfree < 256 * 1024
    assert told.f_bavail * told.f_frsize < free_bytes(tmp_path)
    assert (told.f_bsize, told.f_namemax) == (os.statvfs(tmp_path).f_bsize, os.statvfs(tmp_path).f_namemax)
    assert switches.low_answers == 1


def test_a_full_disk_makes_no_new_file_and_keeps_what_was_reserved(
    switches: Switches, system: ModuleType, tmp_path: Path
) -> None:
    switches.disk = Disk.FULL
    with (tmp_path / "file").open("w+b") as file:
        with pytest.raises(OSError, match="No space") as refused:
            system.posix_fallocate(file.fileno(), 0, 8192)
        assert refused.value.errno == errno.ENOSPC
        assert system.pwrite(file.fileno(), b"data", 0) == 4


def test_a_dead_disk_tears_a_write_and_then_refuses(
    switches: Switches, system: ModuleType, tmp_path: Path
) -> None:
    switches.disk = Disk.DEAD
    with (tmp_path / "file").open("w+b") as file:
        assert system.pwrite(file.fileno(), b"torndata", 0) == 4
        with pytest.raises(OSError, match="No space"):
            system.pwrite(file.fileno(), b"data", 4)
        assert file.read() == b"torn"
    assert switches.refused_writes == 2


def test_the_database_refuses_to_write_and_goes_on_reading(switches: Switches, tmp_path: Path) -> None:
    begun: list[dict[str, object]] = []

    class Engine:
        def __init__(self, path: str) -> None:
            self.path = path

        def begin(self, **options: object) -> str:
            begun.append(options)
            return "transaction"

    class DiskError(Exception):
        pass

    engine: Any = module_of(Environment=Engine, DiskError=DiskError)
    fill_database(engine, switches)
    environment = engine.Environment("place")
    assert environment.path == "place"
    switches.disk = Disk.FULL
    assert environment.begin() == "transaction"
    with pytest.raises(DiskError, match="No space") as refused:
        environment.begin(write=True)
    assert is_disk_full(SimpleNamespace(error=refused.value).error.code, tmp_path)
    switches.disk = Disk.LOW
    assert environment.begin(write=True) == "transaction"
    assert (begun, switches.refused_commits) == ([{}, {"write": True}], 1)
