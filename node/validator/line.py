"""The line a committed block walks: executed in order, signed, certified, and only then stored (DESIGN 5).

Execution works in slices, so that a long block never keeps a vote waiting. Executed heights wait here for
their certificate; storage shows certified heights only. How far the line may run ahead is bounded by
voters (C13) and, hard, by the ledger's overlay. Where a header ends its epoch, later blocks of that epoch
come to nothing (C4).
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from consensus import CommittedBlock, Digest, HeaderCertificate, Height, LocalError
from node.ledger.execution import BlockToExecute, Execution, Ledger, Tip
from node.ledger.opaque import OpaqueBatch
from node.ledger.roster import Roster
from node.ledger.transactions import Transaction
from node.pool.batches import Batch
from node.pool.chunks import count_transactions

SLICE_BUDGET = 64
"""Transactions, or changed leaves, a slice: about 1.5 ms."""
CERTIFICATES_MAX = 4096
"""Certificates of heights that are not executed here yet: as many as a start may find in its journal."""
WAITING_MAX = 128
"""Certified heights that wait for batches or for execution before they are left to catch-up. What is not
certified is bounded by voters (C13)."""
RECOVERED_MAX = 4096
"""What a start may find in its journal and has to execute itself: as many blocks as the block tree holds."""
UNCERTIFIED_MAX = 192
"""Executed heights that wait for certificates before execution itself waits; C13 keeps it near 64, and where
that is not all (a node catches up) half of it is `is_short_of_certificates`."""


@dataclass(frozen=True, slots=True)
class Settled:
    """An executed height with its ledger position; `tip` is where the ledger stood after it."""

    execution: Execution
    tip: Tip


class _Opening:
    """A block whose transactions are being decoded; `left` are those not taken yet."""

    __slots__ = ("block", "count", "left", "transactions")

    def __init__(self, block: CommittedBlock, batches: tuple[Batch, ...]) -> None:
        self.block = block
        self.count = sum(len(batch.transactions) for batch in batches)
        self.left: Iterator[Transaction | bytes] = chain.from_iterable(
            batch.opened or batch.transactions for batch in batches
        )
        self.transactions: list[Transaction] = []


class ExecutionLine:
    """Committed blocks in, executed headers out, certified heights to storage."""

    def __init__(
        self,
        ledger: Ledger,
        transaction_bytes_max: int,
        opened: Mapping[bytes, Transaction],
        halt_height: int = 0,
    ) -> None:
        """`opened`: transactions decoded to be admitted, by their bytes. `halt_height`: nothing above it is
        executed; 0 for no such height."""
        self._halt_height = halt_height
        self._ledger = ledger
        self._opened = opened
        self._transaction_bytes_max = transaction_bytes_max
        self._waiting: deque[tuple[CommittedBlock, tuple[Batch, ...]]] = deque()
        self._opening: _Opening | None = None
        self._executed: deque[Settled] = deque()
        self._certificates: dict[Height, HeaderCertificate] = {}
        self._certified = self._taken = Height(ledger.tip.height)
        self._found_height = ledger.tip.height

    @property
    def executed_height(self) -> int:
        """The last executed height."""
        return self._ledger.tip.height

    @property
    def is_halted(self) -> bool:
        """Whether the height is executed above which nothing is to be."""
        return 0 < self._halt_height <= self._ledger.tip.height

    @property
    def executed(self) -> tuple[Settled, ...]:
        """The executed heights that wait for their certificate, in order."""
        return tuple(self._executed)

    @property
    def certified_height(self) -> Height:
        """The highest certified height seen, executed here or not."""
        return self._certified

    @property
    def tip(self) -> Tip:
        """Where execution stands."""
        return self._ledger.tip

    @property
    def roster(self) -> Roster:
        """Who validates in the epoch of the next block."""
        return self._ledger.roster

    @property
    def features(self) -> tuple[str, ...]:
        """The features in force in the epoch of the next block."""
        return self._ledger.features

    def require_known_features(self) -> None:
        """Raises UpgradeNeeded when this software does not know all of them."""
        self._ledger.require_known_features()

    @property
    def next_height(self) -> int:
        """The first height that is neither executed nor queued here."""
        if self._waiting:
            return self._waiting[-1][0].height + 1
        if self._opening is not None:
            return self._opening.block.height + 1
        return self._ledger.tip.height + (2 if self._ledger.is_busy else 1)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound) of everything that can grow."""
        return (
            ("line_waiting_blocks", len(self._waiting), RECOVERED_MAX),
            ("line_certificates", len(self._certificates), CERTIFICATES_MAX),
            ("line_uncertified_heights", len(self._executed), UNCERTIFIED_MAX),
            *self._ledger.overlay.limits(),
            *self._ledger.authority.limits(),
        )

    def skips(self, block: CommittedBlock) -> bool:
        """Whether a header executed here ended this block's epoch: it yields none, and what it ordered may be
        ordered again (C4)."""
        return self._ledger.skips(block.block.epoch)

    def add(self, block: CommittedBlock, batches: tuple[Batch, ...]) -> None:
        """The next committed block that yields a header, with its batches in order of execution."""
        self._waiting.append((block, batches))

    def withdraw(self) -> list[tuple[CommittedBlock, tuple[Batch, ...]]]:
        """Take back what is queued and not begun."""
        waiting, self._waiting = list(self._waiting), deque()
        return waiting

    def finish_current(self) -> Settled | None:
        """Execute the block under way, if there is one, to its end."""
        while self._opening is not None or self._ledger.is_busy:
            settled = self.advance()
            if settled is not None:
                return settled
        return None

    def finish_next(self) -> Settled:
        """Execute the next block to its end. Raises LocalError when none waits."""
        while self.has_work:
            settled = self.advance()
            if settled is not None:
                return settled
        raise LocalError("no block waits for execution")

    def keep_found(self) -> None:
        """What is queued now was found by a start: it is executed here, however much others have certified.
        Where all nodes start at once nobody has stored what all of them certify, so nobody could serve it."""
        self._found_height = self.next_height - 1

    @property
    def is_overdue(self) -> bool:
        """Whether others have certified more than should wait here: this node is slow, or the batches do not
        come."""
        return self._certified > max(self._ledger.tip.height, self._found_height) + WAITING_MAX

    @property
    def is_short_of_certificates(self) -> bool:
        """Whether so much was executed without one that each that can be had should be taken."""
        return len(self._executed) >= UNCERTIFIED_MAX // 2

    @property
    def has_work(self) -> bool:
        """Whether `advance` can do something now."""
        if self._ledger.is_busy or self._opening is not None:
            return True
        if self.is_halted:
            return False
        return bool(self._waiting) and len(self._executed) < UNCERTIFIED_MAX and self._ledger.has_room

    def advance(self) -> Settled | None:
        """One slice of execution; the height it finished, if it did."""
        if not self._ledger.is_busy and not self._open():
            return None
        execution = self._ledger.advance(SLICE_BUDGET)
        return None if execution is None else self._settle(execution)

    def _open(self) -> bool:
        """Decode another slice of the next block's transactions; True once the ledger has begun it."""
        if self._ledger.params.benchmark is not None:
            committed, batches = self._waiting.popleft()
            self._begin(committed, tuple(map(_named, batches)))
            return True
        if self._opening is None:
            self._opening = _Opening(*self._waiting.popleft())
        opening, limit = self._opening, self._transaction_bytes_max
        opened = self._opened
        # Slices are counted alike whether there is anything to decode: a recording has nothing opened in it.
        for item in islice(opening.left, SLICE_BUDGET):
            if isinstance(item, bytes):
                item = opened.get(item) or Transaction.decode(item, limit)
            opening.transactions.append(item)
        if len(opening.transactions) < opening.count:
            return False
        committed = opening.block
        self._opening = None
        self._begin(committed, tuple(opening.transactions))
        return True

    def _begin(
        self, committed: CommittedBlock, payload: tuple[Transaction, ...] | tuple[OpaqueBatch, ...]
    ) -> None:
        block = committed.block
        self._ledger.begin(BlockToExecute(committed.height, block.id, block.epoch, block.time_ms, payload))

    def _settle(self, execution: Execution) -> Settled:
        settled = Settled(execution, self._ledger.tip)
        self._executed.append(settled)
        if execution.next_roster is not None:
            self._waiting = deque(queued for queued in self._waiting if not self.skips(queued[0]))
        return settled

    def certify(self, certificate: HeaderCertificate) -> None:
        """A height, and all before it, became final."""
        if certificate.height <= self._taken:
            return
        if certificate.height > self._certified:
            self._certified = certificate.height
        self._certificates[certificate.height] = certificate
        if len(self._certificates) > CERTIFICATES_MAX:
            # Far behind. The lowest are the next to be stored by, and execution stops without them; those in
            # between come again with their heights, or a higher one proves them.
            del self._certificates[max(h for h in self._certificates if h < self._certified)]

    def contradiction(self, height: int) -> tuple[Digest, Digest] | None:
        """Our header hash of an executed height and the certified one, when they differ (C3)."""
        certificate = self._certificates.get(Height(height))
        if certificate is None or not self._executed:
            return None
        position = height - self._executed[0].execution.header.height
        if not 0 <= position < len(self._executed):
            return None
        ours = self._executed[position].execution.header_hash
        return None if ours == certificate.header_hash else (ours, certificate.header_hash)

    def take_certified(self) -> tuple[list[Settled], list[HeaderCertificate]]:
        """The executed heights up to the highest one with its own certificate, in order, and the
        certificates among them; they leave the line. Raises LocalError when a certificate contradicts
        what was executed: storing it would hide a divergence."""
        if not self._certificates or not self._executed:
            return [], []
        target = max((h for h in self._certificates if h <= self.executed_height), default=Height(0))
        self._taken = max(self._taken, target)
        settled: list[Settled] = []
        while self._executed and self._executed[0].execution.header.height <= target:
            settled.append(self._executed.popleft())
        certificates = [self._certificates.pop(h) for h in sorted(self._certificates) if h <= target]
        hashes = {item.execution.header.height: item.execution.header_hash for item in settled}
        for certificate in certificates:
            ours = hashes.get(certificate.height)
            if ours is not None and ours != certificate.header_hash:
                raise LocalError(
                    f"height {certificate.height}: executed {ours.hex()}, certified "
                    f"{certificate.header_hash.hex()}"
                )
        return settled, certificates

    def stored(self, height: int) -> None:
        """Storage shows everything up to `height` now."""
        self._ledger.flushed(height)


def _named(batch: Batch) -> OpaqueBatch:
    return OpaqueBatch(batch.digest, *count_transactions(batch.transactions))
