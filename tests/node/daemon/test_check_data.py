"""`isthmus db check`: what is damaged is named, whichever file it is in, and checking changes nothing."""

from pathlib import Path

import pytest

from node.config import NodeConfig
from node.daemon.durability import BLOCK_BYTES
from node.daemon.segment import DATA_START
from node.daemon.startup import check_data, open_home
from tests.node.daemon.running import config_of, written


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    """A home that was started twice and ended in good order."""
    config = config_of(written(tmp_path / "net", 2))
    for _ in range(2):
        open_home(config).close()
    return config


def test_sound_data_has_no_findings_and_still_starts(config: NodeConfig) -> None:
    assert check_data(config).findings == []
    assert check_data(config).findings == []
    open_home(config).close()


def test_a_zeroed_database_page_is_a_finding_and_does_not_end_the_process(config: NodeConfig) -> None:
    path = config.home.chain_dir / "data.mdb"
    data = bytearray(path.read_bytes())
    data[2 * BLOCK_BYTES :] = bytes(len(data) - 2 * BLOCK_BYTES)
    path.write_bytes(data)
    assert check_data(config).findings != []


def test_a_rotten_acknowledged_journal_record_is_a_finding(config: NodeConfig) -> None:
    (segment,) = config.home.journal_dir.glob("journal-*.seg")
    data = bytearray(segment.read_bytes())
    data[DATA_START + 44] ^= 1
    segment.write_bytes(data)
    (finding,) = check_data(config).findings
    assert "is damaged" in finding
    assert "keep the key folder" in finding
