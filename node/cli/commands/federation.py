"""`isthmus federation`: clusters that admit each other, on this machine or far apart."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import trio
from rich.console import Console
from rich.live import Live

from consensus import CodecError, Digest
from node.api.federation_talk import federation
from node.cli.access import access_options
from node.cli.clusters import age_text, clusters_table, find_cluster
from node.cli.commands.demo import Narration
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.governing import access_of, propose_changes, proposing_options
from node.cli.group import CommandTable
from node.cli.hashes import HashType
from node.cli.invitation import Invitation, parse_addresses, read_invitation
from node.cli.listing import Listing
from node.cli.options import json_option
from node.cli.output import Output, document_of, program, table
from node.home import write_new
from node.ledger.federation.changes import RetireCluster, SetReaders
from node.ledger.federation.grants import grants_from_value
from node.local.federation import (
    CLUSTERS_MAX,
    LocalFederation,
    Sight,
    admission_of,
    open_or_write,
    run_federation,
)
from node.local.federation_demo import FederationReport, Proven, run_federation_demo
from node.local.interruption import until_interrupted
from node.local.ports import LOOPBACK, first_busy
from node.local.testnet import NODES_MAX, read_testnet

_NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_HEADINGS = ("cluster", "height", "anchored at", "height there", "lag", "age", "status")


@click.group(
    "federation",
    cls=CommandTable,
    help="Clusters that admit each other: up, invite, join, list, grant, leave.",
)
def command() -> None:
    """The group."""


@command.command("up", help="Start local clusters that admit each other; a live table until Ctrl-C.")
@click.option("--clusters", type=click.IntRange(2, CLUSTERS_MAX), default=3, show_default=True)
@click.option(
    "--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True, help="Nodes of each cluster."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".isthmus/federation"),
    show_default=True,
    help="A new folder, or that of an earlier start, which goes on with all its data.",
)
@json_option
def up(clusters: int, nodes: int, out: Path, output: Output) -> int:
    """Ports are 27600 + 1000 * cluster + 10 * node, or free ones where these are taken."""
    local = open_or_write(out, clusters, nodes)
    busy = first_busy(tuple(node.ports for testnet in local.testnets for node in testnet.nodes))
    if busy is not None:
        raise Failure(
            Exit.PORT_IN_USE,
            f"port {busy} is in use by another process",
            "stop that one (this federation, started elsewhere?), or write a new one: --out DIR",
        )
    output.answer(_document(local), lambda console: _describe(console, local))
    screen = Screen()
    with screen.shown():
        has_ended_well = trio.run(run_federation, local, screen.say, screen.show)
    return Exit.OK if has_ended_well else Exit.CHILD_DIED


@command.command(
    "invite", help="Write this cluster's invitation: its genesis and where its nodes are dialled."
)
@click.option("--out", type=_NEW_FILE, help="[default: NAME.invitation.json]")
@click.option(
    "--address",
    "addresses",
    multiple=True,
    metavar="NODE=HOST:PORT",
    help="Where a validator is dialled; may be repeated. [default: with --net its nodes, else none]",
)
@click.option("--no-addresses", is_flag=True, help="Our nodes cannot be dialled; they dial out.")
@access_options
@json_option
def invite(
    out: Path | None, addresses: tuple[str, ...], no_addresses: bool, output: Output, **options: Any
) -> None:
    """Give the file to the other cluster's operators, and tell them the cluster id by another way."""
    with access_of(options).client() as client:
        genesis = client.genesis()
        node_keys = {v.name: v.node_key for v in client.validators().validators}
    if options["net"] is not None and not addresses:
        nodes = read_testnet(options["net"]).nodes
        addresses = tuple(f"{node.name}={LOOPBACK}:{node.ports.p2p}" for node in nodes)
    places = () if no_addresses else parse_addresses(addresses, node_keys)
    invitation = Invitation(genesis.body, places)
    name, target_id = invitation.identity.name, invitation.identity.cluster_id
    target = out or Path(f"{name}.invitation.json")
    write_new(target, invitation.to_json().encode(), 0o644)

    def for_people(console: Console) -> None:
        console.print(f"Wrote {target}: cluster {name}, {len(places)} places to dial", markup=False)
        console.print(f"  cluster id  {target_id.hex()}  (tell it by another way than the file)")
        console.print("Next, an operator of the other cluster:")
        console.print(f"  {program()} federation join {target.name} --key OPERATOR_KEY", markup=False)
        console.print("and it invites back: each side admits the other.")

    output.answer(
        {"invitation": str(target), "name": name, "cluster_id": target_id, "addresses": len(places)},
        for_people,
    )


