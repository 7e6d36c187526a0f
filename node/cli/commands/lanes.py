"""`isthmus lanes`: what was sent to other clusters and acknowledged, what waits, and what came from them."""

from typing import Any

import click
from rich.console import Console

from node.api.federation_queries import LaneAnswer
from node.api.federation_talk import federation, lanes_of
from node.cli.access import access_options
from node.cli.clusters import chosen
from node.cli.governing import access_of
from node.cli.options import json_option
from node.cli.output import Output, document_of, table

_HEADINGS = ("cluster", "direction", "port", "mode", "sent", "acknowledged", "pending", "oldest", "received")


@click.command("lanes", help="The lanes with other clusters: sent, acknowledged, pending, received.")
@click.argument("cluster", required=False)
@access_options
@json_option
def command(cluster: str | None, output: Output, **options: Any) -> None:
    """CLUSTER is a name or an id; default: all."""
    with access_of(options).client() as client:
        answer = client.look(federation())
        shown = answer.clusters if cluster is None else (chosen(answer, cluster),)
        listed = [(each.name, client.look(lanes_of(each.cluster_id))) for each in shown]
    rows = [_row(name, lane) for name, answered in listed for lane in answered.lanes]

    def for_people(console: Console) -> None:
        console.print(table(_HEADINGS, rows) if rows else "nothing was said on any lane")

    output.answer({"clusters": [{"name": name, **document_of(each)} for name, each in listed]}, for_people)


def _row(name: str, lane: LaneAnswer) -> tuple[object, ...]:
    if lane.is_outgoing:
        oldest = "-" if lane.oldest is None else lane.oldest
        return (name, "out", lane.port, lane.mode, lane.sent, lane.acked, lane.pending, oldest, "-")
    return (name, "in", lane.port, lane.mode, "-", "-", "-", "-", lane.received)
