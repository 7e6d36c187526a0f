"""Two looks at a node and their difference; what cannot be seen is absent, never zero."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from bench.cluster.readings import BENCH, NodeReading, Reading, parse_metrics, take_reading, work_between
from bench.processes import ProcessTable, Usage
from node.daemon.metrics import render_metrics
from tests.node.daemon.running import config_of, running_node, written

TEXT = """
# HELP isthmus_consensus_round r
# TYPE isthmus_consensus_round gauge
isthmus_consensus_round {round}
isthmus_consensus_certified_height 7
isthmus_journal_syncs_total {syncs}
isthmus_store_flushes_total 2
isthmus_store_commits_total {syncs}
isthmus_guard_writes_total {timeouts}
isthmus_consensus_timeouts_total{{reason="no_quorum"}} {timeouts}
isthmus_consensus_timeouts_total{{reason="followed"}} 1
isthmus_transactions_refused_total{{code="pool-full"}} {timeouts}
isthmus_transactions_refused_total{{code="expired"}} 5
isthmus_p2p_link_bytes_total{{direction="out",peer="node1"}} {syncs}
isthmus_p2p_link_bytes_total{{direction="in",peer="node1"}} 99
"""


def read(rounds: int, syncs: int, timeouts: int) -> NodeReading:
    return parse_metrics(TEXT.format(round=rounds, syncs=syncs, timeouts=timeouts))


def test_the_work_between_two_looks_is_the_difference() -> None:
    before = Reading(1.0, {"node0": read(10, 100, 2)}, {"node0": Usage(1.0, 10, 20)})
    after = Reading(3.5, {"node0": read(15, 180, 6)}, {"node0": Usage(1.75, 30, 40)})
    work = work_between(before, after)
    node = work.nodes["node0"]
    assert (work.seconds, node.rounds, node.heights) == (2.5, 5, 0)
    assert (node.journal_syncs, node.database_commits, node.guard_writes) == (80, 80, 4)
    assert node.timeouts == {"no_quorum": 4, "followed": 0}
    assert node.refused == {"pool-full": 4}
    assert node.link_bytes == {"node1": 80}
    assert (work.cpu_seconds, work.rss_bytes) == ({"node0": 0.75}, {"node0": 70})


def test_a_node_that_died_in_between_is_absent() -> None:
    before = Reading(
        1.0, {"node0": read(1, 1, 1), "node1": read(1, 1, 1)}, {"a": Usage(1, 1, 1), "b": Usage(1, 1, 1)}
    )
    after = Reading(2.0, {"node1": read(2, 1, 1)}, {"b": Usage(2, 1, 1), "c": Usage(2, 1, 1)})
    work = work_between(before, after)
    assert set(work.nodes) == {"node1"}
    assert work.cpu_seconds == {"b": 1, "c": 2}  # what began in between did all that it did in between


_CHANGES_ITS_CHILD = """
import subprocess, sys
pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
work = "import time\\nwhile time.process_time() < 0.3: pass\\nprint(flush=True); input()"
busy = subprocess.Popen([sys.executable, "-c", work], **pipes)
busy.stdout.readline()
print("busy", flush=True)
sys.stdin.readline()
busy.kill()
busy.wait()
idle = subprocess.Popen([sys.executable, "-c", "print(flush=True); input()"], **pipes)
idle.stdout.readline()
print("idle", flush=True)
sys.stdin.readline()
idle.kill()
"""


def test_a_child_in_the_place_of_another_is_not_taken_for_it() -> None:
    command = (sys.executable, "-c", _CHANGES_ITS_CHILD)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"busy\n"
        before = trio.run(take_reading, {}, {"node0": parent.pid})
        parent.stdin.write(b"\n")
        parent.stdin.flush()
        assert parent.stdout.readline() == b"idle\n"
        after = trio.run(take_reading, {}, {"node0": parent.pid})
        parent.stdin.close()
    assert all(usage.cpu_seconds >= 0.2 for name, usage in before.processes.items() if "/" in name)
    work = work_between(before, after)
    assert set(work.cpu_seconds) == set(work.rss_bytes) == {BENCH, "node0", "node0/child1"}
    assert all(seconds >= 0 for seconds in work.cpu_seconds.values())


async def test_a_real_nodes_metrics_have_all_that_is_read(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net", 4))) as node:
        reading = parse_metrics(render_metrics(node).decode())
    moment = Reading(0.0, {"node0": reading}, {})
    work = work_between(moment, moment).nodes["node0"]
    assert set(work.link_bytes) == {"node1", "node2", "node3"}
    assert "no_quorum" in work.timeouts
    assert work.refused == {}
    assert reading.value("transactions_pending") == 0
    assert not reading.has_work_left()


def test_a_node_has_work_left_while_transactions_or_opaque_bytes_wait() -> None:
    waiting = "isthmus_transactions_pending 2.0\n"
    opaque = 'isthmus_bounded_items{name="pool_unsealed_bytes"} 512.0\n'
    assert parse_metrics(waiting).has_work_left()
    assert parse_metrics(opaque).has_work_left()
    assert not parse_metrics(opaque.replace("512", "0")).has_work_left()


async def test_a_node_that_does_not_answer_and_a_process_that_is_gone_are_absent() -> None:
    reading = await take_reading({"node0": "http://127.0.0.1:1"}, {"gone": 2**22 + 1})
    assert reading.nodes == {}
    assert set(reading.processes) == {BENCH}
    assert reading.processes[BENCH].rss_bytes > 1_000_000


def test_a_family_begins_with_its_head() -> None:
    table = ProcessTable({10: 1, 11: 10, 12: 11, 13: 1, 9: 12}, {10: 5, 11: 6, 12: 7, 13: 8, 9: 9})
    assert table.family(10) == (10, 9, 11, 12)
    assert table.family(13) == (13,)
    assert table.family(99) == ()
    with pytest.raises(KeyError):
        table.usage(99)
    assert os.getpid() in ProcessTable.read().parents
