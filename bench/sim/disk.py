"""What a crash leaves of one host: database, journal, guard; everything else was memory."""

from dataclasses import dataclass, field

from bench.sim.violation import Violation
from consensus import Epoch, GuardRecord, encode
from node.daemon.memory_store import MemoryStore
from node.storage import ChainTable, StateTable, Write
from node.validator.layout import HEIGHT_KEY, OPEN_KEY, OpenBook

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
    def filled_up_to(self) -> int:
        """The last journal record that the database holds."""
        stored = self.store.reader().get(ChainTable.META, OPEN_KEY)
        return 0 if stored is None else OpenBook.decode(stored).journal_seq

    def check_journal(self, who: str) -> None:
        """A daemon refuses to start beside a journal that ends, or begins, too early for its database. Raises
        Violation."""
        known, last_seq = self.filled_up_to, self.last_seq
        first_seq = self.journal[0][0] if self.journal else last_seq + 1
        if not self.is_journal_lost and (last_seq < known or first_seq > known + 1):
            held = f"records {first_seq} to {last_seq}, its database is filled up to {known}"
            raise Violation("journal", f"host {who} cannot start: its journal holds {held}")

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
        return Disk(
            again, list(self.journal), self.last_seq, self.guard, is_journal_lost=self.is_journal_lost
        )
