"""What a crash leaves of one node: database, journal, guard; everything else was memory."""

from dataclasses import dataclass, field

from consensus import Epoch, GuardRecord, encode
from node.daemon.memory_store import MemoryStore
from node.storage import ChainTable, StateTable, Write


@dataclass(slots=True)
class Disk:
    """What a crash leaves of one node. `guard` is None when the file is gone."""

    store: MemoryStore
    journal: list[tuple[int, bytes]] = field(default_factory=list)
    last_seq: int = 0
    guard: bytes | None = encode(GuardRecord.initial(Epoch(0)).to_value())

    def copy(self) -> "Disk":
        """A backup of data; the guard lies elsewhere (C14), but is copied along."""
        again = MemoryStore()
        with self.store.snapshot() as view:
            for table in ChainTable:
                entries = view.scan(table, b"", limit=view.count(table), limit_bytes=2**40)
                again.apply([Write(table, *entry) for entry in entries], ())
            for state in StateTable:
                entries = view.scan(state, b"", limit=view.count(state), limit_bytes=2**40)
                again.apply((), [Write(state, *entry) for entry in entries])
        return Disk(again, list(self.journal), self.last_seq, self.guard)
