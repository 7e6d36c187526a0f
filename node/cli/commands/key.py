"""`isthmus key`: replaces a validator's keys, one guided command from the new key to the restart."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from consensus import SigningKey
from node.cli.access import access_options
from node.cli.exits import Exit
from node.cli.failures import Failure
from node.cli.governing import access_of
from node.cli.group import CommandTable
from node.cli.options import json_option
from node.cli.output import Output, program
from node.cli.rotation import Rotation, changed, own_record
from node.config import load_config
from node.daemon.keylock import KeyInUse, KeyLock
from node.daemon.keyswap import (
    KeyKind,
    draft_key,
    draft_of,
    key_file,
    public_of,
    roster_of_home,
    swap,
    swap_file,
)
from node.home import SEED_BYTES, Home, read_key
from p2p import NodeIdentity

_LOOK_AGAIN_S = 0.2


@click.group("key", cls=CommandTable, help="Replace a validator's keys.")
def command() -> None:
    """The group."""


@command.command(
    "rotate", help="Make a new key for the validator of --home, have governance accept it, put it in place."
)
@click.argument("kind", type=click.Choice(("node", "consensus", "operator")))
@click.option(
    "--timeout", type=click.IntRange(1, 86_400), default=600, show_default=True, help="Seconds to wait."
)
@access_options
@json_option
def rotate(kind: str, timeout: int, output: Output, **options: Any) -> int:
    """--key is the validator's operator key. Interrupted anywhere, the same command goes on."""
    if options["home"] is None:
        raise Failure(Exit.USAGE, "no validator is named", "give --home, the folder of the validator's node")
    home = Home(options["home"])
    load_config(home, os.environ)
    deadline_s = time.monotonic() + timeout
    if kind == "operator":
        return _rotate_operator(home, output, options, deadline_s)
    node_kind = KeyKind(kind)
    path = key_file(home, node_kind)
    new = public_of(node_kind, draft_key(path, os.urandom(SEED_BYTES)))
    if not _is_in_force(home, new):
        joining = SigningKey(read_key(draft_of(path))) if node_kind is KeyKind.CONSENSUS else None
        _govern(home, kind, new, joining, output, options, deadline_s)
    _swap_stopped(home, node_kind, output, deadline_s)
    document = {"kind": kind, "key": new.hex(), "file": str(path)}

    def for_people(console: Console) -> None:
        console.print(f"{path} is the {kind} key {new.hex()} now; start the node", markup=False)
        console.print(
            "  the old key lies beside it, *.retired: keep it secret for ever, what it signed stays valid"
        )
        if node_kind is KeyKind.NODE:
            console.print(
                "  others that dial this node have its old node key in their peer entry: correct it there"
            )

    output.answer(document, for_people)
    return Exit.OK


def _rotate_operator(home: Home, output: Output, options: dict[str, Any], deadline_s: float) -> int:
    path: Path | None = options["key"]
    if path is None:
        raise Failure(Exit.USAGE, "the operator key to be replaced is not named", "give --key FILE")
    new = bytes(SigningKey(draft_key(path, os.urandom(SEED_BYTES))).public_key)
    _govern(home, "operator", new, None, output, options, deadline_s)
    swap_file(path, _now_ms())
    document = {"kind": "operator", "key": new.hex(), "file": str(path)}

    def for_people(console: Console) -> None:
        console.print(f"{path} is the operator key {new.hex()} now", markup=False)
        console.print("  the old key lies beside it, *.retired; nothing has to be restarted")

    output.answer(document, for_people)
    return Exit.OK


def _govern(
    home: Home,
    kind: str,
    new: bytes,
    joining: SigningKey | None,
    output: Output,
    options: dict[str, Any],
    deadline_s: float,
) -> None:
    access = access_of(options)
    operator = access.signing_key()
    keys = [bytes(NodeIdentity.from_seed(read_key(home.node_key_file)).peer_id)]
    if home.validator_key_file.exists():
        keys.append(bytes(SigningKey(read_key(home.validator_key_file)).public_key))
    with access.client() as client:
        record = own_record(client, access, (*keys, new))
        change = changed(record.name, kind, new)
        is_stored = partial(_is_in_force, home, new)
        Rotation(client, operator, output, change, joining, is_stored, deadline_s).carry_through()


def _is_in_force(home: Home, key: bytes) -> bool:
    """Whether the home's own database lists the key already: then nobody has to be asked any more."""
    roster = roster_of_home(home)
    return roster is not None and any(key in record.keys for record in roster.validators)


def _swap_stopped(home: Home, kind: KeyKind, output: Output, deadline_s: float) -> None:
    """As soon as the node has stopped. Raises Failure when it does not in time."""
    is_told = False
    while True:
        try:
            with KeyLock.acquire(home.keys_dir):
                swap(home, kind, _now_ms())
                return
        except KeyInUse as error:
            if time.monotonic() > deadline_s:
                raise Failure(
                    Exit.TIMEOUT,
                    f"the new key is in force, and the node still runs with the old one: {error}",
                    f"stop the node; then `{program()} key rotate {kind.value} --home {home.path}` goes on",
                ) from error
        if not is_told:
            output.remark("the new key is in force: stop the node now (SIGTERM, systemctl stop); this waits")
            is_told = True
        time.sleep(_LOOK_AGAIN_S)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