@command.command("join", help="Propose to admit the cluster of an INVITATION file.")
@click.argument("file", metavar="INVITATION", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--expect", type=HashType(), help="The cluster id as the other side told it.")
@click.option("--records", is_flag=True, help="Also let records be shared and asked for, both ways.")
@proposing_options
def join(file: Path, expect: bytes | None, records: bool, output: Output, **options: Any) -> int:
    """Signed by an operator; the other operators approve: `isthmus governance approve`."""
    invitation = read_invitation(file)
    identity = invitation.identity
    if expect is not None and expect != identity.cluster_id:
        raise Failure(
            Exit.NEGATIVE,
            f"{file} is of cluster {identity.cluster_id.hex()}, not of the expected {expect.hex()}",
            "ask the other side again; somebody may have changed the file",
        )
    output.remark(f"admitting {identity.name}, cluster id {identity.cluster_id.hex()}")
    changes = admission_of(invitation.body, invitation.addresses, shares_records=records)
    return propose_changes(output, options, changes)


@command.command("list", help="The clusters that were admitted, and how they are held.")
@access_options
@json_option
def list_clusters(output: Output, **options: Any) -> None:
    """In the order of their admission."""
    with access_of(options).client() as client:
        answer = client.look(federation())

    def for_people(console: Console) -> None:
        console.print(clusters_table(answer.clusters) if answer.clusters else "no cluster was admitted")

    output.answer(document_of(answer), for_people)


@command.command("leave", help="Propose to retire a CLUSTER (name or id), for ever.")
@click.argument("cluster")
@proposing_options
def leave(cluster: str, output: Output, **options: Any) -> int:
    """Nothing passes to or from it any more; it can come back under a new genesis only."""
    with access_of(options).client() as client:
        found = find_cluster(client, cluster)
    return propose_changes(output, options, (RetireCluster(Digest(found.cluster_id)),))


@command.command("grant", help="Propose what members of a CLUSTER may read here; without PREFIX: nothing.")
@click.argument("cluster")
@click.argument("prefixes", metavar="[PREFIX]...", nargs=-1)
@click.option("--list", "may_list", is_flag=True, help="They may also search names there.")
@click.option("--organisation", "organisations", multiple=True, help="Only for its members; may be repeated.")
@click.option("--role", "roles", multiple=True, help="Only for those with this role; may be repeated.")
@proposing_options
def grant(
    cluster: str,
    prefixes: tuple[str, ...],
    may_list: bool,
    organisations: tuple[str, ...],
    roles: tuple[str, ...],
    output: Output,
    **options: Any,
) -> int:
    """PREFIX begins names of resources, such as `records/berths/`. All grants before are replaced."""
    with access_of(options).client() as client:
        found = find_cluster(client, cluster)
    values = tuple((prefix, int(may_list), organisations, roles, ()) for prefix in prefixes)
    try:
        change = SetReaders(Digest(found.cluster_id), grants_from_value(values))
    except CodecError as error:
        raise Failure(Exit.USAGE, f"that cannot be granted: {error}", "PREFIX is like records/") from error
    return propose_changes(output, options, (change,))


@command.command("demo", help="Start three clusters, pass a record between them, verify it, stop.")
@click.option(
    "--nodes", type=click.IntRange(1, NODES_MAX), default=4, show_default=True, help="Nodes of each cluster."
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".isthmus/federation-demo"),
    show_default=True,
    help="Where the clusters live; an earlier demo there is replaced.",
)
@json_option
def demo(nodes: int, out: Path, output: Output) -> None:
    """Exit code 0 only when every promise held."""
    report = trio.run(until_interrupted, lambda: run_federation_demo(out, nodes, Narration()))
    if report is None:
        raise KeyboardInterrupt
    document = {name: getattr(report, name) for name in report.__slots__}
    proofs = {name: _proof_document(getattr(report, name)) for name in ("record", "message")}
    output.answer({**document, **proofs, "ok": True}, lambda console: _tell_demo(console, report))


