"""One process per key, and keys that only their owner can read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.daemon.keylock import KeyInUse, KeyLock, KeyTooOpen, KeyUnreadable, check_key_modes

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


@pytest.fixture
def key(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o700)
    path = folder / "consensus.key"
    path.write_bytes(b"secret")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_private_key_in_a_private_folder_passes(key: Path, mode: int) -> None:
    key.chmod(mode)
    check_key_modes(key)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o602, 0o610])
def test_a_key_that_others_may_reach_is_refused_with_the_command_that_mends_it(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(KeyTooOpen, match=f"mode {mode:04o}.*run chmod 600 {key}"):
        check_key_modes(key)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o710, 0o777])
def test_a_folder_that_others_may_enter_is_refused_with_the_command_that_mends_it(
    key: Path, mode: int
) -> None:
    key.parent.chmod(mode)
    with pytest.raises(KeyTooOpen, match=f"mode {mode:04o}.*run chmod 700 {key.parent}"):
        check_key_modes(key)


def test_a_missing_key_is_a_sentence(key: Path) -> None:
    with pytest.raises(KeyUnreadable, match="cannot be read: No such file"):
        check_key_modes(key.with_name("other.key"))
