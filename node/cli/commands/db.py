"""`isthmus db`: looks after a node's database: check, backup, restore, prune, export, verify, import."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress

from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.group import CommandTable
from node.cli.hashes import HashType
from node.cli.options import home_option, json_option
from node.cli.output import Output
from node.config import NodeConfig, load_config
from node.daemon.backup import restore_backup, write_backup
from node.daemon.chainfile import ChainFile, check_part_of, export_chain, read_beginning, replay_chain
from node.daemon.keylock import KeyLock
from node.daemon.maintenance import MaintenanceError
from node.daemon.pruning import KEEP_MIN, Pruned, prune
from node.daemon.pruning import Progress as Report
from node.daemon.reading import compact_chain, open_view
from node.daemon.signature_audit import audit_signatures
from node.daemon.startup import check_data, open_store
from node.daemon.store import Store
from node.genesis import Genesis
from node.home import Home
from node.pool.config import PoolConfig
from node.storage import StoreFull
from node.validator import Tuning, first_writes, pool_config

_WAY_OUT = (
    "While a quorum of the other nodes is in order, move the data folder away (never keys) and start: the "
    "node fetches everything again. One node at a time, and keep what was moved until it has caught up."
)
_FORGED = (
    "Validators of more than a third of the weight said that they had checked these, and had not. Keep this "
    "folder: each transaction carries the signature that shows it. Set consensus.verification_certificates "
    "to false on every node, and ask who runs the validators."
)
_SHOWN_MAX = 10
"""Findings that people are shown one by one: rot makes dozens, and none of them changes the remedy."""
_NEW = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


@click.group(
    "db",
    cls=CommandTable,
    help="Look after a node's database: check, backup, restore, prune, export, verify, import.",
)
def command() -> None:
    """The group."""


@command.command(
    "check", help="Read all data of a stopped node, journal included; exit code 1 when something is wrong."
)
@click.option("--signatures", is_flag=True, help="Check every client's signature again, too.")
@home_option
@json_option
def check(signatures: bool, home: Home, output: Output) -> int:
    """Takes the node's lock, so that nothing writes meanwhile."""
    config = _config_of(home)
    with KeyLock.acquire(home.keys_dir):
        checked = check_data(config)
        audit = _forged(config, output) if signatures and not checked.findings else None
    audited, forged = audit is not None, audit or []
    document = {"home": str(home.path), "ok": not checked.findings and not forged, **asdict(checked)}
    if audited:
        document["forged"] = forged

    def for_people(console: Console) -> None:
        if checked.findings:
            _tell_wrong(console, home, checked.findings, _WAY_OUT)
        elif forged:
            _tell_wrong(console, home, forged, _FORGED)
        for sentence in checked.expected:
            console.print(sentence, markup=False)
        if not checked.findings and not forged:
            words = ", every signature included" if audited else ""
            console.print(f"the database in {home.data_dir} is in order{words}", markup=False)

    output.answer(document, for_people)
    return Exit.NEGATIVE if checked.findings or forged else Exit.OK


def _tell_wrong(console: Console, home: Home, findings: list[str], way_out: str) -> None:
    """The verdict and the way out first: what was found may be longer than a screen."""
    count = "one finding" if len(findings) == 1 else f"{len(findings)} findings"
    console.print(f"the database in {home.data_dir} is not in order: {count}", markup=False)
    console.print(way_out)
    for sentence in findings[:_SHOWN_MAX]:
        console.print(f"- {sentence}", markup=False)
    if len(findings) > _SHOWN_MAX:
        console.print(f"and {len(findings) - _SHOWN_MAX} more; --json tells all")


def _forged(config: NodeConfig, output: Output) -> list[str] | None:
    """None on a benchmark cluster, which stores no transactions of a ledger."""
    genesis = Genesis.from_json(config.home.genesis_text())
    if genesis.params.benchmark is not None:
        return None
    store = open_store(config, genesis)
    try:
        with _shown(output, "heights") as progress:
            return audit_signatures(store, progress)
    finally:
        store.close()


