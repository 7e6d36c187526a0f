"""What a running node exports and says about itself: every bound, zeros included, and why it is not ready."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from consensus import SigningKey, StartKind, TimeoutReason
from node.daemon.daemon import Node
from node.daemon.metrics import render_metrics
from node.daemon.readiness import BACKLOG_MAX, reasons_against
from node.home import read_key
from node.ledger.apps.records import Content
from node.ledger.codes import Code
from node.ledger.params import Benchmark, Params
from node.local.ports import free_ports
from node.local.testnet import write_testnet
from node.validator import LinkDown
from node.wallet import Wallet
from tests.node.daemon.running import config_of, running_node, written


def samples_of(node: Node) -> Mapping[str, Mapping[tuple[str, ...], float]]:
    """Sample name -> label values in the order of their names -> value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(render_metrics(node).decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = tuple(sample.labels[name] for name in sorted(sample.labels))
            assert labels not in found.setdefault(sample.name, {}), "a sample was exported twice"
            found[sample.name][labels] = sample.value
    return found


async def test_every_bound_is_exported_with_what_it_holds_and_nothing_holds_more(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net", 4))) as node:
        samples = samples_of(node)
        current = samples["isthmus_bounded_items"]
        limit = samples["isthmus_bounded_limit"]
        assert set(current) == set(limit)
        assert all(0 <= current[name] <= limit[name] for name in limit)
        empty = {name for (name,), value in limit.items() if value == 0}
        assert empty <= {"worker_processes"}  # none where processors are shared: the node checks by itself
        named = {name for (name,) in limit}
        assert named >= {name for name, _, _ in node.validator.limits()}
        assert named >= {f"p2p_{name}" for name in node.network.limits()}
        assert named >= {"postbox", "waiters", "worker_processes", "timers", "snapshots", "journal_bytes"}


@pytest.mark.parametrize("kind", Benchmark, ids=lambda kind: kind.value)
async def test_a_benchmark_cluster_tells_of_no_pending_transactions(kind: Benchmark, tmp_path: Path) -> None:
    params = Params(1, apps=(kind.value,))
    testnet = write_testnet(tmp_path / "net", "shell", free_ports(1), 1, os.urandom, params=params)
    async with running_node(config_of(testnet)) as node:
        samples = samples_of(node)
        assert "isthmus_transactions_pending" not in samples
        assert samples["isthmus_transactions_certified_total"] == {(): 0.0}
    async with running_node(config_of(written(tmp_path / "other", 1))) as node:
        assert samples_of(node)["isthmus_transactions_pending"] == {(): 0.0}


async def test_who_has_no_vote_has_no_weight_and_needs_no_quorum(tmp_path: Path) -> None:
    """The alert of a lost quorum goes by it: an observer linked with one validator of four is in order."""
    config = config_of(written(tmp_path / "net", 4))
    async with running_node(config) as node:
        assert samples_of(node)["isthmus_consensus_weight"] == {(): 1.0}
    async with running_node(replace(config, role="observer")) as node:
        assert samples_of(node)["isthmus_consensus_weight"] == {(): 0.0}


async def test_what_never_happened_is_exported_as_zero(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net", 4))) as node:
        samples = samples_of(node)
        refused = samples["isthmus_transactions_refused_total"]
        assert refused == {(code.label,): 0.0 for code in Code}
        failed = samples["isthmus_transactions_failed_total"]
        assert failed == {(code.label,): 0.0 for code in Code if code is not Code.OK}
        timeouts = samples["isthmus_consensus_timeouts_total"]
        assert set(timeouts) == {(reason.name.lower(),) for reason in TimeoutReason}
        up = samples["isthmus_p2p_peer_up"]
        assert up == {(f"node{n}",): 0.0 for n in (1, 2, 3)}
        carried = samples["isthmus_p2p_link_bytes_total"]
        assert carried == {(way, f"node{n}"): 0.0 for n in (1, 2, 3) for way in ("in", "out")}
        assert samples["isthmus_consensus_diverged"] == {(): 0.0}
        assert samples["isthmus_peer_faults_total"] == {(): 0.0}
        assert await node.submit([b"no transaction"])
        assert samples_of(node)["isthmus_transactions_refused_total"][("malformed",)] == 1.0


async def test_transactions_that_failed_are_counted_by_code(tmp_path: Path) -> None:
    testnet = written(tmp_path / "net", 1)
    wallet = Wallet(SigningKey(read_key(testnet.client_key_file)), testnet.cluster_id)
    content = Content(bytes(32), 1, "", "", (), ())
    async with running_node(config_of(testnet)) as node:
        assert samples_of(node)["isthmus_transactions_failed_total"][("record-exists",)] == 0.0
        for height in (1, 2):
            assert await node.submit_one(wallet.put("port/manifest", content).encoded) is None
            await node.waiters.wait_height(height)
        # What is admitted after a height was stored is admitted after that was counted, too.
        assert await node.submit_one(wallet.put("port/other", content).encoded) is None
        failed = samples_of(node)["isthmus_transactions_failed_total"]
        assert {code: count for code, count in failed.items() if count} == {("record-exists",): 1.0}


async def test_a_node_alone_is_ready_and_one_of_four_names_the_missing_weight(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "alone"))) as node:
        assert reasons_against(node) == ()
    async with running_node(config_of(written(tmp_path / "four", 4))) as node:
        (reason,) = reasons_against(node)
        assert "weight 1 of 4" in reason
        assert "start the others" in reason


async def test_a_lost_guard_and_a_backlog_are_reasons(tmp_path: Path) -> None:
    config = config_of(written(tmp_path / "net"))
    config.home.guard_file.unlink()
    async with running_node(config) as node:
        assert node.opened.floor is not None
        assert node.opened.floor.kind is StartKind.NO_GUARD
        reasons = reasons_against(node)
        assert any("It will not sign again" in reason for reason in reasons)
        for number in range(BACKLOG_MAX + 1):
            node.postbox.put(LinkDown(number.to_bytes(32, "big")))
        reasons = reasons_against(node)
        assert any("the machine is too slow" in reason for reason in reasons)
        assert len(node.postbox.take(BACKLOG_MAX + 1)) == BACKLOG_MAX + 1


async def test_a_full_disk_is_a_reason_and_metrics_say_how_full(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node:
        node.validator.data.desk.closed = "the disk is below its reserve"
        assert "the disk is below its reserve" in reasons_against(node)
        samples = samples_of(node)
        assert samples["isthmus_disk_free_bytes"][()] > 0
        assert samples["isthmus_store_bytes"][()] > 0
        assert samples["isthmus_journal_syncs_total"][()] == node.driver.counts.groups
        assert samples["isthmus_guard_writes_total"][()] == node.driver.counts.guard_writes
        assert samples["isthmus_store_commits_total"][()] == node.opened.store.commits
