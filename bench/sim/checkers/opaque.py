"""On a benchmark cluster: every batch that a block orders is one leaf, once, its receipt counts what is in
it, the state stays what genesis made it, and where transactions are signed none is forged.

The counterpart of `validity.py`, with as little in common with the product: leaves are compared with what the
blocks order, and receipts with the bytes of the batches that the database holds.
"""

from hashlib import sha256
from typing import TYPE_CHECKING, NoReturn

from bench.sim.checkers.merkle import list_root, map_root
from bench.sim.checkers.reading import BlockReader, tagged, unpack
from bench.sim.checkers.stored import StoredChain, StoredHeight
from bench.sim.violation import Violation
from consensus import SignatureScheme
from node.storage import ChainTable, StateTable

if TYPE_CHECKING:
    from bench.sim.host import Host

_BATCH_DOMAIN = "isthmus/batch/v1"
_SIGNED_DOMAIN = "isthmus/benchmark-transaction/v1"
_NO_WRITES = tagged("isthmus/writes/v1", b"\x90")


class OpaqueValidity:
    """`executed` is (height, index) of every batch. `scheme` is None where nobody signs."""

    def __init__(
        self, cluster_id: bytes, state_root: bytes, blocks: BlockReader, scheme: SignatureScheme | None
    ) -> None:
        self._cluster_id = cluster_id
        self._scheme = scheme
        self.executed: dict[bytes, tuple[int, int]] = {}
        self._state_root = state_root
        self._blocks = blocks
        self._bodies: dict[int, bytes] = {}
        self._complete = 0

    def on_made(self, transaction_id: bytes) -> None:
        """Nobody signs anything here."""

    def on_flush(self, host: "Host", chain: StoredChain) -> None:
        """An honest host is about to store these heights."""
        rows = {(height, index): name for name, height, index in chain.positions}
        for stored in chain.heights:
            digest = sha256(stored.body).digest()
            known = self._bodies.setdefault(stored.height, digest)
            if known != digest:
                _wrong(host, stored.height, "it stores other batches or receipts than others")
            leaves, receipts = unpack(stored.body)
            header = unpack(stored.header)
            if list_root(leaves) != header[8] or list_root(receipts) != header[9]:
                _wrong(host, stored.height, "its leaves do not hash to the header's roots")
            if header[10] != self._state_root:
                _wrong(host, stored.height, "the state changed")
            for index, name in enumerate(leaves):
                if rows.pop((stored.height, index), None) != name:
                    _wrong(host, stored.height, f"batch {index} is not found by its name")
                if self.executed.setdefault(name, (stored.height, index)) != (stored.height, index):
                    _wrong(host, stored.height, f"batch {index} was executed at {self.executed[name]}")
        if rows:
            _wrong(host, chain.positions[0][1], f"{len(rows)} names point to nothing")

    def on_flushed(self, host: "Host", chain: StoredChain) -> None:
        """They are stored, with everything their blocks order."""
        for stored in chain.heights:
            if stored.height == self._complete + 1:
                self._complete = stored.height
                self._is_complete(host, stored)

    def check_state(self, host: "Host") -> None:
        """The state's leaves hash to the root that genesis has."""
        with host.disk.store.snapshot() as view:
            leaves = view.scan(StateTable.STATE, b"", limit=view.count(StateTable.STATE))
        if map_root(leaves) != self._state_root:
            _wrong(host, host.height, "its state is not that of genesis")

    def _is_complete(self, host: "Host", stored: StoredHeight) -> None:
        reader = host.disk.store.reader()
        proposal = reader.get(ChainTable.BLOCKS, unpack(stored.header)[6])
        payload = b"" if proposal is None else self._blocks.read(unpack(proposal)[0]).payload
        references, inline = unpack(payload) if payload else ((), ())
        bodies = [reader.get(ChainTable.BATCHES, digest) or b"" for _, digest in references] + list(inline)
        leaves, receipts = unpack(stored.body)
        if tuple(tagged(_BATCH_DOMAIN, body) for body in bodies) != leaves or len(leaves) != len(receipts):
            _wrong(host, stored.height, "its leaves are not the batches that its block orders")
        for index, (body, receipt) in enumerate(zip(bodies, receipts, strict=True)):
            manifest, *chunks = unpack(body)[6]
            sizes = [int.from_bytes(manifest[at : at + 4], "big") for at in range(8, len(manifest), 4)]
            count = sum(len(chunk) // size for chunk, size in zip(chunks, sizes, strict=True))
            result = (count, sum(map(len, chunks)))
            if any(map(self._is_forged, sizes, chunks)):
                _wrong(host, stored.height, f"batch {index} holds a transaction that nobody signed")
            if unpack(receipt) != (1, leaves[index], stored.height, index, 0, result, _NO_WRITES):
                _wrong(host, stored.height, f"receipt {index} is not of its batch")

    def _is_forged(self, size: int, chunk: bytes) -> bool:
        if self._scheme is None:
            return False
        for start in range(0, len(chunk), size):
            one = chunk[start : start + size]
            signed = tagged(_SIGNED_DOMAIN, self._cluster_id + one[96:])
            if not self._scheme.verify(one[:32], signed, one[32:96]):
                return True
        return False


def _wrong(host: "Host", height: int, words: str) -> NoReturn:
    raise Violation("validity", f"host {host.name}, height {height}: {words}")
