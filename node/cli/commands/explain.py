"""`isthmus explain CODE`: what a number or a name that Isthmus answered means, and what to do."""

import difflib

import click
from rich.console import Console

from node.api.faults import Fault
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.options import json_option
from node.cli.output import Output, table
from node.ledger.codes import Code


@click.command(
    "explain", help="Say what an exit code, a ledger code or an API error means; without CODE: all."
)
@click.argument("code", required=False)
@json_option
def command(code: str | None, output: Output) -> None:
    """A number may mean something in more than one place; all of them are told."""
    entries = [
        *(("exit code", int(e), e.name.lower().replace("_", "-"), e.meaning) for e in Exit),
        *(("ledger code", int(c), c.label, c.sentence) for c in Code),
        *(("API error", f.value.code, f.value.name, f.value.hint) for f in Fault),
    ]
    wanted = (code or "").lower().replace("_", "-")
    found = [entry for entry in entries if not wanted or wanted in (str(entry[1]), entry[2])]
    if not found:
        close = difflib.get_close_matches(wanted, [entry[2] for entry in entries], n=1)
        hint = f"did you mean {close[0]}?" if close else "`isthmus explain` lists all"
        raise Failure(Exit.USAGE, f"there is no code {code!r}", hint)
    document = {
        "codes": [dict(zip(("kind", "code", "name", "meaning"), entry, strict=True)) for entry in found]
    }

    def for_people(console: Console) -> None:
        console.print(table(("kind", "code", "name", "meaning"), found))

    output.answer(document, for_people)
