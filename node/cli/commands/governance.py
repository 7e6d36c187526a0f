"""`isthmus governance`: operators change who validates, who is a member, and what policies admit."""

import json
import os
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from consensus import PublicKey, SigningKey, Value, decode
from node.api.governance_queries import ProposalAnswer, change_fields
from node.api.peer_queries import why
from node.cli.access import access_options, find_access
from node.cli.changefile import EXAMPLES, read_candidate, read_changes
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.federation_changes import in_words
from node.cli.governing import (
    access_of,
    propose_changes,
    proposing_options,
    send_call,
    sending_options,
    unable,
)
from node.cli.group import CommandTable
from node.cli.hashes import HashType
from node.cli.options import home_option, json_option
from node.cli.output import Output, document_of, program, table
from node.client import Client
from node.config import load_config
from node.home import SEED_BYTES, Home, read_key, write_key, write_new
from node.ledger.federation.changes import FederationChange
from node.ledger.governance.changes import (
    EnableFeature,
    RemoveValidator,
    Reweigh,
    RotateKeys,
    changes_of,
)
from node.ledger.governance.proposals import ready_digest
from node.ledger.names import check_name
from p2p import NodeIdentity

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(
    "governance",
    cls=CommandTable,
    help="Change validators, members and policies, by more than 2/3 of weight.",
)
def command() -> None:
    """The group."""


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
    try:
        check_name(organisation, "organisation")
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error), "give another --organisation") from error
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
@proposing_options
def propose_add(file: Path, weight: int | None, output: Output, **options: Any) -> int:
    """It counts once it is approved and has proved that it is synced."""
    return propose_changes(output, options, (read_candidate(file, weight),))


@command.command("propose-remove", help="Propose that a validator leaves.")
@click.argument("name")
@proposing_options
def propose_remove(name: str, output: Output, **options: Any) -> int:
    """Its history stays, and it may go on as an observer."""
    return propose_changes(output, options, (RemoveValidator(name),))


@command.command("propose-weight", help="Propose another weight for a validator.")
@click.argument("name")
@click.argument("weight", type=click.IntRange(1, 1_000_000))
@proposing_options
def propose_weight(name: str, weight: int, output: Output, **options: Any) -> int:
    """Weights count against each other, whatever their scale."""
    return propose_changes(output, options, (Reweigh(name, weight),))


@command.command("propose-rotate", help="Propose other keys for a validator.")
@click.argument("name")
@click.option("--consensus-key", type=HashType(), help="64 hexadecimal digits.")
@click.option("--node-key", type=HashType(), help="64 hexadecimal digits.")
@click.option("--operator-key", type=HashType(), help="64 hexadecimal digits.")
@proposing_options
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
    return propose_changes(output, options, (RotateKeys(name, *keys),))


@command.command("enable-feature", help="Propose that a feature is in force from the next epoch on.")
@click.argument("name")
@click.option("--force", is_flag=True, help="Also while validators are not linked, or run an older release.")
@sending_options
def enable_feature(name: str, force: bool, output: Output, **options: Any) -> int:
    """Asks the node first whether it, and every validator that it sees, knows the feature: who does not stops
    where the feature begins."""

    def look(client: Client) -> None:
        features = {feature.name: feature for feature in client.governance().features}
        feature = features.get(name)
        if feature is None or feature.since_protocol is None:
            known = ", ".join(f.name for f in features.values() if f.since_protocol is not None)
            raise Failure(Exit.REFUSED, f"the node does not know feature {name}", f"it knows: {known}")
        behind = unable(feature.since_protocol, client.look(why()).peers)
        if behind and not force:
            raise Failure(
                Exit.REFUSED,
                f"these validators would stop where {name} begins, or cannot be seen: {'; '.join(behind)}",
                f"upgrade them first (they must speak protocol {feature.since_protocol}), or add --force",
            )

    changes = (EnableFeature(name).to_value(),)
    return send_call(output, options, "propose", lambda _: (changes, 0), before=look)


@command.command("example", help="Print a change file: an example of a KIND of change, or of every one.")
@click.argument("kind", type=click.Choice(tuple(EXAMPLES)), required=False)
@json_option
def example(kind: str | None, output: Output) -> None:
    """For `propose`: edit it, leave out what is not wanted."""
    chosen = tuple(EXAMPLES) if kind is None else (kind,)
    changes = [{"kind": each, **EXAMPLES[each]} for each in chosen]
    text = json.dumps(changes, indent=2)
    output.answer({"changes": changes}, lambda console: console.print(text, markup=False))


@command.command(
    "propose",
    help="Propose the changes of a JSON file; all of them or none take effect. "
    "Kinds: " + ", ".join(EXAMPLES) + ". `isthmus governance example KIND` prints one.",
)
@click.argument("file", type=_FILE)
@proposing_options
def propose(file: Path, output: Output, **options: Any) -> int:
    """The form of FILE is that in which `show --json` prints changes."""
    return propose_changes(output, options, read_changes(file))


# --- deciding ---------------------------------------------------------------------------------------