@command.command("backup", help="Copy the database of a node, running or not, to a new folder DEST.")
@click.argument("dest", type=_NEW)
@home_option
@json_option
def backup(dest: Path, home: Home, output: Output) -> None:
    """Consistent, compact, without keys, guard and journal."""
    config = _config_of(home)
    manifest = write_backup(home, config.name, dest, _now_ms())
    document = {"backup": str(dest), **asdict(manifest), "bytes": manifest.bytes}

    def for_people(console: Console) -> None:
        console.print(
            f"{dest}: height {manifest.height} of cluster {manifest.cluster_id[:12]}, {manifest.bytes} bytes",
            markup=False,
        )
        console.print(
            "It holds no keys and no guard: copy the keys folder apart, and never put it back older."
        )

    output.answer(document, for_people)


@command.command("restore", help="Put a backup in the place of a stopped node's data, which is kept.")
@click.argument("source", metavar="BACKUP", type=_FOLDER)
@home_option
@json_option
def restore(source: Path, home: Home, output: Output) -> None:
    """The node then follows, and signs only above what its guard has reserved."""
    load_config(home, os.environ)
    with KeyLock.acquire(home.keys_dir):
        manifest, kept = restore_backup(source, home, _now_ms())
    document = {
        "restored": str(source),
        "height": manifest.height,
        "kept": None if kept is None else str(kept),
    }

    def for_people(console: Console) -> None:
        console.print(f"{home.data_dir} holds height {manifest.height} again", markup=False)
        if kept is not None:
            console.print(
                f"what was there lies in {kept}: remove it once the node has caught up", markup=False
            )
        console.print(
            "Start it: it catches up from the others, and signs again only above what its guard reserved.\n"
            "Restore one validator at a time, while the others hold a quorum."
        )

    output.answer(document, for_people)


@command.command("prune", help="Forget the transactions of all but the newest heights of a stopped node.")
@click.option(
    "--keep",
    type=click.IntRange(1),
    required=True,
    metavar="BLOCKS",
    help=f"Heights to keep, from {KEEP_MIN}.",
)
@click.option("--compact/--no-compact", default=True, help="Give the room back to the disk.  [default: do]")
@home_option
@json_option
def prune_old(keep: int, compact: bool, home: Home, output: Output) -> None:
    """State, headers and proofs of them stay; old transactions are answered with code 410."""
    config = _config_of(home)
    genesis = Genesis.from_json(home.genesis_text())
    with KeyLock.acquire(home.keys_dir):
        with _shown(output, "blocks looked at") as progress:
            pruned = _prune(config, genesis, keep, progress)
        sizes = _compact(home, output) if compact and pruned.below else None
    document = {
        **asdict(pruned),
        "bytes_before": None if sizes is None else sizes[0],
        "bytes_after": None if sizes is None else sizes[1],
    }

    def for_people(console: Console) -> None:
        if not pruned.below:
            console.print(f"there is nothing to forget: the chain has {pruned.tip} heights")
            return
        console.print(
            f"forgot {pruned.bodies} heights below {pruned.below}: {pruned.blocks} blocks, "
            f"{pruned.batches} batches"
        )
        if sizes is not None:
            console.print(f"the chain's database has {sizes[1]} bytes (before: {sizes[0]})")
        console.print(
            "Keep one node of the cluster unpruned: new nodes catch up from it, and it alone proves old "
            "transactions."
        )

    output.answer(document, for_people)


@command.command("export", help="Write the whole chain of a node, running or not, as one portable FILE.")
@click.argument("file", type=_NEW)
@click.option("--to", type=click.IntRange(1), metavar="HEIGHT", help="Up to this height.  [default: all]")
@home_option
@json_option
def export(file: Path, to: int | None, home: Home, output: Output) -> None:
    """Every block with what it ordered, and every certificate: `db verify` executes it anywhere."""
    _config_of(home)
    genesis = Genesis.from_json(home.genesis_text())
    rules = pool_config(genesis, Tuning())
    with open_view(home.data_dir) as view, _shown(output, "heights") as progress:
        first, height = export_chain(view.snapshot, rules, genesis, to, file, progress)
    document = {
        "file": str(file),
        "first": first,
        "height": height,
        "bytes": file.stat().st_size,
        "cluster_id": genesis.cluster_id.hex(),
    }
    whose = f"of cluster {genesis.cluster_id.hex()}"
    words = f"{file}: heights {first} to {height} {whose}, {document['bytes']} bytes"
    if first > 1:
        output.remark(f"what is below height {first} was pruned here: the file can be checked, not executed")
    output.answer(document, lambda console: console.print(words, markup=False))


