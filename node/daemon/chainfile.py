"""A whole chain as one portable file: written from a node's databases, and executed again elsewhere.

    "ISTHCHN1"   then frames, each u32 length and canonical bytes:
    [1, genesis text, last height]                from height 1 on, or, from a pruned node,
    [2, genesis text, last height, first height]  and the epoch links from the genesis on, a links file
    sync responses from the first height on, as peers send them (`node/pool/messages.py`), each proving itself
    [sha256 of everything before this frame]

Nobody has to be trusted for it: who reads it verifies every certificate with the validators that the genesis
and the chain itself name, executes every block, and compares every root with what was certified; of a file
that begins above height 1 everything but the execution (chainpart.py).
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from consensus import Height, PeerError, as_array, as_int, as_text, decode, encode
from node.anchoring.cluster.epochs import LinksFile
from node.daemon.chainpart import CheckedPart, PartCheck
from node.daemon.durability import free_bytes, is_disk_full, sync_directory, sync_file
from node.daemon.epochlinks import epoch_links
from node.daemon.maintenance import MaintenanceError
from node.daemon.pruning import pruned_below
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
_WHOLE, _PART = 1, 2
_LENGTH = Struct(">I")
_GENESIS_CHARACTERS_MAX = 16 * 1024 * 1024
_END_BYTES = len(encode((bytes(32),)))
"""No range is so short."""

Progress = Callable[[int, int], None]
"""(heights done, of how many)."""


@dataclass(frozen=True, slots=True)
class ChainFile:
    """What a chain file says first. `links` are there where it does not begin at height 1."""

    genesis: Genesis
    height: int
    first: int = 1
    links: LinksFile | None = None


def export_chain(
    snapshot: Snapshot, rules: PoolConfig, genesis: Genesis, to: int | None, target: Path, progress: Progress
) -> tuple[int, int]:
    """Write the chain up to `to`, or the first certified height above it, by default all; complete or absent.
    Answers with the first and the last height. Raises MaintenanceError."""
    chain = StoredChain(snapshot, rules)
    tip = int.from_bytes(snapshot.get(StateTable.META, HEIGHT_KEY) or b"", "big")
    certificate = chain.certificate_from(min(tip if to is None else to, tip))
    if tip == 0 or certificate is None:
        raise MaintenanceError("nothing-to-export", "the chain has no certified height yet")
    first, last = max(1, pruned_below(snapshot)), min(certificate.height, tip)
    if last < first:
        raise MaintenanceError(
            "pruned-range", f"heights below {first} were pruned here: export from a node that keeps all"
        )
    if target.exists():
        raise MaintenanceError("destination-taken", f"{target} exists already: choose another place")
    partial = target.with_name(target.name + ".partial")
    try:
        links = LinksFile(genesis.cluster_id, epoch_links(snapshot))
        _write_chain(chain, ChainFile(genesis, last, first, links), partial, progress)
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
    return first, last


def _write_chain(chain: StoredChain, described: ChainFile, path: Path, progress: Progress) -> None:
    text, last, first = described.genesis.to_json(), described.height, described.first
    with path.open("wb") as file:
        digest = hashlib.sha256()

        def put(data: bytes) -> None:
            file.write(data)
            digest.update(data)

        put(MAGIC)
        if first == 1 or described.links is None:
            put(_frame(encode((_WHOLE, text, last))))
        else:
            put(_frame(encode((_PART, text, last, first))))
            put(_frame(described.links.encode()))
        height = first
        while height <= last:
            count = min(SYNC_HEIGHTS_MAX, last - height + 1)
            response = serve(chain, SyncRequest(Height(height), count, SYNC_BYTES_MAX))
            if not response.items:
                raise MaintenanceError(
                    "pruned-range", f"height {height} is not here any more: export from a node that keeps all"
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
        frame = _read_frame(file.read, path)
        try:
            version, text, height, *rest = as_array(decode(frame, max_bytes=len(frame)), 4, "beginning")
            as_int(version, "version", low=_WHOLE, high=_PART)
            genesis = Genesis.from_json(as_text(text, "genesis", max_length=_GENESIS_CHARACTERS_MAX))
            if version == _WHOLE and not rest:
                return ChainFile(genesis, as_int(height, "height"))
            (first,) = rest
            links = LinksFile.decode(_read_frame(file.read, path))
            return ChainFile(genesis, as_int(height, "height"), as_int(first, "first height", low=2), links)
        except ValueError as error:
            raise _damaged(path, str(error)) from error


def check_part_of(path: Path, rules: PoolConfig, progress: Progress) -> CheckedPart:
    """Check a chain file that begins above height 1. Raises MaintenanceError."""
    beginning = read_beginning(path)
    if beginning.links is None:
        raise _damaged(path, "it has no epoch links")
    try:
        check = PartCheck(beginning.genesis, beginning.links, beginning.first, rules)
        for response in _responses(path, beginning):
            check.take(response)
            progress(response.from_height, beginning.height)
        return check.finished(beginning.height)
    except (ReplayRefused, PeerError) as refused:
        detail = refused.detail if isinstance(refused, PeerError) else str(refused)
        raise MaintenanceError("chain-refuted", f"{path}: {detail}") from refused


def replay_chain(path: Path, store: Store, rules: PoolConfig, progress: Progress) -> ChainReplay:
    """Execute a chain file into a store that holds nothing but height 0 of its genesis. Raises
    MaintenanceError for the first thing that is not as certified; what was stored until then is sound."""
    beginning = read_beginning(path)
    if beginning.first > 1:
        raise MaintenanceError(
            "chain-partial",
            f"{path} begins at height {beginning.first}, and executing it needs what is below: export from a "
            "node that keeps all",
        )
    replay = ChainReplay(beginning.genesis, store.reader(), rules)
    for response in _responses(path, beginning):
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


def _responses(path: Path, beginning: ChainFile) -> Iterator[SyncResponse]:
    """The ranges in order; the last frame's hash must be of all that comes before it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:

        def read(size: int) -> bytes:
            data = file.read(size)
            digest.update(data)
            return data

        read(len(MAGIC))
        for _ in range(2 if beginning.links is not None else 1):
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
