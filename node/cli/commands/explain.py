"""`isthmus explain CODE`: what a number or a name that Isthmus answered means, and what to do."""

import difflib
from dataclasses import asdict

import click
from rich.console import Console

from node.cli.catalogue import entries
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.options import json_option
from node.cli.output import Output, table


@click.command(
    "explain", help="Say what a code that Isthmus answered means, and what to do; without CODE: all."
)
@click.argument("code", required=False)
@json_option
def command(code: str | None, output: Output) -> None:
    """CODE is a number or a name. It may mean something in more than one place; all of them are told."""
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
