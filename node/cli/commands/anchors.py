"""`isthmus anchors`: the headers of other clusters that this one has verified, and how old they are."""

from typing import Any

import click
from rich.console import Console

from node.api.federation_talk import federation
from node.cli.access import access_options
from node.cli.clusters import age_text, chosen
from node.cli.governing import access_of
from node.cli.options import json_option
from node.cli.output import Output, document_of


@click.command("anchors", help="The newest verified header of each other cluster; its age and status.")
@click.argument("cluster", required=False)
@access_options
@json_option
def command(cluster: str | None, output: Output, **options: Any) -> None:
    """CLUSTER is a name or an id; default: all."""
    with access_of(options).client() as client:
        answer = client.look(federation())
    shown = answer.clusters if cluster is None else (chosen(answer, cluster),)

    def for_people(console: Console) -> None:
        for each in shown:
            console.print(f"{each.name}  {each.status}", markup=False, style="bold")
            console.print(f"  cluster id   {each.cluster_id.hex()}")
            console.print(f"  header       {each.height}:{each.header_hash.hex()}  epoch {each.epoch}")
            console.print(f"  age          {age_text(each.age_ms)} at our height {answer.height}")
            console.print(f"  anchored at  our height {each.anchored_height}")
            if each.incarnation:
                console.print(f"  incarnation  {each.incarnation}")
            if each.is_parked:
                console.print("  lanes        parked until its recovery")
            for key in each.accused:
                console.print(f"  accused      {key.hex()}")
        if not shown:
            console.print("no cluster was admitted; nothing is anchored")

    document = document_of(answer)
    output.answer({**document, "clusters": [document_of(each) for each in shown]}, for_people)
