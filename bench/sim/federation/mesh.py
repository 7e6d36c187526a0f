"""`isthmus-bench federation`: what full mesh costs a node, counted from real bytes and run for one holder.

One cluster anchors all others: every peer has a history with real headers and certificates, a new header each
round, and the holder verifies and executes each update once. Signatures are measured on this machine, in the
same process, so that arithmetic and run can be compared; `REFERENCE` is what the design expects.
"""

import json
from dataclasses import asdict, dataclass
from time import process_time

import click

from bench.processes import machine
from bench.sim.federation.history import History
from bench.sim.federation.keyring import START_MS, key
from bench.sim.federation.ledger import Ledger
from bench.sim.federation.transactions import Block, Deliver, Happened
from consensus import ED25519, digest, encode
from node.anchoring.lanes import InboundBundle
from node.proofs.header import EMPTY_MAP_ROOT

CLUSTERS_MAX, NODES_MAX, ROUNDS_MAX = 512, 128, 64
REFERENCE = {"clusters": 100, "nodes": 7, "kilobytes": 60, "cpu_ms": 35, "signature_us": 70}
_SAMPLES = 400


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one anchoring round at one node; sizes in bytes, times in CPU."""

    clusters: int
    nodes: int
    quorum: int
    signature_us: float
    certified_bytes: int
    counted_bytes: int
    counted_ms: float
    bundle_bytes: int
    carried_bytes: int
    executed_ms: float
    anchored: int

    @property
    def anchor_ms(self) -> float:
        """One update, verified and executed."""
        return self.executed_ms / (self.clusters - 1)


def measure(clusters: int, nodes: int, rounds: int) -> Costs:
    """Count and run; the first round, from genesis, is not counted."""
    holder = Ledger(History("holder", nodes), _unwatched)
    peers = [History(f"peer-{number}", nodes) for number in range(clusters - 1)]
    for peer in peers:
        holder.admit(peer.identity)
    quorum = len(peers[0].keyring.least_quorum(range(nodes)))
    signature_us = _signature_us()
    executed_s, carried = 0.0, 0
    for number in range(rounds + 1):
        now_ms = START_MS + 60_000 * (number + 1)
        bundles = [_bundle(peer, now_ms, nodes) for peer in peers]
        deliveries = tuple(Deliver(peer.cluster_id, data) for peer, data in zip(peers, bundles, strict=True))
        began = process_time()
        holder.execute(Block(number, 0, now_ms + 1, deliveries, tuple(range(nodes))))
        if number:
            executed_s += process_time() - began
            carried += sum(map(len, bundles))
    anchored = sum(holder.clients[peer.cluster_id].last.height == peer.height for peer in peers)
    certified = len(encode(peers[0].certified(peers[0].height).to_value()))
    return Costs(
        clusters,
        nodes,
        quorum,
        signature_us,
        certified,
        (clusters - 1) * certified,
        (clusters - 1) * quorum * signature_us / 1000,
        carried // (rounds * (clusters - 1)),
        carried // rounds,
        executed_s * 1000 / rounds,
        anchored,
    )


def _bundle(peer: History, now_ms: int, nodes: int) -> bytes:
    """The peer's next header, and what leads there from the one before."""
    root = digest("isthmus/simulated-state/v1", encode((peer.name, now_ms)))
    peer.append(
        epoch=0,
        seal=root,
        time_ms=now_ms,
        roots=(root, EMPTY_MAP_ROOT, EMPTY_MAP_ROOT),
        signers=range(nodes),
    )
    update = peer.update(0, peer.height - 1, peer.height)
    return InboundBundle(peer.cluster_id, update.encode(), None, ()).encode()


def _signature_us() -> float:
    """What one verification costs here."""
    signer = key("yardstick", 0)
    message = digest("isthmus/simulated-state/v1", b"yardstick")
    signature = signer.sign(message)
    began = process_time()
    for _ in range(_SAMPLES):
        ED25519.verify(signer.public_key, message, signature)
    return (process_time() - began) * 1e6 / _SAMPLES


def _unwatched(happened: Happened) -> None:
    return


@click.command("federation")
@click.option("--clusters", type=click.IntRange(2, CLUSTERS_MAX), default=100, show_default=True)
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), default=7, show_default=True)
@click.option("--rounds", type=click.IntRange(1, ROUNDS_MAX), default=3, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def command(clusters: int, nodes: int, rounds: int, as_json: bool) -> None:
    """What a round of anchoring in full mesh costs each node: counted, and run for one holder."""
    costs = measure(clusters, nodes, rounds)
    if as_json:
        plain = {**asdict(costs), "anchor_ms": costs.anchor_ms}
        click.echo(json.dumps({**plain, "machine": machine(), "reference": REFERENCE}))
        return
    click.echo(f"{clusters} clusters of {nodes}, quorum {costs.quorum}, full mesh; per node and round")
    click.echo(
        f"  header + certificate {costs.certified_bytes} B; a signature {costs.signature_us:.0f} us here"
    )
    click.echo(f"  counted   {costs.counted_bytes / 1000:6.1f} KB   {costs.counted_ms:6.1f} ms of signatures")
    click.echo(f"  run       {costs.carried_bytes / 1000:6.1f} KB   {costs.executed_ms:6.1f} ms of CPU")
    click.echo(f"  an anchor {costs.bundle_bytes} B, {costs.anchor_ms:.2f} ms; {costs.anchored} anchored")
    if (clusters, nodes) == (REFERENCE["clusters"], REFERENCE["nodes"]):
        words = "{kilobytes} KB, {cpu_ms} ms at {signature_us} us a signature".format(**REFERENCE)
        click.echo(f"  expected  {words}")
    click.echo(f"  {machine()}")
