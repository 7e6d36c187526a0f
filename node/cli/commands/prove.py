"""`isthmus prove`: export a fact with everything needed to check it offline, as one file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from node.cli.access import Access, access_options, find_access
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.hashes import HashType
from node.cli.options import json_option
from node.cli.output import Output, program
from node.home import HomeError, write_new

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


@click.group("prove", help="Export a proof of a transaction or a record as one file.")
def command() -> None:
    """The group."""


def _proving_options(function: _Decorated) -> _Decorated:
    for decorate in (
        json_option,
        click.option("--checkpoint", type=click.IntRange(0), help="Also connect the header of this height."),
        click.option(
            "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The new file."
        ),
        access_options,
    ):
        function = decorate(function)
    return function


@command.command("tx", help="Prove that a transaction was certified, and with which outcome.")
@click.argument("transaction_id", type=HashType())
@_proving_options
def transaction(
    transaction_id: bytes, out: Path, checkpoint: int | None, output: Output, **options: Any
) -> None:
    """The bundle holds the transaction, its receipt, the paths, the header and its certificate."""
    access = _access(options)
    with access.client() as client:
        bundle = client.prove_transaction(transaction_id, checkpoint=checkpoint)
    _save(bundle, out, access, output)


@command.command("record", help="Prove a record's newest version, or that there is no such record.")
@click.argument("record_id")
@_proving_options
def record(record_id: str, out: Path, checkpoint: int | None, output: Output, **options: Any) -> None:
    """The bundle holds the state entry, its path, the header and its certificate."""
    access = _access(options)
    with access.client() as client:
        bundle = client.prove_record(record_id, checkpoint=checkpoint)
    _save(bundle, out, access, output)


def _access(options: dict[str, Any]) -> Access:
    return find_access(options["urls"], options["net"], options["home"], options["trust"], options["key"])


def _save(bundle: bytes, out: Path, access: Access, output: Output) -> None:
    try:
        write_new(out, bundle, 0o644)
    except HomeError as error:
        raise Failure(Exit.USAGE, str(error)) from error
    trust = "HASH" if access.trust is None else access.trust.hex()
    document = {"file": str(out), "bytes": len(bundle), "trust": None if access.trust is None else trust}

    def for_people(console: Console) -> None:
        console.print(f"{out}: {len(bundle)} bytes", markup=False)
        console.print(f"  {program()} verify {out} --trust {trust}", markup=False)

    output.answer(document, for_people)
