"""Replacing a key of a stopped node by one that the ledger lists already; every step can be interrupted.

    keys/node.key.new, validator.key.new   made before governance is asked, kept until it has decided
    keys/*.retired                         what was replaced: kept, for what it signed stays valid for ever

A consensus key comes with a guard of its own (C14): the old one is retired with its key, and between the two
the home has no key at all, so that it starts with neither.
"""

from enum import Enum
from pathlib import Path

from consensus import Epoch, GuardRecord, SigningKey, encode
from node.daemon.durability import sync_directory
from node.daemon.guardfile import GuardFile
from node.daemon.reading import open_view
from node.home import Home, read_key, write_key
from node.ledger.roster import Roster
from node.storage import ChainTable, Snapshot, StorageError
from node.validator.epochs import EpochLink
from p2p import NodeIdentity


class KeyKind(Enum):
    """Which key of a node."""

    NODE = "node"
    CONSENSUS = "consensus"


def key_file(home: Home, kind: KeyKind) -> Path:
    """Where the key lies that is in use."""
    return home.node_key_file if kind is KeyKind.NODE else home.validator_key_file


def draft_of(path: Path) -> Path:
    """Where the key lies that is to come."""
    return path.with_name(path.name + ".new")


def draft_key(path: Path, seed: bytes) -> bytes:
    """The seed of the key that is to come: the one that was made before, else `seed`. Raises HomeError."""
    draft = draft_of(path)
    if not draft.exists():
        write_key(draft, seed)
    return read_key(draft)


def public_of(kind: KeyKind, seed: bytes) -> bytes:
    """What the ledger lists of a seed."""
    if kind is KeyKind.NODE:
        return bytes(NodeIdentity.from_seed(seed).peer_id)
    return bytes(SigningKey(seed).public_key)


def stored_roster(snapshot: Snapshot) -> Roster | None:
    """The validators of the newest epoch that is stored; None in epoch 0."""
    last = snapshot.scan(ChainTable.EPOCHS, b"", limit=1, reverse=True)
    return EpochLink.decode(last[0][1]).roster if last else None


def roster_of_home(home: Home) -> Roster | None:
    """The same of a home's database, whoever has it open; None where there is none or nothing is stored."""
    try:
        with open_view(home.data_dir) as view:
            return stored_roster(view.snapshot)
    except StorageError:
        return None


def swap(home: Home, kind: KeyKind, stamp_ms: int) -> None:
    """Put the drafted key in the place of the one in use; the caller holds the lock. Done again after an
    interruption, it goes on. Raises HomeError, StorageError."""
    path = key_file(home, kind)
    draft = draft_of(path)
    read_key(draft)
    _retire(path, stamp_ms)
    if kind is KeyKind.CONSENSUS:
        _retire(home.guard_file, stamp_ms)
        nothing_signed = GuardRecord.initial(Epoch(0))
        GuardFile.create(home.guard_file, encode(nothing_signed.to_value())).close()
    draft.rename(path)
    sync_directory(home.keys_dir)


def swap_file(path: Path, stamp_ms: int) -> None:
    """The same for a key outside a home: an operator's."""
    _retire(path, stamp_ms)
    draft_of(path).rename(path)
    sync_directory(path.parent)


def _retire(path: Path, stamp_ms: int) -> None:
    if path.exists():
        path.rename(path.with_name(f"{path.name}.{stamp_ms}.retired"))
        sync_directory(path.parent)
