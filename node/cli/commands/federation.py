"""`isthmus federation`: clusters that admit each other, on this machine or far apart."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import trio
from rich.console import Console
from rich.live import Live
from rich.table import Table

from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.options import json_option
from node.cli.output import Output, program, table
from node.local.federation import (
    CLUSTERS_MAX,
    LocalFederation,
    Sight,
    open_or_write,
    run_federation,
)
from node.local.ports import first_busy
from node.local.testnet import NODES_MAX

_HEADINGS = ("cluster", "height", "anchored at", "height there", "lag", "age", "status")


@click.group("federation", help="Clusters that admit each other: up, invite, join, list, leave.")
def command() -> None:
    """The group."""


@command.command("up", help="Start local clusters that admit each other; a live table until Ctrl-C.")
@click.option("--clusters", type=click.IntRange(2, CLUSTERS_MAX), default=3, show_default=True)
@click.option(
    "--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True, help="Nodes of each cluster."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".isthmus/federation"),
    show_default=True,
    help="A new folder, or that of an earlier start, which goes on with all its data.",
)
@json_option
def up(clusters: int, nodes: int, out: Path, output: Output) -> int:
    """Ports are 27600 + 1000 * cluster + 10 * node, or free ones where these are taken."""
    local = open_or_write(out, clusters, nodes)
    busy = first_busy(tuple(node.ports for testnet in local.testnets for node in testnet.nodes))
    if busy is not None:
        raise Failure(
            Exit.PORT_IN_USE,
            f"port {busy} is in use by another process",
            "stop that one (this federation, started elsewhere?), or write a new one: --out DIR",
        )
    output.answer(_document(local), lambda console: _describe(console, local))
    screen = Screen()
    with screen.shown():
        has_ended_well = trio.run(run_federation, local, screen.say, screen.show)
    return Exit.OK if has_ended_well else Exit.CHILD_DIED


class Screen:
    """The table on standard error: redrawn on a terminal; elsewhere a new one when a status changes."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._statuses: tuple[str, ...] = ()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """For as long as something may be shown."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False) as live:
            self._live = live
            yield
        self._live = None

    def say(self, text: str) -> None:
        """A sentence."""
        self._console.print(text, markup=False)

    def show(self, sights: tuple[Sight, ...]) -> None:
        """The newest look around."""
        statuses = tuple(_status(sight) for sight in sights)
        if self._live is not None:
            self._live.update(sights_table(sights), refresh=True)
        elif statuses != self._statuses:
            self._console.print(sights_table(sights))
        self._statuses = statuses


def sights_table(sights: Sequence[Sight]) -> Table:
    """A row for each cluster and each other one that holds it."""
    return table(_HEADINGS, [_row(sight) for sight in sights])


def _row(sight: Sight) -> tuple[object, ...]:
    held = sight.held
    anchored = ("-", "-", "-") if held is None else (held.height, _or_dash(sight.lag), _age(sight.age_ms))
    return (sight.name, _or_dash(sight.height), sight.holder, *anchored, _status(sight))


def _status(sight: Sight) -> str:
    if sight.height is None:
        return "no answer"
    return "not admitted" if sight.held is None else sight.held.status


def _or_dash(number: int | None) -> object:
    return "-" if number is None else number


def _age(age_ms: int) -> str:
    return f"{age_ms / 1000:.1f} s"


def _document(local: LocalFederation) -> dict[str, object]:
    return {
        "directory": str(local.directory),
        "clusters": [
            {
                "name": testnet.name,
                "cluster_id": testnet.cluster_id,
                "directory": str(testnet.directory),
                "urls": [node.url for node in testnet.nodes],
            }
            for testnet in local.testnets
        ],
    }


def _describe(console: Console, local: LocalFederation) -> None:
    console.print(f"Federation in {local.directory}", markup=False)
    rows = [
        (testnet.name, testnet.cluster_id.hex(), testnet.nodes[0].url, testnet.directory)
        for testnet in local.testnets
    ]
    console.print(table(("cluster", "cluster id", "API of node0", "folder"), rows))
    first = local.testnets[0].directory
    console.print("In another terminal:")
    console.print(f"  {program()} federation list --net {first}", markup=False)
    console.print(f"  {program()} tx put demo/hello README.md --net {first}", markup=False)
