"""Processes of a measurement: what they are told and say, what they die of, and that none stays."""

import os
import sys
from pathlib import Path

import pytest
import trio

from bench.cluster.children import ChildFailed, open_child
from bench.cluster.figures import CERTIFIED, UNREACHABLE, Samples
from bench.cluster.loader import LoadPlan
from bench.cluster.shapes import ClosedLoop, OpenLoop, Share
from bench.cluster.signing import SigningPlan, read_signed

NOBODY = "http://127.0.0.1:9"


def load_plan(folder: Path, shape: OpenLoop | ClosedLoop, timeout_ms: int = 200) -> LoadPlan:
    files = str(folder / "signed"), str(folder / "samples")
    return LoadPlan((NOBODY,), shape, Share(0, 1), 0.2, timeout_ms, *files)


@pytest.mark.parametrize("shape", [OpenLoop(100, 2, 8), ClosedLoop(10, 5)])
def test_a_load_plan_travels_as_one_line(tmp_path: Path, shape: OpenLoop | ClosedLoop) -> None:
    plan = load_plan(tmp_path, shape)
    assert "\n" not in plan.to_json()
    assert LoadPlan.from_json(plan.to_json()) == plan


async def test_signing_and_loading_in_processes_of_their_own(tmp_path: Path) -> None:
    """Nobody listens at the only URL, so that every transaction must be told as unreachable."""
    signing = SigningPlan(b"c" * 32, (b"k" * 32,), "t", 0, 1, 20, 0, 60_000, str(tmp_path / "signed"))
    async with open_child("bench.cluster.signing", "signer", signing.to_json(), tmp_path) as signer:
        assert (await signer.expect("signed"))["transaction_bytes"] > 200
    assert len(read_signed(tmp_path / "signed")) == 20
    plan = load_plan(tmp_path, OpenLoop(100, 2, 64))
    with trio.fail_after(60):
        async with open_child("bench.cluster.loader", "load", plan.to_json(), tmp_path) as loader:
            assert (await loader.expect("ready"))["transactions"] == 20
            await loader.tell("0")
            heard = await loader.hear()
            while heard["event"] == "second":
                heard = await loader.hear()
            assert heard == {"event": "done", "refusals": {}, "ran_out": False}
    samples = Samples.from_bytes((tmp_path / "samples").read_bytes())
    assert list(samples.codes) == [UNREACHABLE] * 20
    assert CERTIFIED not in samples.codes
    assert list(samples.intended_us)[::2] == [20_000 * number for number in range(10)]


async def test_a_process_that_fails_tells_why(tmp_path: Path) -> None:
    async with open_child("bench.cluster.signing", "signer", "no json", tmp_path) as signer:
        with pytest.raises(ChildFailed, match=r"(?s)signer ended early: .*JSONDecodeError"):
            await signer.hear()


async def test_another_event_than_expected_is_a_failure(tmp_path: Path) -> None:
    signing = SigningPlan(b"c" * 32, (b"k" * 32,), "t", 0, 1, 1, 0, 60_000, str(tmp_path / "signed"))
    async with open_child("bench.cluster.signing", "signer", signing.to_json(), tmp_path) as signer:
        with pytest.raises(ChildFailed, match="instead of ready"):
            await signer.expect("ready")


async def test_no_process_outlives_its_block(tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(b"")
    plan = load_plan(tmp_path, OpenLoop(1, 1, 1)).to_json()
    async with open_child("bench.cluster.loader", "load", plan, tmp_path) as loader:
        pid = loader.pid
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_load_process_ends_when_nobody_holds_its_input_any_more(tmp_path: Path) -> None:
    (tmp_path / "signed").write_bytes(b"")
    plan = load_plan(tmp_path, OpenLoop(1, 1, 1)).to_json()
    process = await trio.run_process(
        (sys.executable, "-m", "bench.cluster.loader"), stdin=plan.encode() + b"\n", capture_stdout=True
    )
    assert process.returncode == 0
    assert process.stdout == b'{"event": "ready", "transactions": 0}\n'
