"""`isthmus-bench`: measurements of this machine and of a cluster on it.

Thin on purpose: each measurement is a file of its own that registers here under its name.
"""

import click

from bench import epochs, hostile, local, replaying, restart, rolling, soak, step
from bench.chaos import command as chaos
from bench.cluster import command as cluster
from bench.gossip import command as gossip
from bench.join import command as join
from bench.lanes import command as lanes
from bench.lanes import proofs
from bench.micro import command as micro
from bench.profiling import command as profiling
from bench.report import command as report
from bench.scale import command as scale
from bench.sim import command as sim
from bench.sim.federation import mesh
from bench.sim.twins import command as twins
from node.cli.group import CommandTable


@click.group(cls=CommandTable, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="isthmus", prog_name="isthmus-bench")
def main() -> None:
    """Measure Isthmus; a figure without its machine, duration and load is worth nothing."""


main.add_command(chaos.command)
main.add_command(cluster.command)
main.add_command(epochs.command)
main.add_command(gossip.command)
main.add_command(hostile.command)
main.add_command(lanes.command)
main.add_command(join.command)
main.add_command(local.command)
main.add_command(mesh.command)
main.add_command(micro.command)
main.add_command(profiling.command)
main.add_command(proofs.command)
main.add_command(replaying.command)
main.add_command(report.command)
main.add_command(restart.command)
main.add_command(rolling.command)
main.add_command(scale.command)
main.add_command(sim.command)
main.add_command(soak.command)
main.add_command(step.command)
main.add_command(twins.command)
