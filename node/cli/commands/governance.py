"""`isthmus governance`: operators change who validates, who is a member, and what policies admit."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console

from consensus import PublicKey, SigningKey, Value, as_bytes, as_int, as_tuple, decode
from node.api.governance_queries import ProposalAnswer, change_fields
from node.api.shapes import to_json
from node.cli.access import Access, access_options, find_access
from node.cli.changefile import read_candidate, read_changes
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.hashes import HashType
from node.cli.options import home_option, json_option
from node.cli.output import Output, program, table
from node.client import Client
from node.config import load_config
from node.home import SEED_BYTES, Home, read_key, write_key, write_new
from node.ledger.apps.governance import NAME
from node.ledger.apps.governance_changes import (
    Change,
    RemoveValidator,
    Reweigh,
    RotateKeys,
    changes_of,
)
from node.ledger.apps.governance_proposals import ready_digest
from node.ledger.codes import Code
from node.ledger.receipts import Receipt
from node.wallet import Wallet
from p2p import NodeIdentity

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])
_LEEWAY_S = 60
"""A transaction outlives the wait for it by so many seconds, no longer."""
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group("governance", help="Change validators, members and policies, by more than 2/3 of weight.")
def command() -> None:
    """The group."""


def _sending_options(function: _Decorated) -> _Decorated:
    for decorate in (
        json_option,
        click.option(
            "--timeout", type=click.IntRange(1, 600), default=30, show_default=True, help="Seconds to wait."
        ),
        access_options,
    ):
        function = decorate(function)
    return function


def _proposing_options(function: _Decorated) -> _Decorated:
    decorate = click.option(
        "--sweeping", is_flag=True, help="Let more than a third of the voting power change hands at once."
    )
    return decorate(_sending_options(function))


# --- proposing --------------------------------------------------------------------------------------


@command.command("candidate", help="Describe this node for `propose-add`, and make its operator key.")
@home_option
@click.option("--organisation", required=True, help="Who runs this validator.")
@click.option("--weight", type=click.IntRange(1, 1_000_000), default=1, show_default=True)
@click.option(
    "--operator-key",
    type=_NEW_FILE,
    help="The key that speaks for this validator in governance; made when it is not there. "
    "[default: operator.key in the node's keys folder]",
)
@click.option("--out", type=_NEW_FILE, help="[default: NAME.candidate.json]")
@json_option
def candidate(
    home: Home, organisation: str, weight: int, operator_key: Path | None, out: Path | None, output: Output
) -> None:
    """Writes public keys only; an operator of the cluster proposes them."""
    config = load_config(home, os.environ).config
    if not home.validator_key_file.exists():
        raise Failure(
            Exit.CONFIGURATION,
            f"{home.path} has no consensus key",
            "make a home with `isthmus init --role joining`",
        )
    key_file = operator_key or home.keys_dir / "operator.key"
    if not key_file.exists():
        write_key(key_file, os.urandom(SEED_BYTES))
    record = {
        "name": config.name,
        "organisation": organisation,
        "consensus_key": SigningKey(read_key(home.validator_key_file)).public_key.hex(),
        "node_key": NodeIdentity.from_seed(read_key(home.node_key_file)).peer_id.hex(),
        "weight": weight,
        "operator_key": SigningKey(read_key(key_file)).public_key.hex(),
    }
    target = out or Path(f"{config.name}.candidate.json")
    write_new(target, (json.dumps(record, indent=2) + "\n").encode(), 0o644)

    def for_people(console: Console) -> None:
        console.print(f"Wrote {target}", markup=False)
        console.print(f"  operator key  {key_file}  (keep it off this machine once you have a copy)")
        console.print(f"Next: an operator proposes it:  {program()} governance propose-add {target.name}")
        console.print(
            f"when this node follows:  {program()} governance ready PROPOSAL --home {home.path} --key MEMBER",
            markup=False,
        )

    output.answer({"candidate": str(target), "operator_key_file": str(key_file), **record}, for_people)


@command.command("propose-add", help="Propose a validator that a CANDIDATE file describes.")
@click.argument("file", metavar="CANDIDATE", type=_FILE)
@click.option("--weight", type=click.IntRange(1, 1_000_000), help="Another weight than the file says.")
@_proposing_options
def propose_add(file: Path, weight: int | None, output: Output, **options: Any) -> int:
    """It counts once it is approved and has proved that it is synced."""
    return _propose(output, options, (read_candidate(file, weight),))


@command.command("propose-remove", help="Propose that a validator leaves.")
@click.argument("name")
@_proposing_options
def propose_remove(name: str, output: Output, **options: Any) -> int:
    """Its history stays, and it may go on as an observer."""
    return _propose(output, options, (RemoveValidator(name),))


@command.command("propose-weight", help="Propose another weight for a validator.")
@click.argument("name")
@click.argument("weight", type=click.IntRange(1, 1_000_000))
@_proposing_options
def propose_weight(name: str, weight: int, output: Output, **options: Any) -> int:
    """Weights count against each other, whatever their scale."""
    return _propose(output, options, (Reweigh(name, weight),))


@command.command("propose-rotate", help="Propose other keys for a validator.")
@click.argument("name")
@click.option("--consensus-key", type=HashType(), help="64 hexadecimal digits.")
@click.option("--node-key", type=HashType(), help="64 hexadecimal digits.")
@click.option("--operator-key", type=HashType(), help="64 hexadecimal digits.")
@_proposing_options
def propose_rotate(
    name: str,
    consensus_key: bytes | None,
    node_key: bytes | None,
    operator_key: bytes | None,
    output: Output,
    **options: Any,
) -> int:
    """A new consensus key must prove that it is synced, like a joining validator."""
    keys = [None if key is None else PublicKey(key) for key in (consensus_key, node_key, operator_key)]
    if not any(keys):
        raise Failure(Exit.USAGE, "no new key is named", "give --consensus-key, --node-key or --operator-key")
    return _propose(output, options, (RotateKeys(name, *keys),))


@command.command("propose", help="Propose the changes of a JSON file; all of them or none take effect.")
@click.argument("file", type=_FILE)
@_proposing_options
def propose(file: Path, output: Output, **options: Any) -> int:
    """The form of FILE is that in which `show --json` prints changes."""
    return _propose(output, options, read_changes(file))


# --- deciding ---------------------------------------------------------------------------------------


@command.command("approve", help="Approve a proposal as the operator whose key signs.")
@click.argument("proposal_id", type=HashType())
@_sending_options
def approve(proposal_id: bytes, output: Output, **options: Any) -> int:
    """What is approved is shown first, checked against the id."""

    def show(client: Client) -> None:
        for line in _change_lines(client.proposal(proposal_id)):
            output.remark(f"  {line}")

    return _send(output, options, "approve", lambda _: (proposal_id,), before=show)


@command.command("execute", help="Try again what waited for another change to take effect.")
@click.argument("proposal_id", type=HashType())
@_sending_options
def execute(proposal_id: bytes, output: Output, **options: Any) -> int:
    """Any member or operator may."""
    return _send(output, options, "execute", lambda _: (proposal_id,))


@command.command("withdraw", help="Withdraw a proposal as its proposer.")
@click.argument("proposal_id", type=HashType())
@_sending_options
def withdraw(proposal_id: bytes, output: Output, **options: Any) -> int:
    """Approvals are forgotten with it."""
    return _send(output, options, "withdraw", lambda _: (proposal_id,))


@command.command("ready", help="Prove that the joining node of --home is synced.")
@click.argument("proposal_id", type=HashType())
@_sending_options
def ready(proposal_id: bytes, output: Output, **options: Any) -> int:
    """Signs the newest header that the node itself serves, with its consensus key; --key signs the
    transaction, and may be of any member or operator."""
    if options["home"] is None:
        raise Failure(
            Exit.USAGE, "a joining node proves it for itself", "give --home, the joining node's folder"
        )
    home = Home(options["home"])
    # The safety rules alone hold this key in agreement; what is signed here has a domain of its own and
    # cannot be taken for a vote or a header.
    key = SigningKey(read_key(home.validator_key_file))
    own = find_access((), None, home.path, options["trust"], None)

    def prove(cluster_id: bytes) -> tuple[Value, ...]:
        with own.client() as client:
            header = client.header(verify=own.trust is not None)
        signature = key.sign(ready_digest(cluster_id, proposal_id, header.height, header.hash))
        return (proposal_id, key.public_key, header.height, header.hash, signature)

    return _send(output, options, "ready", prove)


# --- reading ----------------------------------------------------------------------------------------


@command.command("list", help="The open proposals.")
@access_options
@json_option
def list_open(output: Output, **options: Any) -> None:
    """Oldest first."""
    with _access(options).client() as client:
        answer = client.governance()

    def for_people(console: Console) -> None:
        console.print(f"epoch {answer.epoch}, height {answer.height}, weight {answer.total_weight}")
        for proposal in answer.proposals:
            console.print(f"{proposal.proposal_id.hex()}  {_progress(proposal)}")
            for line in _change_lines(proposal):
                console.print(f"  change    {line}", markup=False)
        if not answer.proposals:
            console.print("no proposal is open")

    output.answer(_document(answer), for_people)


@command.command("show", help="One proposal: its changes, approvals and joining nodes.")
@click.argument("proposal_id", type=HashType())
@access_options
@json_option
def show(proposal_id: bytes, output: Output, **options: Any) -> None:
    """Exit code 1 when there is none (any more)."""
    with _access(options).client() as client:
        answer = client.proposal(proposal_id)

    def for_people(console: Console) -> None:
        how_far = f"at height {answer.executed_height}" if answer.executed_height else _progress(answer)
        console.print(f"{answer.state}{', sweeping' if answer.sweeping else ''}: {how_far}")
        for line in _change_lines(answer):
            console.print(f"  change    {line}", markup=False)
        for approval in answer.approvals:
            console.print(f"  approved  {approval.validator or approval.operator_key.hex()}", markup=False)
        for joiner in answer.joiners:
            state = "ready" if joiner.is_ready else "NOT READY"
            console.print(f"  joining   {joiner.consensus_key.hex()}  {state}")

    output.answer(_document(answer), for_people)


@command.command("validators", help="Who validates in the current epoch.")
@access_options
@json_option
def validators(output: Output, **options: Any) -> None:
    """As the ledger's state says."""
    with _access(options).client() as client:
        answer = client.validators()

    def for_people(console: Console) -> None:
        console.print(f"epoch {answer.epoch}, weight {answer.total_weight}")
        rows = [(v.name, v.organisation, v.weight, v.public_key.hex()) for v in answer.validators]
        console.print(table(("validator", "organisation", "weight", "consensus key"), rows))

    output.answer(_document(answer), for_people)


