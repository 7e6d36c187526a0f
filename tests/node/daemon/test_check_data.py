"""`isthmus db check`: what is damaged is named, whichever file it is in, and checking changes nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from node.cli.exits import Exit
from node.cli.main import run
from node.config import NodeConfig
from node.daemon.durability import BLOCK_BYTES
from node.daemon.segment import DATA_START, FORMAT, JournalForeign, read_header
from node.daemon.startup import check_data, open_home
from tests.node.daemon.grown import Grown
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


def test_the_verdict_and_the_way_out_come_before_what_was_found_which_is_bounded(
    grown: Grown, capsys: pytest.CaptureFixture[str]
) -> None:
    path = grown.home.chain_dir / "data.mdb"
    data = bytearray(path.read_bytes())
    data[2 * BLOCK_BYTES :] = bytes(len(data) - 2 * BLOCK_BYTES)
    path.write_bytes(data)
    arguments = ["db", "check", "--home", str(grown.home.path)]
    assert run([*arguments, "--json"]) == Exit.NEGATIVE
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert len(findings) > 10
    assert run(arguments) == Exit.NEGATIVE
    verdict, way_out, *told, rest = capsys.readouterr().out.splitlines()
    assert verdict == f"the database in {grown.home.data_dir} is not in order: {len(findings)} findings"
    assert "move the data folder away (never keys) and start" in way_out
    assert told == [f"- {finding}" for finding in findings[:10]]
    assert rest == f"and {len(findings) - 10} more; --json tells all"


def test_a_single_finding_is_told_whole(config: NodeConfig, capsys: pytest.CaptureFixture[str]) -> None:
    (segment,) = config.home.journal_dir.glob("journal-*.seg")
    data = bytearray(segment.read_bytes())
    data[DATA_START + 44] ^= 1
    segment.write_bytes(data)
    assert run(["db", "check", "--home", str(config.home.path)]) == Exit.NEGATIVE
    verdict, _, finding = capsys.readouterr().out.splitlines()
    assert verdict.endswith("is not in order: one finding")
    assert "is damaged" in finding


def test_what_a_newer_release_wrote_is_no_finding_for_which_data_is_moved_away(config: NodeConfig) -> None:
    (segment,) = config.home.journal_dir.glob("journal-*.seg")
    whole = segment.read_bytes()
    with segment.open("rb") as file:
        newer = replace(read_header(file.fileno()), format=FORMAT + 1).encode()
    segment.write_bytes(newer + whole[DATA_START:])
    with pytest.raises(JournalForeign):
        check_data(config)
