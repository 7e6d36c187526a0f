"""The guard: two slots, rot in one or both, and what to do in words."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.daemon.durability import BLOCK_BYTES
from node.daemon.guardfile import (
    MAGIC,
    MAX_PAYLOAD_BYTES,
    GuardCorrupt,
    GuardExists,
    GuardFailed,
    GuardFile,
    GuardForeign,
    GuardMissing,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "guard"


def _write_twice(path: Path) -> bytes:
    """The bytes of a guard that was made with `made` and then stored `older`, `newest`."""
    path.unlink(missing_ok=True)
    guard = GuardFile.create(path, b"made")
    guard.store(b"older")
    guard.store(b"newest")
    guard.close()
    return path.read_bytes()


def _open(path: Path) -> tuple[bytes, int, bool]:
    guard = GuardFile.open(path)
    found = guard.payload, guard.counter, guard.damaged_slot
    guard.close()
    return found


def test_the_newest_payload_comes_back(path: Path) -> None:
    guard = GuardFile.create(path, b"")
    assert (guard.payload, guard.damaged_slot) == (b"", False)
    first = guard.counter
    for number in range(1, 6):
        guard.store(b"%d" % number)
        assert (guard.payload, guard.counter) == (b"%d" % number, first + 2 * number)
        assert _open(path) == (b"%d" % number, first + 2 * number, False)
    guard.close()


def test_a_new_guard_is_whole_private_and_two_blocks_long(path: Path) -> None:
    GuardFile.create(path, b"made").close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_size == 2 * BLOCK_BYTES
    assert _open(path)[0] == b"made"


def test_a_guard_is_never_made_over_another(path: Path) -> None:
    before = _write_twice(path)
    with pytest.raises(GuardExists, match="may not be replaced"):
        GuardFile.create(path, b"fresh")
    assert path.read_bytes() == before


def test_a_missing_guard_says_that_the_key_must_never_sign_again(path: Path) -> None:
    with pytest.raises(GuardMissing, match=r"This key must never sign again.*Make a new key"):
        GuardFile.open(path)


@settings(max_examples=200, deadline=None)
@given(slot=st.integers(0, 1), position=st.integers(0, BLOCK_BYTES - 1), flip=st.integers(1, 255))
def test_rot_in_one_slot_leaves_the_other_and_is_told(
    tmp_path_factory: pytest.TempPathFactory, slot: int, position: int, flip: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "guard-with-rot"
    content = bytearray(_write_twice(path))
    content[slot * BLOCK_BYTES + position] ^= flip
    path.write_bytes(content)
    payload, _, is_damaged = _open(path)
    if not is_damaged:
        assert payload == b"newest"
        assert position >= 24 + len(b"older"), "only the zeros behind the payload may change unnoticed"
    else:
        assert payload == b"newest", "each slot holds the newest payload once `store` returned"
        guard = GuardFile.open(path)
        guard.store(b"mended")
        guard.close()
        assert _open(path)[::2] == (b"mended", False)


def test_a_crash_between_the_two_slots_leaves_the_newer_payload(path: Path) -> None:
    before = _write_twice(path)
    guard = GuardFile.open(path)
    guard.store(b"third")
    guard.close()
    after = path.read_bytes()
    first = after.index(b"third") // BLOCK_BYTES
    halfway = bytearray(before)
    halfway[first * BLOCK_BYTES : (first + 1) * BLOCK_BYTES] = after[
        first * BLOCK_BYTES : (first + 1) * BLOCK_BYTES
    ]
    path.write_bytes(halfway)
    assert _open(path)[::2] == (b"third", False)


@pytest.mark.parametrize("size", range(0, 2 * BLOCK_BYTES, 512))
def test_a_guard_cut_short_is_rot(path: Path, size: int) -> None:
    _write_twice(path)
    os.truncate(path, size)
    if size < BLOCK_BYTES:
        with pytest.raises(GuardCorrupt):
            GuardFile.open(path)
    else:
        assert _open(path)[2]


def test_rot_in_both_slots_says_that_the_key_must_never_sign_again(path: Path) -> None:
    content = bytearray(_write_twice(path))
    content[20] ^= 1
    content[BLOCK_BYTES + 20] ^= 1
    path.write_bytes(content)
    with pytest.raises(GuardCorrupt, match=r"both slots .* damaged\. This key must never sign again"):
        GuardFile.open(path)


def test_a_guard_of_a_newer_format_is_not_called_damaged(path: Path) -> None:
    """Who read that its key must never sign again would make a new one for nothing."""
    content = _write_twice(path).replace(MAGIC, b"ISTHGRD2")
    path.write_bytes(content)
    with pytest.raises(GuardForeign, match=r"nothing is lost, start the release"):
        GuardFile.open(path)
    assert path.read_bytes() == content


NEWER = b"ISTHGRD2"


@pytest.mark.parametrize("slot", [0, 1])
@pytest.mark.parametrize("framed_anew", [False, True])
def test_a_guard_of_which_one_slot_is_of_a_newer_format_is_not_called_damaged(
    path: Path, slot: int, framed_anew: bool
) -> None:
    """A newer release was ended between its two writes. What it has reserved stands in one slot alone."""
    ours = _write_twice(path)
    guard = GuardFile.open(path)
    guard.store(b"one start later")
    guard.close()
    half = slice(slot * BLOCK_BYTES, (slot + 1) * BLOCK_BYTES)
    begins = NEWER + b"more" * framed_anew
    content = bytearray(ours)
    content[half] = begins + path.read_bytes()[half][len(begins) :]
    path.write_bytes(content)
    with pytest.raises(GuardForeign, match=r"nothing is lost, start the release"):
        GuardFile.open(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("slot", [0, 1])
def test_a_newer_format_beside_rot_is_for_the_newer_release_to_judge(path: Path, slot: int) -> None:
    content = bytearray(_write_twice(path).replace(MAGIC, NEWER))
    content[slot * BLOCK_BYTES : slot * BLOCK_BYTES + 32] = b"\xff" * 32
    path.write_bytes(content)
    with pytest.raises(GuardForeign):
        GuardFile.open(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("slot", [0, 1])
def test_rot_where_the_format_stands_is_rot_while_the_other_slot_tells(path: Path, slot: int) -> None:
    content = bytearray(_write_twice(path))
    content[slot * BLOCK_BYTES + len(MAGIC) - 1] = ord("2")
    path.write_bytes(content)
    assert _open(path)[::2] == (b"newest", True)


def test_slots_that_changed_places_are_rot(path: Path) -> None:
    content = _write_twice(path)
    path.write_bytes(content[BLOCK_BYTES:] + content[:BLOCK_BYTES])
    with pytest.raises(GuardCorrupt):
        GuardFile.open(path)


def test_a_payload_fills_its_block_and_no_more(path: Path) -> None:
    guard = GuardFile.create(path, b"")
    guard.store(b"f" * MAX_PAYLOAD_BYTES)
    with pytest.raises(ValueError, match="at most"):
        guard.store(b"f" * (MAX_PAYLOAD_BYTES + 1))
    assert _open(path)[0] == b"f" * MAX_PAYLOAD_BYTES
    guard.close()
    with pytest.raises(ValueError, match="at most"):
        GuardFile.create(path.with_name("other"), b"f" * (MAX_PAYLOAD_BYTES + 1))
    assert not path.with_name("other").exists()


def test_a_closed_guard_refuses(path: Path) -> None:
    guard = GuardFile.create(path, b"")
    guard.close()
    guard.close()
    with pytest.raises(GuardFailed, match="is closed"):
        guard.store(b"late")


def test_a_guard_in_a_folder_that_is_not_there_is_a_sentence(path: Path) -> None:
    with pytest.raises(GuardFailed, match="cannot be made: No such file"):
        GuardFile.create(path / "deeper", b"")
