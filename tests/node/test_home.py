"""A home's folders and its secrets: made once, readable by the owner alone, never overwritten."""

import stat
from pathlib import Path

import pytest

from node.home import Home, HomeError, KeyFileError, default_home, read_key, write_key, write_new

SEED = bytes(range(32))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "node0")
    home.create()
    return home


def test_the_key_folder_belongs_to_the_owner_alone(home: Home) -> None:
    assert mode_of(home.keys_dir) == 0o700


def test_a_home_is_not_made_twice(home: Home) -> None:
    with pytest.raises(HomeError, match="is the home of a node already"):
        home.create()


def test_a_key_is_written_privately_and_read_back(home: Home) -> None:
    write_key(home.node_key_file, SEED)
    assert mode_of(home.node_key_file) == 0o600
    assert read_key(home.node_key_file) == SEED


def test_a_key_is_never_overwritten(home: Home) -> None:
    write_key(home.node_key_file, SEED)
    with pytest.raises(HomeError, match="never overwritten"):
        write_key(home.node_key_file, bytes(32))
    assert read_key(home.node_key_file) == SEED


def test_the_mode_does_not_depend_on_the_umask(home: Home) -> None:
    write_new(home.genesis_file, b"{}", 0o644)
    assert mode_of(home.genesis_file) == 0o644


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o666, 0o601])
def test_a_key_that_others_can_read_is_refused_with_the_command_that_helps(home: Home, mode: int) -> None:
    write_key(home.node_key_file, SEED)
    home.node_key_file.chmod(mode)
    with pytest.raises(KeyFileError, match=f"chmod 600 {home.node_key_file}"):
        read_key(home.node_key_file)


def test_a_key_folder_that_others_can_enter_is_refused(home: Home) -> None:
    write_key(home.node_key_file, SEED)
    home.keys_dir.chmod(0o755)
    with pytest.raises(KeyFileError, match=f"chmod 700 {home.keys_dir}"):
        read_key(home.node_key_file)


def test_a_missing_key_names_the_command_that_makes_one(home: Home) -> None:
    with pytest.raises(KeyFileError, match="isthmus init"):
        read_key(home.node_key_file)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"isthmus-key-v1",
        b"isthmus-key-v2 " + b"00" * 32,
        b"isthmus-key-v1 " + b"zz" * 32,
        b"isthmus-key-v1 " + b"00" * 31,
        b"isthmus-key-v1 " + b"00" * 200,
        b"isthmus-key-v1 \xff\xfe",
    ],
)
def test_a_damaged_key_is_refused_without_showing_it(home: Home, content: bytes) -> None:
    write_new(home.node_key_file, content, 0o600)
    with pytest.raises(KeyFileError) as caught:
        read_key(home.node_key_file)
    assert "00" * 16 not in str(caught.value)


def test_the_environment_names_the_home(tmp_path: Path) -> None:
    assert default_home(str(tmp_path), Path("/u")).path == tmp_path
    assert default_home(None, Path("/u")).path == Path("/u/.isthmus-node")
