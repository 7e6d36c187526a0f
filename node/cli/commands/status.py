"""`isthmus status`: what each node says about itself, and whether it can commit."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from node.api.backend import NodeStatus
from node.api.exchange import ApiError, ClientError
from node.cli.access import access_options, find_access
from node.cli.exits import Exit
from node.cli.options import json_option
from node.cli.output import Output, table
from node.client import Client

_TIMEOUT_MS = 2_000
_BAR_WIDTH = 30


@click.command(
    "status", help="What nodes say about themselves. Exit code 0: all ready; 1: some not; 3: none answers."
)
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@access_options
@json_option
def command(directory: Path | None, output: Output, **options: Any) -> int:
    """DIRECTORY is a testnet's folder."""
    net = directory or options["net"]
    access = find_access(options["urls"], net, options["home"], options["trust"], options["key"])
    looks = [_look(url) for url in access.urls]
    document = {"nodes": [look.document() for look in looks]}

    def for_people(console: Console) -> None:
        headings = ("node", "round", "committed", "certified", "stored", "peers", "ready", "url")
        console.print(table(headings, [look.row() for look in looks]))
        for look in looks:
            if look.status is not None and look.status.benchmark:
                kind = look.status.benchmark
                console.print(f"{look.name}: a benchmark cluster ({kind}); it is no ledger", markup=False)
            if look.status is not None and look.status.pruned_below:
                words = f"transactions below height {look.status.pruned_below} were pruned"
                console.print(f"{look.name}: {words}", markup=False)
            if look.status is not None and look.status.features:
                console.print(
                    f"{look.name}: features in force: {', '.join(look.status.features)}", markup=False
                )
            for leader in () if look.status is None else look.status.left_out:
                console.print(f"{look.name}: {leader.name} is {leader.words}", markup=False)
            if look.status is not None and look.status.sync_target is not None:
                console.print(f"{look.name}: {sync_bar(look.status)}", markup=False)
            for reason in look.reasons:
                console.print(f"{look.name}: {reason}", markup=False)

    output.answer(document, for_people)
    if all(look.status is None for look in looks):
        return Exit.NOT_REACHABLE
    return Exit.OK if all(look.ready for look in looks) else Exit.NEGATIVE


def sync_bar(status: NodeStatus) -> str:
    """How far a node that catches up has come: what it has stored, between where it began and its target."""
    start, target = status.sync_from or 0, status.sync_target or 0
    done = min(max(status.stored_height - start, 0), max(target - start, 0))
    percent = 100 * done // max(1, target - start)
    filled = _BAR_WIDTH * percent // 100
    bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
    return f"catching up [{bar}] {percent} %, height {start + done} of {target}"


class Look:
    """One node at one moment; `status` is None when it did not answer."""

    def __init__(self, url: str, status: NodeStatus | None, ready: bool, reasons: tuple[str, ...]) -> None:
        self.url = url
        self.status = status
        self.ready = ready
        self.reasons = reasons

    @property
    def name(self) -> str:
        """The node's own name, or its address."""
        return self.url if self.status is None else self.status.node_name

    def row(self) -> tuple[object, ...]:
        """One line of the table."""
        if self.status is None:
            return (self.name, "-", "-", "-", "-", "-", "no answer", self.url)
        s = self.status
        connected = sum(peer.connected for peer in s.peers)
        return (
            s.node_name,
            s.round,
            s.committed_height,
            s.certified_height,
            s.stored_height,
            f"{connected}/{len(s.peers)}",
            "yes" if self.ready else "NO",
            self.url,
        )

    def document(self) -> dict[str, object]:
        """The same for programs."""
        status = None if self.status is None else asdict(self.status)
        return {"url": self.url, "ready": self.ready, "reasons": list(self.reasons), "status": status}


def _look(url: str) -> Look:
    """Asks for readiness first: that is one attempt without retries, so a dead node is told at once."""
    with Client((url,), timeout_ms=_TIMEOUT_MS) as client:
        reasons: tuple[str, ...] = ()
        try:
            client.wait_ready(0)
        except ApiError as error:
            reasons = (error.message,)
        except ClientError as error:
            return Look(url, None, False, (str(error),))
        try:
            return Look(url, client.status(), not reasons, reasons)
        except ClientError as error:
            return Look(url, None, False, (str(error),))
