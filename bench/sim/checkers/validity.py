"""Only what a client signed is executed, once, in its time; and receipts and roots say what happened.

Each height is looked through once, when the first honest host stores it; every other host must store the
same bytes. What a block orders is compared with what was executed of it: whatever is missing must have
expired, been executed before, or belong to another cluster.
Memory: of each transaction its id and (sender, unique id), some 300 bytes; 32 bytes a height.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import TYPE_CHECKING, NoReturn

from bench.sim.checkers.merkle import list_root, map_root
from bench.sim.checkers.reading import BlockReader, Fields, tagged, unpack
from bench.sim.checkers.stored import StoredChain, StoredHeight
from bench.sim.violation import Violation
from consensus import SignatureScheme
from node.storage import ChainTable, Reader, StateTable

if TYPE_CHECKING:
    from bench.sim.host import Host

_TRANSACTION_DOMAIN = "isthmus/transaction/v1"
_EXPIRY_TOO_FAR = 100
_EVERYTHING_BYTES = 2**40


class Validity:
    """`executed` is (height, index) of every transaction id that was used up."""

    def __init__(
        self, cluster_id: bytes, replay_cap_ms: int, scheme: SignatureScheme, blocks: BlockReader
    ) -> None:
        self.executed: dict[bytes, tuple[int, int]] = {}
        self._cluster_id, self._cap_ms, self._verify = cluster_id, replay_cap_ms, scheme.verify
        self._blocks = blocks
        self._made: dict[bytes, None] = {}
        self._used: dict[tuple[bytes, bytes], bytes] = {}
        self._bodies: dict[int, bytes] = {}
        self._complete = 0
        self._states: dict[int, bytes] = {}

    def on_made(self, transaction_id: bytes) -> None:
        """A client signed this."""
        self._made[transaction_id] = None

    def on_flush(self, host: "Host", chain: StoredChain) -> None:
        """An honest host is about to store these heights."""
        for stored in chain.heights:
            digest = sha256(stored.body).digest()
            known = self._bodies.setdefault(stored.height, digest)
            if known != digest:
                _wrong(host, stored.height, "it stores other transactions or receipts than others")
            if known is digest:
                self._on_body(host, stored)
        rows = {(height, index): name for name, height, index in chain.positions}
        for stored in chain.heights:
            for index, encoded in enumerate(unpack(stored.body)[0]):
                body, _ = unpack(encoded)
                if rows.pop((stored.height, index), None) != tagged(_TRANSACTION_DOMAIN, body):
                    _wrong(host, stored.height, f"transaction {index} is not found by its id")
        if rows:
            _wrong(host, chain.positions[0][1], f"{len(rows)} ids point to nothing")

    def on_flushed(self, host: "Host", chain: StoredChain) -> None:
        """They are stored, with everything their blocks order."""
        for stored in chain.heights:
            if stored.height == self._complete + 1:
                self._complete = stored.height
                self._is_complete(host, stored)

    # --- what was executed -----------------------------------------------------------------------------

    def _on_body(self, host: "Host", stored: StoredHeight) -> None:
        header = unpack(stored.header)
        transactions, receipts = unpack(stored.body)
        if list_root(transactions) != header[8]:
            _wrong(host, stored.height, "its transactions do not hash to tx_root")
        if list_root(receipts) != header[9]:
            _wrong(host, stored.height, "its receipts do not hash to receipt_root")
        if len(receipts) != len(transactions):
            _wrong(host, stored.height, f"{len(receipts)} receipts of {len(transactions)} transactions")
        for index, (encoded, receipt) in enumerate(zip(transactions, receipts, strict=True)):
            body, signature = unpack(encoded)
            name = tagged(_TRANSACTION_DOMAIN, body)
            version, of, height, place, status, _, _ = unpack(receipt)
            if (version, of, height, place) != (1, name, stored.height, index):
                _wrong(host, stored.height, f"receipt {index} is of another transaction or place")
            fault = self._fault(name, unpack(body), signature, header[7], status)
            if fault:
                _wrong(host, stored.height, f"transaction {index}, {name.hex()[:12]}, {fault}")
            if status != _EXPIRY_TOO_FAR:
                self.executed[name] = (stored.height, index)

    def _fault(self, name: bytes, body: Fields, signature: bytes, time_ms: int, status: int) -> str:
        _, cluster_id, sender, unique_id, expires_at_ms, *_ = body
        if cluster_id != self._cluster_id:
            return "is for another cluster"
        if not self._verify(sender, name, signature):
            return "is forged"
        if name not in self._made:
            return "was never made by any client"
        if expires_at_ms <= time_ms:
            return f"expired at {expires_at_ms}, the block is of {time_ms}"
        if (status == _EXPIRY_TOO_FAR) != (expires_at_ms > time_ms + self._cap_ms):
            return f"expires at {expires_at_ms}, the block is of {time_ms}, its status is {status}"
        if status == _EXPIRY_TOO_FAR:
            return ""
        if name in self.executed:
            return f"was executed at height {self.executed[name][0]}"
        if self._used.setdefault((sender, unique_id), name) != name:
            return f"has the unique id of {self._used[sender, unique_id].hex()[:12]}"
        return ""

    # --- what was ordered ------------------------------------------------------------------------------

    def _is_complete(self, host: "Host", stored: StoredHeight) -> None:
        header = unpack(stored.header)
        left = list(reversed(unpack(stored.body)[0]))
        for encoded in self._ordered(host.disk.store.reader(), header[6]):
            if left and left[-1] == encoded:
                left.pop()
            elif not self._may_be_skipped(encoded, stored.height, header[7]):
                _wrong(host, stored.height, "its block orders a transaction that was not executed")
        if left:
            _wrong(host, stored.height, f"{len(left)} executed transactions are not in its block's order")

    def _ordered(self, reader: Reader, block_id: bytes) -> Iterator[bytes]:
        proposal = reader.get(ChainTable.BLOCKS, block_id)
        if proposal is None:
            return
        payload = self._blocks.read(unpack(proposal)[0]).payload
        references, inline = unpack(payload) if payload else ((), ())
        bodies = [reader.get(ChainTable.BATCHES, digest) or b"" for _, digest in references]
        for batch in (*bodies, *inline):
            if batch:
                yield from unpack(batch)[6]

    def _may_be_skipped(self, encoded: bytes, height: int, time_ms: int) -> bool:
        _, cluster_id, sender, unique_id, expires_at_ms, *_ = unpack(unpack(encoded)[0])
        if cluster_id != self._cluster_id or expires_at_ms <= time_ms:
            return True
        first = self._used.get((sender, unique_id))
        return first is not None and self.executed[first][0] <= height

    # --- what it came to -------------------------------------------------------------------------------

    def check_state(self, host: "Host") -> None:
        """The state's leaves hash to the state root of the height it shows, and are those of every other
        host that shows it."""
        height = host.height
        with host.disk.store.snapshot() as view:
            count = view.count(StateTable.STATE)
            leaves = view.scan(StateTable.STATE, b"", limit=count, limit_bytes=_EVERYTHING_BYTES)
            replay = view.scan(
                StateTable.REPLAY, b"", limit=view.count(StateTable.REPLAY), limit_bytes=_EVERYTHING_BYTES
            )
            header = view.get(ChainTable.HEADERS, height.to_bytes(8, "big"))
        if header is not None and map_root(leaves) != unpack(header)[10]:
            _wrong(host, height, "its state does not hash to state_root")
        digest = sha256(repr((leaves, replay)).encode()).digest()
        if self._states.setdefault(height, digest) != digest:
            _wrong(host, height, "its state is not that of others")


def _wrong(host: "Host", height: int, words: str) -> NoReturn:
    raise Violation("validity", f"host {host.name}, height {height}: {words}")
