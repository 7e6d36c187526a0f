"""What a node exports: its place in the protocol, and every bound with what it holds now.

Values are read when somebody asks; counters live where things happen. Names follow the field's habit
(subsystem, unit last); everything is exported from the start, zeros included.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from consensus import TimeoutReason
from node.daemon.daemon import TICKETS_MAX, Node
from node.daemon.federation.gauges import federation_metrics
from node.daemon.looking import left_out, missed_attestations, own_weight
from node.daemon.performer import SERVED_AT_ONCE_MAX
from node.daemon.readiness import reasons_against
from node.daemon.startup import wall_ms
from node.ledger.codes import Code


class NodeCollector(Collector):
    """One look at a node, as metric families."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Metric]:
        """All families."""
        yield from self._consensus()
        yield from self._bounds()
        yield from self._work()
        yield from self._network()
        yield from self._refusals()
        yield from federation_metrics(self._node.federation, wall_ms())

    def _consensus(self) -> Iterator[Metric]:
        node = self._node
        view = node.validator.replica.view()
        data = node.validator.data
        window = data.pool.sealer.window
        gauges = (
            ("consensus_round", "Round this node is in.", view.round),
            ("consensus_epoch", "Epoch this node is in.", view.epoch),
            ("consensus_height", "Highest committed header height.", view.committed_height),
            ("consensus_certified_height", "Highest certified header height.", view.certified_height),
            ("ledger_executed_height", "Highest executed height.", data.line.executed_height),
            ("ledger_stored_height", "Height readers see.", node.waiters.stored_height),
            ("consensus_qc_round", "Round of the highest quorum certificate.", view.hqc.round),
            ("consensus_round_timeout_ms", "How long a round may take now.", view.round_timeout_ms),
            ("consensus_failed_rounds", "Rounds failed since the last commit.", view.failed_rounds),
            (
                "consensus_diverged",
                "1 after a divergence of the ledger.",
                data.diverged is not None,
            ),
            ("sync_running", "1 while catching up.", data.catchup.running),
            ("consensus_reachable_weight", "Weight of connected validators and own.", self._weight()),
            ("consensus_total_weight", "Weight of all validators.", node.validator.validators.total_weight),
            ("consensus_weight", "Own weight; 0 for who has no vote.", own_weight(node.validator)),
            ("pool_window_bytes", "What of our own batches may be under way now.", window.bytes_max),
            (
                "pool_batch_ms",
                "How long our last batch was under way, from sealing to execution.",
                window.took_ms,
            ),
            (
                "pool_batch_slow_ms",
                "A batch of ours that is under way for longer is slow; 0 before one or a proposal came back.",
                window.slow_ms or 0,
            ),
            ("ready", "1 when this node can commit.", not reasons_against(node)),
        )
        for name, words, value in gauges:
            yield GaugeMetricFamily(f"isthmus_{name}", words, value=float(value))
        if node.opened.genesis.params.benchmark is None:  # chunks are admitted by nobody: 0 would mislead
            pending = len(data.desk.admission)
            yield GaugeMetricFamily(
                "isthmus_transactions_pending", "Admitted here and not stored yet.", value=float(pending)
            )
        timeouts = CounterMetricFamily(
            "isthmus_consensus_timeouts", "Rounds this node gave up, by reason.", labels=["reason"]
        )
        counted = dict(view.timeouts_by_reason)
        for reason in TimeoutReason:
            timeouts.add_metric([reason.name.lower()], counted.get(reason, 0))
        yield timeouts
        waiting = {item.name for item in left_out(node.validator)}
        turns = GaugeMetricFamily(
            "isthmus_consensus_leader_left_out",
            "1 while a validator leads no rounds because it failed to (C12).",
            labels=["validator"],
        )
        for record in node.validator.term.roster.validators:
            turns.add_metric([record.name], record.name in waiting)
        yield turns
        found = missed_attestations(node.validator)
        missed = GaugeMetricFamily(
            "isthmus_pool_attestations_missed",
            "Times in a row that a validator was waited for in vain to verify batches (VC5).",
            labels=["validator"],
        )
        for record in node.validator.term.roster.validators:
            known = found.get(bytes(record.node_key))
            missed.add_metric([record.name], 0 if known is None else known.count)
        yield missed

    def _weight(self) -> int:
        return self._node.validator.reachable_weight()

    def _bounds(self) -> Iterator[Metric]:
        """Every queue, cache and pool: what it holds and what it may hold."""
        node = self._node
        current = GaugeMetricFamily("isthmus_bounded_items", "What a bounded thing holds.", labels=["name"])
        limit = GaugeMetricFamily("isthmus_bounded_limit", "What it may hold.", labels=["name"])
        rows = [*node.validator.limits(), *self._shell_limits(), *node.federation.limits()]
        rows += [(f"p2p_{name}", held, most) for name, (held, most) in node.network.limits().items()]
        for name, held, most in rows:
            current.add_metric([name], held)
            limit.add_metric([name], most)
        yield current
        yield limit

    def _shell_limits(self) -> list[tuple[str, int, int]]:
        node = self._node
        opened = node.opened
        busy, processes = node.workers.busy
        recorded = node.recorded
        rows = (
            [("recording_bytes", recorded.bytes_held, recorded.bytes_limit)] if recorded.bytes_limit else []
        )
        return [
            *rows,
            ("postbox", len(node.postbox), node.postbox.limit),
            ("tickets", node.open_tickets, TICKETS_MAX),
            ("waiters", len(node.waiters), node.waiters.limit),
            ("peer_requests", node.performer.requests_under_way, SERVED_AT_ONCE_MAX),
            *node.executed.limits(),
            *node.performer.askers.limits(),
            ("worker_processes", busy, processes),
            ("timers", len(node.performer.timers), 16),
            ("snapshots", len(opened.store.snapshots), opened.store.snapshots.limit),
            ("snapshot_age_ms", opened.store.snapshots.oldest_ms(), opened.store.snapshots.max_age_ms),
            ("journal_bytes", opened.journal.bytes_used, opened.journal.bytes_limit),
        ]

    def _work(self) -> Iterator[Metric]:
        node = self._node
        loop, hands, opened = node.driver.counts, node.performer.counts, node.opened
        checks = node.validator.data.pool.attesting.counts
        commits = node.validator.commit_times
        counters = (
            (
                "consensus_committed_blocks",
                "Blocks with payload committed since the start, to divide the next by.",
                commits.blocks,
            ),
            (
                "consensus_commit_ms",
                "Milliseconds from their proposal, by their proposers' clocks, to their commit here.",
                commits.total_ms,
            ),
            ("loop_inputs", "Inputs the validator stepped through.", loop.inputs),
            ("journal_syncs", "Groups written and synced to the journal.", loop.groups),
            (
                "guard_writes",
                "Times the guard beside the key was written, two syncs each.",
                loop.guard_writes,
            ),
            ("journal_records", "Records written to the journal.", loop.appends),
            ("journal_written_bytes", "Bytes written to the journal.", loop.journal_bytes),
            ("store_flushes", "Transactions written to the database.", hands.flushes),
            ("store_commits", "Commits of both databases, a sync each.", opened.store.commits),
            ("store_writes", "Entries written to the database.", hands.flushed_writes),
            ("snapshots_ended", "Views of the database ended for their age.", opened.store.snapshots.ended),
            (
                "pool_batches_verified",
                "Batches of others whose signatures were checked here.",
                checks.verified,
            ),
            ("pool_batches_trusted", "Batches believed because a blocking set attests them.", checks.trusted),
            ("pool_attestations_overdue", "Waits for attestations that ended without.", checks.overdue),
            ("pool_attestations_hurried", "Waits that a block under vote ended.", checks.hurried),
            ("worker_deaths", "Verification workers that ended in their work.", node.workers.deaths),
            (
                "transactions_certified",
                "Transactions stored here since the start; opaque ones by what is in their batches.",
                node.validator.data.storing.stored_transactions,
            ),
            ("peer_faults", "Messages of peers that broke a rule.", hands.faults),
            ("peer_requests_served", "Requests of peers answered from storage.", hands.served),
            ("peer_requests_dropped", "Requests of peers dropped at the bound.", hands.dropped_requests),
            ("pruned_heights", "Heights pruned since the start.", node.forgotten.heights),
            (
                "pruned_dead_blocks",
                "Blocks that no chain held, pruned since the start.",
                node.forgotten.dead_blocks,
            ),
            ("recording_entries", "Steps and more that were recorded for a replay.", node.recorded.entries),
        )
        for name, words, value in counters:
            yield CounterMetricFamily(f"isthmus_{name}", words, value=float(value))
        gauges = (
            ("store_bytes", "Size of the database on disk.", opened.store.size_bytes()),
            ("store_map_used_ratio", "Used part of the database's map.", opened.store.used_ratio()),
            ("disk_free_bytes", "Free space where the data is.", opened.store.disk_free_bytes()),
            ("loop_inbox_peak", "Most inputs that ever waited.", node.postbox.peak),
            ("pruned_below_height", "Transactions below it were pruned here.", node.forgotten.below),
            ("recording_running", "1 while this run is recorded.", node.recorded.running),
        )
        for name, words, gauge in gauges:
            yield GaugeMetricFamily(f"isthmus_{name}", words, value=float(gauge))

    def _network(self) -> Iterator[Metric]:
        node = self._node
        up = GaugeMetricFamily("isthmus_p2p_peer_up", "1 when the link is open.", labels=["peer"])
        score = GaugeMetricFamily(
            "isthmus_p2p_peer_score", "Misbehaviour points, which decay; 100 ban.", labels=["peer"]
        )
        banned = GaugeMetricFamily(
            "isthmus_p2p_peer_banned_ms", "How long a ban lasts still; bans always end.", labels=["peer"]
        )
        moved = CounterMetricFamily(
            "isthmus_p2p", "Bytes moved, by topic.", labels=["direction", "topic"], unit="bytes"
        )
        carried = CounterMetricFamily(
            "isthmus_p2p_link", "Bytes moved, by peer.", labels=["direction", "peer"], unit="bytes"
        )
        totals: dict[tuple[str, str], int] = {}
        for peer in node.network.status():
            name = peer.name or peer.peer.hex()[:12]
            up.add_metric([name], float(peer.connected))
            score.add_metric([name], peer.score)
            banned.add_metric([name], peer.banned_for_ms)
            for direction, table in (("in", peer.bytes_in), ("out", peer.bytes_out)):
                carried.add_metric([direction, name], sum(count for _, count in table))
                for topic, count in table:
                    totals[direction, topic] = totals.get((direction, topic), 0) + count
        for (direction, topic), count in sorted(totals.items()):
            moved.add_metric([direction, topic], count)
        yield from (up, score, banned)
        yield moved
        yield carried
        for event, count in node.network.counters().items():
            yield CounterMetricFamily(f"isthmus_p2p_{event}", f"Network events: {event}.", value=count)

    def _refusals(self) -> Iterator[Metric]:
        refused = CounterMetricFamily(
            "isthmus_transactions_refused", "Transactions refused at the door.", labels=["code"]
        )
        failed = CounterMetricFamily(
            "isthmus_transactions_failed", "Transactions stored here that failed.", labels=["code"]
        )
        failures = self._node.validator.data.storing.failed_transactions
        for code in Code:
            refused.add_metric([code.label], self._node.rejected.get(code, 0))
            if code is not Code.OK:
                failed.add_metric([code.label], failures.get(code, 0))
        yield refused
        yield failed


def render_metrics(node: Node) -> bytes:
    """The Prometheus text of one look."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(NodeCollector(node))
    return generate_latest(registry)
