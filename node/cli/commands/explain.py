"""`isthmus explain`: what a code that Isthmus answered means, or what a message waits for."""

import difflib
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console

from node.anchoring.lanes.messages import Mode
from node.api.federation_talk import explanation_of
from node.cli.access import access_options
from node.cli.catalogue import entries
from node.cli.clusters import find_cluster
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.governing import access_of
from node.cli.options import json_option
from node.cli.output import Output, document_of, table
from node.ledger.apps.sharing import SHARE_PORT

_STEPS = {
    "not-sent": "it was not sent",
    "certification": "its header is not certified here yet",
    "anchoring": "the other cluster has not anchored the header that names it",
    "earlier-sequence": "earlier messages of its ordered lane come first",
    "delivery": "it is anchored there and next: a courier, a quota or the deadline decides",
    "delivery-or-answer": "whether it was delivered is not known here; its answer has not come back",
    "answer": "it was delivered or has expired there; the proof of the answer is not here yet",
    "recovery": "the other cluster is frozen or retired; it waits for a recovery",
    "confirmation": "it was answered on a branch that was dropped; the recovered one has not said the same",
    "closed-place": "the other cluster closed its place after a recovery; what was answered there decides, "
    "and it is EXPIRED where that was another message",
    "closed": "its place was closed after a recovery: it was answered before and the answer is kept no more, "
    "or it is EXPIRED (closed-by-recovery), as whoever sent it was told",
    "gap": "no message of ours stands there, nor ever will: the lane goes on above the places that the other "
    "cluster closed after a recovery; what a dropped branch said there was told EXPIRED or its answer",
    "nothing": "it is settled",
}
"""The steps of `node/anchoring/lanes/tracing.py` in words."""


@click.command(
    "explain",
    help="Say what a code that Isthmus answered means, and what to do; without CODE: all. "
    "With --cluster, CODE is a message's number: say what it waits for.",
)
@click.argument("code", required=False)
@click.option("--cluster", help="The cluster (name or id) that message CODE was sent to.")
@click.option("--port", default=SHARE_PORT, show_default=True, help="The message's port.")
@click.option("--mode", type=click.Choice([mode.name.lower() for mode in Mode]), default="unordered")
@access_options
@json_option
def command(
    code: str | None, cluster: str | None, port: str, mode: str, output: Output, **options: Any
) -> None:
    """CODE is a number or a name. It may mean something in more than one place; all of them are told."""
    if cluster is None:
        _explain_code(code, output)
        return
    if code is None or not code.isdecimal() or int(code) < 1:
        raise Failure(Exit.USAGE, f"{code!r} is no message's number", "messages of a lane count from 1")
    with access_of(options).client() as client:
        found = find_cluster(client, cluster)
        question = explanation_of(found.cluster_id, int(code), port=port, mode=Mode[mode.upper()])
        answer = client.look(question)

    def for_people(console: Console) -> None:
        result = "" if answer.result is None else f", result {answer.result}"
        console.print(f"{answer.step}: {_STEPS.get(answer.step, answer.step)}{result}", markup=False)
        if answer.sent_height is not None:
            console.print(f"  sent at      our height {answer.sent_height}")
        if answer.deadline_ms is not None:
            console.print(
                f"  deliverable  until {answer.deadline_ms} ms of {found.name}'s time", markup=False
            )

    output.answer(document_of(answer), for_people)


def _explain_code(code: str | None, output: Output) -> None:
    every = entries()
    wanted = (code or "").lower().replace("_", "-")
    found = [entry for entry in every if not wanted or wanted in (str(entry.code), entry.name)]
    if not found:
        close = difflib.get_close_matches(wanted, [entry.name for entry in every], n=1)
        hint = f"did you mean {close[0]}?" if close else "`isthmus explain` lists all"
        raise Failure(Exit.USAGE, f"there is no code {code!r}", hint)
    document = {"codes": [asdict(entry) for entry in found]}

    def for_people(console: Console) -> None:
        rows = [(e.kind, "" if e.code is None else e.code, e.name, e.meaning) for e in found]
        console.print(table(("kind", "code", "name", "meaning"), rows))

    output.answer(document, for_people)
