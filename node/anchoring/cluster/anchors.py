"""Anchors: what one cluster's certified `anchors_root` says that another cluster has done.

Every cluster keeps its view of each other cluster as one leaf of the sparse Merkle tree under its headers'
`anchors_root`, so views are provable and transitive: two clusters that never met compare what they were
shown of a third (F4). A view is a cluster's word and no more: it corroborates (`Witness`) or calls for the
certificates of the other branch (`SplitView`); by itself it convicts nobody (F3).

    anchor  key: cluster id    value: [incarnation, epoch, height, header hash, history root, status]
"""

from dataclasses import dataclass
from enum import IntEnum

from consensus import (
    CodecError,
    Digest,
    SignatureCache,
    ValidatorSet,
    Value,
    as_array,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    encode,
)
from node.anchoring.cluster.certified import Certified
from node.anchoring.refusals import Code, Refused
from node.proofs import ProofError, SmtProof, rfc6962, smt
from node.proofs.header import Header
from node.proofs.rfc6962 import MAX_PATH_HASHES

ANCHOR_BYTES_MAX = 128


class ClientStatus(IntEnum):
    """What a cluster thinks of another; only ACTIVE lets messages in."""

    PENDING = 0
    """Registered and followed, not yet admitted."""
    ACTIVE = 1
    STALE = 2
    """Nothing new for too long; heals by updates (F8)."""
    FROZEN = 3
    """Convicted of two histories; only a recovery ends it (F6)."""
    RETIRED = 4
    """Left for ever."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a history: `history_root` is over the hashes of headers 0 to height - 1 (F2)."""

    height: int
    header_hash: Digest
    history_root: Digest

    @staticmethod
    def of(header: Header) -> "Point":
        """The place of a header."""
        return Point(header.height, header.hash, header.history_root)

    def check_holds(self, index: int, header_hash: bytes, path: tuple[bytes, ...]) -> None:
        """The header at `index` in this history has `header_hash`; for the point's own height the path is
        empty. Raises ProofError."""
        if index == self.height:
            if path or header_hash != self.header_hash:
                raise ProofError(f"header {index} is {self.header_hash.hex()}, not {header_hash.hex()}")
            return
        leaf = rfc6962.leaf_hash(header_hash)
        rfc6962.verify_inclusion(leaf, index, self.height, path, self.history_root)


@dataclass(frozen=True, slots=True)
class Anchor:
    """How one cluster sees another: its incarnation, epoch and newest header, and what it thinks of it."""

    incarnation: int
    epoch: int
    point: Point
    status: ClientStatus

    def encode(self) -> bytes:
        """`[incarnation, epoch, height, header hash, history root, status]`."""
        point = self.point
        place = (point.height, point.header_hash, point.history_root)
        return encode((self.incarnation, self.epoch, *place, int(self.status)))

    @staticmethod
    def decode(data: bytes) -> "Anchor":
        """The inverse of `encode`; raises CodecError."""
        incarnation, epoch, height, header_hash, history_root, status = as_tuple(
            decode(data, max_bytes=ANCHOR_BYTES_MAX, max_depth=1), 6, "anchor"
        )
        number = as_int(status, "status", high=max(ClientStatus))
        point = Point(as_int(height, "height"), _hash(header_hash), _hash(history_root))
        followed = as_int(incarnation, "incarnation")
        return Anchor(followed, as_int(epoch, "epoch"), point, ClientStatus(number))


@dataclass(frozen=True, slots=True)
class AnchorProof:
    """The leaf of cluster `subject` in somebody's `anchors_root`."""

    subject: Digest
    value: bytes
    proof: SmtProof

    def check(self, anchors_root: bytes, subject: bytes) -> Anchor:
        """What stands there of `subject`. Raises Refused WRONG_CLUSTER, BAD_WITNESS."""
        if self.subject != subject:
            raise Refused(
                Code.WRONG_CLUSTER, f"the view is of {self.subject.hex()}, expected {subject.hex()}"
            )
        try:
            smt.verify_presence(anchors_root, self.subject, self.value, self.proof)
            return Anchor.decode(self.value)
        except (ProofError, CodecError) as error:
            raise Refused(Code.BAD_WITNESS, f"view of {self.subject.hex()}: {error}") from error

    def to_value(self) -> tuple[Value, ...]:
        """`[subject, value, state proof]`."""
        return (self.subject, self.value, self.proof.to_value())

    @staticmethod
    def from_value(value: Value) -> "AnchorProof":
        """The inverse of `to_value`; raises CodecError."""
        subject, content, proof = as_tuple(value, 3, "anchor proof")
        content = as_bytes(content, "anchor", max_length=ANCHOR_BYTES_MAX)
        return AnchorProof(_hash(subject), content, SmtProof.from_value(proof))


