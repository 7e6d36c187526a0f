"""What must never happen, looked at while it happens: the invariants of a cluster of validators.

Nothing here asks a validator for its opinion. Frames are read as they leave, flushes as they reach the
database, and both are compared with everything seen before, on any node and in any life.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from bench.sim.setting import Setting
from bench.sim.violation import Violation
from consensus import (
    Digest,
    HeaderCertificate,
    HeaderSignature,
    Proposal,
    SignatureCache,
    Timeout,
    Vote,
    as_array,
    as_bytes,
    as_tuple,
    decode,
    decode_message,
)
from node import wire
from node.daemon.serving import StoredChain
from node.ledger.transactions import Transaction
from node.pool.config import PoolConfig
from node.proofs.header import Header
from node.storage import ChainTable, StateTable
from node.validator import Flush, Refusal
from node.validator.layout import HEIGHT_KEY, height_key
from node.validator.records import BatchRecord, decode_record

if TYPE_CHECKING:
    from bench.sim.host import Host


class Checkers:
    """Everything remembered about a run; `exempt` are nodes whose faults are the test's own."""

    def __init__(self, setting: Setting, config: PoolConfig, now_ms: Callable[[], int]) -> None:
        genesis = setting.genesis
        self._now_ms = now_ms
        self._cluster_id = genesis.cluster_id
        self._validators = genesis.validator_set()
        self._config = config
        self._cache = SignatureCache(scheme=setting.scheme)
        self.signed: dict[tuple[str, int, int], Digest] = {}
        self._durable: dict[int, dict[str, int]] = {}
        self.exempt: dict[int, None] = {}
        self.headers: dict[int, bytes] = {0: genesis.genesis_header().encoded}
        self.executed: dict[int, Digest] = {}
        self.acknowledged: dict[Digest, int] = {}
        self.votes = 0

    # --- signatures ------------------------------------------------------------------------------------

    def on_made(self, transaction: Transaction) -> None:
        """A client signed this."""

    def on_answer(self, host: "Host", outcomes: tuple[Digest | Refusal, ...]) -> None:
        """A host answered a client."""

    def on_record(self, host: "Host", record: bytes) -> None:
        """A journal record of `node` is on disk: what it may have signed by now."""
        node = host.index
        read = decode_record(record)
        if isinstance(read, BatchRecord) or read.record is None:
            return
        bounds = self._durable.setdefault(node, {})
        safety = read.record
        bounds["vote"] = safety.last_voted_round
        bounds["timeout"] = safety.highest_timeout_round
        bounds["header"] = safety.last_signed_height
        bounds["proposal"] = safety.last_proposed_round

    def on_frame(self, host: "Host", topic: int, body: bytes) -> None:
        """A frame leaves `node`: nothing signed twice, nothing signed before it is durable (C2)."""
        node = host.index
        if topic != wire.Code.AGREEMENT or node in self.exempt:
            return
        match decode_message(body):
            case Vote() as vote:
                self.votes += 1
                self._once("vote", node, vote.author, vote.round, vote.block_id)
            case HeaderSignature() as signed:
                self._once("header", node, signed.author, signed.height, signed.header_hash)
            case Timeout() as timeout:
                self._must_be_durable("timeout", node, timeout.round)
            case Proposal(block):
                self._once("proposal", node, block.author, block.round, block.id)

    def _once(self, kind: str, node: int, author: int, place: int, what: Digest) -> None:
        if author != node:
            raise Violation("invariant", f"node {node} sends a {kind} of validator {author}")
        self._must_be_durable(kind, node, place)
        if self.signed.setdefault((kind, node, place), what) != what:
            raise Violation("invariant", f"node {node} signed two {kind}s at {place}")

    def _must_be_durable(self, kind: str, node: int, place: int) -> None:
        if self._durable.get(node, {}).get(kind, -1) < place:
            raise Violation("invariant", f"node {node}'s {kind} of {place} left before it was durable")

    # --- the chain -------------------------------------------------------------------------------------

    def on_stepped(self, host: "Host") -> None:
        """After a step: executed headers agree."""
        node = host.index
        tip = host.validator.data.line.tip
        if node in self.exempt:
            return
        if self.executed.setdefault(tip.height, tip.header_hash) != tip.header_hash:
            raise Violation("invariant", f"node {node} executed another header at height {tip.height}")

    def check_bounds(self, host: "Host") -> None:
        """No queue, cache or pool beyond its bound."""
        node = host.index
        for name, current, bound in host.validator.limits():
            if not 0 <= current <= bound:
                raise Violation("invariant", f"node {node}: {name} is {current}, bound {bound}")

    def on_flush(self, host: "Host", flush: Flush) -> None:
        """A flush is asked for: from now on clients hold receipts, before anything of it is stored here."""
        node = host.index
        if node in self.exempt:
            return
        for write in flush.chain:
            if write.table is ChainTable.TRANSACTIONS:
                self._acknowledge(node, Digest(write.key), int.from_bytes((write.value or b"")[:8], "big"))

    def on_flushed(self, host: "Host", flush: Flush) -> None:
        """A flush is in both environments: complete, provable, and the same as everybody's."""
        node = host.index
        store = host.disk.store
        if node in self.exempt:
            return
        reader = store.reader()
        stored = reader.get(StateTable.META, HEIGHT_KEY)
        if stored != height_key(flush.height):
            raise Violation(
                "invariant", f"node {node}: state {stored!r} after a flush to height {flush.height}"
            )
        if flush.height and reader.get(ChainTable.CERTIFICATES, height_key(flush.height)) is None:
            raise Violation("invariant", f"node {node} shows height {flush.height} without a certificate")
        with store.snapshot() as snapshot:
            chain = StoredChain(snapshot, self._config)
            for write in flush.chain:
                if write.table is ChainTable.HEADERS and write.value is not None:
                    self._check_height(node, chain, Header.decode(write.value))
                elif write.table is ChainTable.CERTIFICATES and write.value is not None:
                    self._check_certificate(node, HeaderCertificate.from_value(decode(write.value)))

    def _check_height(self, node: int, chain: StoredChain, header: Header) -> None:
        height = header.height
        if self.headers.setdefault(height, header.encoded) != header.encoded:
            raise Violation("invariant", f"node {node} stored another header at height {height}")
        if chain.proposal(height) is None:
            raise Violation("invariant", f"node {node} cannot serve the block of height {height}")
        if chain.batches(height) is None:
            raise Violation("invariant", f"node {node} cannot serve the batches of height {height}")

    def _check_certificate(self, node: int, certificate: HeaderCertificate) -> None:
        certificate.verify(self._cluster_id, self._validators, self._cache)
        known = self.headers.get(certificate.height)
        if known is not None and Header.decode(known).hash != certificate.header_hash:
            raise Violation(
                "invariant",
                f"node {node} stored a certificate of another header, height {certificate.height}",
            )

    def _acknowledge(self, node: int, transaction: Digest, height: int) -> None:
        if self.acknowledged.setdefault(transaction, height) != height:
            raise Violation(
                "invariant", f"node {node}: transaction {transaction.hex()[:12]} executed at two heights"
            )

    def check_stored(self, host: "Host") -> None:
        """What a host stores: everything acknowledged, once, at one height."""
        reader = host.disk.store.reader()
        found: dict[Digest, int] = {}
        for height in range(1, host.height + 1):
            bodies = reader.get(ChainTable.BODIES, height_key(height))
            if bodies is None:
                raise Violation("durability", f"host {host.name} has no body of height {height}")
            transactions, _ = as_tuple(decode(bodies), 2, "body")
            for encoded in as_array(transactions, 65_536, "transactions"):
                name = Transaction.decode(as_bytes(encoded, "transaction")).id
                if found.setdefault(name, height) != height or name not in self.acknowledged:
                    raise Violation(
                        "once", f"host {host.name}: {name.hex()[:12]} twice, or never acknowledged"
                    )
        missing = [name for name in self.acknowledged if name not in found]
        if missing:
            raise Violation("durability", f"host {host.name} lost {len(missing)} acknowledged transactions")