@command.command("approve", help="Approve a proposal as the operator whose key signs.")
@click.argument("proposal_id", type=HashType())
@sending_options
def approve(proposal_id: bytes, output: Output, **options: Any) -> int:
    """What is approved is shown first, checked against the id."""

    def show(client: Client) -> None:
        for line in _change_lines(client.proposal(proposal_id)):
            output.remark(f"  {line}")

    return send_call(output, options, "approve", lambda _: (proposal_id,), before=show)


@command.command("execute", help="Try again what waited for another change to take effect.")
@click.argument("proposal_id", type=HashType())
@sending_options
def execute(proposal_id: bytes, output: Output, **options: Any) -> int:
    """Any member or operator may."""
    return send_call(output, options, "execute", lambda _: (proposal_id,))


@command.command("withdraw", help="Withdraw a proposal as its proposer.")
@click.argument("proposal_id", type=HashType())
@sending_options
def withdraw(proposal_id: bytes, output: Output, **options: Any) -> int:
    """Approvals are forgotten with it."""
    return send_call(output, options, "withdraw", lambda _: (proposal_id,))


@command.command("revoke", help="Take back an approval, with feature revocable-approvals in force.")
@click.argument("proposal_id", type=HashType())
@sending_options
def revoke(proposal_id: bytes, output: Output, **options: Any) -> int:
    """As the operator whose key signs; the proposal stays open."""
    return send_call(output, options, "revoke", lambda _: (proposal_id,))


@command.command("ready", help="Prove that the joining node of --home is synced.")
@click.argument("proposal_id", type=HashType())
@sending_options
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

    return send_call(output, options, "ready", prove)


# --- reading ----------------------------------------------------------------------------------------


@command.command("list", help="The open proposals.")
@access_options
@json_option
def list_open(output: Output, **options: Any) -> None:
    """Oldest first."""
    with access_of(options).client() as client:
        answer = client.governance()

    def for_people(console: Console) -> None:
        console.print(f"epoch {answer.epoch}, height {answer.height}, weight {answer.total_weight}")
        for proposal in answer.proposals:
            console.print(f"{proposal.proposal_id.hex()}  {_progress(proposal)}")
            for line in _change_lines(proposal):
                console.print(f"  change    {line}", markup=False)
        if not answer.proposals:
            console.print("no proposal is open")
        for feature in answer.features:
            if feature.epoch is not None:
                console.print(f"feature {feature.name} is in force since epoch {feature.epoch}", markup=False)

    output.answer(document_of(answer), for_people)


@command.command("features", help="The changes of the rules: enabled ones, and those that could be.")
@access_options
@json_option
def features(output: Output, **options: Any) -> int:
    """Exit code 1 when the node does not know one that is enabled."""
    with access_of(options).client() as client:
        answer = client.governance()

    def for_people(console: Console) -> None:
        rows = [
            (
                feature.name,
                "-" if feature.epoch is None else f"epoch {feature.epoch}",
                "UNKNOWN" if feature.since_protocol is None else f"protocol {feature.since_protocol}",
                feature.words,
            )
            for feature in answer.features
        ]
        console.print(table(("feature", "in force since", "known since", "what it changes"), rows))

    document = [document_of(feature) for feature in answer.features]
    output.answer({"epoch": answer.epoch, "features": document}, for_people)
    return (
        Exit.OK if all(feature.since_protocol is not None for feature in answer.features) else Exit.NEGATIVE
    )


@command.command("show", help="One proposal: its changes, approvals and joining nodes.")
@click.argument("proposal_id", type=HashType())
@access_options
@json_option
def show(proposal_id: bytes, output: Output, **options: Any) -> None:
    """Exit code 1 when there is none (any more)."""
    with access_of(options).client() as client:
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

    output.answer(document_of(answer), for_people)


@command.command("validators", help="Who validates in the current epoch.")
@access_options
@json_option
def validators(output: Output, **options: Any) -> None:
    """As the ledger's state says."""
    with access_of(options).client() as client:
        answer = client.validators()

    def for_people(console: Console) -> None:
        console.print(f"epoch {answer.epoch}, weight {answer.total_weight}")
        rows = [(v.name, v.organisation, v.weight, v.public_key.hex()) for v in answer.validators]
        console.print(table(("validator", "organisation", "weight", "consensus key"), rows))

    output.answer(document_of(answer), for_people)


def _progress(proposal: ProposalAnswer) -> str:
    waiting = sum(not joiner.is_ready for joiner in proposal.joiners)
    weights = f"{proposal.approving_weight} of {proposal.total_weight}"
    return f"{weights}, {waiting} joining not ready" if waiting else weights


def _change_lines(proposal: ProposalAnswer) -> list[str]:
    """Each change in a line: its kind, and its values in order; what is about other clusters in words."""
    lines = []
    for change in changes_of(decode(proposal.changes)):
        if isinstance(change, FederationChange):
            lines.append(in_words(change))
            continue
        named = change_fields(change)
        lines.append(" ".join(_shown(value) for value in named.values() if value is not None))
    return lines


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(f"{name}={_shown(item)}" for name, item in value.items())
    if isinstance(value, tuple):
        return ",".join(map(_shown, value)) or "any"
    return value.hex() if isinstance(value, bytes) else str(value)