@dataclass(frozen=True, slots=True)
class Witness:
    """Cluster `seer` holds `anchor` of the cluster in question, as the caller proved at its own anchored view
    of `seer`; `path` connects the anchor with the header that it shall corroborate, the lower in the history
    of the higher, empty at one height."""

    seer: Digest
    anchor: Anchor
    path: tuple[bytes, ...]

    def check_agrees(self, incarnation: int, epoch: int, point: Point, above: int) -> None:
        """The seer follows the branch of `point`, of `epoch`, in the same incarnation and through the same
        epochs: what it holds lies above `above`, where the epoch before ended.

        Raises Refused BAD_WITNESS.
        """
        anchor = self.anchor
        if anchor.incarnation != incarnation:
            raise Refused(
                Code.BAD_WITNESS,
                f"{self.seer.hex()} follows incarnation {anchor.incarnation}, the header is of {incarnation}",
            )
        if anchor.point.height <= above:
            raise Refused(
                Code.BAD_WITNESS,
                f"{self.seer.hex()} sees header {anchor.point.height}, the epoch before ended at {above}",
            )
        if anchor.status is not ClientStatus.ACTIVE or anchor.epoch < epoch:
            raise Refused(
                Code.BAD_WITNESS,
                f"{self.seer.hex()} sees epoch {anchor.epoch} as {anchor.status.name}, "
                f"needed is an active view of epoch {epoch} or later",
            )
        low, high = (point, anchor.point) if point.height < anchor.point.height else (anchor.point, point)
        try:
            high.check_holds(low.height, low.header_hash, self.path)
        except ProofError as error:
            raise Refused(Code.BAD_WITNESS, f"{self.seer.hex()} sees another history: {error}") from error


@dataclass(frozen=True, slots=True)
class Split:
    """At `height` the seer was shown `theirs` where we hold `ours`: get both certificates (F4)."""

    height: int
    ours: Digest
    theirs: Digest


@dataclass(frozen=True, slots=True)
class SplitView:
    """A certified header of another cluster whose `anchors_root` contradicts what we hold of `subject`.

    At different heights `leaf` is the hash at the lower height in the history of the higher, with its path.
    """

    seer: Certified
    view: AnchorProof
    leaf: Digest | None
    path: tuple[bytes, ...]

    def check(
        self,
        seer_id: bytes,
        incarnation: int,
        validators: ValidatorSet,
        subject: bytes,
        ours: Point,
        cache: SignatureCache,
    ) -> Split:
        """The contradiction with `ours`, the place that we hold of `subject`: suspicion, not yet evidence.

        Raises Refused: what `Certified.check` and `AnchorProof.check` refuse, LEAF_NOT_INCLUDED, and
        NO_CONFLICT where the views agree.
        """
        self.seer.check_claims(seer_id, incarnation, validators)
        theirs = self.view.check(self.seer.header.anchors_root, subject).point
        split = self._compared(theirs, ours)
        self.seer.check_signatures(seer_id, validators, cache)
        return split

    def _compared(self, theirs: Point, ours: Point) -> Split:
        if theirs.height == ours.height:
            if self.leaf is not None or theirs.header_hash == ours.header_hash:
                raise Refused(Code.NO_CONFLICT, f"both views hold the same header {ours.height}")
            return Split(ours.height, ours.header_hash, theirs.header_hash)
        low, high = (theirs, ours) if theirs.height < ours.height else (ours, theirs)
        if self.leaf is None:
            raise Refused(Code.LEAF_NOT_INCLUDED, f"nothing shows header {low.height} in the higher view")
        try:
            high.check_holds(low.height, self.leaf, self.path)
        except ProofError as error:
            raise Refused(Code.LEAF_NOT_INCLUDED, str(error)) from error
        if self.leaf == low.header_hash:
            raise Refused(Code.NO_CONFLICT, f"both views hold the same header {low.height}")
        there, here = (low.header_hash, self.leaf) if low is theirs else (self.leaf, low.header_hash)
        return Split(low.height, here, there)

    def to_value(self) -> tuple[Value, ...]:
        """`[[header bytes, certificate], [subject, value, state proof], leaf | nil, path]`."""
        return (self.seer.to_value(), self.view.to_value(), self.leaf, self.path)

    @staticmethod
    def from_value(value: Value) -> "SplitView":
        """The inverse of `to_value`; raises CodecError."""
        seer, view, leaf, path = as_tuple(value, 4, "split view")
        return SplitView(
            Certified.from_value(seer),
            AnchorProof.from_value(view),
            None if leaf is None else _hash(leaf),
            path_from_value(path, "split view path"),
        )


def path_from_value(value: Value, what: str) -> tuple[bytes, ...]:
    """An RFC 6962 path: at most 64 hashes of 32 bytes; raises CodecError."""
    hashes = as_array(value, MAX_PATH_HASHES, what)
    return tuple(as_bytes(item, f"hash of the {what}", length=32) for item in hashes)


def _hash(value: Value) -> Digest:
    return Digest(as_bytes(value, "hash", length=32))
