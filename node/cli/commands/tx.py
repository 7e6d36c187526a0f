"""`isthmus tx`: sign and send transactions, and wait for the certified receipt unless told otherwise."""

import contextlib
import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from node.cli.access import Access, access_options, find_access
from node.cli.clusters import find_cluster
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.group import CommandTable
from node.cli.hashes import HashType
from node.cli.names import resolve
from node.cli.options import json_option
from node.cli.output import Output, program
from node.cli.plain import tame
from node.client import Client
from node.ledger.apps.records import NAME as RECORDS
from node.ledger.apps.records import VERSIONS_MAX, Content
from node.ledger.codes import Code
from node.ledger.transactions import TRANSACTION_BYTES_MAX, Transaction
from node.wallet import Wallet

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_READ_BYTES = 1024 * 1024
_LEEWAY_S = 60
"""A transaction outlives the wait for it by so many seconds, no longer."""


@click.group("tx", cls=CommandTable, help="Send transactions and wait for the certified receipt.")
def command() -> None:
    """The group."""


def _sending_options(function: _Decorated) -> _Decorated:
    for decorate in (
        json_option,
        click.option("--no-wait", is_flag=True, help="Only hand it over; ask for the receipt later."),
        click.option(
            "--timeout", type=click.IntRange(1, 600), default=30, show_default=True, help="Seconds to wait."
        ),
        access_options,
    ):
        function = decorate(function)
    return function


def _content_options(function: _Decorated) -> _Decorated:
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    for decorate in (
        click.option(
            "--label", "labels", multiple=True, metavar="NAME=VALUE", help="A label; may be repeated."
        ),
        click.option(
            "--link", "links", multiple=True, metavar="RECORD_ID", help="Another record; may be repeated."
        ),
        click.option("--location", default="", help="Where the content can be found."),
        click.option("--schema", default="", help="What kind of content it is."),
        click.option("--size", type=click.IntRange(0), help="Its size in bytes, with --sha256."),
        click.option("--sha256", type=HashType(), help="The content's hash, instead of FILE."),
        click.argument("file", type=file, required=False),
        click.argument("record_id"),
    ):
        function = decorate(function)
    return function


@command.command("put", help="Register content: its hash and size, never the content itself.")
@_content_options
@_sending_options
def put(record_id: str, output: Output, **options: Any) -> int:
    """RECORD_ID is namespace/name."""
    content = _content(options)
    options["read_back"] = record_id
    return _send(_access(options), output, options, lambda wallet, _: wallet.put(record_id, content))


@command.command("supersede", help="Replace a record's newest version by new content.")
@_content_options
@click.option(
    "--previous", help="The version number or the hash that is replaced; default: the newest there is."
)
@_sending_options
def supersede(record_id: str, previous: str | None, output: Output, **options: Any) -> int:
    """Fails when somebody else was faster: nothing is overwritten unseen."""

    content = _content(options)

    def make(wallet: Wallet, client: Client) -> Transaction:
        return wallet.supersede(record_id, _previous(client, record_id, previous), content)

    options["read_back"] = record_id
    return _send(_access(options), output, options, make)


@command.command("share", help="Share a record's newest version with another CLUSTER (name or id).")
@click.argument("record_id")
@click.argument("cluster")
@click.option(
    "--deadline",
    type=click.IntRange(1, 7 * 24 * 3600),
    default=3600,
    show_default=True,
    help="Seconds within which it may be delivered.",
)
@_sending_options
def share(record_id: str, cluster: str, deadline: int, output: Output, **options: Any) -> int:
    """Its hash and description travel, never content. The answer's number is for `isthmus explain`."""

    def make(wallet: Wallet, client: Client) -> Transaction:
        cluster_id = find_cluster(client, cluster).cluster_id
        return wallet.sign(RECORDS, "share", (record_id, cluster_id, wallet.now_ms() + 1000 * deadline))

    return _send(_access(options), output, options, make)


@command.command("request", help="Ask another cluster to share one of its records with this one.")
@click.argument("name", metavar="NAME")
@click.option("--cluster", help="The cluster's name or id, where NAME is a record's id alone.")
@_sending_options
def request(name: str, cluster: str | None, output: Output, **options: Any) -> int:
    """NAME is sector.cluster/records/ID. `isthmus explain N --port records.request` follows the request."""

    def make(wallet: Wallet, client: Client) -> Transaction:
        named = resolve(client, name, cluster)
        app, _, record_id = named.resource.partition("/")
        if app != RECORDS:
            raise Failure(Exit.USAGE, f"{named.full} is no record", f"records are {RECORDS}/ID")
        return wallet.sign(RECORDS, "request", (record_id, named.cluster.cluster_id))

    return _send(_access(options), output, options, make)


