"""`isthmus`: the door of the command line.

Commands are imported when they are used and not before: worker processes import this module again
when they start, and every package imported here would cost them its memory.
"""

import gc
import importlib.metadata
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

import click

from node.cli.exits import Exit
from node.cli.failures import Told, explain, root_of
from node.cli.group import Entry, LazyCommands
from node.cli.plain import tame, tame_json

COMMANDS: dict[str, str] = {
    "testnet": "Write a local cluster's folders and, with --start, run it.",
    "demo": "Start a cluster, publish real data, verify it, show a table.",
    "init": "Make the folder and the keys of one node.",
    "genesis": "Make a genesis together with other organisations: new, join, collect.",
    "doctor": "Check a node's home, machine and neighbours before it starts.",
    "start": "Run the node of a folder.",
    "observe": "Follow a cluster without a vote: one command makes and runs the node.",
    "federation": "Clusters that admit each other: up, invite, join, list, leave.",
    "anchors": "Show the verified headers of other clusters.",
    "lanes": "Show what passes between this cluster and others.",
    "governance": "Change validators, members and policies: propose, approve, show.",
    "status": "Show what nodes say about themselves.",
    "why": "Say why a node or its cluster stands still, and what to do.",
    "peers": "Show the other validators as a node sees them.",
    "tx": "Send transactions: put, supersede, share, raw.",
    "query": "Read: record, history, tx, header.",
    "prove": "Export a proof of a transaction or a record as one file.",
    "verify": "Check a proof offline against a trusted genesis hash.",
    "evidence": "Evidence that a cluster signed two histories: list, check offline.",
    "show-node-id": "Print a node's public keys.",
    "key": "Replace a validator's keys: a guided rotation.",
    "config": "Show or check a node's configuration.",
    "db": "Look after a node's database: check, backup, restore, prune, export, import.",
    "safety": "Move a validator to another machine: export, import.",
    "explain": "Say what a code means and what to do about it.",
}
"""Name -> one line of help; the command is `node.cli.commands.<name, dashes as underscores>.command`."""
GARBAGE_THRESHOLD = 50_000
"""New objects between two looks for cycles. What is imported stays: to look through all of it again and
again, as the interpreter does every 700 objects, is a tenth of what a start costs."""
RUN_NODES = (["start"], ["observe"])
"""The commands that run a node."""
_TABLE = {name: Entry("node.cli.commands." + name.replace("-", "_"), line) for name, line in COMMANDS.items()}


def installed_version() -> str:
    """The version of the installed distribution, or "source" where the files are run uninstalled."""
    try:
        return importlib.metadata.version("isthmus")
    except importlib.metadata.PackageNotFoundError:
        return "source"


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"isthmus {installed_version()}")
        context.exit()


@click.command(cls=LazyCommands, table=_TABLE, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version, help="Show it."
)
@click.option("--debug", is_flag=True, help="Show the traceback of a fault of Isthmus.")
def isthmus(debug: bool) -> None:
    """A permissioned, coin-less ledger: BFT clusters that federate natively."""


def run(arguments: list[str]) -> int:
    """Run one command line and return the exit code; nothing is raised and no traceback reaches people."""
    try:
        result = isthmus.main(args=arguments, prog_name="isthmus", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort:
        return _tell(Told(Exit.INTERRUPTED, "interrupted"), arguments)
    except click.exceptions.NoArgsIsHelpError as asked:
        sys.stderr.write(f"{asked.format_message()}\n")
        return Exit.USAGE
    except click.ClickException as wrong:
        context = getattr(wrong, "ctx", None)
        hint = f"see `{context.command_path} --help`" if context is not None else ""
        return _tell(Told(Exit.USAGE, wrong.format_message(), hint), arguments)
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:
        told = explain(error)
        if "--debug" in arguments and told is None:
            traceback.print_exc()
        return _tell(told or _bug(error), arguments)
    return int(result) if isinstance(result, int) else Exit.OK


def _bug(error: BaseException) -> Told:
    """Keep the traceback in a file and say where it is."""
    with tempfile.NamedTemporaryFile(
        "w",
        prefix=f"isthmus-{time.strftime('%Y%m%d-%H%M%S')}-",
        suffix=".log",
        delete=False,
        encoding="utf-8",
    ) as log:
        traceback.print_exception(error, file=log)
    root = root_of(error)
    first_line = f"{type(root).__name__}: {root}".splitlines()[0]
    return Told(
        Exit.BUG,
        f"this is a fault of Isthmus, not yours: {first_line}",
        f"please report it together with {Path(log.name)}",
    )


def _tell(told: Told, arguments: list[str]) -> int:
    name = f" ({told.name})" if told.name and told.name not in told.message else ""
    sentence = tame(f"isthmus: {told.message}{name}\n" + (f"  {told.hint}\n" if told.hint else ""))
    if "--json" in arguments:
        try:
            sys.stdout.write(tame_json(json.dumps(told.as_json(), indent=2, ensure_ascii=False)) + "\n")
            sys.stdout.flush()
        except OSError:  # standard output is what failed
            sys.stderr.write(sentence)
    else:
        sys.stderr.write(sentence)
    return int(told.exit_code)


def main() -> None:
    """The console script."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    code = run(sys.argv[1:])
    if sys.argv[1:2] in RUN_NODES:
        _leave(code)
    sys.exit(code)


def _leave(code: int) -> None:
    """End the process at once. A node has closed what it had open, and to take its thousand modules apart
    costs a quarter of a second of CPU, which each restart would wait for. Returns when its last words cannot
    be written: an ordinary exit tells that."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # who starts us may have closed it
                stream.flush()
    except OSError:
        return
    os._exit(code)


if __name__ == "__main__":
    main()
