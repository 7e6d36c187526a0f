"""`isthmus safety`: moves a validator, with what its key has signed, from one machine to another."""

import os
import time
from pathlib import Path

import click
from rich.console import Console

from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.group import CommandTable
from node.cli.options import home_option, json_option
from node.cli.output import Output, program
from node.config import load_config
from node.daemon.keylock import KeyLock
from node.daemon.safetyfile import MOVE_BYTES, export_safety, given_away, import_safety, read_safety
from node.daemon.startup import signing_floor
from node.genesis import Genesis
from node.home import Home

_NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("safety", cls=CommandTable, help="Move a validator to another machine: export, import.")
def command() -> None:
    """The group."""


@command.command("export", help="Give the stopped validator of --home away: it does not start here again.")
@click.argument("file", type=_NEW_FILE)
@home_option
@json_option
def export(file: Path, home: Home, output: Output) -> None:
    """Writes what its key has signed; the keys are copied apart."""
    config = load_config(home, os.environ).config
    if config.role == "observer":
        raise Failure(Exit.USAGE, f"{home.path} is an observer's, which signs nothing", "just move its files")
    if not file.absolute().parent.is_dir():
        raise Failure(Exit.USAGE, f"there is no folder {file.absolute().parent}", "make it, or name another")
    cluster_id = _cluster_of(home)
    with KeyLock.acquire(home.keys_dir):
        floor, before = signing_floor(config), given_away(home)
        made = export_safety(
            home,
            config.name,
            cluster_id,
            floor,
            file.absolute(),
            time.time_ns() // 1_000_000,
            os.urandom(MOVE_BYTES),
        )
    if before:
        output.remark(
            f"WARNING: it was given away before, {before}: see to it that only one file is imported, once"
        )
    document = {
        "file": str(file),
        "validator": config.name,
        "consensus_key": made.consensus_key.hex(),
        "epoch": made.guard.epoch,
        "round": made.guard.round_bound,
        "height": made.guard.height_bound,
    }

    def for_people(console: Console) -> None:
        console.print(
            f"{config.name} is given away: {home.path} does not start as this validator any more",
            markup=False,
        )
        console.print(f"  signed up to round {made.guard.round_bound}, height {made.guard.height_bound}")
        console.print("On the new machine, with the same genesis.json and an empty data folder:")
        console.print(
            "  copy keys/validator.key and keys/node.key of this home (these two files, nothing else)"
        )
        console.print(f"  {program()} safety import {file.name} --home HOME && {program()} start --home HOME")
        console.print("To take it back instead, if nobody imported it:")
        console.print(f"  {program()} safety import {file} --take-back --home {home.path}", markup=False)

    output.answer(document, for_people)


@command.command("import", help="Take over a validator whose keys are in --home; refuses what is older.")
@click.argument("file", type=_FILE)
@click.option("--take-back", is_flag=True, help="Undo the export of this very home: nobody imported it.")
@home_option
@json_option
def take_over(file: Path, take_back: bool, home: Home, output: Output) -> None:
    """The node then signs only above what the file says."""
    load_config(home, os.environ)
    cluster_id, read = _cluster_of(home), read_safety(file)
    with KeyLock.acquire(home.keys_dir):
        import_safety(home, cluster_id, read, take_back=take_back)
    document = {
        "validator": read.name,
        "home": str(home.path),
        "round": read.guard.round_bound,
        "height": read.guard.height_bound,
        "taken_back": take_back,
    }

    def for_people(console: Console) -> None:
        console.print(f"{home.path} is validator {read.name} now; start it", markup=False)
        if not take_back:
            console.print(
                f"  it signs above round {read.guard.round_bound} and height {read.guard.height_bound} only"
            )

    output.answer(document, for_people)


def _cluster_of(home: Home) -> bytes:
    if not home.genesis_file.exists():
        raise Failure(
            Exit.CONFIGURATION, f"{home.genesis_file} is missing", "copy the cluster's genesis.json there"
        )
    return Genesis.from_json(home.genesis_text()).cluster_id