@command.command(
    "raw", help="Send a transaction that is signed already; FILE holds its bytes or their hex, - is stdin."
)
@click.argument("file", type=click.File("rb"))
@_sending_options
def raw(file: Any, output: Output, **options: Any) -> int:
    """The bytes are checked here first, so that the reason is at hand."""
    data = file.read(2 * TRANSACTION_BYTES_MAX + 2)
    with contextlib.suppress(ValueError):  # without hex these are the bytes themselves
        data = bytes.fromhex(data.decode("ascii"))
    transaction = Transaction.decode(data)
    with _access(options).client() as client:
        return _hand_over(client, transaction, output, options)


def _access(options: dict[str, Any]) -> Access:
    return find_access(options["urls"], options["net"], options["home"], options["trust"], options["key"])


def _content(options: dict[str, Any]) -> Content:
    """What the options say about the content. Raises Failure when they contradict each other."""
    if (options["file"] is None) == (options["sha256"] is None):
        raise Failure(Exit.USAGE, "name the content once", "give FILE, or --sha256 together with --size")
    labels = tuple(tuple(label.partition("=")[::2]) for label in options["labels"])
    if options["file"] is None:
        if options["size"] is None:
            raise Failure(Exit.USAGE, "--sha256 needs the content's --size in bytes")
        sha256, size = options["sha256"], options["size"]
    else:
        sha256, size = _hash_and_size(options["file"])
    return Content(sha256, size, options["schema"], options["location"], tuple(options["links"]), labels)


def _hash_and_size(path: Path) -> tuple[bytes, int]:
    hasher, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while piece := file.read(_READ_BYTES):
            hasher.update(piece)
            size += len(piece)
    return hasher.digest(), size


def _previous(client: Client, record_id: str, text: str | None) -> int | bytes:
    if text is None:
        newest = client.record(record_id).entry
        if newest is None:
            raise Failure(Exit.NEGATIVE, f"there is no record {record_id}", "put it first: isthmus tx put")
        return newest.number
    if text.isdecimal() and len(text) <= len(str(VERSIONS_MAX)):
        return int(text)
    return HashType().convert(text, None, None)


def _send(
    access: Access,
    output: Output,
    options: dict[str, Any],
    make: Callable[[Wallet, Client], Transaction],
) -> int:
    key = access.signing_key()
    with access.client() as client:
        wallet = Wallet(key, client.genesis().cluster_id, lifetime_ms=1000 * (options["timeout"] + _LEEWAY_S))
        return _hand_over(client, make(wallet, client), output, options)


def _hand_over(client: Client, transaction: Transaction, output: Output, options: dict[str, Any]) -> int:
    """Submit, wait, tell. Returns the exit code."""
    tx_id = transaction.id.hex()
    if options["no_wait"]:
        outcome = client.admit(transaction)
        if outcome.state == "rejected":
            raise Failure(Exit.REFUSED, outcome.message)
        output.answer(
            {"transaction": tx_id, "state": outcome.state},
            lambda console: console.print(f"taken, not certified yet\n  {program()} query tx {tx_id}"),
        )
        return Exit.OK
    receipt = client.submit(transaction, timeout_ms=1000 * options["timeout"])
    code = Code(receipt.status) if receipt.status in Code.__members__.values() else None
    document = {
        "transaction": tx_id,
        "state": "certified",
        "ok": receipt.ok,
        "height": receipt.height,
        "index": receipt.index,
        "status": receipt.status,
        "code": code.label if code is not None else None,
        "result": receipt.result,
    }

    def for_people(console: Console) -> None:
        console.print(f"certified at height {receipt.height}, index {receipt.index}")
        console.print(f"  transaction  {tx_id}")
        if receipt.ok:
            console.print(f"  result       {receipt.result!r}", markup=False)
            where = f" --net {options['net']}" if options["net"] else ""
            if record_id := options.get("read_back"):
                # Another node may be a moment behind: the height makes it wait.
                read = f"{program()} query record {record_id} --min-height {receipt.height}{where}"
                console.print(f"  read it      {read}", markup=False)
            console.print(
                f"  proof        {program()} prove tx {tx_id} --out proof.bundle{where}", markup=False
            )

    output.answer(document, for_people)
    if not receipt.ok:
        sys.stderr.write(f"isthmus: it was ordered and FAILED: {tame(receipt.explanation)}\n")
        return Exit.REFUSED
    return Exit.OK
