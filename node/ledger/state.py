"""State as execution sees it: what is stored, under what was executed and is not stored yet.

The `Overlay` holds one layer a height between execution and the flush to disk, merged for reading: a lookup
costs the same with one layer as with sixty, and adding a layer runs at the speed of `dict.update`. A block
under way writes to a `BlockState`, a transaction to a plain dict above it: rolling back is forgetting it.

Nothing is ever taken back from an executed height, so the newest value is right whether it is stored or not:
what was flushed leaves memory when it is worth the trouble.
"""

from collections import deque
from enum import IntEnum
from functools import partial
from typing import Protocol, TypeAlias

from consensus import LocalError

LAYERS_MAX = 256
"""Most heights between execution and flush; certification lag (64) and flush delay stay far below."""
BYTES_MAX = 256 * 1024 * 1024
"""Bytes of keys and values above which execution should wait for the flush; a few full blocks."""


class Space(IntEnum):
    """The key spaces of the state database."""

    STATE = 0
    """The leaves of the state tree under their own keys: what proofs speak of."""
    NODES = 1
    """The inner nodes of the sparse Merkle tree."""
    REPLAY = 2
    """Ids of executed transactions until they expire; bound to the state by one leaf a bucket (F17)."""


StateWrite: TypeAlias = tuple[Space, bytes, bytes | None]
"""(space, key, new value), or None to delete the key."""


class StateReader(Protocol):
    """A consistent view of the stored spaces."""

    def get(self, space: Space, key: bytes) -> bytes | None:
        """The value stored under `key`, or None."""
        ...


Changes: TypeAlias = dict[bytes, bytes | None]
Writes: TypeAlias = tuple[Changes, Changes, Changes]
"""The writes of one height: one mapping a space, in the order of `Space`."""


class Overlay:
    """Executed layers above a reader that lags behind by as many heights; itself a `StateReader`.

    Composition begins no block while `has_room` is False. The bound on layers is hard; the one on bytes
    may be passed by the block that was under way.
    """

    __slots__ = (
        "_layers",
        "_outdated",
        "_outdated_bytes",
        "bytes_held",
        "bytes_max",
        "entries_held",
        "layers_max",
        "merged",
        "reader",
    )

    def __init__(self, reader: StateReader, layers_max: int = LAYERS_MAX, bytes_max: int = BYTES_MAX) -> None:
        self.reader = reader
        self._layers: deque[tuple[int, Writes, int]] = deque()
        self.merged: Writes = ({}, {}, {})
        self._outdated = 0  # entries of dropped layers that `merged` may still hold, and their bytes
        self._outdated_bytes = 0
        self.layers_max = layers_max
        self.bytes_max = bytes_max
        self.entries_held = 0
        self.bytes_held = 0

    def get(self, space: Space, key: bytes) -> bytes | None:
        """The newest value: of a layer, or else of the reader."""
        merged = self.merged[space]
        return merged[key] if key in merged else self.reader.get(space, key)

    @property
    def layers_held(self) -> int:
        """Executed heights that are not dropped yet; at most `layers_max`."""
        return len(self._layers)

    @property
    def has_room(self) -> bool:
        """Whether the next block may be executed before a flush."""
        return len(self._layers) < self.layers_max and self.bytes_held < self.bytes_max

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound) of what can grow, for metrics."""
        return (
            ("ledger_overlay_layers", len(self._layers), self.layers_max),
            ("ledger_overlay_bytes", self.bytes_held, self.bytes_max),
        )

    def push(self, height: int, writes: Writes) -> None:
        """Put the writes of `height` on top. Raises LocalError when full or out of order."""
        if len(self._layers) >= self.layers_max:
            raise LocalError(f"{len(self._layers)} executed heights wait for the flush; none may be added")
        if self._layers and self._layers[-1][0] >= height:
            raise LocalError(f"layer {height} does not follow layer {self._layers[-1][0]}")
        size = 0
        for merged, changed in zip(self.merged, writes, strict=True):
            merged.update(changed)
            size += sum(map(len, changed)) + sum(map(len, filter(None, changed.values())))
        self._layers.append((height, writes, size))
        self.entries_held += sum(map(len, writes))
        self.bytes_held += size

    def drop_through(self, height: int) -> None:
        """Forget layers up to `height`, which the reader now shows. Idempotent."""
        while self._layers and self._layers[0][0] <= height:
            _, writes, size = self._layers.popleft()
            dropped = sum(map(len, writes))
            self._outdated += dropped
            self._outdated_bytes += size
            self.entries_held -= dropped
            self.bytes_held -= size
        # What stays is merged anew, in place, once that is no more than what goes.
        if self._outdated >= self.entries_held or self._outdated_bytes >= self.bytes_held:
            self._outdated = self._outdated_bytes = 0
            for space, merged in enumerate(self.merged):
                merged.clear()
                for _, writes, _ in self._layers:
                    merged.update(writes[space])


class BlockState:
    """The state inside one block under execution: its own writes above the overlay.

    The three readers are alike but for the space; they are spelled out because each transaction passes
    through them some twenty times.
    """

    __slots__ = (
        "_nodes_below",
        "_read_node",
        "_read_replay",
        "_read_state",
        "_replay_below",
        "_state_below",
        "nodes",
        "replay",
        "state",
    )

    def __init__(self, overlay: Overlay) -> None:
        self._read_state = partial(overlay.reader.get, Space.STATE)
        self._read_node = partial(overlay.reader.get, Space.NODES)
        self._read_replay = partial(overlay.reader.get, Space.REPLAY)
        self._state_below, self._nodes_below, self._replay_below = overlay.merged
        self.state: dict[bytes, bytes | None] = {}
        self.nodes: dict[bytes, bytes | None] = {}
        self.replay: dict[bytes, bytes | None] = {}

    def get_state(self, key: bytes) -> bytes | None:
        """The state leaf as of the transactions executed so far."""
        if key in self.state:
            return self.state[key]
        if key in self._state_below:
            return self._state_below[key]
        return self._read_state(key)

    def get_replay(self, key: bytes) -> bytes | None:
        """The replay record as of this block so far."""
        if key in self.replay:
            return self.replay[key]
        if key in self._replay_below:
            return self._replay_below[key]
        return self._read_replay(key)

    def get(self, key: bytes) -> bytes | None:
        """A stored tree node, which makes this the `NodeReader` of the sparse Merkle tree."""
        if key in self.nodes:
            return self.nodes[key]
        if key in self._nodes_below:
            return self._nodes_below[key]
        return self._read_node(key)

    def writes(self) -> Writes:
        """All writes of the block, in the order of `Space`."""
        return (self.state, self.nodes, self.replay)
