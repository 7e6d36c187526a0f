"""`isthmus-bench proofs`: how large is what crosses between clusters, and what checking it takes, beside the
floors.

Everything is made by the shipped ledger in memory: the tip's header with its certificate, and what a courier
brings for one message. Times are CPU, signatures checked anew each time.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median
from time import process_time_ns

import click

from bench.processes import machine
from bench.sim.federation.scenario import FederationScenario, mesh
from bench.sim.federation.transactions import Block, Send
from bench.sim.federation.world import Federation
from consensus import SignatureCache, encode
from node.anchoring.client.lightclient import Update, update
from node.anchoring.client.state import ClientState
from node.anchoring.lanes import BundleRequest, Mode

SIZES = (4, 7)
CERTIFIED_BYTES_FLOORS: Mapping[int, int] = {4: 660, 7: 790}
VERIFY_MS_FLOORS: Mapping[int, float] = {4: 0.5, 7: 1.0}
BUNDLE_BYTES_FLOOR = 3_000
LOG_LEVELS = 20
"""A bundle is also told for a log of 2^20 leaves: each doubling adds one hash to a path."""
_HASH_BYTES = 34
_MESSAGES = 128
_CHECKS = 41


@dataclass(frozen=True, slots=True)
class Proofs:
    """Of a cluster of `nodes`. `bundle_bytes` is an update with one message of `payload_bytes` out of a log
    of 2^`log_levels`; `long_log_bundle_bytes` the same out of 2^LOG_LEVELS."""

    nodes: int
    certified_bytes: int
    verify_ms: float
    payload_bytes: int
    log_levels: int
    bundle_bytes: int
    long_log_bundle_bytes: int

    def reached(self) -> dict[str, bool]:
        """Which floors hold; those of other numbers of nodes do not exist."""
        found = {"bundle_bytes": self.long_log_bundle_bytes <= BUNDLE_BYTES_FLOOR}
        if self.nodes in CERTIFIED_BYTES_FLOORS:
            found["certified_bytes"] = self.certified_bytes <= CERTIFIED_BYTES_FLOORS[self.nodes]
            found["verify_ms"] = self.verify_ms < VERIFY_MS_FLOORS[self.nodes]
        return found


def measure(nodes: int) -> Proofs:
    """Two clusters in memory, one of which has said 128 messages to the other, whose client is at genesis."""
    scenario = FederationScenario(1, 2, nodes, 1, mesh(2), (), is_shipped=True)
    source, holder = (cluster.main.ledger for cluster in Federation(scenario).clusters)
    payload = b"coin 7".ljust(200)
    for number in range(_MESSAGES):
        said = Send(holder.cluster_id, Mode.UNORDERED, payload, 600_000)
        source.execute(Block(number, 0, source.now_ms + 200, (said,), tuple(range(nodes))))
    tip = source.history.certified(source.history.height)
    held = holder.held(source.cluster_id)
    request = BundleRequest(held.incarnation, held.height, held.incoming, held.outgoing, 1, 64 * 1024)
    bundle = None if source.serving is None else source.serving.answer(holder.cluster_id, request)
    if bundle is None or bundle.update is None:
        raise RuntimeError("nothing was said")
    size, levels = len(bundle.encode()), len(bundle.leaves[0].path)
    return Proofs(
        nodes,
        len(tip.header.encoded) + len(encode(tip.certificate.to_value())),
        _verify_ms(holder.clients[source.cluster_id], Update.decode(bundle.update)),
        len(payload),
        levels,
        size,
        size + _HASH_BYTES * (LOG_LEVELS - levels),
    )


def _verify_ms(client: ClientState, found: Update) -> float:
    """The median of several, without the first."""
    times = []
    for _ in range(_CHECKS):
        began = process_time_ns()
        update(client, found, found.certified.header.time_ms + 1, SignatureCache())
        times.append(process_time_ns() - began)
    return median(times[1:]) / 1e6


@click.command("proofs")
@click.option("--json", "as_json", is_flag=True)
def command(as_json: bool) -> None:
    """Sizes of headers with certificates and of bundles, and the CPU time of an anchor's verification."""
    found = [measure(nodes) for nodes in SIZES]
    if as_json:
        plain = [{**asdict(each), "reached": each.reached()} for each in found]
        click.echo(json.dumps({"machine": machine(), "proofs": plain}))
        return
    for each in found:
        reached = each.reached()
        rows = (
            (
                "certified_bytes",
                f"header + certificate {each.certified_bytes} B",
                f"{CERTIFIED_BYTES_FLOORS[each.nodes]} B",
            ),
            (
                "verify_ms",
                f"verified in {each.verify_ms:.2f} ms of CPU",
                f"{VERIFY_MS_FLOORS[each.nodes]:g} ms",
            ),
            (
                "bundle_bytes",
                f"a bundle with one message {each.bundle_bytes} B, "
                f"out of 2^{LOG_LEVELS} {each.long_log_bundle_bytes} B",
                f"{BUNDLE_BYTES_FLOOR} B",
            ),
        )
        for name, words, floor in rows:
            verdict = "reached" if reached[name] else "NOT REACHED"
            click.echo(f"n={each.nodes}: {words} (floor {floor}: {verdict})")
    click.echo(machine())
