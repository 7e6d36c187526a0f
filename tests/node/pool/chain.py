"""A certified chain to catch up with: real headers, blocks, batches and certificates; execution looks up."""

from consensus import (
    Block,
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    Proposal,
    Round,
    ValidatorIndex,
    ValidatorSet,
    bitmap_of,
    digest,
    encode,
    header_digest,
    proposal_digest,
)
from node.pool.messages import SyncItem
from node.pool.payload import Payload
from node.proofs.header import EMPTY_LIST_ROOT, EMPTY_MAP_ROOT, Header
from tests.node.pool.world import CLUSTER, KEYS, ROOT, START_MS, batch, naming, transaction, validator_set


def certificate_of(
    header: Header, validators: ValidatorSet, signers: tuple[int, ...] = (0, 1, 2)
) -> HeaderCertificate:
    """A certificate of `header` by `signers`."""
    message = header_digest(
        header.cluster_id, header.incarnation, header.epoch, header.height, header.block_id, header.hash
    )
    return HeaderCertificate(
        header.incarnation,
        Epoch(header.epoch),
        Height(header.height),
        header.block_id,
        header.hash,
        bitmap_of(signers, len(validators)),
        b"".join(KEYS[i].sign(message) for i in signers),
    )


def proposal_of(block: Block) -> Proposal:
    """`block` as its author signed it."""
    message = proposal_digest(block.cluster_id, block.epoch, block.round, block.id)
    return Proposal(block, KEYS[block.author].sign(message))


class Chain:
    """Heights 1 to `length`; `certified` says which of them have a certificate of their own. Epochs change
    after the heights in `epoch_ends`. Implements `ChainReader`."""

    def __init__(
        self,
        length: int,
        *,
        certified: tuple[int, ...] | None = None,
        epoch_ends: tuple[int, ...] = (),
        salt: int = 0,
        size: int = 8,
    ) -> None:
        self.validators = validator_set()
        self.items: dict[int, SyncItem] = {}
        self.headers: dict[int, Header] = {}
        self.certificates: dict[int, HeaderCertificate] = {}
        parent, epoch = Digest(b"0" * 32), 0
        self.genesis_hash = parent
        for height in range(1, length + 1):
            ends = height in epoch_ends
            header, item = self._make(height, parent, epoch, ends=ends, salt=salt, size=size)
            self.headers[height], self.items[height] = header, item
            if certified is None or height in certified:
                self.certificates[height] = certificate_of(header, self.validators)
            parent, epoch = header.hash, epoch + ends
        self.length = length

    def _make(
        self, height: int, parent: Digest, epoch: int, *, ends: bool, salt: int, size: int
    ) -> tuple[Header, SyncItem]:
        big = batch(transaction(2 * height + 10_000 * salt, size=size), author=1, epoch=epoch)
        small = batch(transaction(2 * height + 1 + 10_000 * salt), author=2, epoch=epoch)
        payload = Payload(naming(big).references, (small.encoded,))
        made = Block.make(
            cluster_id=CLUSTER,
            epoch=Epoch(epoch),
            round=Round(height),
            qc=ROOT,
            tc=None,
            certified=None,
            payload=payload.encode(),
            author=ValidatorIndex(height % 4),
            time_ms=START_MS + height,
        )
        header = Header.make(
            incarnation=0,
            cluster_id=CLUSTER,
            epoch=epoch,
            height=height,
            parent_hash=parent,
            block_id=made.id,
            time_ms=made.time_ms,
            tx_root=EMPTY_LIST_ROOT,
            receipt_root=EMPTY_LIST_ROOT,
            state_root=digest("test/state", bytes([salt]), height.to_bytes(8, "big")),
            history_root=EMPTY_LIST_ROOT,
            validators_hash=EMPTY_MAP_ROOT,
            next_validators_hash=EMPTY_MAP_ROOT if ends else None,
        )
        return header, SyncItem(header.encoded, encode(proposal_of(made).to_value()), (big.encoded,))

    @property
    def target(self) -> HeaderCertificate:
        """The highest certificate."""
        return self.certificates[max(self.certificates)]

    def header(self, height: int) -> bytes | None:
        """`ChainReader`."""
        item = self.items.get(height)
        return None if item is None else item.header

    def proposal(self, height: int) -> bytes | None:
        """`ChainReader`."""
        item = self.items.get(height)
        return None if item is None else item.proposal

    def batches(self, height: int) -> tuple[bytes, ...] | None:
        """`ChainReader`."""
        item = self.items.get(height)
        return None if item is None else item.batches

    def certificate_from(self, height: int) -> HeaderCertificate | None:
        """`ChainReader`."""
        at = min((h for h in self.certificates if h >= height), default=None)
        return None if at is None else self.certificates[at]
