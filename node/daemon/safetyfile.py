"""Moving a validator to another machine: what its key has signed leaves its home as a file for another.

The home that exports is marked first, durably, and does not start as this validator again; only then the file
is written. So there is never a moment at which two homes may sign. The file carries no secret: bounds on
rounds and heights, signed by the consensus key, which is moved apart. Whoever imports gets a guard (C14)
that reserves exactly what was signed, so the new home signs from there on, with or without data.

Starts are counted in the guard, and every export counts one: a file that is not of a later start than the
guard that lies beside the key is older than what is there, and refused.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from consensus import (
    CodecError,
    Digest,
    GuardRecord,
    PublicKey,
    Signature,
    SigningFloor,
    SigningKey,
    Value,
    decode,
    digest,
    encode,
    verify,
)
from node.daemon.durability import sync_directory
from node.daemon.guardfile import GuardFile, GuardMissing
from node.daemon.maintenance import SafetyRefused
from node.home import Home, read_key, write_new

DOMAIN = "isthmus/safety-export/v1"
FORMAT = "isthmus-safety-1"
MARK = "validator.given-away"
"""In the key folder: this home gave its validator away."""
MOVE_BYTES = 16
_FILE_BYTES_MAX = 64 * 1024


@dataclass(frozen=True, slots=True)
class SafetyFile:
    """`guard` reserves exactly what `consensus_key` has signed in cluster `cluster_id`. `move` names this
    export; `name` and `exported_ms` are for people."""

    cluster_id: bytes
    consensus_key: PublicKey
    name: str
    exported_ms: int
    move: bytes
    guard: GuardRecord
    signature: Signature

    def to_json(self) -> str:
        """The file's text."""
        fields = {
            "format": FORMAT,
            "cluster_id": self.cluster_id.hex(),
            "consensus_key": self.consensus_key.hex(),
            "name": self.name,
            "exported_ms": self.exported_ms,
            "move": self.move.hex(),
            "guard": list(self.guard.to_value()),
            "signature": self.signature.hex(),
        }
        return json.dumps(fields, indent=2) + "\n"


def _signed_digest(cluster_id: bytes, name: str, exported_ms: int, move: bytes, guard: GuardRecord) -> Digest:
    value: Value = (cluster_id, name, exported_ms, move, guard.to_value())
    return digest(DOMAIN, encode(value))


def given_away(home: Home) -> str:
    """How and when this home gave its validator away, in words; empty when it did not."""
    mark = _mark(home)
    return "" if mark is None else f"by `isthmus safety export` to {mark['file']}"


def export_safety(
    home: Home, name: str, cluster_id: bytes, floor: SigningFloor, target: Path, now_ms: int, move: bytes
) -> SafetyFile:
    """Mark the home as given away and write `target`; the caller holds the lock, and `floor` is what a start
    would sign from. Done again, before the home was started again, it gives the same move. Raises
    SafetyRefused, HomeError."""
    record = floor.record
    if record is None:
        raise SafetyRefused(
            "never-signs",
            f"the key of {home.path} never signs again, so there is nothing to move ({floor.explanation}) "
            "`isthmus key rotate consensus` makes a new key and has governance accept it",
        )
    if target.exists():
        raise SafetyRefused("destination-taken", f"{target} exists already: choose another place")
    signed, height = record.highest_signed_round, max(record.last_signed_height, record.floor_height)
    guard = GuardRecord(record.boot, record.epoch, signed, signed, height, height, record.locked_round)
    mark = _mark(home)
    if mark is not None:
        move = bytes.fromhex(mark["move"])
    else:
        words = json.dumps({"move": move.hex(), "file": str(target), "exported_ms": now_ms}) + "\n"
        write_new(home.keys_dir / MARK, words.encode(), 0o600)
    file = sign_file(home, name, cluster_id, now_ms, move, guard)
    write_new(target, file.to_json().encode(), 0o600)
    return file