@command.command("verify", help="Execute an exported chain FILE offline, against a trusted genesis hash.")
@click.argument("file", type=_FILE)
@click.option(
    "--trust", type=HashType(), required=True, help="The genesis hash: which cluster it must be of."
)
@json_option
def verify(file: Path, trust: bytes, output: Output) -> None:
    """Every certificate, every transaction and every root, from the genesis on."""
    beginning = _beginning_of(file, trust, "--trust")
    genesis = beginning.genesis
    if beginning.first > 1:
        _verify_part(file, pool_config(genesis, Tuning()), output)
        return
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        store = Store.open(Path(folder), fsync=False)
        try:
            store.apply(*first_writes(genesis))
            with _shown(output, "heights") as progress:
                replay = replay_chain(file, store, pool_config(genesis, Tuning()), progress)
        finally:
            store.close()
    document = {
        "verified": True,
        "executed": True,
        "first": 1,
        "height": replay.height,
        "header_hash": replay.header_hash.hex(),
    }
    words = (
        f"{file} is the history of cluster {trust.hex()} up to height {replay.height}: every block was "
        f"executed again, and gives what a quorum certified.\n  header {replay.header_hash.hex()}"
    )
    output.answer(document, lambda console: console.print(words, markup=False))


@command.command("import", help="Execute an exported chain FILE into a home that has no data yet.")
@click.argument("file", type=_FILE)
@home_option
@json_option
def take_in(file: Path, home: Home, output: Output) -> None:
    """The node then goes on from there, as if it had followed from the first block."""
    config = load_config(home, os.environ).config
    genesis = Genesis.from_json(home.genesis_text())
    _beginning_of(file, genesis.cluster_id, str(home.genesis_file))
    if home.data_dir.exists() and any(home.data_dir.iterdir()):
        raise MaintenanceError(
            "destination-taken", f"{home.data_dir} is not empty: move it away first (never the keys)"
        )
    with KeyLock.acquire(home.keys_dir), _shown(output, "heights") as progress:
        store = open_store(config, genesis)
        try:
            replay = replay_chain(file, store, pool_config(genesis, Tuning()), progress)
        finally:
            store.close()
    document = {"home": str(home.path), "height": replay.height}
    words = f"{home.data_dir} holds heights 0 to {replay.height}; start the node"
    output.answer(document, lambda console: console.print(words, markup=False))


def _verify_part(file: Path, rules: PoolConfig, output: Output) -> None:
    with _shown(output, "heights") as progress:
        part = check_part_of(file, rules, progress)
    document = {"verified": True, "executed": False, **asdict(part), "header_hash": part.header_hash.hex()}
    document["height"] = document.pop("last")
    words = (
        f"{file} is what cluster {rules.batch.cluster_id.hex()} ordered from height {part.first} to "
        f"{part.last}: certificates, blocks and batches are as a quorum certified them. Nothing was "
        f"executed: that needs what is below.\n  header {part.header_hash.hex()}"
    )
    output.answer(document, lambda console: console.print(words, markup=False))


def _beginning_of(file: Path, trust: bytes, named_by: str) -> ChainFile:
    beginning = read_beginning(file)
    genesis = beginning.genesis
    if genesis.cluster_id != trust:
        raise MaintenanceError(
            "chain-foreign",
            f"{file} is of cluster {genesis.cluster_id.hex()[:16]}, and {named_by} names {trust.hex()[:16]}",
        )
    return beginning


def _config_of(home: Home) -> NodeConfig:
    config = load_config(home, os.environ).config
    if not home.chain_dir.exists():
        raise Failure(Exit.NEGATIVE, f"there is no database in {home.data_dir} yet; a first start makes it")
    return config


def _prune(config: NodeConfig, genesis: Genesis, keep: int, progress: Report) -> Pruned:
    store = open_store(config, genesis)
    try:
        return prune(store, pool_config(genesis, Tuning()), keep, progress)
    finally:
        store.close()


def _compact(home: Home, output: Output) -> tuple[int, int] | None:
    """None where there is no room for the copy: what was freed is then used by what comes."""
    try:
        return compact_chain(home.data_dir)
    except StoreFull as error:
        output.remark(f"not compacted: {error}. The file stays as large as it is and is filled again first")
        return None


@contextmanager
def _shown(output: Output, title: str) -> Iterator[Report]:
    """A bar on standard error for people who wait."""
    if output.as_json:
        yield lambda _done, _total: None
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
