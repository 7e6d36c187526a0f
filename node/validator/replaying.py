"""A chain executed again from its beginning, range by range, outside any cluster: pure, writes come out.

What a range claims is proven as for who catches up (C25), and then executed: every root that a quorum
certified must come out again. Whoever stores the writes has the databases of a node that followed from the
first block.
"""

from consensus import (
    ED25519,
    CommittedBlock,
    HeaderCertificate,
    Height,
    PeerError,
    SignatureCache,
    encode_trusted,
)
from node.genesis import Genesis
from node.ledger.execution import Ledger
from node.pool.batches import batch_digest
from node.pool.config import PoolConfig
from node.pool.effects import VerifiedItem
from node.pool.messages import SYNC_HEIGHTS_MAX, SyncResponse
from node.pool.verifying import Trust, verify_range
from node.storage import ChainTable, Reader, Write, WriteSet
from node.validator.assembly import StateView
from node.validator.epochs import EpochLink
from node.validator.layout import certificate_write, chain_writes, state_writes, tip_writes
from node.validator.line import ExecutionLine, Settled
from node.validator.recovered import recover
from node.validator.term import trust_of


class ReplayRefused(Exception):
    """The range does not follow, is not proven, or does not come out as it was certified."""


class ChainReplay:
    """Executes from the tip that `reader` shows, which must see what was stored before the next range."""

    def __init__(self, genesis: Genesis, reader: Reader, rules: PoolConfig) -> None:
        self._rules = rules
        self._cluster_id = genesis.cluster_id
        tip = recover(reader, (), 0).tip
        self._ledger = Ledger(genesis.params, StateView(reader), tip, name=genesis.name)
        self._line = ExecutionLine(self._ledger, genesis.params.max_transaction_bytes, {})
        self._signatures = SignatureCache(scheme=ED25519)

    @property
    def height(self) -> int:
        """The last executed height."""
        return self._ledger.tip.height

    @property
    def header_hash(self) -> bytes:
        """The hash of the last executed header."""
        return self._ledger.tip.header_hash

    def take(self, response: SyncResponse) -> tuple[WriteSet, WriteSet]:
        """The chain's and the state's writes of the next range. Raises ReplayRefused."""
        if response.from_height != self.height + 1 or not response.items:
            raise ReplayRefused(f"heights from {response.from_height} on do not follow height {self.height}")
        try:
            items = verify_range(response, SYNC_HEIGHTS_MAX, self._rules, self._trust())
        except PeerError as error:
            raise ReplayRefused(f"heights from {response.from_height} on: {error.detail}") from error
        if items is None:
            raise ReplayRefused(f"height {response.from_height} is of an epoch that does not follow")
        chain, state = WriteSet(), WriteSet()
        for item in items:
            settled = self._execute(item)
            chain.update(self._chain_of(item, settled))
            state.update(state_writes(settled.execution))
            state.update(WriteSet.of(tip_writes(settled.tip)))
        return chain, state

    def stored(self) -> None:
        """What `take` answered is stored, and the reader shows it."""
        self._line.take_certified()
        self._line.stored(self.height)

    def _trust(self) -> Trust:
        return trust_of(self._cluster_id, self._ledger.roster.validator_set(), self._signatures)

    def _execute(self, item: VerifiedItem) -> Settled:
        height = Height(item.header.height)
        self._line.add(CommittedBlock(item.proposal.block, height, True), item.batches)
        settled = self._line.finish_next()
        if settled.execution.header_hash != item.header.hash:
            raise ReplayRefused(
                f"height {height}: executing it gives header {settled.execution.header_hash.hex()[:16]}, "
                f"certified is {item.header.hash.hex()[:16]}"
            )
        if item.certificate is not None:
            self._line.certify(item.certificate)
        return settled

    def _chain_of(self, item: VerifiedItem, settled: Settled) -> WriteSet:
        block = item.proposal.block
        writes = [Write(ChainTable.BLOCKS, block.id, encode_trusted(item.proposal.to_value()))]
        writes += [Write(ChainTable.BATCHES, batch_digest(body), body) for body in item.referenced]
        if item.certificate is not None and item.certificate.height == item.header.height:
            writes.append(certificate_write(item.certificate))  # one of a later height has no header yet
        if settled.execution.next_roster is not None:
            certificate = _of_the_end(item)
            writes.append(EpochLink(item.header, certificate, settled.execution.next_roster).write())
        chain = chain_writes(settled.execution)
        chain.update(WriteSet.of(writes))
        return chain


def _of_the_end(item: VerifiedItem) -> HeaderCertificate:
    """The header that ends an epoch is always certified by itself."""
    if item.certificate is None or item.certificate.height != item.header.height:
        raise ReplayRefused(f"height {item.header.height} ends its epoch and has no certificate")
    return item.certificate
