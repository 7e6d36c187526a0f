"""`isthmus db`: looks after a stopped node's database."""

import os

import click
from rich.console import Console

from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.options import home_option, json_option
from node.cli.output import Output
from node.config import load_config
from node.daemon.keylock import KeyLock
from node.daemon.startup import check_data
from node.home import Home

_WAY_OUT = (
    "While a quorum of the other nodes is in order, move the data folder away (never keys) and start: the "
    "node fetches everything again. One node at a time, and keep what was moved until it has caught up."
)


@click.group("db", help="Check a node's database.")
def command() -> None:
    """The group."""


@command.command(
    "check", help="Read all data of a stopped node, journal included; exit code 1 when something is wrong."
)
@home_option
@json_option
def check(home: Home, output: Output) -> int:
    """Takes the node's lock, so that nothing writes meanwhile."""
    config = load_config(home, os.environ).config
    if not home.chain_dir.exists():
        raise Failure(Exit.NEGATIVE, f"there is no database in {home.data_dir} yet; a first start makes it")
    with KeyLock.acquire(home.keys_dir):
        findings = check_data(config)
    document = {"home": str(home.path), "ok": not findings, "findings": findings}

    def for_people(console: Console) -> None:
        for finding in findings:
            console.print(finding, markup=False)
        if findings:
            console.print(_WAY_OUT)
        else:
            console.print(f"the database in {home.data_dir} is in order", markup=False)

    output.answer(document, for_people)
    return Exit.NEGATIVE if findings else Exit.OK
