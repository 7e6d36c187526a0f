"""There is one committed sequence of blocks, and every honest host executes it from its beginning, each block
once, in order.

Each epoch has a sequence of its own. The next one starts from the header that ended it (C4): blocks of the
old epoch may still be committed then, and nobody executes them.

What is committed is judged from certificates alone: a QC commits the parent of a block of the next round
(Jolteon's two-chain), a header certificate its block (C25), and each all ancestors. The sequence they make
is grown here block by block. What hosts execute is read from the header signatures they send and from what
they store, and must be that sequence without the blocks that order nothing.

Memory: an id and a round for each committed block (some 300 bytes), an id for each height; blocks that
nothing commits are bounded.
"""

from collections.abc import Callable, Sequence

from bench.sim.checkers.reading import SeenBlock, epoch_at, place
from bench.sim.violation import Violation

OPEN_MAX = 16_384
"""Blocks seen and not committed, oldest out first."""


class _Sequence:
    """The committed blocks of one epoch; `border` is the height below its first."""

    def __init__(self, epoch: int, root_id: bytes, border: int) -> None:
        self.border = border
        self.chain = [root_id]
        self.rounds = [place(epoch, 0)]
        self.has_payload = [False]


class Agreement:
    """`root_id` is the block that the genesis certifies; rounds are places (`reading.place`)."""

    def __init__(self, root_id: bytes, on_extended: Callable[[SeenBlock], None] = lambda _: None) -> None:
        """`on_extended` is told of every block that is committed, in order."""
        self._on_extended = on_extended
        self._sequences = {0: _Sequence(0, root_id, 0)}
        self._place: dict[bytes, tuple[int, int]] = {root_id: (0, 0)}
        self._open: dict[bytes, SeenBlock] = {}
        self._awaited: dict[bytes, dict[bytes, None]] = {}
        self._blocks: dict[int, bytes] = {0: root_id}
        self._heights: dict[bytes, int] = {root_id: 0}
        self._compared = 0

    @property
    def chain(self) -> list[bytes]:
        """The sequence of the newest epoch."""
        return self._sequences[max(self._sequences)].chain

    def begin(self, epoch: int, root_id: bytes, height: int) -> None:
        """An epoch begins above the header of `height` (C4)."""
        self._sequences[epoch] = _Sequence(epoch, root_id, height)
        self._place[root_id] = (epoch, 0)

    # --- what is committed -----------------------------------------------------------------------------

    def on_block(self, block: SeenBlock) -> None:
        """A block was seen, in whatever host's hands."""
        if block.id in self._place or block.id in self._open:
            return
        self._open[block.id] = block
        if len(self._open) > OPEN_MAX:
            del self._open[next(iter(self._open))]
        for committed in self._awaited.pop(block.id, ()):
            self.on_committed(committed)

    def on_certified(self, parent_id: bytes, parent_round: int, commit_id: bytes | None) -> None:
        """A block with this parent is certified, and commits `commit_id` if that is not None."""
        if commit_id is None:
            return
        sequence = self._sequences.get(epoch_at(parent_round))
        if sequence is not None and parent_round <= sequence.rounds[-1] and commit_id not in self._place:
            self._forks(commit_id, f"of round {parent_round}, the sequence is at {sequence.rounds[-1]}")
        self.on_committed(commit_id)

    def on_committed(self, block_id: bytes) -> None:
        """A certificate commits this block and its ancestors."""
        path: list[SeenBlock] = []
        current = block_id
        while current not in self._place:
            block = self._open.get(current)
            if block is None:
                self._awaited.setdefault(current, {})[block_id] = None
                return
            path.append(block)
            current = block.parent_id
        if not path:
            return
        epoch, extended = self._place[current]
        sequence = self._sequences[epoch]
        if extended != len(sequence.chain) - 1:
            self._forks(block_id, f"it extends place {extended} of {len(sequence.chain) - 1}")
        for block in reversed(path):
            self._extend(epoch, sequence, block)
        self._forget_forks(sequence)
        self._compare()

    def _extend(self, epoch: int, sequence: _Sequence, block: SeenBlock) -> None:
        last = sequence.rounds[-1]
        if block.round <= last or block.parent_round != last or block.epoch != epoch:
            words = f"round {block.round} extends {block.parent_round}, the parent is of {last}"
            self._forks(block.id, words)
        self._place[block.id] = (epoch, len(sequence.chain))
        sequence.chain.append(block.id)
        sequence.rounds.append(block.round)
        sequence.has_payload.append(block.payload != b"")
        del self._open[block.id]
        self._on_extended(block)

    def _forget_forks(self, sequence: _Sequence) -> None:
        if len(sequence.chain) % 256 == 0:
            last = sequence.rounds[-1]
            for block_id in [known for known, block in self._open.items() if block.round < last - 1_024]:
                del self._open[block_id]

    def _forks(self, block_id: bytes, words: str) -> None:
        raise Violation("agreement", f"{block_id.hex()[:12]} is committed and not in the sequence: {words}")

    # --- what is executed ------------------------------------------------------------------------------

    def on_executed(self, who: str, height: int, block_id: bytes) -> None:
        """An honest host says that this block made the header of `height`."""
        known = self._blocks.get(height)
        if known == block_id:
            return
        if known is not None:
            words = f"{block_id.hex()[:12]} at height {height}, others {known.hex()[:12]}"
            raise Violation("agreement", f"host {who} executed {words}")
        if block_id in self._heights:
            words = f"{block_id.hex()[:12]} at height {height} and at {self._heights[block_id]}"
            raise Violation("agreement", f"host {who} executed {words}")
        if block_id not in self._place:
            raise Violation("agreement", f"host {who} executed {block_id.hex()[:12]}, which nothing commits")
        self._blocks[height] = block_id
        self._heights[block_id] = height
        self._compare()

    def on_stored(self, who: str, stored_height: int, heights: Sequence[int]) -> None:
        """A host whose database shows `stored_height` stores these heights."""
        wanted = list(range(stored_height + 1, stored_height + 1 + len(heights)))
        if list(heights) != wanted:
            raise Violation("agreement", f"host {who} stores heights {list(heights)} after {stored_height}")

    def _compare(self) -> None:
        """Between the blocks of two heights, nothing in the sequence orders anything."""
        while (following := self._blocks.get(self._compared + 1)) is not None:
            before, first = self._place[self._blocks[self._compared]]
            epoch, last = self._place[following]
            sequence = self._sequences[epoch]
            if epoch > before and sequence.border == self._compared:
                before, first = epoch, 0
            if (epoch, last) <= (before, first) or epoch != before:
                words = f"height {self._compared + 1} is place {last}, the one before place {first}"
                raise Violation("agreement", f"executed out of order: {words}")
            if any(sequence.has_payload[first + 1 : last]):
                words = f"a block with payload between heights {self._compared} and {self._compared + 1}"
                raise Violation("agreement", f"never executed: {words}")
            self._compared += 1
