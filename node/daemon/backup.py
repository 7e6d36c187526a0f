"""Backups: a consistent copy of a node's databases, made while it runs, and putting one back.

    DEST/chain, DEST/state     the databases, compact
    DEST/genesis.json          the cluster they are of
    DEST/backup.json           who made it, when, at which height, and the hash of each file

No key, no guard and no journal is in a backup. A node whose data was restored finds no journal beside the
database, so it follows, and signs again only above what its guard has reserved (C14): an older copy can never
make it sign something a second time.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from node.daemon import durability
from node.daemon.maintenance import MaintenanceError
from node.daemon.reading import open_view
from node.daemon.store import verify_files
from node.genesis import Genesis
from node.home import Home
from node.storage import HEIGHT_KEY, ChainTable, Snapshot, StateTable, height_key

MANIFEST = "backup.json"
GENESIS = "genesis.json"
_VERSION = 1
_FILES = ("chain/data.mdb", "state/data.mdb", GENESIS)
_PIECE_BYTES = 1024 * 1024
_MANIFEST_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself. `files` are (name, SHA-256 in hexadecimal, bytes)."""

    version: int
    cluster_id: str
    node: str
    height: int
    made_ms: int
    files: tuple[tuple[str, str, int], ...]

    @property
    def bytes(self) -> int:
        """All files together."""
        return sum(size for _, _, size in self.files)


def write_backup(home: Home, node: str, target: Path, now_ms: int) -> Manifest:
    """A backup of a home, whose node may be running, as the new folder `target`: complete or absent. Raises
    MaintenanceError, StorageError, GenesisError."""
    text = home.genesis_text()
    genesis = Genesis.from_json(text)
    try:
        with open_view(home.data_dir) as view, durability.complete_or_absent(target) as partial:
            height = _height_of(view.snapshot, genesis, home)
            view.copy_to(partial)
            (partial / GENESIS).write_text(text, encoding="utf-8")
            files = tuple((name, *_hash_of(partial / name)) for name in _FILES)
            manifest = Manifest(_VERSION, genesis.cluster_id.hex(), node, height, now_ms, files)
            (partial / MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", encoding="utf-8")
    except FileExistsError as error:
        raise MaintenanceError(
            "destination-taken", f"{error.filename} exists already: choose another place, or remove it"
        ) from error
    return manifest


def read_manifest(backup: Path) -> Manifest:
    """What a backup says of itself. Raises MaintenanceError for what is no backup of this version."""
    path = backup / MANIFEST
    try:
        with path.open("rb") as file:
            value = json.loads(file.read(_MANIFEST_BYTES_MAX))
        files = tuple((str(name), str(digest), int(size)) for name, digest, size in value["files"])
        manifest = Manifest(
            int(value["version"]),
            str(value["cluster_id"]),
            str(value["node"]),
            int(value["height"]),
            int(value["made_ms"]),
            files,
        )
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise MaintenanceError(
            "no-backup", f"{backup} is no backup: its {MANIFEST} cannot be read ({error})"
        ) from error
    if manifest.version != _VERSION or tuple(name for name, _, _ in files) != _FILES:
        raise MaintenanceError(
            "no-backup",
            f"{path} is of version {manifest.version} and this program reads {_VERSION}: use the version of "
            "isthmus that wrote it",
        )
    return manifest


def check_backup(backup: Path) -> Manifest:
    """Read all of a backup. Raises MaintenanceError when anything in it is not what was written."""
    manifest = read_manifest(backup)
    for name, digest, size in manifest.files:
        try:
            found = _hash_of(backup / name)
        except OSError as error:
            raise MaintenanceError(
                "backup-damaged", f"{backup / name} cannot be read: {error.strerror}"
            ) from error
        if found != (digest, size):
            raise MaintenanceError(
                "backup-damaged",
                f"{backup / name} is not what was written: {found[1]} bytes of {size}, or other content. "
                "Take another backup, or move the data folder away: the node then fetches all of it again",
            )
    problems = verify_files(backup)
    if problems:
        raise MaintenanceError("backup-damaged", f"{backup}: {problems[0]}; take another backup")
    return manifest


def restore_backup(backup: Path, home: Home, now_ms: int) -> tuple[Manifest, Path | None]:
    """Put a backup in the place of a stopped node's data; the caller holds the key's lock. Answers with where
    the data was moved that lay there. Raises MaintenanceError, StorageError, GenesisError."""
    manifest = check_backup(backup)
    cluster_id = Genesis.from_json(home.genesis_text()).cluster_id.hex()
    if manifest.cluster_id != cluster_id:
        raise MaintenanceError(
            "backup-foreign",
            f"{backup} is of cluster {manifest.cluster_id[:12]}, and {home.genesis_file} names cluster "
            f"{cluster_id[:12]}: take a backup of this cluster",
        )
    free = durability.free_bytes(home.path)
    if manifest.bytes > free:
        raise MaintenanceError(
            "no-room", f"the backup has {manifest.bytes} bytes and {free} are free at {home.path}: make room"
        )
    incoming, kept = home.path / "data.restored", _kept_name(home, now_ms)
    for leftover in (incoming, incoming.with_name(incoming.name + ".partial")):
        if leftover.exists():
            shutil.rmtree(leftover)  # of a restore that was interrupted: nothing but a copy
    with durability.complete_or_absent(incoming) as partial:
        for name in ("chain", "state"):
            shutil.copytree(backup / name, partial / name, ignore=shutil.ignore_patterns("lock.mdb"))
            (partial / name).chmod(0o700)
    if kept is not None:
        home.data_dir.rename(kept)
    incoming.rename(home.data_dir)
    durability.sync_directory(home.path)
    return manifest, kept


def _kept_name(home: Home, now_ms: int) -> Path | None:
    """Where the data that is there goes; None when there is none to keep."""
    if not home.data_dir.exists() or not any(home.data_dir.iterdir()):
        if home.data_dir.exists():
            home.data_dir.rmdir()
        return None
    return home.path / f"data.before-restore-{now_ms}"


def _height_of(snapshot: Snapshot, genesis: Genesis, home: Home) -> int:
    """The height that the state shows. Raises MaintenanceError for data of another cluster."""
    if snapshot.get(ChainTable.HEADERS, height_key(0)) != genesis.genesis_header().encoded:
        raise MaintenanceError(
            "data-foreign", f"the data in {home.data_dir} is of another cluster than {home.genesis_file}"
        )
    stored = snapshot.get(StateTable.META, HEIGHT_KEY)
    return 0 if stored is None else int.from_bytes(stored, "big")


def _hash_of(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(path):
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            yield piece
