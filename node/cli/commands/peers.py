"""`isthmus peers`: the other validators, and whoever else is linked, as one node sees them."""

from typing import Any

import click
from rich.console import Console

from node.api.peer_queries import why
from node.cli.access import access_options, find_access
from node.cli.exits import Exit
from node.cli.options import json_option
from node.cli.output import Output, document_of, table
from node.cli.said import SAID_HEADINGS, said_row
from node.cli.seen import PEER_HEADINGS, peer_row


@click.command(
    "peers",
    help="The other validators as a node sees them; exit code 1 when one is not linked, or, of a node that "
    "only follows, none.",
)
@access_options
@json_option
def command(output: Output, **options: Any) -> int:
    """Asks the first node that answers."""
    access = find_access(options["urls"], options["net"], options["home"], options["trust"], options["key"])
    with access.client() as client:
        answer = client.look(why())
    document = {
        "node": answer.node.name,
        "reachable_weight": answer.node.reachable_weight,
        "total_weight": answer.node.total_weight,
        "peers": [document_of(peer) for peer in answer.peers],
    }

    def for_people(console: Console) -> None:
        node = answer.node
        console.print(
            f"{node.name} reaches weight {node.reachable_weight} of {node.total_weight}", markup=False
        )
        console.print(table(PEER_HEADINGS, [peer_row(peer, node.round) for peer in answer.peers]))
        for peer in answer.peers:
            if not peer.connected and peer.last_error:
                words = peer.last_error.removeprefix(f"{peer.name}: ")
                console.print(f"{peer.name}: {words}", markup=False)
        console.print(table(SAID_HEADINGS, [said_row(peer) for peer in answer.peers]))

    output.answer(document, for_people)
    linked = [peer.connected for peer in answer.peers if peer.is_validator or not answer.node.weight]
    is_whole = all(linked) if answer.node.weight else any(linked)
    return Exit.OK if is_whole else Exit.NEGATIVE
