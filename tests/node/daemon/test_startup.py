"""Every home that must not start, and what each kind of start may sign."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from consensus import StartKind
from node.cli.exits import Exit
from node.cli.failures import explain
from node.config import NodeConfig
from node.daemon.durability import BLOCK_BYTES
from node.daemon.guardfile import GuardForeign
from node.daemon.journal import JournalCorrupt
from node.daemon.keylock import KeyInUse
from node.daemon.segment import DATA_START, FORMAT, JournalForeign, read_header
from node.daemon.startup import StartupError, open_home
from node.genesis import Genesis
from node.home import KeyFileError, read_key, write_key
from node.local.testnet import Testnet
from node.storage import StoreDamaged, StoreFailed
from tests.node.daemon.running import config_of, written


@pytest.fixture
def testnet(tmp_path: Path) -> Testnet:
    return written(tmp_path / "net", 2)


@pytest.fixture
def config(testnet: Testnet) -> NodeConfig:
    return config_of(testnet)


def opened_once(config: NodeConfig) -> None:
    """Start and end in good order, so that there is data."""
    open_home(config).close()


def kind_of(config: NodeConfig) -> tuple[StartKind, bool]:
    """What kind of start this home gives, and whether it may sign."""
    opened = open_home(config)
    try:
        assert opened.floor is not None
        return opened.floor.kind, opened.safety is not None
    finally:
        opened.close()


def refusal(config: NodeConfig) -> StartupError:
    """The start is refused, in a sentence, and the lock is free again."""
    with pytest.raises(StartupError) as error:
        open_home(config)
    assert str(error.value) == error.value.sentence
    assert not error.value.sentence.endswith(".")
    return error.value


def test_the_first_start_signs_and_so_does_every_orderly_one_after_it(config: NodeConfig) -> None:
    assert kind_of(config) == (StartKind.FIRST, True)
    assert kind_of(config) == (StartKind.NORMAL, True)
    assert kind_of(config) == (StartKind.NORMAL, True)


def test_a_home_is_open_once(config: NodeConfig) -> None:
    first = open_home(config)
    try:
        with pytest.raises(KeyInUse, match="stop it first"):
            open_home(config)
    finally:
        first.close()
    assert kind_of(config) == (StartKind.NORMAL, True)


def test_the_boot_count_is_in_the_journal_before_it_is_in_the_guard(config: NodeConfig) -> None:
    opened_once(config)
    kept = config.home.guard_file.read_bytes()
    opened_once(config)
    config.home.guard_file.write_bytes(kept)  # as after a crash between the two
    assert kind_of(config) == (StartKind.NORMAL, True)


def test_a_journal_older_than_the_guard_may_not_sign_in_what_was_reserved(
    config: NodeConfig, tmp_path: Path
) -> None:
    opened_once(config)
    shutil.copytree(config.home.data_dir, tmp_path / "copy")
    opened_once(config)
    shutil.rmtree(config.home.data_dir)
    shutil.move(tmp_path / "copy", config.home.data_dir)
    assert kind_of(config) == (StartKind.BEHIND, True)


def test_wiped_data_is_behind_and_a_lost_guard_never_signs(config: NodeConfig) -> None:
    opened_once(config)
    shutil.rmtree(config.home.data_dir)
    assert kind_of(config) == (StartKind.BEHIND, True)
    config.home.guard_file.unlink()
    assert kind_of(config) == (StartKind.NO_GUARD, False)
    assert not config.home.guard_file.exists()


def test_both_slots_of_the_guard_damaged_is_a_lost_guard(config: NodeConfig) -> None:
    opened_once(config)
    config.home.guard_file.write_bytes(b"\xff" * 2 * BLOCK_BYTES)
    assert kind_of(config) == (StartKind.NO_GUARD, False)


def test_an_observer_has_no_key_no_guard_and_no_floor(testnet: Testnet) -> None:
    config = replace(config_of(testnet), role="observer")
    opened = open_home(config)
    try:
        assert (opened.consensus_key, opened.guard, opened.floor, opened.safety) == (None, None, None, None)
    finally:
        opened.close()


def test_a_key_that_genesis_does_not_know_is_refused_with_both_ways_out(config: NodeConfig) -> None:
    config.home.validator_key_file.unlink()
    write_key(config.home.validator_key_file, bytes(range(32)))
    error = refusal(config)
    assert error.code == "not-a-validator"
    assert "right genesis.json" in error.sentence
    assert 'role = "observer"' in error.sentence
    assert 'role = "joining"' in error.sentence


def test_a_key_that_governance_is_to_admit_follows_and_may_sign_later(config: NodeConfig) -> None:
    config.home.validator_key_file.unlink()
    write_key(config.home.validator_key_file, bytes(range(32)))
    opened = open_home(replace(config, role="joining"))
    try:
        assert opened.safety is not None
        assert opened.floor is not None
        assert opened.floor.kind is StartKind.FIRST
    finally:
        opened.close()


def test_a_node_key_other_than_the_one_in_genesis_is_refused(config: NodeConfig) -> None:
    config.home.node_key_file.unlink()
    write_key(config.home.node_key_file, bytes(range(32)))
    error = refusal(config)
    assert error.code == "node-key-differs"
    assert "backup" in error.sentence


def test_data_of_another_cluster_is_refused_and_the_keys_are_to_be_kept(config: NodeConfig) -> None:
    opened_once(config)
    genesis = Genesis.from_json(config.home.genesis_file.read_text())
    later = replace(genesis.params, created_ms=genesis.params.created_ms + 1)
    config.home.genesis_file.write_text(replace(genesis, params=later).to_json())
    error = refusal(config)
    assert error.code == "genesis-differs"
    assert "never the keys" in error.sentence


def test_a_cut_off_database_is_refused_before_it_is_opened(config: NodeConfig) -> None:
    opened_once(config)
    path = config.home.chain_dir / "data.mdb"
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - BLOCK_BYTES)
    with pytest.raises(StoreDamaged, match="`isthmus db check` tells all") as refused:
        open_home(config)
    told = explain(refused.value)
    assert told is not None
    assert (told.exit_code, told.name) == (Exit.STORAGE, "database-damaged"), "as any other damaged file"


def test_a_database_without_its_first_pages_cannot_even_be_checked(config: NodeConfig) -> None:
    opened_once(config)
    with (config.home.state_dir / "data.mdb").open("r+b") as file:
        file.truncate(BLOCK_BYTES)
    with pytest.raises(StoreFailed, match="cannot be checked"):
        open_home(config)


def test_a_damaged_journal_is_refused_with_the_way_out(config: NodeConfig) -> None:
    opened_once(config)
    (segment,) = config.home.journal_dir.glob("journal-*.seg")
    with segment.open("r+b") as file:
        file.seek(BLOCK_BYTES + 42)
        file.write(b"\xff" * 8)
    with pytest.raises(JournalCorrupt, match="keep the key folder"):
        open_home(config)


def test_who_goes_back_past_a_format_is_refused_and_what_was_written_stays_for_the_newer_release(
    config: NodeConfig,
) -> None:
    opened_once(config)
    (segment,) = config.home.journal_dir.glob("journal-*.seg")
    guard, whole = config.home.guard_file.read_bytes(), segment.read_bytes()
    with segment.open("rb") as file:
        newer = replace(read_header(file.fileno()), format=FORMAT + 1).encode()
    segment.write_bytes(newer + whole[DATA_START:])
    with pytest.raises(JournalForeign):
        open_home(config)
    assert config.home.guard_file.read_bytes() == guard
    assert segment.read_bytes() == newer + whole[DATA_START:]
    segment.write_bytes(whole)
    assert kind_of(config) == (StartKind.NORMAL, True)


def test_a_guard_that_a_newer_release_wrote_in_part_stops_the_start_and_is_kept(
    config: NodeConfig,
) -> None:
    opened_once(config)
    guard = config.home.guard_file.read_bytes()
    newer = b"ISTHGRD2" + bytes(range(1, 200))
    in_part = newer + guard[len(newer) :]
    config.home.guard_file.write_bytes(in_part)
    with pytest.raises(GuardForeign, match="start the release"):
        open_home(config)
    assert config.home.guard_file.read_bytes() == in_part
    config.home.guard_file.write_bytes(guard)
    assert kind_of(config) == (StartKind.NORMAL, True)


@pytest.mark.parametrize("which", ["node_key_file", "validator_key_file"])
def test_a_key_file_that_others_read_is_refused(config: NodeConfig, which: str) -> None:
    path: Path = getattr(config.home, which)
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        open_home(config)


def _unknown_key(config: NodeConfig) -> None:
    config.home.validator_key_file.rename(config.home.keys_dir / "away")
    write_key(config.home.validator_key_file, bytes(range(32)))


def _repair(config: NodeConfig) -> None:
    config.home.validator_key_file.unlink()
    (config.home.keys_dir / "away").rename(config.home.validator_key_file)


def test_after_a_refused_start_the_repaired_home_starts_in_the_same_process(config: NodeConfig) -> None:
    _unknown_key(config)
    refusal(config)
    _repair(config)
    assert kind_of(config) == (StartKind.FIRST, True)
    assert read_key(config.home.validator_key_file)


def test_a_refusal_after_the_database_was_opened_gives_everything_back(config: NodeConfig) -> None:
    opened_once(config)
    (segment,) = config.home.journal_dir.glob("journal-*.seg")
    whole = segment.read_bytes()
    segment.write_bytes(whole[:BLOCK_BYTES] + bytes((whole[BLOCK_BYTES] ^ 1,)) + whole[BLOCK_BYTES + 1 :])
    with pytest.raises(JournalCorrupt):
        open_home(config)
    segment.write_bytes(whole)
    assert kind_of(config) == (StartKind.NORMAL, True)
