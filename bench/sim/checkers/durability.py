"""What was acknowledged is there, after any crash: on the host that said so, and in the end on all.

Clients hold receipts from the moment a flush of certified heights is asked for, before any of it is stored
(C26), so that is when a promise is made. From then on: a database never shows less than it showed, what a
height needs is beside it, and what was promised stands where the receipt says.
Memory: an id and a height a transaction (some 150 bytes).
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.sim.checkers.reading import BlockReader, tagged, unpack
from bench.sim.checkers.stored import StoredChain
from bench.sim.disk import Disk
from bench.sim.violation import Violation
from node.storage import ChainTable, StateTable
from node.validator.layout import HEIGHT_KEY, height_key, position

if TYPE_CHECKING:
    from bench.sim.host import Host

_BATCH_DOMAIN = "isthmus/batch/v1"
EXPIRY_TOO_FAR = 100
"""The one status that promises nothing: the same transaction may have another outcome later (F17)."""
PROMISES_KEPT = 1_024
"""Promises of a host that are looked up again after its next crash, the newest; the end looks up all."""
HELD_MAX = 4_096
"""The newest blocks and batches of a host's journal; older batches are looked for in its database."""


@dataclass(slots=True)
class _Shown:
    """What a host's database showed last; another disk, after a loss that a test made, starts anew."""

    disk: Disk
    life: int
    height: int
    promised: dict[bytes, tuple[int, int]]
    """(height, index) by id of what this host promised."""


@dataclass(slots=True)
class _Held:
    """What a host's journal was given, and the newest round that it voted in since."""

    disk: Disk
    names: dict[bytes, None] = field(default_factory=dict)
    voted: int = 0


class Durability:
    """`acknowledged` is the height of every transaction whose receipt a client may hold."""

    def __init__(self, blocks: BlockReader) -> None:
        self.acknowledged: dict[bytes, int] = {}
        self._blocks = blocks
        self._shown: dict[int, _Shown] = {}
        self._held: dict[int, _Held] = {}

    def on_flush(self, host: "Host", chain: StoredChain) -> None:
        """An honest host tells clients."""
        shown = self._look(host)
        passing = {
            name
            for stored in chain.heights
            for _, name, _, _, status, _, _ in map(unpack, unpack(stored.body)[1])
            if status == EXPIRY_TOO_FAR
        }
        for name, height, index in chain.positions:
            if name in passing:
                continue
            known = self.acknowledged.setdefault(name, height)
            if known != height:
                self._wrong(host, f"transaction {name.hex()[:12]} at height {height}, promised at {known}")
            shown.promised[name] = (height, index)
            if len(shown.promised) > PROMISES_KEPT:
                del shown.promised[next(iter(shown.promised))]

    def on_held(self, host: "Host", name: bytes) -> None:
        """A block or a batch of this name is in the journal, on disk."""
        held = self._held.get(host.place)
        if held is None or held.disk is not host.disk:
            held = self._held[host.place] = _Held(host.disk)
        held.names[name] = None
        if len(held.names) > HELD_MAX:
            del held.names[next(iter(held.names))]

    def on_vote(self, host: "Host", round: int, block_id: bytes) -> None:
        """An honest host votes, and so promises to give the block and its batches to whoever lacks them (C1,
        C9). A vote sent again is of an older life and was looked at then."""
        held = self._held.get(host.place)
        if held is None or held.disk is not host.disk or round <= held.voted:
            return
        held.voted = round
        reader = host.disk.store.reader()
        block = self._blocks.by_id(block_id)
        # a block that was committed here, and not yet shown when the host fell, is in the database alone
        is_held = block_id in held.names or reader.get(ChainTable.BLOCKS, block_id) is not None
        if block is None or not is_held:
            self._wrong(host, f"it votes for {block_id.hex()[:12]}, which neither journal nor database holds")
            return
        for _, digest in unpack(block.payload)[0] if block.payload else ():
            if digest not in held.names and reader.get(ChainTable.BATCHES, digest) is None:
                self._wrong(host, f"it votes for {block_id.hex()[:12]} without holding its batches")

    def on_flushed(self, host: "Host", height: int, chain: StoredChain) -> None:
        """Both environments hold the flush up to `height`."""
        reader = host.disk.store.reader()
        stored = reader.get(StateTable.META, HEIGHT_KEY)
        if stored != height_key(height):
            self._wrong(host, f"its state shows {stored!r} after a flush to height {height}")
        if height and reader.get(ChainTable.CERTIFICATES, height_key(height)) is None:
            self._wrong(host, f"it shows height {height} without a certificate")
        for item in chain.heights:
            self._serves(host, item.height, item.header)
        self._look(host)

    def check_stored(self, host: "Host") -> None:
        """Everything acknowledged is in this host's chain, at its height, and nothing else is."""
        self._look(host)
        reader = host.disk.store.reader()
        found: dict[bytes, int] = {}
        for height in range(1, host.height + 1):
            body = reader.get(ChainTable.BODIES, height_key(height))
            if body is None:
                self._wrong(host, f"it has no body of height {height}")
            else:
                for _, name, _, _, status, _, _ in map(unpack, unpack(body)[1]):
                    if status != EXPIRY_TOO_FAR:
                        found[name] = height
        for name, height in self.acknowledged.items():
            if found.get(name) != height:
                words = f"promised at height {height}, stored at {found.get(name)}"
                self._wrong(host, f"transaction {name.hex()[:12]} is {words}")
        if len(found) != len(self.acknowledged):
            self._wrong(host, f"it stores {len(found)} transactions, {len(self.acknowledged)} were told")

    def _look(self, host: "Host") -> _Shown:
        height = host.height
        shown = self._shown.get(host.place)
        if shown is None or shown.disk is not host.disk:
            shown = self._shown[host.place] = _Shown(host.disk, host.life, height, {})
        if height < shown.height:
            self._wrong(host, f"its database shows height {height} after {shown.height}")
        if shown.life != host.life:
            self._after_crash(host, shown)
        shown.height = height
        return shown

    def _after_crash(self, host: "Host", shown: _Shown) -> None:
        """Promises up to the height that is shown are kept; later ones still have to be stored again."""
        reader = host.disk.store.reader()
        for name, (height, index) in list(shown.promised.items()):
            if height > host.height:
                continue
            if reader.get(ChainTable.TRANSACTIONS, name) != position(height, index):
                self._wrong(host, f"transaction {name.hex()[:12]} of height {height} is gone after a crash")
            del shown.promised[name]
        shown.life = host.life

    def _serves(self, host: "Host", height: int, header: bytes) -> None:
        """Whoever catches up needs the block and its batches, byte by byte what their names say."""
        reader = host.disk.store.reader()
        block_id = unpack(header)[6]
        proposal = reader.get(ChainTable.BLOCKS, block_id)
        if proposal is None:
            self._wrong(host, f"it cannot serve the block of height {height}")
            return
        block = self._blocks.read(unpack(proposal)[0])
        if block.id != block_id:
            self._wrong(host, f"it stores another block at height {height}")
        for _, digest in unpack(block.payload)[0] if block.payload else ():
            body = reader.get(ChainTable.BATCHES, digest)
            if body is None or tagged(_BATCH_DOMAIN, body) != digest:
                self._wrong(host, f"it cannot serve a batch of height {height}")

    def _wrong(self, host: "Host", words: str) -> None:
        raise Violation("durability", f"host {host.name}: {words}")