def sign_file(
    home: Home, name: str, cluster_id: bytes, now_ms: int, move: bytes, guard: GuardRecord
) -> SafetyFile:
    """The file with the signature of the home's consensus key. Raises HomeError."""
    key = SigningKey(read_key(home.validator_key_file))
    signature = key.sign(_signed_digest(cluster_id, name, now_ms, move, guard))
    return SafetyFile(cluster_id, key.public_key, name, now_ms, move, guard, signature)


def read_safety(path: Path) -> SafetyFile:
    """A safety file that its key has signed. Raises SafetyRefused."""
    try:
        with path.open("rb") as opened:
            fields = json.loads(opened.read(_FILE_BYTES_MAX))
        if fields["format"] != FORMAT:
            raise SafetyRefused(
                "safety-damaged", f"{path} has format {fields['format']}, this program reads {FORMAT}"
            )
        file = SafetyFile(
            bytes.fromhex(fields["cluster_id"]),
            PublicKey(bytes.fromhex(fields["consensus_key"])),
            str(fields["name"]),
            int(fields["exported_ms"]),
            bytes.fromhex(fields["move"]),
            GuardRecord.from_value(tuple(fields["guard"])),
            Signature(bytes.fromhex(fields["signature"])),
        )
        told = _signed_digest(file.cluster_id, file.name, file.exported_ms, file.move, file.guard)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, CodecError) as error:
        raise SafetyRefused("safety-damaged", f"{path} is no safety file: {error}") from error
    if not verify(file.consensus_key, told, file.signature):
        raise SafetyRefused(
            "safety-damaged", f"{path} was changed after it was exported: export it again on the old machine"
        )
    return file


def import_safety(home: Home, cluster_id: bytes, file: SafetyFile, *, take_back: bool) -> None:
    """Give this home the right to sign; the caller holds the lock. Raises SafetyRefused, StorageError,
    HomeError."""
    key = SigningKey(read_key(home.validator_key_file)).public_key
    if file.consensus_key != key or file.cluster_id != cluster_id:
        raise SafetyRefused(
            "safety-foreign",
            f"the file is of key {file.consensus_key.hex()[:12]} in cluster {file.cluster_id.hex()[:12]}; "
            f"this home has key {key.hex()[:12]} in cluster {cluster_id.hex()[:12]}: copy validator.key from "
            "the old machine first, and the cluster's genesis.json",
        )
    mark = _mark(home)
    if mark is not None and mark["move"] == file.move.hex():
        if not take_back:
            raise SafetyRefused(
                "given-away-here",
                "it is this home that gave the validator away with this file: import it on the new machine, "
                "or say --take-back here if nobody has imported it anywhere and nobody ever will",
            )
    elif take_back:
        raise SafetyRefused("not-given-away", "this home did not give its validator away with this file")
    else:
        _put_guard(home, file.guard)
    (home.keys_dir / MARK).unlink(missing_ok=True)
    sync_directory(home.keys_dir)


def _put_guard(home: Home, guard: GuardRecord) -> None:
    payload = encode(guard.to_value())
    try:
        there = GuardFile.open(home.guard_file)
    except GuardMissing:
        GuardFile.create(home.guard_file, payload).close()
        return
    try:
        known = GuardRecord.from_value(decode(there.payload))
        if known.boot >= guard.boot:
            raise SafetyRefused(
                "safety-older",
                f"the file is of start {guard.boot} of this validator, and {home.guard_file} of start "
                f"{known.boot}: it is older than what is there (or was imported already); export again where "
                "the validator ran last",
            )
        there.store(payload)
    finally:
        there.close()


def _mark(home: Home) -> dict[str, str] | None:
    path = home.keys_dir / MARK
    try:
        fields = json.loads(path.read_bytes()[:_FILE_BYTES_MAX])
        return {"move": str(fields["move"]), "file": str(fields["file"])}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        # Whatever happened to it, it was put there so that this home signs nothing.
        return {"move": "", "file": "a place that the damaged mark does not tell"}
