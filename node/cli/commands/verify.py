"""`isthmus verify`: check a bundle offline against a pinned genesis hash, and say what stays unchecked.

No node is asked and no key is read. Exit code 0: everything in the bundle follows from the pinned hash;
1: it does not.
"""

from pathlib import Path

import click
from rich.console import Console

from consensus import CodecError
from node.anchoring import StateFact, TransactionFact, Verified
from node.anchoring import verify as verify_bundle
from node.anchoring.bundles.facts import OutboxFact
from node.anchoring.bundles.message import VerifiedMessage, is_message_file, verify_message
from node.cli.exits import Exit
from node.cli.hashes import CheckpointType, HashType
from node.cli.options import json_option
from node.cli.output import Output
from node.ledger.apps.records import Entry
from node.ledger.codes import RejectedTransaction
from node.ledger.transactions import Transaction
from node.proofs import ProofError


@click.command("verify", help="Check a proof offline. Exit code 0: it holds; 1: it does not.")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--trust", type=HashType(), required=True, help="The hash of the cluster's genesis (its cluster id)."
)
@click.option(
    "--checkpoint", type=CheckpointType(), help="HEIGHT:HASH of a header that must be in the same history."
)
@click.option(
    "--not-before-ms", type=int, help="Refuse facts older than this cluster time (Unix milliseconds)."
)
@click.option(
    "--links",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of epoch links, for bundles that have none of their own.",
)
@click.option(
    "--evidence",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="Evidence against the cluster: a bundle that rests on convicted validators is refused.",
)
@click.option(
    "--recovery",
    "recoveries",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="The recovery that began a later incarnation; several in their order.",
)
@json_option
def command(
    bundle: Path,
    trust: bytes,
    checkpoint: tuple[int, bytes] | None,
    not_before_ms: int | None,
    links: Path | None,
    evidence: tuple[Path, ...],
    recoveries: tuple[Path, ...],
    output: Output,
) -> int:
    """Prints each step that was checked and, just as visibly, what no bundle can prove."""
    data = bundle.read_bytes()
    try:
        verified = (verify_message if is_message_file(data) else verify_bundle)(
            data,
            trust=trust,
            checkpoint=checkpoint,
            not_before_ms=not_before_ms,
            links=None if links is None else links.read_bytes(),
            evidence=[file.read_bytes() for file in evidence],
            recoveries=[file.read_bytes() for file in recoveries],
        )
    except ProofError as error:
        reason = str(error)
        output.answer(
            {"verified": False, "bundle": str(bundle), "reason": reason},
            lambda console: console.print(f"NOT VERIFIED  {bundle}\n  {reason}", markup=False),
        )
        return Exit.NEGATIVE
    content = _exchanged(verified) if isinstance(verified, VerifiedMessage) else _content(verified)
    document = {
        "verified": True,
        "bundle": str(bundle),
        **(_both(verified) if isinstance(verified, VerifiedMessage) else _source(verified)),
        "content": content,
        "checked": verified.facts,
        "not_checked": verified.not_checked,
    }

    def for_people(console: Console) -> None:
        console.print(f"VERIFIED  {bundle}", markup=False, style="bold green")
        for key, value in content.items():
            console.print(f"  {key:<12}{value}", markup=False)
        console.print("Checked:")
        for sentence in verified.facts:
            console.print(f"  + {sentence}", markup=False)
        console.print("NOT CHECKED:", style="bold")
        for sentence in verified.not_checked:
            console.print(f"  - {sentence}", markup=False)

    output.answer(document, for_people)
    return Exit.OK


def _source(verified: Verified) -> dict[str, object]:
    return {
        "kind": verified.kind.name.lower(),
        "cluster": verified.cluster_name,
        "cluster_id": verified.cluster_id,
        "epoch": verified.epoch,
        "height": verified.height,
        "time_ms": verified.time_ms,
    }


def _both(verified: VerifiedMessage) -> dict[str, object]:
    return {"kind": "message", "sent": _source(verified.sent), "answered": _source(verified.answered)}


def _exchanged(verified: VerifiedMessage) -> dict[str, object]:
    message, answer = verified.message, verified.acknowledgement
    return {
        "message": message.sequence,
        "from": verified.sent.cluster_name,
        "to": verified.answered.cluster_name,
        "port": message.lane.port,
        "mode": message.lane.mode.name.lower(),
        "deadline_ms": message.deadline_ms,
        "bytes": len(message.payload),
        "hash": message.hash.hex(),
        "result": answer.result.name.lower(),
        "answer": answer.answer.hex(),
    }


def _content(verified: Verified) -> dict[str, object]:
    """The proven bytes in words, as far as this software knows their form."""
    fact = verified.fact
    if isinstance(fact, TransactionFact):
        try:
            transaction = Transaction.decode(fact.transaction, len(fact.transaction))
        except RejectedTransaction:
            return {"transaction": fact.transaction.hex()}
        outcome = "ok" if fact.status == 0 else f"failed with code {fact.status}"
        return {
            "transaction": fact.tx_id.hex(),
            "call": f"{transaction.app}.{transaction.method}",
            "outcome": outcome,
        }
    if isinstance(fact, StateFact):
        return {"key": fact.key.decode("utf-8", "backslashreplace"), **_entry(fact.value)}
    if isinstance(fact, OutboxFact):
        return {
            "said_to": fact.destination.hex(),
            "lane": str(fact.leaf.lane),
            "leaf": fact.leaf.encoded.hex(),
        }
    return {"header": verified.header.hash.hex()}


def _entry(value: bytes | None) -> dict[str, object]:
    if value is None:
        return {"value": "absent"}
    try:
        entry = Entry.decode(value)
    except CodecError:
        return {"value": value.hex()}
    content = entry.content
    return {
        "version": entry.number,
        "owner": entry.owner,
        "sha256": content.sha256.hex(),
        "size": content.size,
    }