# --- sending ----------------------------------------------------------------------------------------


def _propose(output: Output, options: dict[str, Any], changes: tuple[Change, ...]) -> int:
    values = tuple(change.to_value() for change in changes)
    return _send(output, options, "propose", lambda _: (values, int(options["sweeping"])))


def _send(
    output: Output,
    options: dict[str, Any],
    method: str,
    arguments: Callable[[bytes], tuple[Value, ...]],
    before: Callable[[Client], None] | None = None,
) -> int:
    """Sign, submit, wait for the certified receipt and tell. Returns the exit code."""
    access = _access(options)
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
        sys.stderr.write(f"isthmus: it was ordered and FAILED: {receipt.explanation}\n")
        return Exit.REFUSED
    return Exit.OK


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


def _access(options: dict[str, Any]) -> Access:
    return find_access(options["urls"], options["net"], options["home"], options["trust"], options["key"])


def _progress(proposal: ProposalAnswer) -> str:
    waiting = sum(not joiner.is_ready for joiner in proposal.joiners)
    weights = f"{proposal.approving_weight} of {proposal.total_weight}"
    return f"{weights}, {waiting} joining not ready" if waiting else weights


def _change_lines(proposal: ProposalAnswer) -> list[str]:
    """Each change in a line: its kind, and its values in order."""
    lines = []
    for change in changes_of(decode(proposal.changes)):
        named = change_fields(change)
        lines.append(" ".join(_shown(value) for value in named.values() if value is not None))
    return lines


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_shown(item)}" for name, item in value.items())
    if isinstance(value, tuple):
        return ",".join(map(_shown, value)) or "any"
    return value.hex() if isinstance(value, bytes) else str(value)


def _document(view: object) -> dict[str, Any]:
    shown = to_json(view)
    if not isinstance(shown, dict):
        raise TypeError(f"{type(view).__name__} is no document")
    return shown
