"""A whole chain as one portable file: written from a node's databases, and executed again elsewhere.

    "ISTHCHN1"   then frames, each u32 length and canonical bytes:
    [1, genesis text, last height]
    sync responses from height 1 on, as peers send them (`node/pool/messages.py`), each proving itself
    [sha256 of everything before this frame]

Nobody has to be trusted for it: who reads it verifies every certificate with the validators that the genesis
and the chain itself name, executes every block, and compares every root with what was certified.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from consensus import CodecError, Height, PeerError, as_int, as_text, as_tuple, decode, encode
from node.daemon.durability import free_bytes, is_disk_full, sync_directory, sync_file
from node.daemon.maintenance import MaintenanceError
from node.daemon.serving import StoredChain
from node.daemon.store import Store
from node.genesis import Genesis
from node.pool.config import PoolConfig
from node.pool.messages import (
    MESSAGE_BYTES_MAX,
    SYNC_BYTES_MAX,
    SYNC_HEIGHTS_MAX,
    SyncRequest,
    SyncResponse,
    decode_message,
    encode_message,
)
from node.pool.serving import serve
from node.storage import HEIGHT_KEY, Snapshot, StateTable
from node.validator.replaying import ChainReplay, ReplayRefused

MAGIC = b"ISTHCHN1"
_VERSION = 1
_LENGTH = Struct(">I")
_GENESIS_CHARACTERS_MAX = 16 * 1024 * 1024
_END_BYTES = len(encode((bytes(32),)))
"""No range is so short."""

Progress = Callable[[int, int], None]
"""(heights done, of how many)."""


@dataclass(frozen=True, slots=True)
class ChainFile:
    """What a chain file says first."""

    genesis: Genesis
    height: int


def export_chain(
    snapshot: Snapshot, rules: PoolConfig, genesis: Genesis, to: int | None, target: Path, progress: Progress
) -> int:
    """Write the chain up to `to`, or the first certified height above it, by default all; complete or absent.
    Answers with the height. Raises MaintenanceError."""
    chain = StoredChain(snapshot, rules)
    tip = int.from_bytes(snapshot.get(StateTable.META, HEIGHT_KEY) or b"", "big")
    certificate = chain.certificate_from(min(tip if to is None else to, tip))
    if tip == 0 or certificate is None:
        raise MaintenanceError("nothing-to-export", "the chain has no certified height yet")
    last = min(certificate.height, tip)
    if target.exists():
        raise MaintenanceError("destination-taken", f"{target} exists already: choose another place")
    partial = target.with_name(target.name + ".partial")
    try:
        _write_chain(chain, genesis, last, partial, progress)
        partial.rename(target)
    except OSError as error:
        if error.errno is None or not is_disk_full(error.errno, target.absolute().parent):
            raise
        free = free_bytes(target.absolute().parent)
        raise MaintenanceError(
            "no-room", f"{target} does not fit: {free} bytes were left; make room, or name another disk"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(target.absolute().parent)
    return last


def _write_chain(chain: StoredChain, genesis: Genesis, last: int, path: Path, progress: Progress) -> None:
    with path.open("wb") as file:
        digest = hashlib.sha256()

        def put(data: bytes) -> None:
            file.write(data)
            digest.update(data)

        put(MAGIC)
        put(_frame(encode((_VERSION, genesis.to_json(), last))))
        height = 1
        while height <= last:
            count = min(SYNC_HEIGHTS_MAX, last - height + 1)
            response = serve(chain, SyncRequest(Height(height), count, SYNC_BYTES_MAX))
            if not response.items:
                raise MaintenanceError(
                    "pruned-range",
                    f"height {height} was pruned here, and a chain file is executed from the first one on: "
                    "export from a node that keeps all (`isthmus status` says where it begins)",
                )
            put(_frame(encode_message(response)))
            height += len(response.items)
            progress(height - 1, last)
        file.write(_frame(encode((digest.digest(),))))
        file.flush()
        sync_file(file.fileno())


def read_beginning(path: Path) -> ChainFile:
    """What a chain file says first. Raises MaintenanceError."""
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise _damaged(path, "it does not begin like one")
        first = _read_frame(file.read, path)
    try:
        version, text, height = as_tuple(decode(first, max_bytes=len(first)), 3, "beginning")
        as_int(version, "version", low=_VERSION, high=_VERSION)
        genesis = Genesis.from_json(as_text(text, "genesis", max_length=_GENESIS_CHARACTERS_MAX))
        return ChainFile(genesis, as_int(height, "height"))
    except CodecError as error:
        raise _damaged(path, str(error)) from error


def replay_chain(path: Path, store: Store, rules: PoolConfig, progress: Progress) -> ChainReplay:
    """Execute a chain file into a store that holds nothing but height 0 of its genesis. Raises
    MaintenanceError for the first thing that is not as certified; what was stored until then is sound."""
    beginning = read_beginning(path)
    replay = ChainReplay(beginning.genesis, store.reader(), rules)
    for response in _responses(path):
        try:
            chain, state = replay.take(response)
        except ReplayRefused as refused:
            raise MaintenanceError("chain-refuted", f"{path}: {refused}") from refused
        store.apply(chain, state)
        replay.stored()
        progress(replay.height, beginning.height)
    if replay.height != beginning.height:
        raise _damaged(path, f"it ends at height {replay.height} and promises {beginning.height}")
    return replay


def _responses(path: Path) -> Iterator[SyncResponse]:
    """The ranges in order; the last frame's hash must be of all that comes before it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:

        def read(size: int) -> bytes:
            data = file.read(size)
            digest.update(data)
            return data

        read(len(MAGIC))
        _read_frame(read, path)
        while True:
            before = digest.copy()
            frame = _read_frame(read, path)
            if len(frame) == _END_BYTES:
                if frame != encode((before.digest(),)) or file.read(1):
                    raise _damaged(path, "its hash is of other bytes")
                return
            try:
                message = decode_message(frame)
            except PeerError as error:
                raise _damaged(path, error.detail) from error
            if not isinstance(message, SyncResponse):
                raise _damaged(path, f"a {type(message).__name__} is in it")
            yield message


def _frame(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _read_frame(read: Callable[[int], bytes], path: Path) -> bytes:
    head = read(_LENGTH.size)
    size = _LENGTH.unpack(head)[0] if len(head) == _LENGTH.size else -1
    if not 0 <= size <= max(MESSAGE_BYTES_MAX, _GENESIS_CHARACTERS_MAX):
        raise _damaged(path, "it ends in the middle")
    data = read(size)
    if len(data) != size:
        raise _damaged(path, "it ends in the middle")
    return data


def _damaged(path: Path, what: str) -> MaintenanceError:
    return MaintenanceError("chain-damaged", f"{path} is no whole chain file: {what}. Export it again")
