"""Blocks: what is proposed, ordered and committed; and the identity that everything signs.

`Block = [version, cluster_id, epoch, round, qc, tc, certified, payload, author, ts, standing]` (C21, E14).
The id hashes all of it, certificate signatures included. The payload is opaque bytes here: agreement asks the
data plane whether it is held and valid, and counts only whether it is empty.
"""

from consensus.certificates import HeaderCertificate, QuorumCertificate, TimeoutCertificate
from consensus.codec import Value, as_bytes, as_int, as_tuple, decode, encode_trusted
from consensus.errors import CodecError
from consensus.keys import DIGEST_BYTES, Digest, digest
from consensus.standing import Standing, standing_from, standing_value
from consensus.validators import Epoch, Height, Round, ValidatorIndex
from consensus.values import immutable

BLOCK_VERSION = 2
PAYLOAD_BYTES_MAX = 1024 * 1024
BLOCK_BYTES_MAX = PAYLOAD_BYTES_MAX + 64 * 1024
_ITEMS_MAX = 1024
"""A block with a timeout certificate of 128 signers, and faults of as many, has under 900 items."""
_BLOCK_DOMAIN = "isthmus/block/v1"
_PROPOSAL_DOMAIN = "isthmus/proposal/v1"


def proposal_digest(cluster_id: bytes, epoch: int, round: int, block_id: bytes) -> Digest:
    """What a block's author signs (C21); short, so that equivocation evidence is short."""
    return digest(_PROPOSAL_DOMAIN, encode_trusted((cluster_id, epoch, round, block_id)))


@immutable(frozen=True, slots=True, eq=False)
class Block:
    """One proposed block; make it with `Block.make` or `Block.decode`, which fix `encoded` and `id`.

    `qc` certifies the parent; `tc` is present iff the parent's round is not `round - 1`; `certified` is
    the highest header certificate its author held (None before the first); `payload` is b"" when empty;
    `time_ms` is the proposer's timestamp (C8); `author` the leader's index; `standing` what this chain shows
    of failed leaders (C12).
    """

    cluster_id: bytes
    epoch: Epoch
    round: Round
    qc: QuorumCertificate
    tc: TimeoutCertificate | None
    certified: HeaderCertificate | None
    payload: bytes
    author: ValidatorIndex
    time_ms: int
    standing: Standing
    encoded: bytes
    id: Digest

    @property
    def parent_id(self) -> Digest:
        """The block this one extends."""
        return self.qc.block_id

    @property
    def has_payload(self) -> bool:
        """Whether it orders anything."""
        return self.payload != b""

    @property
    def commit_id(self) -> Digest | None:
        """What a QC on this block commits: its parent, iff their rounds are consecutive."""
        return self.qc.block_id if self.round == self.qc.round + 1 else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Block) and other.encoded == self.encoded

    def __hash__(self) -> int:
        return int.from_bytes(self.id[:8], "big")

    @staticmethod
    def make(
        *,
        cluster_id: bytes,
        epoch: Epoch,
        round: Round,
        qc: QuorumCertificate,
        tc: TimeoutCertificate | None,
        certified: HeaderCertificate | None,
        payload: bytes,
        author: ValidatorIndex,
        time_ms: int,
        standing: Standing = (),
    ) -> "Block":
        """A block with its encoding and id; nobody has failed, unless `standing` says so."""
        encoded = encode_trusted(
            (
                BLOCK_VERSION,
                cluster_id,
                epoch,
                round,
                qc.to_value(),
                None if tc is None else tc.to_value(),
                None if certified is None else certified.to_value(),
                payload,
                author,
                time_ms,
                standing_value(standing),
            )
        )
        return Block(
            cluster_id,
            epoch,
            round,
            qc,
            tc,
            certified,
            payload,
            author,
            time_ms,
            standing,
            encoded,
            digest(_BLOCK_DOMAIN, encoded),
        )

    @staticmethod
    def decode(data: bytes) -> "Block":
        """The block these bytes encode; raises CodecError. Certificates are parsed, not yet believed."""
        value = decode(data, max_bytes=BLOCK_BYTES_MAX, max_items=_ITEMS_MAX)
        version, cluster_id, epoch, round, qc, tc, certified, payload, author, time_ms, standing = as_tuple(
            value, 11, "block"
        )
        if version != BLOCK_VERSION:
            raise CodecError(f"block version {version!r} is not {BLOCK_VERSION}")
        return Block(
            as_bytes(cluster_id, "cluster id", length=DIGEST_BYTES),
            Epoch(as_int(epoch, "epoch")),
            Round(as_int(round, "round", low=1)),
            QuorumCertificate.from_value(qc),
            None if tc is None else TimeoutCertificate.from_value(tc),
            None if certified is None else HeaderCertificate.from_value(certified),
            as_bytes(payload, "payload", max_length=PAYLOAD_BYTES_MAX),
            ValidatorIndex(as_int(author, "author")),
            as_int(time_ms, "time"),
            standing_from(standing),
            data,
            digest(_BLOCK_DOMAIN, data),
        )


@immutable(frozen=True, slots=True)
class CommittedBlock:
    """A committed block with its place in the ledger.

    `height` is the height of the header it yields or, when `yields_header` is False, of the last header
    before it. A block yields a header iff it has payload or is a heartbeat (C24): a function of the
    chain of blocks alone, so that agreement can count heights without executing anything.
    """

    block: Block
    height: Height
    yields_header: bool

    def to_value(self) -> tuple[Value, ...]:
        """`[block bytes, height, yields_header as 0 or 1]`."""
        return (self.block.encoded, self.height, int(self.yields_header))
