"""The demo of a federation, small: it keeps its promises, and replaces nothing but an earlier demo."""

from pathlib import Path

import pytest

from node.anchoring import verify
from node.cli.commands.demo import Narration
from node.cli.hashes import CheckpointType
from node.local.federation_demo import run_federation_demo
from node.local.testnet import TestnetError
from node.proofs import ProofError


async def test_a_record_passes_between_three_clusters_with_proofs_that_others_can_check(
    tmp_path: Path,
) -> None:
    report = await run_federation_demo(tmp_path / "demo", 1, Narration())
    assert report.clusters == ("local.a", "local.b", "local.c")
    assert len(report.delivered_s) == 2
    for proven in (report.record, report.message):
        data = proven.bundle.read_bytes()
        assert len(data) == proven.bundle_bytes
        pinned = CheckpointType().convert(proven.checkpoint, None, None)
        verified = verify(data, trust=proven.trust, checkpoint=pinned)
        assert (verified.cluster_name, verified.height <= pinned[0]) == ("local.a", True)
        with pytest.raises(ProofError, match="checkpoint"):
            verify(data, trust=proven.trust, checkpoint=(pinned[0], bytes(32)))
    assert (report.record.reader, report.message.reader) == ("local.c", "local.b")


async def test_the_demo_replaces_no_folder_that_is_not_a_demo(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(TestnetError, match="not empty"):
        await run_federation_demo(tmp_path, 1, Narration())
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
