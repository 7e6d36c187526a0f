"""A long chain in the database of a node, made without agreement: the cluster's own keys sign what the
shipped ledger executed, and the shipped store holds it.

Blocks, batches, transactions, receipts, state, history and certificates are those that a cluster would have
made; only nobody voted, waited or sent anything.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256

from consensus import (
    Block,
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    LocalError,
    Proposal,
    QuorumCertificate,
    Round,
    Signature,
    SigningKey,
    ValidatorIndex,
    bitmap_of,
    encode_trusted,
    header_digest,
    proposal_digest,
    root_certificate,
    root_id,
    vote_digest,
)
from node.daemon.store import Store
from node.genesis import Genesis
from node.ledger.apps.records import Content
from node.ledger.execution import Execution, Ledger
from node.ledger.run import BlockToExecute
from node.ledger.state import Space
from node.ledger.transactions import Transaction
from node.pool.batches import Batch
from node.pool.payload import Payload, Reference
from node.proofs.header import Header
from node.storage import ChainTable, Reader, Write, WriteSet
from node.validator import first_writes, recover
from node.validator.layout import SPACE_TABLES, certificate_write, chain_writes, state_writes, tip_writes
from node.wallet import Wallet

BLOCK_INTERVAL_MS = 100
INLINE_BYTES_MAX = 8 * 1024
"""A batch above it is stored beside its block, as large ones are."""
_GROUP_TRANSACTIONS = 5_000
"""Transactions a commit of the database: few large commits cost less than many small ones."""
_QUORUM = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class _State:
    """The ledger's reader over the database."""

    reader: Reader

    def get(self, space: Space, key: bytes) -> bytes | None:
        """The stored value of a state key."""
        return self.reader.get(SPACE_TABLES[space], key)


class ChainMaker:
    """Writes the heights of a cluster of four, one after the other."""

    def __init__(
        self, genesis: Genesis, validators: tuple[SigningKey, ...], client: SigningKey, store: Store
    ) -> None:
        """`validators` are the consensus keys in the order of the genesis, `client` is a member's; `store` is
        a new one."""
        store.apply(*first_writes(genesis))
        tip = recover(store.reader(), (), 0).tip
        self._genesis = genesis
        self._keys = validators
        self._wallet = Wallet(client, genesis.cluster_id, 30_000, now_ms=lambda: self._time_ms)
        self._store = store
        self._ledger = Ledger(genesis.params, _State(store.reader()), tip, layers_max=_GROUP_TRANSACTIONS + 1)
        first = genesis.genesis_header()
        root = root_id(genesis.cluster_id, Epoch(0), first.hash)
        self._qc = root_certificate(Epoch(0), root)
        self._time_ms = first.time_ms
        self._parent: tuple[Digest, Round] = (root, Round(0))
        self._records = 0

    def extend(self, blocks: int, transactions: int, said: Callable[[int], None]) -> None:
        """`blocks` more heights of `transactions` records each; `said` hears how many are stored."""
        group = max(1, _GROUP_TRANSACTIONS // transactions)
        chain, state = WriteSet(), WriteSet()
        for number in range(1, blocks + 1):
            self._height(transactions, chain, state)
            if number % group == 0 or number == blocks:
                self._store.apply(chain, state)
                self._ledger.flushed(self._ledger.tip.height)
                chain, state = WriteSet(), WriteSet()
                said(number)

    def _height(self, transactions: int, chain: WriteSet, state: WriteSet) -> None:
        height = Height(self._ledger.tip.height + 1)
        self._time_ms += BLOCK_INTERVAL_MS
        signed = tuple(self._transactions(transactions))
        author = ValidatorIndex(height % len(self._keys))
        batch = Batch.make(
            cluster_id=self._genesis.cluster_id,
            author=author,
            epoch=Epoch(0),
            created_ms=self._time_ms - 1,
            expires_at_ms=self._time_ms + 30_000,
            transactions=tuple(t.encoded for t in signed),
        )
        proposal = self._propose(height, author, batch, chain)
        block = proposal.block
        self._ledger.begin(BlockToExecute(height, block.id, block.epoch, block.time_ms, signed))
        execution = self._ledger.advance(len(signed) + 1)
        while execution is None:
            execution = self._ledger.advance(len(signed) + 1)
        _check(execution, len(signed))
        chain.update(chain_writes(execution))
        chain.update(WriteSet.of((certificate_write(self._certify(execution.header)),)))
        state.update(state_writes(execution))
        state.update(WriteSet.of(tip_writes(self._ledger.tip)))

    def _transactions(self, count: int) -> Iterator[Transaction]:
        for _ in range(count):
            self._records += 1
            digest = sha256(self._records.to_bytes(8, "big")).digest()
            content = Content(digest, self._records, schema="", location="file:join", links=(), labels=())
            yield self._wallet.put(f"join/{self._records}", content)

    def _propose(self, height: int, author: ValidatorIndex, batch: Batch, chain: WriteSet) -> Proposal:
        is_inline = len(batch.encoded) <= INLINE_BYTES_MAX
        references = () if is_inline else (Reference(author, batch.digest),)
        genesis, round = self._genesis, Round(height)
        block = Block.make(
            cluster_id=genesis.cluster_id,
            epoch=Epoch(0),
            round=round,
            qc=self._qc,
            tc=None,
            certified=None,
            payload=Payload(references, (batch.encoded,) if is_inline else ()).encode(),
            author=author,
            time_ms=self._time_ms,
        )
        signed = proposal_digest(genesis.cluster_id, Epoch(0), round, block.id)
        proposal = Proposal(block, self._keys[author].sign(signed))
        self._vote(block)
        writes = [Write(ChainTable.BLOCKS, block.id, encode_trusted(proposal.to_value()))]
        writes += [Write(ChainTable.BATCHES, reference.digest, batch.encoded) for reference in references]
        chain.update(WriteSet.of(writes))
        return proposal

    def _vote(self, block: Block) -> None:
        """The certificate that the next block carries."""
        parent_id, parent_round = self._parent
        commit_id = parent_id if block.round == parent_round + 1 else None
        voted = vote_digest(
            block.cluster_id, block.epoch, block.round, block.id, parent_id, parent_round, commit_id
        )
        self._qc = QuorumCertificate(
            block.epoch, block.round, block.id, parent_id, parent_round, commit_id, *self._signed(voted)
        )
        self._parent = (block.id, block.round)

    def _certify(self, header: Header) -> HeaderCertificate:
        signed = header_digest(
            header.cluster_id, header.incarnation, header.epoch, header.height, header.block_id, header.hash
        )
        return HeaderCertificate(
            header.incarnation,
            Epoch(header.epoch),
            Height(header.height),
            header.block_id,
            header.hash,
            *self._signed(signed),
        )

    def _signed(self, message: Digest) -> tuple[bytes, bytes]:
        """Bitmap and signatures of a quorum."""
        signatures: list[Signature] = [self._keys[index].sign(message) for index in _QUORUM]
        return bitmap_of(_QUORUM, len(self._keys)), b"".join(signatures)


def _check(execution: Execution, transactions: int) -> None:
    good = sum(receipt.status == 0 for receipt in execution.receipts)
    if good != transactions:
        raise LocalError(f"height {execution.header.height}: {good} of {transactions} transactions succeeded")
