"""`isthmus query`: read records, transactions and headers; verified when the cluster's hash is known.

With a name `sector.cluster/app/resource`, --cluster or --catalogue it asks other clusters (`abroad.py`).
"""

import datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from node.cli.access import Access, access_options, find_access
from node.cli.commands.abroad import command as abroad
from node.cli.group import CommandTable
from node.cli.hashes import HashType
from node.cli.options import json_option
from node.cli.output import Output, table
from node.cli.plain import words_of
from node.ledger.apps.records import Entry
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction


class _Query(CommandTable):
    """What is none of the commands is asked of another cluster."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As every group does, with the command's name put in where it is left out."""
        first = args[0] if args else "--help"
        is_abroad = first not in self.commands and (
            first.startswith(("--cluster", "--catalogue")) or "/" in first or "--cluster" in args
        )
        return super().parse_args(ctx, [abroad.name or "", *args] if is_abroad else args)


@click.group(
    "query",
    cls=_Query,
    help="Read: record, history, tx, header. Of another cluster: `query --cluster NAME KEY` (or the name "
    "sector.cluster/app/resource alone), `query --catalogue TEXT [--cluster NAME]`.",
)
def command() -> None:
    """The group."""


command.add_command(abroad)


@command.command("record", help="A record's newest version.")
@click.argument("record_id")
@click.option("--min-height", type=click.IntRange(0), help="Not older than this height; waits for it.")
@access_options
@json_option
def record(record_id: str, min_height: int | None, output: Output, **options: Any) -> int:
    """Exit code 1 when there is none (with a trusted hash its absence is proven)."""
    access = _access(options)
    with access.client() as client:
        found = client.record(record_id, min_height=min_height, verify=access.trust is not None)
    entry = found.entry
    document = {
        "record_id": record_id,
        "height": found.height,
        "verified": found.is_verified,
        "record": None if entry is None else _entry_fields(entry),
    }

    def for_people(console: Console) -> None:
        if entry is None:
            console.print(f"there is no record {record_id} at height {found.height}", markup=False)
        else:
            for key, value in _entry_fields(entry).items():
                console.print(f"{key:<10}{words_of(value)}", markup=False)
        console.print(_trust_line(found.is_verified, found.height))

    output.answer(document, for_people)
    return 1 if entry is None else 0


@command.command("history", help="A record's versions, newest first.")
@click.argument("record_id")
@click.option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many."
)
@click.option("--min-height", type=click.IntRange(0), help="Not older than this height; waits for it.")
@access_options
@json_option
def history(record_id: str, limit: int, min_height: int | None, output: Output, **options: Any) -> None:
    """Each version carries the hash of the one before."""
    access = _access(options)
    with access.client() as client:
        versions = client.history(
            record_id, limit=limit, min_height=min_height, verify=access.trust is not None
        )
    entries = [version.entry for version in versions if version.entry is not None]
    document = {
        "record_id": record_id,
        "verified": access.trust is not None,
        "versions": [_entry_fields(entry) for entry in entries],
    }

    def for_people(console: Console) -> None:
        rows = [
            (e.number, e.owner, e.content.size, e.content.sha256.hex(), e.height, _time(e.time_ms))
            for e in entries
        ]
        console.print(table(("version", "owner", "bytes", "sha256", "height", "time"), rows, record_id))

    output.answer(document, for_people)


@command.command("tx", help="A certified transaction and its receipt.")
@click.argument("transaction_id", type=HashType())
@access_options
@json_option
def transaction(transaction_id: bytes, output: Output, **options: Any) -> None:
    """Exit code 1 when it is not certified (yet)."""
    access = _access(options)
    with access.client() as client:
        answer = client.transaction(transaction_id, verify=access.trust is not None)
    decoded = Transaction.decode(answer.transaction, len(answer.transaction))
    receipt = Receipt.decode(answer.receipt)
    fields = {
        "transaction": transaction_id.hex(),
        "height": answer.height,
        "index": answer.index,
        "ok": receipt.ok,
        "status": receipt.status,
        "result": receipt.result,
        "sender": decoded.sender.hex(),
        "app": decoded.app,
        "method": decoded.method,
        "expires": _time(decoded.expires_at_ms),
        "bytes": len(decoded.encoded),
        "verified": access.trust is not None,
    }
    output.answer({**fields, "args": _plain(decoded.args)}, lambda console: _print_fields(console, fields))


@command.command("header", help="A ledger header: a height, or the latest.")
@click.argument("height", type=click.IntRange(0), required=False)
@access_options
@json_option
def header(height: int | None, output: Output, **options: Any) -> None:
    """What a quorum of validators certified."""
    access = _access(options)
    with access.client() as client:
        found = client.header(height, verify=access.trust is not None)
    fields = {
        "height": found.height,
        "hash": found.hash.hex(),
        "parent": found.parent_hash.hex(),
        "epoch": found.epoch,
        "time": _time(found.time_ms),
        "transactions": found.tx_root.hex(),
        "receipts": found.receipt_root.hex(),
        "state": found.state_root.hex(),
        "history": found.history_root.hex(),
        "cluster": found.cluster_id.hex(),
        "verified": access.trust is not None,
    }
    output.answer(fields, lambda console: _print_fields(console, fields))


def _access(options: dict[str, Any]) -> Access:
    urls: tuple[str, ...] = options["urls"]
    net: Path | None = options["net"]
    return find_access(urls, net, options["home"], options["trust"], options["key"])


def _entry_fields(entry: Entry) -> dict[str, Any]:
    content = entry.content
    return {
        "version": entry.number,
        "sha256": content.sha256.hex(),
        "size": content.size,
        "schema": content.schema,
        "location": content.location,
        "links": list(content.links),
        "labels": dict(content.labels),
        "owner": entry.owner,
        "author": entry.author.hex(),
        "height": entry.height,
        "time": _time(entry.time_ms),
        "tx": entry.tx_id.hex(),
    }


def _print_fields(console: Console, fields: dict[str, Any]) -> None:
    for key, value in fields.items():
        console.print(f"{key:<14}{value}", markup=False)


def _trust_line(is_verified: bool, height: int) -> str:
    if is_verified:
        return f"verified against the pinned genesis, as of height {height}"
    return f"as the node says, at height {height}; give --trust HASH to verify it"


def _time(time_ms: int) -> str:
    """Cluster time for people: UTC with milliseconds."""
    moment = datetime.datetime.fromtimestamp(time_ms // 1000, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{time_ms % 1000:03}Z"


def _plain(value: Any) -> Any:
    """Canonical values as JSON: bytes as hex, tuples as lists."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value.hex() if isinstance(value, bytes) else value
