"""What a crash leaves of one host: database, journal, guard; everything else was memory."""

from dataclasses import dataclass, field

from consensus import Epoch, GuardRecord, encode
from node.daemon.memory_store import MemoryStore
from node.storage import ChainTable, StateTable, Write
from node.validator.layout import HEIGHT_KEY

_EVERYTHING_BYTES = 2**40


@dataclass(slots=True)
class Disk:
    """`journal` holds (seq, record) of what is synced; `guard` is None when the file is gone (C14). While
    `is_full` nothing more gets into the database; the journal is preallocated and goes on (C1, C17)."""

    store: MemoryStore
    journal: list[tuple[int, bytes]] = field(default_factory=list)
    last_seq: int = 0
    guard: bytes | None = encode(GuardRecord.initial(Epoch(0)).to_value())
    is_full: bool = False
    is_journal_lost: bool = False
    """The journal's files are gone, which a daemon sees: its last segment is never trimmed (C14)."""

    def append(self, record: bytes) -> None:
        """One record is on disk."""
        self.is_journal_lost = False
        self.last_seq += 1
        self.journal.append((self.last_seq, record))

    def trim(self, seq: int) -> None:
        """The database holds everything up to `seq`."""
        self.journal = [entry for entry in self.journal if entry[0] > seq]

    @property
    def height(self) -> int:
        """What the database shows."""
        return int.from_bytes(self.store.reader().get(StateTable.META, HEIGHT_KEY) or b"", "big")

    def copy(self) -> "Disk":
        """A backup of the data; the guard lies elsewhere (C14), but is copied along."""
        again = MemoryStore()
        with self.store.snapshot() as view:
            for table in ChainTable:
                entries = view.scan(table, b"", limit=view.count(table), limit_bytes=_EVERYTHING_BYTES)
                again.apply([Write(table, *entry) for entry in entries], ())
            for state in StateTable:
                entries = view.scan(state, b"", limit=view.count(state), limit_bytes=_EVERYTHING_BYTES)
                again.apply((), [Write(state, *entry) for entry in entries])
        return Disk(again, list(self.journal), self.last_seq, self.guard)
