"""`isthmus evidence`: what a cluster keeps against others, and whether a file truly convicts, judged offline.

`check` asks no node and reads no key. Exit code 0: the evidence is true; 1: it convicts nobody.
"""

from pathlib import Path
from typing import Any

import click
from rich.console import Console

from node.anchoring import check_evidence
from node.api.federation_talk import federation, forks_of
from node.cli.access import access_options
from node.cli.clusters import chosen
from node.cli.exits import Exit
from node.cli.governing import access_of
from node.cli.group import CommandTable
from node.cli.hashes import HashType
from node.cli.options import json_option
from node.cli.output import Output, program
from node.proofs import ProofError

NOT_CHECKED = (
    "Keys: whether the accused signed themselves or lost their keys after their epoch; clusters past that "
    "epoch freeze the accused cluster only with another cluster's view of the other branch.",
    "History: which of the two branches lives on; that is for the cluster's recovery to say.",
)


@click.group("evidence", cls=CommandTable, help="Evidence that a cluster certified two histories.")
def command() -> None:
    """The group."""


@command.command("list", help="The evidence that this cluster keeps against others; --out exports it.")
@click.argument("cluster", required=False)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder for the files; each is checked offline with `isthmus evidence check`.",
)
@access_options
@json_option
def list_kept(cluster: str | None, out: Path | None, output: Output, **options: Any) -> None:
    """CLUSTER is a name or an id; default: all."""
    with access_of(options).client() as client:
        answer = client.look(federation())
        shown = answer.clusters if cluster is None else (chosen(answer, cluster),)
        found = [(each, fork) for each in shown for fork in client.look(forks_of(each.cluster_id)).forks]
    rows = []
    for accused, fork in found:
        file = None if out is None else out / f"{accused.name}-{fork.evidence_id.hex()[:16]}.evidence"
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(fork.evidence)
        rows.append((accused, fork, file))
    document = {
        "height": answer.height,
        "evidence": [
            {
                "cluster": accused.name,
                "cluster_id": accused.cluster_id,
                "status": accused.status,
                "evidence_id": fork.evidence_id,
                "epoch": fork.epoch,
                "evidence": fork.evidence.hex(),
                "file": None if file is None else str(file),
            }
            for accused, fork, file in rows
        ],
    }

    def for_people(console: Console) -> None:
        for accused, fork, file in rows:
            console.print(f"{accused.name}  {accused.status}  epoch {fork.epoch}", markup=False)
            console.print(f"  evidence  {fork.evidence_id.hex()}")
            if file is not None:
                words = f"{program()} evidence check {file} --trust {accused.cluster_id.hex()}"
                console.print(f"  {words}", markup=False)
        if not rows:
            console.print("no evidence is kept")

    output.answer(document, for_people)


@command.command("check", help="Check evidence offline. Exit code 0: it is true; 1: it convicts nobody.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--trust", type=HashType(), required=True, help="The hash of the cluster's genesis (its cluster id)."
)
@click.option(
    "--recovery",
    "recoveries",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    help="The recovery that began a later incarnation; several in their order.",
)
@json_option
def check(file: Path, trust: bytes, recoveries: tuple[Path, ...], output: Output) -> int:
    """Prints who signed both statements and what they weigh, or why the file proves nothing."""
    try:
        identity, read, verdict = check_evidence(
            file.read_bytes(), trust, [recovery.read_bytes() for recovery in recoveries]
        )
    except ProofError as error:
        reason = str(error)
        output.answer(
            {"convicts": False, "file": str(file), "reason": reason},
            lambda console: console.print(f"CONVICTS NOBODY  {file}\n  {reason}", markup=False),
        )
        return Exit.NEGATIVE
    accused = [key.hex() for key in verdict.accused]
    headers = [
        statement.certified.header.hash.hex() for statement in (read.evidence.first, read.evidence.second)
    ]
    document = {
        "convicts": True,
        "file": str(file),
        "evidence": read.evidence.id,
        "cluster": identity.name,
        "cluster_id": identity.cluster_id,
        "kind": read.evidence.kind.name.lower(),
        "epoch": verdict.epoch,
        "height": verdict.index,
        "accused": accused,
        "weight": verdict.weight,
        "total_weight": verdict.total_weight,
        "headers": headers,
        "freezes": verdict.reason,
        "not_checked": NOT_CHECKED,
    }

    def for_people(console: Console) -> None:
        console.print(f"TRUE  {file}", markup=False, style="bold red")
        console.print(
            f"  Cluster {identity.name!r} certified two histories: at height {verdict.index} of epoch "
            f"{verdict.epoch}, validators with {verdict.weight} of {verdict.total_weight} weight did.",
            markup=False,
        )
        for header in headers:
            console.print(f"  header      {header}", markup=False)
        for key in accused:
            console.print(f"  accused     {key}", markup=False)
        console.print(f"  freezing    {verdict.reason}", markup=False)
        console.print("NOT CHECKED:", style="bold")
        for sentence in NOT_CHECKED:
            console.print(f"  - {sentence}", markup=False)

    output.answer(document, for_people)
    return Exit.OK
