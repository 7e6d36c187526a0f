"""Replay: a (sender, id) is executed at most once while its transaction has not expired (C22, F17).

Ids are remembered on disk, not in memory, and only until their transaction expires. Expiries are capped,
so time is cut into buckets and at most cap / width + 2 of them are alive. In the REPLAY space

    i <16 bytes of H(sender, id)>    -> bucket (u64)                        point lookups
    c <bucket u64> <height u64>      -> height of the chunk before (u64), ids of 16 bytes each
    p                                -> [[bucket, height of its last chunk], ...] still to be deleted

and in the state one leaf a living bucket, `replay/<bucket>` -> [running digest, count, last chunk height],
which binds the chunks, in order, to the state root: a snapshot carries them and is checked against it.
When a bucket has ended its leaf goes at once; its records go bounded by the work of each block, found by
walking the chunks backwards, never by scanning. A record of an ended bucket counts as absent, so the pace
of deletion never shows in an outcome.
"""

from consensus import (
    Digest,
    LocalError,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    digest,
    encode_trusted,
)
from node.ledger.params import Params
from node.ledger.state import BlockState
from node.ledger.transactions import Transaction

ID_BYTES = 16
PRUNED_IDS_PER_BLOCK = 1024
"""Ids deleted a block beside twice those it adds, so that deletion always catches up."""
BACKLOG_MAX = 65_536
_ID_DOMAIN = "isthmus/replay-id/v1"
_BUCKET_DOMAIN = "isthmus/replay-bucket/v1"
_NO_DIGEST = Digest(bytes(32))
_PRUNE_KEY = b"p"


def replay_id(sender: bytes, unique_id: bytes) -> bytes:
    """What is remembered of a transaction: 16 bytes, independent of its expiry and content."""
    return digest(_ID_DOMAIN, sender, unique_id)[:ID_BYTES]


def bucket_key(bucket: int) -> bytes:
    """The state key of a bucket's leaf."""
    return b"replay/" + bucket.to_bytes(8, "big")


def id_key(identity: bytes) -> bytes:
    """The REPLAY key of one remembered id."""
    return b"i" + identity


def chunk_key(bucket: int, height: int) -> bytes:
    """The REPLAY key of the ids that the block at `height` added to `bucket`."""
    return b"c" + bucket.to_bytes(8, "big") + height.to_bytes(8, "big")


def extend_digest(running: bytes, ids: bytes) -> Digest:
    """The running digest of a bucket after one block's `ids` (joined) were appended."""
    return digest(_BUCKET_DOMAIN, running, ids)


class ReplayGuard:
    """The replay rule during one block: `admit` each transaction in order, then `finish` once."""

    __slots__ = ("_added", "_cap_ms", "_height", "_parent_time_ms", "_state", "_time_ms", "_width_ms")

    def __init__(
        self, params: Params, state: BlockState, height: int, time_ms: int, parent_time_ms: int
    ) -> None:
        self._cap_ms = params.replay_cap_ms
        self._width_ms = params.replay_bucket_ms
        self._state = state
        self._height = height
        self._time_ms = time_ms
        self._parent_time_ms = parent_time_ms
        self._added: dict[int, list[bytes]] = {}

    def admit(self, transaction: Transaction) -> bool:
        """Whether this (sender, id) is new, which uses it up. The caller has checked the expiry."""
        identity = replay_id(transaction.sender, transaction.unique_id)
        key = id_key(identity)
        stored = self._state.get_replay(key)
        if stored is not None and int.from_bytes(stored, "big") >= self._time_ms // self._width_ms:
            return False
        bucket = transaction.expires_at_ms // self._width_ms
        self._state.replay[key] = bucket.to_bytes(8, "big")
        if bucket in self._added:
            self._added[bucket].append(identity)
        else:
            self._added[bucket] = [identity]
        return True

    def finish(self) -> None:
        """Write the chunks and leaves of this block, drop the leaves of ended buckets, prune."""
        state = self._state
        added = 0
        for bucket in sorted(self._added):
            ids = b"".join(self._added[bucket])
            added += len(self._added[bucket])
            running, count, last = self._leaf(bucket) or (_NO_DIGEST, 0, 0)
            state.replay[chunk_key(bucket, self._height)] = last.to_bytes(8, "big") + ids
            count += len(self._added[bucket])
            state.state[bucket_key(bucket)] = encode_trusted(
                (extend_digest(running, ids), count, self._height)
            )
        backlog = self._backlog()
        ended = self._ended()
        if not backlog and not ended:
            return
        for bucket, _ in ended:
            state.state[bucket_key(bucket)] = None
        remaining = self._prune(backlog + ended, 2 * added + PRUNED_IDS_PER_BLOCK)
        state.replay[_PRUNE_KEY] = encode_trusted(remaining) if remaining else None

    def _ended(self) -> list[tuple[int, int]]:
        """(bucket, last chunk height) of the buckets that ended since the parent: those that lie wholly
        before this block's time. None can lie beyond the parent's time plus the cap."""
        first = self._parent_time_ms // self._width_ms
        last = min(self._time_ms, self._parent_time_ms + self._cap_ms + self._width_ms) // self._width_ms
        found = []
        for bucket in range(first, last):
            leaf = self._leaf(bucket)
            if leaf is not None:
                found.append((bucket, leaf[2]))
        return found

    def _prune(self, backlog: list[tuple[int, int]], budget: int) -> list[tuple[int, int]]:
        """Delete whole chunks, newest first a bucket, until `budget` ids are gone; what is left to do."""
        replay = self._state.replay
        for position, (bucket, height) in enumerate(backlog):
            while height:
                if budget <= 0:
                    return [(bucket, height), *backlog[position + 1 :]]
                key = chunk_key(bucket, height)
                chunk = self._state.get_replay(key)
                if chunk is None:
                    raise LocalError(f"the replay chunk of bucket {bucket} at height {height} is missing")
                for start in range(8, len(chunk), ID_BYTES):
                    identity = id_key(chunk[start : start + ID_BYTES])
                    stored = self._state.get_replay(identity)
                    if stored is not None and int.from_bytes(stored, "big") == bucket:
                        replay[identity] = None
                    budget -= 1
                replay[key] = None
                height = int.from_bytes(chunk[:8], "big")
        return []

    def _leaf(self, bucket: int) -> tuple[bytes, int, int] | None:
        stored = self._state.get_state(bucket_key(bucket))
        if stored is None:
            return None
        running, count, last = as_tuple(decode(stored), 3, "replay bucket")
        return as_bytes(running, "digest", length=32), as_int(count, "count"), as_int(last, "height")

    def _backlog(self) -> list[tuple[int, int]]:
        stored = self._state.get_replay(_PRUNE_KEY)
        if stored is None:
            return []
        return [_cursor(item) for item in as_array(decode(stored), BACKLOG_MAX, "prune backlog")]


def _cursor(value: Value) -> tuple[int, int]:
    bucket, height = as_tuple(value, 2, "prune cursor")
    return as_int(bucket, "bucket"), as_int(height, "height")
