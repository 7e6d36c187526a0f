"""One process per key."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.daemon.keylock import KeyInUse, KeyLock, KeyUnreadable

ROOT = Path(__file__).parents[3]


def _start(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.node.daemon.crash_child", "lock", str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _first_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def test_a_second_process_with_the_same_key_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with KeyLock.acquire(tmp_path), _start(tmp_path) as child:
        assert f"is already used by process {os.getpid()}: stop it first" in _first_line(child)
        assert child.wait() == 0


def test_a_killed_process_gives_its_lock_back(tmp_path: Path) -> None:
    with _start(tmp_path) as child:
        assert _first_line(child) == "locked"
        with pytest.raises(KeyInUse, match=f"process {child.pid}"):
            KeyLock.acquire(tmp_path)
        child.kill()
        child.wait()
    KeyLock.acquire(tmp_path).release()


def test_a_lock_is_exclusive_inside_one_process_too_and_can_be_given_back(tmp_path: Path) -> None:
    with KeyLock.acquire(tmp_path) as lock:
        with pytest.raises(KeyInUse):
            KeyLock.acquire(tmp_path)
        lock.release()
        with KeyLock.acquire(tmp_path):
            pass
    with KeyLock.acquire(tmp_path):
        pass


def test_a_lock_of_a_folder_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(KeyUnreadable, match="cannot be locked: No such file"):
        KeyLock.acquire(tmp_path / "nowhere")
