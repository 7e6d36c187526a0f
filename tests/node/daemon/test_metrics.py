"""What a running node tells Prometheus: above all every bound, with what it holds now."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from node.daemon.daemon import Node
from node.daemon.metrics import render_metrics
from tests.node.daemon.running import config_of, running_node, written

NOT_OF_THE_VALIDATOR = {
    "postbox",
    "tickets",
    "waiters",
    "worker_processes",
    "timers",
    "snapshots",
    "journal_bytes",
    "peer_requests",
    "p2p_connections",
    "p2p_pending_connections",
    "p2p_inbox_items",
    "p2p_inbox_bytes",
    "p2p_gossip_seen_items",
    "p2p_gossip_store_items",
    "p2p_gossip_store_bytes",
    "p2p_gossip_pulls",
    "p2p_send_urgent_items",
    "p2p_send_urgent_bytes",
    "p2p_send_normal_items",
    "p2p_send_normal_bytes",
    "p2p_send_bulk_items",
    "p2p_send_bulk_bytes",
}
BOUNDED_IN_BYTES = {
    "orphan_bytes",
    "pool_unordered_bytes",
    "pool_ordered_bytes",
    "pool_unsealed_bytes",
    "admission_waiting_bytes",
    "sync_buffered_bytes",
    "ledger_overlay_bytes",
    "journal_bytes",
}


def table_of(node: Node, family: str) -> dict[str, float]:
    families = {f.name: f for f in text_string_to_metric_families(render_metrics(node).decode())}
    return {sample.labels["name"]: sample.value for sample in families[family].samples}


async def test_everything_bounded_is_told_with_what_it_holds_and_its_bound(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node:
        held, most = table_of(node, "isthmus_bounded_items"), table_of(node, "isthmus_bounded_limit")
        of_the_validator = {name for name, _, _ in node.validator.limits()}
    assert held.keys() == most.keys()
    assert NOT_OF_THE_VALIDATOR | of_the_validator == held.keys()
    assert held.keys() >= BOUNDED_IN_BYTES
    assert [name for name in held if not 0 <= held[name] <= most[name]] == []
    # A node without peers has no room for what peers send.
    assert [name for name in held if most[name] == 0 and not name.startswith("p2p_")] == []


async def test_every_metric_says_what_it_is(tmp_path: Path) -> None:
    async with running_node(config_of(written(tmp_path / "net"))) as node:
        families = list(text_string_to_metric_families(render_metrics(node).decode()))
    assert len(families) > 40
    assert all(family.name.startswith("isthmus_") for family in families)
    assert [family.name for family in families if not family.documentation.endswith(".")] == []
    assert len({family.name for family in families}) == len(families)
