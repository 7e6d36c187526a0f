"""`isthmus prove`: export a fact with everything needed to check it offline, as one file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from consensus import CodecError
from node.anchoring import Bundle, StateStatement
from node.anchoring.bundles.message import verify_message
from node.anchoring.lanes.messages import Mode
from node.api.asking_talk import message_proof_of
from node.cli.access import Access, access_options, find_access
from node.cli.clusters import find_cluster
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.group import CommandTable
from node.cli.hashes import HashType
from node.cli.options import json_option
from node.cli.output import Output, program
from node.home import HomeError, write_new
from node.ledger.apps.sharing import SHARE_PORT
from node.proofs import ProofError

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


@click.group(
    "prove", cls=CommandTable, help="Export a proof of a transaction, a record or a message as one file."
)
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
    is_absence = _is_absence(bundle)
    _save(bundle, out, access, output)
    if is_absence:
        output.remark(f"there is no record {record_id}: the file proves its absence")


def _is_absence(bundle: bytes) -> bool:
    try:
        statement = Bundle.decode(bundle).statement
    except CodecError as error:
        raise Failure(Exit.NOT_REACHABLE, f"what the node sent is no bundle: {error}") from error
    return isinstance(statement, StateStatement) and statement.value is None


@command.command("message", help="Prove that message SEQ to CLUSTER was sent, and what became of it.")
@click.argument("cluster")
@click.argument("sequence", metavar="SEQ", type=click.IntRange(1))
@click.option("--port", default=SHARE_PORT, show_default=True, help="The message's port.")
@click.option("--mode", type=click.Choice([mode.name.lower() for mode in Mode]), default="unordered")
@click.option("--timeout", type=click.IntRange(1, 60), default=30, show_default=True, help="Seconds to wait.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The new file.")
@access_options
@json_option
def message(
    cluster: str, sequence: int, port: str, mode: str, timeout: int, out: Path, output: Output, **options: Any
) -> None:
    """The file holds the message, its acknowledgement, and for each the paths, header and certificate."""
    access = _access(options)
    with access.client() as client:
        own_id = client.genesis().cluster_id
        found = find_cluster(client, cluster)
        asked = message_proof_of(
            found.cluster_id, sequence, port=port, mode=Mode[mode.upper()], timeout_ms=1000 * timeout
        )
        file = client.look(asked).file
    try:
        verify_message(file, trust=own_id)
    except ProofError as error:
        raise Failure(Exit.NEGATIVE, f"the file does not prove what it says: {error}") from error
    _save(file, out, access, output)


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