def _proof_document(proof: Proven) -> dict[str, object]:
    return {name: getattr(proof, name) for name in proof.__slots__}


def _tell_demo(console: Console, report: FederationReport) -> None:
    first, second, third = report.clusters
    seconds = [f"{each:.2f} s" for each in report.delivered_s]
    record, message = report.record, report.message
    console.print()
    rows = [
        (
            "clusters",
            f"{', '.join(report.clusters)}: nodes in each: {report.nodes}; each admitted the others",
        ),
        ("ready", f"{report.ready_s:.1f} s after the start"),
        (
            "message",
            f"{first} to {second}: delivered and acknowledged in {seconds[0]}, to {third} in {seconds[1]}",
        ),
        ("its proof", f"{message.bundle} ({message.bundle_bytes} bytes): verified offline; damaged: refused"),
        ("record", f"of {first}, proven to {third} at the header that {third} anchored itself"),
        ("its proof", f"{record.bundle} ({record.bundle_bytes} bytes): verified offline; damaged: refused"),
        ("all of it", f"{report.total_s:.1f} s"),
    ]
    console.print(table(("what", "result"), rows))
    console.print("What the proof cannot say:")
    for sentence in report.not_checked:
        console.print(f"  - {sentence}", markup=False)
    console.print("Everything is stopped. The same clusters again, with their data, and a proof again:")
    console.print(f"  {program()} federation up --out {report.directory}", markup=False)
    trust = f"--trust {record.trust.hex()} --checkpoint {record.checkpoint}"
    console.print(f"  {program()} verify {record.bundle} {trust}", markup=False)


class Screen:
    """The table on standard error: redrawn on a terminal; elsewhere a new one when a status changes."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._live: Live | None = None
        self._statuses: tuple[str, ...] = ()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """For as long as something may be shown."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, auto_refresh=False) as live:
            self._live = live
            yield
        self._live = None

    def say(self, text: str) -> None:
        """A sentence."""
        self._console.print(text, markup=False)

    def show(self, sights: tuple[Sight, ...]) -> None:
        """The newest look around."""
        statuses = tuple(_status(sight) for sight in sights)
        if self._live is not None:
            self._live.update(sights_table(sights), refresh=True)
        elif statuses != self._statuses:
            self._console.print(sights_table(sights))
        self._statuses = statuses


def sights_table(sights: Sequence[Sight]) -> Listing:
    """A row for each cluster and each other one that holds it."""
    return table(_HEADINGS, [_row(sight) for sight in sights])


def _row(sight: Sight) -> tuple[object, ...]:
    held = sight.held
    anchored = ("-", "-", "-") if held is None else (held.height, _or_dash(sight.lag), age_text(sight.age_ms))
    return (sight.name, _or_dash(sight.height), sight.holder, *anchored, _status(sight))


def _status(sight: Sight) -> str:
    if sight.height is None:
        return "no answer"
    return "not admitted" if sight.held is None else sight.held.status


def _or_dash(number: int | None) -> object:
    return "-" if number is None else number


def _document(local: LocalFederation) -> dict[str, object]:
    return {
        "directory": str(local.directory),
        "clusters": [
            {
                "name": testnet.name,
                "cluster_id": testnet.cluster_id,
                "directory": str(testnet.directory),
                "urls": [node.url for node in testnet.nodes],
            }
            for testnet in local.testnets
        ],
    }


def _describe(console: Console, local: LocalFederation) -> None:
    console.print(f"Federation in {local.directory}", markup=False)
    rows = [
        (testnet.name, testnet.cluster_id.hex(), testnet.nodes[0].url, testnet.directory)
        for testnet in local.testnets
    ]
    console.print(table(("cluster", "cluster id", "API of node0", "folder"), rows))
    first = local.testnets[0].directory
    console.print("In another terminal:")
    console.print(f"  {program()} federation list --net {first}", markup=False)
    console.print(f"  {program()} tx put demo/hello README.md --net {first}", markup=False)
