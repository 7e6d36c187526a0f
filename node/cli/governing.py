"""What commands that speak to governance share: their options, sending a call, telling what came of it."""

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from rich.console import Console

from consensus import Value, as_bytes, as_int, as_tuple
from node.cli.access import Access, access_options, find_access
from node.cli.exits import Exit
from node.cli.options import json_option
from node.cli.output import Output
from node.cli.plain import tame
from node.client import Client
from node.diagnosis import PeerFacts
from node.ledger.codes import Code
from node.ledger.governance.app import NAME
from node.ledger.governance.changes import Change
from node.ledger.receipts import Receipt
from node.wallet import Wallet

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_LEEWAY_S = 60
"""A transaction outlives the wait for it by so many seconds, no longer."""


def sending_options(function: _Decorated) -> _Decorated:
    """--key, where to send it, and how long to wait."""
    for decorate in (
        json_option,
        click.option(
            "--timeout", type=click.IntRange(1, 600), default=30, show_default=True, help="Seconds to wait."
        ),
        access_options,
    ):
        function = decorate(function)
    return function


def proposing_options(function: _Decorated) -> _Decorated:
    """Those of sending, and --sweeping."""
    decorate = click.option(
        "--sweeping", is_flag=True, help="Let more than a third of the voting power change hands at once."
    )
    return decorate(sending_options(function))


def propose_changes(output: Output, options: dict[str, Any], changes: tuple[Change, ...]) -> int:
    """Propose them. Returns the exit code."""
    values = tuple(change.to_value() for change in changes)
    return send_call(output, options, "propose", lambda _: (values, int(options["sweeping"])))


def send_call(
    output: Output,
    options: dict[str, Any],
    method: str,
    arguments: Callable[[bytes], tuple[Value, ...]],
    before: Callable[[Client], None] | None = None,
) -> int:
    """Sign, submit, wait for the certified receipt and tell. Returns the exit code."""
    access = access_of(options)
    key = access.signing_key()
    with access.client() as client:
        cluster_id = client.genesis().cluster_id
        if before is not None:
            before(client)
        wallet = Wallet(key, cluster_id, lifetime_ms=1000 * (options["timeout"] + _LEEWAY_S))
        transaction = wallet.sign(NAME, method, arguments(cluster_id))
        receipt = client.submit(transaction, timeout_ms=1000 * options["timeout"])
    document = _outcome(receipt)
    output.answer(document, lambda console: _tell(console, document))
    if not receipt.ok:
        sys.stderr.write(f"isthmus: it was ordered and FAILED: {tame(receipt.explanation)}\n")
        return Exit.REFUSED
    return Exit.OK


def unable(since_protocol: int, peers: Sequence[PeerFacts]) -> list[str]:
    """The validators among `peers` that do not say that they speak this protocol version, each with what is
    known of it."""
    found = []
    for peer in peers:
        if not peer.is_validator:
            continue
        if not peer.connected:
            found.append(f"{peer.name} is not linked")
        elif peer.protocol_newest is None or peer.protocol_newest < since_protocol:
            found.append(f"{peer.name} speaks protocol {peer.protocol_newest} ({peer.software})")
    return found


def _outcome(receipt: Receipt) -> dict[str, Any]:
    code = Code(receipt.status) if receipt.status in Code.__members__.values() else None
    document: dict[str, Any] = {
        "transaction": receipt.tx_id.hex(),
        "ok": receipt.ok,
        "height": receipt.height,
        "code": code.label if code is not None else None,
    }
    if receipt.ok and type(receipt.result) is tuple:
        proposal_id, executed, weight, total, missing = as_tuple(receipt.result, 5, "result")
        document |= {
            "proposal": as_bytes(proposal_id, "proposal").hex(),
            "executed": bool(as_int(executed, "executed")),
            "approving_weight": weight,
            "total_weight": total,
            "missing_joiners": missing,
        }
    return document


def _tell(console: Console, document: dict[str, Any]) -> None:
    console.print(f"certified at height {document['height']}")
    if "proposal" not in document:
        return
    console.print(f"  proposal  {document['proposal']}")
    if document["executed"]:
        console.print("  executed  it has taken effect")
        return
    console.print(f"  approved  weight {document['approving_weight']} of {document['total_weight']}")
    if document["missing_joiners"]:
        console.print(f"  waiting   for {document['missing_joiners']} joining nodes: governance ready")


def access_of(options: dict[str, Any]) -> Access:
    """Where to send, whom to trust and what to sign with, as the options say."""
    return find_access(options["urls"], options["net"], options["home"], options["trust"], options["key"])
