"""`isthmus genesis`: organisations make one genesis together, each with keys that never leave its machine."""

import ipaddress
import os
import re
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from consensus import PublicKey, SigningKey
from node.ceremony import CeremonyError, Entry, Plan, collect
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.group import CommandTable
from node.cli.options import home_option, json_option
from node.cli.output import Output, program, table
from node.config import NodeConfig, PeerConfig, load_config
from node.genesis import Genesis
from node.home import SEED_BYTES, Home, read_key, write_key, write_new
from node.knobs import is_host
from node.ledger.members import Member
from node.ledger.names import check_name
from node.ledger.params import RANGES, Params
from node.ledger.roster import ValidatorRecord
from node.local.newnode import add_peers
from p2p import NodeIdentity

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW_FILE = click.Path(dir_okay=False, path_type=Path)
_SETTABLE = sorted(set(RANGES) - {"created_ms"})


@click.group("genesis", cls=CommandTable, help="Make a cluster's genesis together: new, join, collect.")
def command() -> None:
    """The group."""


def _to_organisation(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return check_name(value, "an organisation's name")
    except ValueError as wrong:
        raise click.BadParameter(str(wrong)) from wrong


def _to_host(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not is_host(value):
        raise click.BadParameter(f"{value!r} must be an address or DNS name; give the port with --port")
    return value


@command.command("new", help="Write the plan that every organisation joins: the name and the parameters.")
@click.argument("name")
@click.option(
    "--param",
    "params",
    multiple=True,
    metavar="KEY=VALUE",
    help=f"A shared parameter other than its default: {', '.join(_SETTABLE)}.",
)
@click.option("--out", type=_NEW_FILE, default=Path("plan.json"), show_default=True)
@json_option
def new(name: str, params: tuple[str, ...], out: Path, output: Output) -> None:
    """Anybody of the organisations may do this; it gives no power over the cluster."""
    chosen: dict[str, Any] = dict(map(_parameter, params))
    try:
        plan = Plan(name, Params(time.time_ns() // 1_000_000, **chosen))
    except ValueError as error:
        raise Failure(Exit.USAGE, str(error)) from error
    write_new(out, plan.to_json().encode(), 0o644)
    document = {"plan": str(out), "hash": plan.hash, "name": name}

    def for_people(console: Console) -> None:
        console.print(f"Wrote {out}, plan hash {plan.hash.hex()}", markup=False)
        console.print("Next: send it to every organisation; each runs, on the machine of its validator:")
        console.print(f"  {program()} init --name NAME", markup=False)
        console.print(f"  {program()} genesis join {out.name} --organisation ORG --host HOST", markup=False)

    output.answer(document, for_people)


@command.command(
    "join", help="Write this organisation's entry: public keys, address, members; nothing secret."
)
@click.argument("plan_file", metavar="PLAN", type=_FILE)
@home_option
@click.option("--organisation", required=True, callback=_to_organisation, help="Who runs this validator.")
@click.option(
    "--host", callback=_to_host, help="Where others dial this node; otherwise p2p.advertise_host or p2p.host."
)
@click.option("--port", type=click.IntRange(1, 65535), help="Otherwise p2p.advertise_port or p2p.port.")
@click.option("--weight", type=click.IntRange(1, 1_000_000), default=1, show_default=True)
@click.option(
    "--operator-key",
    type=_NEW_FILE,
    help="The key that speaks for this validator in governance; made when it is not there. "
    "[default: operator.key in the node's keys folder]",
)
@click.option(
    "--member",
    "members",
    multiple=True,
    metavar="NAME:ROLE[,ROLE]:KEY",
    help="Somebody of this organisation who may sign transactions; KEY is a public key of 64 hex digits.",
)
@click.option("--out", type=_NEW_FILE, help="[default: NAME.entry.json]")
@json_option
def join(
    plan_file: Path,
    home: Home,
    organisation: str,
    host: str | None,
    port: int | None,
    weight: int,
    operator_key: Path | None,
    members: tuple[str, ...],
    out: Path | None,
    output: Output,
) -> None:
    """Reads the private keys to compute the public ones; only the operator key signs."""
    plan = Plan.from_json(_read(plan_file))
    config = load_config(home, os.environ).config
    if not home.validator_key_file.exists():
        raise Failure(
            Exit.CONFIGURATION,
            f"{home.path} is an observer's home",
            "make one with `isthmus init --role validator`",
        )
    key_file = operator_key or home.keys_dir / "operator.key"
    if not key_file.exists():
        write_key(key_file, os.urandom(SEED_BYTES))
    operator = SigningKey(read_key(key_file))
    record = ValidatorRecord(
        config.name,
        organisation,
        SigningKey(read_key(home.validator_key_file)).public_key,
        PublicKey(NodeIdentity.from_seed(read_key(home.node_key_file)).peer_id),
        weight,
        operator.public_key,
    )
    listed = [_member_of(organisation, text) for text in members]
    entry = Entry.sign(
        plan,
        operator,
        record,
        host or config.p2p.advertise_host or config.p2p.host,
        port or config.p2p.advertise_port or config.p2p.port,
        listed,
    )
    target = out or Path(f"{config.name}.entry.json")
    write_new(target, entry.to_json().encode(), 0o644)
    document = {
        "entry": str(target),
        "plan": plan.hash,
        "name": record.name,
        "host": entry.host,
        "port": entry.port,
        "operator_key_file": str(key_file),
        "warnings": list(_unreachable(config, entry)),
    }
    for words in _unreachable(config, entry):
        output.remark(f"WARNING: {words}")

    def for_people(console: Console) -> None:
        console.print(f"Wrote {target} for plan {plan.hash.hex()}", markup=False)
        console.print(f"  others dial     {entry.host}:{entry.port}", markup=False)
        console.print(
            f"  operator key    {key_file}  (keep it off this machine once you have a copy)", markup=False
        )
        console.print("Next: send it to the others; with everybody's entry, each runs on its own machine:")
        console.print(f"  {program()} genesis collect {plan_file.name} *.entry.json", markup=False)

    output.answer(document, for_people)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _leads_back(host: str) -> bool:
    """Loopback, and the address of all addresses, which who dials it takes for its own machine."""
    return _is_loopback(host) or host in ("0.0.0.0", "::")


def _unreachable(config: NodeConfig, entry: Entry) -> Iterator[str]:
    """Why nodes on other machines could not reach this one."""
    if _leads_back(entry.host):
        yield (
            f"others are told to dial {entry.host}, which leads every machine to itself; "
            "give --host, or set p2p.advertise_host"
        )
    if _is_loopback(config.p2p.host):
        yield (
            f"this node listens on {config.p2p.host} alone, where no other machine reaches it; set "
            'p2p.host in config.toml, to "0.0.0.0" for every address, before it starts'
        )


@command.command("collect", help="Compute the genesis from the plan and all entries, and install it here.")
@click.argument("plan_file", metavar="PLAN", type=_FILE)
@click.argument("entry_files", metavar="ENTRY...", type=_FILE, nargs=-1, required=True)
@home_option
@click.option("--out", type=_NEW_FILE, help="Only write the genesis to this file; no home is touched.")
@json_option
def collect_command(
    plan_file: Path, entry_files: tuple[Path, ...], home: Home, out: Path | None, output: Output
) -> None:
    """Everybody does this for himself; who gets the same cluster id has the same cluster."""
    plan = Plan.from_json(_read(plan_file))
    entries = [_entry(file) for file in entry_files]
    genesis = collect(plan, entries)
    warnings: list[str] = []
    if out is None:
        warnings = _install(home, genesis, entries)
    else:
        write_new(out, genesis.to_json().encode(), 0o644)
    ordered = sorted(entries, key=lambda entry: entry.validator.name)
    document = {
        "cluster_id": genesis.cluster_id,
        "name": genesis.name,
        "genesis": str(out or home.genesis_file),
        "validators": [
            {field.name: getattr(entry.validator, field.name) for field in fields(ValidatorRecord)}
            | {"host": entry.host, "port": entry.port}
            for entry in ordered
        ],
        "warnings": warnings,
    }
    for words in warnings:
        output.remark(f"WARNING: {words}")

    def for_people(console: Console) -> None:
        rows = [
            (
                entry.validator.name,
                entry.validator.organisation,
                entry.validator.weight,
                f"{entry.host}:{entry.port}",
            )
            for entry in ordered
        ]
        console.print(table(("validator", "organisation", "weight", "address"), rows))
        console.print(f"cluster id {genesis.cluster_id.hex()}")
        console.print("Next: compare the cluster id with every other organisation, by telephone, then")
        console.print(f"  {program()} start --home {home.path}", markup=False)

    output.answer(document, for_people)


def _install(home: Home, genesis: Genesis, entries: list[Entry]) -> list[str]:
    """The genesis, and the other validators as peers, into a home that is one of them. Answers what does not
    fit: peers that are known there at another address."""
    config = load_config(home, {}).config
    own = NodeIdentity.from_seed(read_key(home.node_key_file)).peer_id
    if not any(bytes(entry.validator.node_key) == own for entry in entries):
        raise Failure(
            Exit.CONFIGURATION,
            f"none of the entries is of the node in {home.path}",
            "add its own entry (`isthmus genesis join`), or only write the genesis with --out FILE",
        )
    known = {peer.node_key for peer in config.p2p.peers} | {bytes(own)}
    peers = [
        PeerConfig(entry.validator.name, entry.validator.node_key, entry.host, entry.port)
        for entry in sorted(entries, key=lambda entry: entry.validator.name)
        if bytes(entry.validator.node_key) not in known
    ]
    write_new(home.genesis_file, genesis.to_json().encode(), 0o644)
    add_peers(home, peers)
    placed = {bytes(entry.validator.node_key): (entry.host, entry.port) for entry in entries}
    return [
        f"{home.config_file} has {peer.name} at {peer.host}:{peer.port} already, and its entry says "
        f"{':'.join(map(str, placed[peer.node_key]))}; correct it there if it moved"
        for peer in config.p2p.peers
        if placed.get(peer.node_key, (peer.host, peer.port)) != (peer.host, peer.port)
    ]


def _entry(file: Path) -> Entry:
    try:
        return Entry.from_json(_read(file))
    except CeremonyError as error:
        raise CeremonyError(error.code, f"{file}: {error}") from error


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Failure(Exit.USAGE, f"{file} is not text: {error}") from error


def _parameter(text: str) -> tuple[str, int]:
    key, separator, value = text.partition("=")
    if key not in _SETTABLE or not separator or not value.isascii() or not value.isdigit():
        raise Failure(
            Exit.USAGE,
            f"--param {text!r} is no parameter",
            f"write KEY=NUMBER with one of {', '.join(_SETTABLE)}",
        )
    return key, int(value)


def _member_of(organisation: str, text: str) -> Member:
    parts = text.split(":")
    try:
        if len(parts) != 3 or not re.fullmatch(r"[0-9a-fA-F]{64}", parts[2]):
            raise ValueError("it names no public key of 64 hexadecimal digits")
        name, roles, key = parts
        return Member(PublicKey(bytes.fromhex(key)), organisation, tuple(sorted(roles.split(","))), name)
    except ValueError as error:
        raise Failure(
            Exit.USAGE,
            f"--member {text!r}: {error}",
            "write NAME:ROLE[,ROLE]:PUBLIC-KEY, as in ana:client:9f86...",
        ) from error
