"""What the federation exports: how each cluster is held, and what couriers and answers have done.

Of a cluster that was never admitted nothing is said; of one that was, everything from the start, zeros
included. Values come from the last look at the stored state, so that a scrape reads no database.
"""

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.questions import Refusal
from node.daemon.federation.asking import Asking
from node.daemon.federation.courier import CourierCounts
from node.daemon.federation.federation import Federation
from node.daemon.federation.telling import Telling

ERROR_CODES = ("unreachable", "disconnected", "silent", "declined", "nothing", "false-proof", "no-progress")
"""Exported from the start; others once they happened."""
_GAUGES = (
    ("anchor_height", "Height at which this cluster's tip is anchored."),
    ("anchor_age_ms", "How old that tip is by this node's clock."),
    ("pending", "Messages to this cluster without acknowledgement."),
    ("stale", "1 when nothing was heard of it for too long."),
    ("frozen", "1 when it certified two histories."),
    ("links", "Nodes of this cluster that are connected."),
)
_COUNTERS = (
    ("courier_rounds", "Rounds of this cluster's courier."),
    ("courier_bundles", "Bundles that were fetched and verified."),
    ("courier_bundle_bytes", "Bytes of these."),
    ("courier_leaves", "Messages and answers in these."),
    ("courier_verify_seconds", "Time that verifying them took."),
    ("courier_submitted", "Bundles that this node submitted."),
    ("courier_forestalled", "Rounds in which another validator was faster."),
)


def federation_metrics(federation: Federation, now_ms: int) -> Iterator[Metric]:
    """All families, by cluster name."""
    gauges = {
        name: GaugeMetricFamily(f"isthmus_federation_{name}", words, labels=["cluster"])
        for name, words in _GAUGES
    }
    counters = {
        name: CounterMetricFamily(f"isthmus_federation_{name}", words, labels=["cluster"])
        for name, words in _COUNTERS
    }
    errors = CounterMetricFamily(
        "isthmus_federation_courier_errors", "Rounds that failed.", labels=["cluster", "code"]
    )
    couriers = federation.couriers
    for view, pending in federation.known:
        client = view.client
        courier = couriers.get(client.cluster_id)
        counts = CourierCounts() if courier is None else courier.counts
        values = {
            "anchor_height": client.last.height,
            "anchor_age_ms": max(0, now_ms - client.last.time_ms),
            "pending": pending,
            "stale": client.status is ClientStatus.STALE,
            "frozen": client.status is ClientStatus.FROZEN,
            "links": federation.links_to(client.cluster_id),
        }
        for name, value in values.items():
            gauges[name].add_metric([client.name], float(value))
        for name, family in counters.items():
            family.add_metric([client.name], getattr(counts, name.removeprefix("courier_")))
        for code in sorted({*ERROR_CODES, *counts.errors}):
            errors.add_metric([client.name, code], counts.errors.get(code, 0))
    yield from gauges.values()
    yield from counters.values()
    yield errors
    yield from _totals(federation)


def _outcomes(name: str, words: str, counted: Asking | Telling) -> Metric:
    family = CounterMetricFamily(f"isthmus_federation_{name}", words, labels=["outcome"])
    for outcome in sorted({*(refusal.value for refusal in Refusal), "busy", *counted.outcomes}):
        family.add_metric([outcome], counted.outcomes.get(outcome, 0))
    return family


def _totals(federation: Federation) -> Iterator[Metric]:
    faults = CounterMetricFamily(
        "isthmus_federation_peer_faults", "What nodes of other clusters must not send.", labels=["code"]
    )
    for code, count in sorted(federation.exchange.faults.items()):
        faults.add_metric([code], count)
    yield faults
    yield _outcomes("questions", "What our members asked other clusters, by outcome.", federation.asking)
    telling = federation.telling
    if telling is not None:
        yield _outcomes("questions_of_others", "What members of other clusters asked, by outcome.", telling)
        yield CounterMetricFamily(
            "isthmus_federation_told_bytes", "Bytes of answers to these.", value=float(telling.told_bytes)
        )
    answering = federation.answering
    served, sent, declined = (
        (0, 0, 0) if answering is None else (answering.served, answering.served_bytes, answering.declined)
    )
    for name, words, value in (
        ("answers", "Questions of other clusters that were answered.", served),
        ("answered_bytes", "Bytes of bundles in these.", sent),
        ("declined", "Questions of other clusters that were declined.", declined),
        ("internal_faults", "Bugs of ours that other clusters reached.", federation.internal_faults),
    ):
        yield CounterMetricFamily(f"isthmus_federation_{name}", words, value=float(value))
