"""kill -9 between any two writes: what was acknowledged is there, what was not is there whole or not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from node.daemon.failpoints import NAMES, VARIABLE
from node.daemon.guardfile import GuardFile
from node.daemon.store import Store
from node.storage import ChainTable, StateTable
from tests.node.daemon.crash_child import STEPS, group, open_journal

ROOT = Path(__file__).parents[3]


def _points(prefix: str) -> list[str]:
    return [name for name in NAMES if name.startswith(prefix)]


def _run_until_killed(kind: str, directory: Path, failpoint: str) -> int:
    """Run the child until the failpoint kills it; the last step it acknowledged."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.node.daemon.crash_child", kind, str(directory)],
        cwd=ROOT,
        env={**os.environ, VARIABLE: failpoint},
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == -signal.SIGKILL, child.stderr
    return int(child.stdout.split()[-1]) if child.stdout else 0


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("point", _points("journal-"))
def test_a_journal_killed_anywhere_keeps_all_it_acknowledged(tmp_path: Path, point: str, count: int) -> None:
    acknowledged = _run_until_killed("journal", tmp_path, f"{point}:{count}")
    journal = open_journal(tmp_path)
    recovered = list(journal.records())
    assert journal.last_seq in (2 * acknowledged, 2 * acknowledged + 2)
    written = [record for step in range(1, STEPS + 1) for record in group(step)]
    assert recovered == [(seq, written[seq - 1]) for seq in range(journal.first_seq, journal.last_seq + 1)]
    journal.append([b"after the crash"])
    journal.close()
    assert list(open_journal(tmp_path).records(after_seq=journal.last_seq - 1)) == [
        (journal.last_seq, b"after the crash")
    ]


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("point", _points("guard-"))
def test_a_guard_killed_anywhere_keeps_the_bound_it_acknowledged(
    tmp_path: Path, point: str, count: int
) -> None:
    acknowledged = _run_until_killed("guard", tmp_path, f"{point}:{count}")
    guard = GuardFile.open(tmp_path / "guard")
    assert int(guard.payload) in (acknowledged, acknowledged + 1)
    assert not guard.damaged_slot
    guard.close()


@pytest.mark.parametrize("count", [1, 2, 7])
@pytest.mark.parametrize("point", _points("store-"))
def test_a_store_killed_anywhere_has_its_chain_at_or_one_step_ahead_of_its_state(
    tmp_path: Path, point: str, count: int
) -> None:
    acknowledged = _run_until_killed("store", tmp_path, f"{point}:{count}")
    store = Store.open(tmp_path)
    reader = store.reader()
    chain = int(reader.get(ChainTable.META, b"step") or b"0")
    state = int(reader.get(StateTable.META, b"step") or b"0")
    expected = {
        "store-before-chain": (acknowledged, acknowledged),
        "store-before-state": (acknowledged + 1, acknowledged),
        "store-after-state": (acknowledged + 1, acknowledged + 1),
    }
    assert (chain, state) == expected[point]
    assert store.check() == []
    store.close()


def test_every_failpoint_belongs_to_a_crash_test() -> None:
    assert sorted(NAMES) == sorted(_points("journal-") + _points("guard-") + _points("store-"))
