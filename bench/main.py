"""`isthmus-bench`: measurements of this machine and of a cluster on it.

Thin on purpose: each measurement is a file of its own, imported when it is asked for and not before.
"""

import click

from node.cli.group import Entry, LazyCommands

COMMANDS: dict[str, Entry] = {
    "chaos": Entry(
        "bench.chaos.command",
        "Hurt a real cluster while clients use it; then check what they were told against the chain.",
    ),
    "cluster": Entry(
        "bench.cluster.command",
        "Throughput and latency of real daemons under honest, signed or opaque load, with what it costs.",
    ),
    "epochs": Entry(
        "bench.epochs",
        "Grow a cluster and shrink it again under load; exit code 1 when anything is lost.",
    ),
    "federation": Entry(
        "bench.sim.federation.mesh",
        "What a round of anchoring in full mesh costs each node: counted, and run for one holder.",
    ),
    "gossip": Entry(
        "bench.gossip.command",
        "Messages a second from one node to its peers, over TLS, each a process of its own.",
    ),
    "hostile": Entry(
        "bench.hostile",
        "What an honest client notices while all nodes are flooded, lied to, and held up.",
    ),
    "join": Entry(
        "bench.join.command",
        "An empty observer joins a chain: the chain is signed by the cluster's own keys without "
        "agreement, then one real daemon serves it and another one, empty, verifies, executes and "
        "stores it.",
    ),
    "lanes": Entry(
        "bench.lanes.command",
        "Messages from one local cluster to another: how long they take, and whether a rate is carried.",
    ),
    "local": Entry(
        "bench.local",
        "Idle CPU, lone-transaction latency and bulk rate of a fresh local cluster.",
    ),
    "micro": Entry(
        "bench.micro.command",
        "CPU microseconds of single operations: codec, signatures, trees, disk, steps, batches, TLS.",
    ),
    "profile": Entry(
        "bench.profiling.command",
        "What a transaction costs all daemons, phase by phase, in a scenario of `cluster`.",
    ),
    "proofs": Entry(
        "bench.lanes.proofs",
        "Sizes of headers with certificates and of bundles, and the CPU time of an anchor's verification.",
    ),
    "replay": Entry("bench.replaying", "Repeat a node's recorded run and stop at the first difference."),
    "report": Entry(
        "bench.report.command",
        "A page with curves, distributions, faults and history, and the README's table.",
    ),
    "restart": Entry(
        "bench.restart",
        "All nodes end at once and start again: time to the first commit; and an observer's memory.",
    ),
    "rolling": Entry(
        "bench.rolling",
        "Restart each node of a cluster in turn while clients go on; exit code 1 when anything is lost.",
    ),
    "scale": Entry(
        "bench.scale.command",
        "What a round costs a replica in clusters of growing size, against the arithmetic.",
    ),
    "sim": Entry(
        "bench.sim.command",
        "Whole clusters of the shipped validator in one thread and virtual time, hurt by a seed.",
    ),
    "soak": Entry("bench.soak", "Memory under steady load, and every bound checked while it runs."),
    "step": Entry("bench.step", "CPU of Replica.step a round and replica."),
    "twins": Entry(
        "bench.sim.twins.command",
        "Shipped replicas, some of them twice with one key, through every partition and every leader.",
    ),
}
"""Name -> where the command is and one line of help, its own first sentence."""


@click.group(cls=LazyCommands, table=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="isthmus", prog_name="isthmus-bench")
def main() -> None:
    """Measure Isthmus; a figure without its machine, duration and load is worth nothing."""
