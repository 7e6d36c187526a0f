"""The folder of one node: what lies where, and the rules for files that hold secrets.

    H/config/config.toml    overrides of the defaults, for people
    H/config/genesis.json   the cluster this node belongs to
    H/keys/                 0700: node.key, validator.key, validator.guard, lock (each 0600)
    H/data/                 journal, chain, state: may be wiped, the keys and the guard may not
    H/log/                  what a supervisor catches from the daemon

Keys and guard lie outside `data` because a backup of `data` restored together with an old guard would
allow a second signature for one round (rule C14). A key file that others can read is refused, as ssh does.
"""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

SEED_BYTES = 32
_KEY_TAG = "isthmus-key-v1"
_KEY_FILE_BYTES_MAX = 256
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class HomeError(Exception):
    """The folder is not what it should be: the user's fault, told as a sentence with the way out."""


class KeyFileError(HomeError):
    """A key file is missing, readable by others, or not a key."""


class KeyFileExposed(KeyFileError):
    """A key file, or its folder, is whole and can be read by others: its mode is all there is to mend."""


@dataclass(frozen=True, slots=True)
class Home:
    """The paths of one node's folder; nothing is touched until `create`."""

    path: Path

    @property
    def config_file(self) -> Path:
        """Overrides of the defaults (TOML)."""
        return self.path / "config" / "config.toml"

    @property
    def genesis_file(self) -> Path:
        """The genesis of the cluster (JSON)."""
        return self.path / "config" / "genesis.json"

    def genesis_text(self) -> str:
        """The genesis as written. Raises HomeError for what is no text, OSError for what cannot be read."""
        try:
            return self.genesis_file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise HomeError(
                f"{self.genesis_file} is no text: get the cluster's genesis.json again ({error.reason})"
            ) from error

    @property
    def keys_dir(self) -> Path:
        """The folder that nobody but the owner may enter."""
        return self.path / "keys"

    @property
    def node_key_file(self) -> Path:
        """The seed of the TLS key; not the consensus key (rule C18)."""
        return self.keys_dir / "node.key"

    @property
    def validator_key_file(self) -> Path:
        """The seed of the consensus key; an observer has none."""
        return self.keys_dir / "validator.key"

    @property
    def guard_file(self) -> Path:
        """The reservation of rounds and heights made together with the validator key (rule C14)."""
        return self.keys_dir / "validator.guard"

    @property
    def lock_file(self) -> Path:
        """Held exclusively by the one process that uses these keys."""
        return self.keys_dir / "lock"

    @property
    def data_dir(self) -> Path:
        """Everything that can be fetched again from the cluster."""
        return self.path / "data"

    @property
    def journal_dir(self) -> Path:
        """The durable record of consensus."""
        return self.data_dir / "journal"

    @property
    def chain_dir(self) -> Path:
        """LMDB environment of blocks, headers, certificates and transactions."""
        return self.data_dir / "chain"

    @property
    def state_dir(self) -> Path:
        """LMDB environment of the state."""
        return self.data_dir / "state"

    @property
    def log_dir(self) -> Path:
        """What a supervisor catches from the daemon."""
        return self.path / "log"

    def create(self) -> None:
        """Make the folders. Raises HomeError when this is a node's home already."""
        if self.config_file.exists() or self.keys_dir.exists():
            raise HomeError(
                f"{self.path} is the home of a node already; choose another folder, or remove that one "
                "yourself if you are certain that its keys are not needed"
            )
        for folder in (self.config_file.parent, self.data_dir, self.log_dir):
            folder.mkdir(parents=True, exist_ok=True)
        self.keys_dir.mkdir(mode=0o700)
        self.keys_dir.chmod(0o700)


def default_home(environment_home: str | None, user_home: Path) -> Home:
    """The home named by ISTHMUS_HOME, or `.isthmus-node` below the user's own folder."""
    return Home(Path(environment_home) if environment_home else user_home / ".isthmus-node")


def write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not exist yet, synced to disk together with its folder entry.

    Raises HomeError when it exists: neither a key nor a genesis is ever replaced silently.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        raise HomeError(f"{path} exists already and is never overwritten; move it away first") from None
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_key(path: Path, seed: bytes) -> None:
    """Create a key file (0600, never overwriting) that holds a 32-byte seed."""
    if len(seed) != SEED_BYTES:
        raise ValueError(f"a key seed has {SEED_BYTES} bytes, not {len(seed)}")
    write_new(path, f"{_KEY_TAG} {seed.hex()}\n".encode("ascii"), 0o600)


def read_key(path: Path) -> bytes:
    """The 32-byte seed in a key file. Raises KeyFileError, whose sentence never shows the content."""
    check_private(path.parent, "chmod 700")
    check_private(path, "chmod 600")
    with path.open("rb") as file:
        words = file.read(_KEY_FILE_BYTES_MAX).split()
    if len(words) != 2 or words[0] != _KEY_TAG.encode("ascii"):
        raise KeyFileError(f"{path} is not a key file: it must hold '{_KEY_TAG}' and 64 hexadecimal digits")
    try:
        seed = bytes.fromhex(words[1].decode("ascii"))
    except ValueError:
        raise KeyFileError(
            f"{path} is damaged: its key is not hexadecimal; restore it from your backup"
        ) from None
    if len(seed) != SEED_BYTES:
        raise KeyFileError(f"{path} is damaged: its key has {len(seed)} bytes instead of {SEED_BYTES}")
    return seed


def check_private(path: Path, remedy: str) -> None:
    """Raises KeyFileError when `path` is missing or open to anybody but its owner."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        raise KeyFileError(
            f"{path} does not exist; `isthmus init` or `isthmus testnet` makes a node's keys"
        ) from None
    if mode & _OTHERS:
        raise KeyFileExposed(f"{path} can be read by others (mode {mode:04o}); run: {remedy} {path}")
