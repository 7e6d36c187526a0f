"""`isthmus query --cluster NAME KEY` and `--catalogue TEXT`: what other clusters hold, asked as a member."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from consensus import CodecError, SigningKey
from node.anchoring import verify
from node.anchoring.questions import UNIQUE_BYTES, CatalogueAsked, Question, StateAsked, Subject
from node.api.asking import ForeignStateAnswer, ListedAnswer, check_answer
from node.api.asking_talk import catalogue_of, state_of
from node.api.exchange import ApiError
from node.api.federation_queries import ClusterAnswer
from node.api.federation_talk import federation
from node.api.record_queries import version_fields
from node.cli.access import access_options
from node.cli.clusters import age_text, chosen
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.governing import access_of
from node.cli.names import resolve
from node.cli.options import json_option
from node.cli.output import Output, document_of, program, table
from node.cli.plain import words_of
from node.client import Client
from node.home import write_new
from node.proofs import ProofError

ALL = "all"
PAGES_MAX = 100
"""Pages of one cluster's catalogue that are asked for."""
_LIFETIME_MS = 60_000
_NO_PROOF = "what clusters list is not provably complete: a node may leave out, or invent, what it likes"


@click.command("abroad", hidden=True)
@click.argument("name", metavar="KEY", required=False)
@click.option("--cluster", help="The other cluster's name or id; with --catalogue also `all`.")
@click.option("--catalogue", metavar="TEXT", help="Search names, schemas and labels instead.")
@click.option(
    "--proof", type=click.Path(dir_okay=False, path_type=Path), help="Write the proof for `isthmus verify`."
)
@click.option(
    "--timeout", type=click.IntRange(1, 60), default=30, show_default=True, help="Seconds, for each cluster."
)
@access_options
@json_option
def command(
    name: str | None,
    cluster: str | None,
    catalogue: str | None,
    proof: Path | None,
    timeout: int,
    output: Output,
    **options: Any,
) -> int:
    """KEY is a name sector.cluster/app/resource; with --cluster a record's id is enough."""
    if (name is None) == (catalogue is None):
        raise Failure(Exit.USAGE, "name one thing to ask for", "give KEY, or --catalogue TEXT")
    access = access_of(options)
    signing = access.signing_key()
    with access.client() as client:
        if catalogue is not None:
            return _search(client, signing, catalogue, cluster or ALL, timeout, output)
        return _read(client, signing, name or "", cluster, timeout, proof, access.trust is not None, output)


def _signed(key: SigningKey, own_id: bytes, asked: bytes, subject: Subject) -> Question:
    ends_ms = time.time_ns() // 1_000_000 + _LIFETIME_MS
    try:
        return Question.sign(key, own_id, asked, os.urandom(UNIQUE_BYTES), ends_ms, subject)
    except CodecError as error:
        raise Failure(Exit.USAGE, f"that can be no question: {error}") from error


# --- one resource -------------------------------------------------------------------------------------


def _read(
    client: Client,
    signing: SigningKey,
    name: str,
    cluster: str | None,
    timeout: int,
    proof: Path | None,
    is_verified: bool,
    output: Output,
) -> int:
    named = resolve(client, name, cluster)
    own_id = client.genesis().cluster_id
    question = _signed(signing, own_id, named.cluster.cluster_id, StateAsked(named.resource))
    answer = client.look(state_of(question, timeout_ms=1000 * timeout))
    try:
        check_answer(answer, named.cluster.cluster_id, named.resource)
        if proof is not None:
            verify(answer.bundle, trust=named.cluster.cluster_id)
    except ProofError as error:
        raise Failure(Exit.NEGATIVE, f"the answer does not prove what it says: {error}") from error
    if proof is not None:
        write_new(proof, answer.bundle, 0o644)
    decoded = version_fields(answer.value)
    document = {
        "name": named.full,
        "cluster_id": answer.cluster_id,
        "value": answer.value,
        "record": decoded,
        "height": answer.height,
        "header_hash": answer.header_hash,
        "state_root": answer.state_root,
        "time_ms": answer.time_ms,
        "anchored_height": answer.anchored_height,
        "age_ms": answer.age_ms,
        "own_height": answer.own_height,
        "verified": is_verified,
        "proof": None if proof is None else str(proof),
    }
    output.answer(document, lambda console: _show(console, named.full, answer, is_verified, proof))
    return Exit.NEGATIVE if answer.value is None else Exit.OK


def _show(
    console: Console, name: str, answer: ForeignStateAnswer, is_verified: bool, proof: Path | None
) -> None:
    if answer.value is None:
        console.print(f"there is no {name}: its absence is proven", markup=False)
    else:
        fields = version_fields(answer.value) or {"value": answer.value}
        for what, value in fields.items():
            console.print(f"{what:<10}{words_of(value)}", markup=False)
    console.print(f"height    {answer.height} of {answer.cluster_name}", markup=False)
    console.print(f"root      {answer.state_root.hex()}")
    console.print(f"anchor    height {answer.anchored_height}, {age_text(answer.age_ms)} old here")
    how = "the node says so; give --trust HASH (of your own cluster) to verify it"
    if is_verified:
        how = f"at a root anchored by this cluster, proven from its genesis at height {answer.own_height}"
    console.print(f"verified  {'yes, ' if is_verified else 'by the node only: '}{how}", markup=False)
    if proof is not None:
        trust = answer.cluster_id.hex()
        console.print(f"proof     {program()} verify {proof} --trust {trust}", markup=False)


# --- catalogue ----------------------------------------------------------------------------------------


def _search(
    client: Client, signing: SigningKey, text: str, cluster: str, timeout: int, output: Output
) -> int:
    """Exit code 1 when nothing was found; clusters that did not answer are named, and fail nothing."""
    answer = client.look(federation())
    asked = answer.clusters if cluster == ALL else (chosen(answer, cluster),)
    own_id = client.genesis().cluster_id
    found: list[tuple[ClusterAnswer, ListedAnswer]] = []
    silent: list[tuple[str, str, str]] = []
    for each in asked:
        try:
            found += ((each, one) for one in _pages(client, signing, own_id, each, text, timeout))
        except ApiError as error:
            silent.append((each.name, error.name, error.message))
    document = {
        "catalogue": text,
        "found": [{"name": f"{by.name}/{one.resource}", **document_of(one)} for by, one in found],
        "did_not_answer": [{"cluster": name, "code": code, "message": why} for name, code, why in silent],
        "complete": False,
        "note": _NO_PROOF,
    }

    def for_people(console: Console) -> None:
        rows = [
            (f"{by.name}/{one.resource}", one.kind, one.owner, one.version, one.height) for by, one in found
        ]
        headings = ("name", "kind", "owner", "version", "height there")
        console.print(table(headings, rows) if rows else f"nothing was listed for {text!r}", markup=False)
        for name, _, why in silent:
            console.print(f"no answer from {name}: {why}", markup=False)
        console.print(f"({_NO_PROOF})", markup=False)

    output.answer(document, for_people)
    return Exit.OK if found else Exit.NEGATIVE


def _pages(
    client: Client, signing: SigningKey, own_id: bytes, cluster: ClusterAnswer, text: str, timeout: int
) -> Iterator[ListedAnswer]:
    behind = ""
    for _ in range(PAGES_MAX):
        question = _signed(signing, own_id, cluster.cluster_id, CatalogueAsked(text, behind))
        page = client.look(catalogue_of(question, timeout_ms=1000 * timeout))
        yield from page.listed
        behind = page.behind
        if not behind:
            return
