"""Evidence that a cluster certified two histories: the only thing that ever freezes it (F3).

Two statements by one validator set convict: headers with different hashes at one height, a certified header
and another leaf at its height in a certified history, two leaves at one index, or a header of an epoch
above the header that ended it (C4). Each needs a quorum, so the keys that signed both weigh more than a
third. Everything checks offline from {genesis, epoch links, the two}: a failed proof convicts nobody.

    statement = [header bytes, certificate, [leaf hash, history path] | nil]
    evidence  = [1, kind, index, [EpochLink, ...], statement, statement]
    file      = ["isthmus-evidence/1", genesis body, evidence]

Keys of a past epoch may have leaked after their holders destroyed nothing wrong: evidence from them accuses,
and freezes only where one branch is ours and another cluster's certified `anchors_root` holds the other (F5).
A fork that spans epochs is reduced to the first set that signed both sides (`forks/finding.py`).
"""

from dataclasses import dataclass
from enum import IntEnum

from consensus import (
    CodecError,
    Digest,
    PublicKey,
    SignatureCache,
    ValidatorSet,
    Value,
    as_bytes,
    as_int,
    as_tuple,
    bitmap_indices,
    decode,
    digest,
    encode,
)
from node.anchoring.cluster.anchors import Anchor, Point, path_from_value
from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import (
    LINKS_BYTES_MAX,
    EpochLink,
    follow_all,
    links_from_value,
    links_value,
)
from node.anchoring.cluster.identity import GENESIS_BODY_BYTES_MAX, ClusterIdentity
from node.anchoring.refusals import Code, Refused
from node.proofs import ProofError

EVIDENCE_MAGIC = "isthmus-evidence/1"
EVIDENCE_VERSION = 1
EVIDENCE_BYTES_MAX = LINKS_BYTES_MAX + 64 * 1024
EVIDENCE_FILE_BYTES_MAX = GENESIS_BODY_BYTES_MAX + EVIDENCE_BYTES_MAX
_DOMAIN = "isthmus/fork-evidence/v1"
_DEPTH_MAX = 6
_ITEMS_MAX = 512 * 1024


class ForkKind(IntEnum):
    """Why no honest quorum makes both statements."""

    TWO_HEADERS = 1
    """Both name a header hash for `index`: their own height, or a leaf of their history; they differ."""
    BEYOND_THE_END = 2
    """The first is the header `index` that ends its epoch, the second a higher header of that epoch."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A header hash in a history, and its path."""

    header_hash: Digest
    path: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """A certified header, speaking of itself or, with `leaf`, of a header in its history."""

    certified: Certified
    leaf: Leaf | None = None

    def hash_at(self, index: int) -> Digest:
        """The header hash it names for `index`. Raises Refused LEAF_NOT_INCLUDED."""
        header, leaf = self.certified.header, self.leaf
        if leaf is None:
            if header.height != index:
                raise Refused(Code.LEAF_NOT_INCLUDED, f"header {header.height} says nothing of {index}")
            return header.hash
        if index >= header.height:
            raise Refused(Code.LEAF_NOT_INCLUDED, f"{index} is not in the history of {header.height}")
        try:
            Point.of(header).check_holds(index, leaf.header_hash, leaf.path)
        except ProofError as error:
            raise Refused(Code.LEAF_NOT_INCLUDED, str(error)) from error
        return leaf.header_hash

    def to_value(self) -> tuple[Value, ...]:
        """`[header bytes, certificate, [leaf hash, history path] | nil]`."""
        leaf = self.leaf
        return (*self.certified.to_value(), None if leaf is None else (leaf.header_hash, leaf.path))

    @staticmethod
    def from_value(value: Value) -> "Statement":
        """The inverse of `to_value`; raises CodecError."""
        header, certificate, leaf = as_tuple(value, 3, "statement")
        certified = Certified.from_value((header, certificate))
        if leaf is None:
            return Statement(certified)
        leaf_hash, path = as_tuple(leaf, 2, "leaf")
        found = Digest(as_bytes(leaf_hash, "leaf hash", length=32))
        return Statement(certified, Leaf(found, path_from_value(path, "leaf path")))


@dataclass(frozen=True, slots=True)
class ForkEvidence:
    """Two statements of one epoch, and the links that lead to its set; judged by `judge`, else just bytes."""

    kind: ForkKind
    index: int
    links: tuple[EpochLink, ...]
    first: Statement
    second: Statement

    @property
    def epoch(self) -> int:
        """The epoch whose set signed both."""
        return self.first.certified.header.epoch

    @property
    def id(self) -> Digest:
        """What it is known by; links are no part of it."""
        value = (int(self.kind), self.index, self.first.to_value(), self.second.to_value())
        return digest(_DOMAIN, encode(value))

    def to_value(self) -> tuple[Value, ...]:
        """`[1, kind, index, [EpochLink, ...], statement, statement]`."""
        statements = (self.first.to_value(), self.second.to_value())
        return (EVIDENCE_VERSION, int(self.kind), self.index, links_value(self.links), *statements)

    @staticmethod
    def from_value(value: Value) -> "ForkEvidence":
        """The inverse of `to_value`; raises CodecError."""
        version, kind, index, links, first, second = as_tuple(value, 6, "evidence")
        if version != EVIDENCE_VERSION:
            raise CodecError(f"evidence version {version!r:.20} is not {EVIDENCE_VERSION}")
        return ForkEvidence(
            ForkKind(as_int(kind, "evidence kind", low=1, high=max(ForkKind))),
            as_int(index, "index"),
            links_from_value(links),
            Statement.from_value(first),
            Statement.from_value(second),
        )

    def encode(self) -> bytes:
        """The canonical bytes, for a transaction or gossip."""
        return encode(self.to_value())

    @staticmethod
    def decode(data: bytes) -> "ForkEvidence":
        """The inverse of `encode`; raises CodecError."""
        return ForkEvidence.from_value(
            decode(data, max_bytes=EVIDENCE_BYTES_MAX, max_depth=_DEPTH_MAX, max_items=_ITEMS_MAX)
        )


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """Evidence with the genesis of the cluster it accuses: all that an offline check needs but a hash."""

    genesis_body: bytes
    evidence: ForkEvidence

    def encode(self) -> bytes:
        """The canonical bytes of the file."""
        return encode((EVIDENCE_MAGIC, self.genesis_body, self.evidence.to_value()))

    @staticmethod
    def decode(data: bytes) -> "EvidenceFile":
        """The inverse of `encode`; raises CodecError."""
        value = decode(
            data, max_bytes=EVIDENCE_FILE_BYTES_MAX, max_depth=_DEPTH_MAX + 1, max_items=_ITEMS_MAX
        )
        if type(value) is not tuple or not value or value[0] != EVIDENCE_MAGIC:
            raise CodecError(f"this is no file of the format {EVIDENCE_MAGIC}")
        _, body, evidence = as_tuple(value, 3, "evidence file")
        body = as_bytes(body, "genesis body", max_length=GENESIS_BODY_BYTES_MAX)
        return EvidenceFile(body, ForkEvidence.from_value(evidence))


# --- judging ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ground:
    """What the judge knows of the accused cluster: the first set of its incarnation and, where a light client
    stands behind it, the set and the tip that it holds, and whether that tip ended the set's epoch."""

    cluster_id: Digest
    incarnation: int
    origin: ValidatorSet
    current: ValidatorSet | None = None
    tip: Point | None = None
    is_over: bool = False

    @staticmethod
    def of_genesis(identity: ClusterIdentity) -> "Ground":
        """The ground of somebody who holds the genesis alone."""
        return Ground(identity.cluster_id, 0, identity.validators)


@dataclass(frozen=True, slots=True)
class HeldBranch:
    """For evidence of a past epoch: `anchor` is what another cluster's anchored `anchors_root` holds of the
    accused, proven by the caller. The paths show one statement's header hash in our history, the other's in
    the seer's, and the header that ended the epoch before (where there is one) in ours (F5)."""

    anchor: Anchor
    their_path: tuple[bytes, ...]
    our_path: tuple[bytes, ...]
    link_path: tuple[bytes, ...] | None
    ours_is_second: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What evidence proves: `accused` signed both statements and weigh `weight` of the set `validators`.

    Without a light client (`Ground.current`), `freezes` holds for every client that is still in `epoch` or
    before it.
    """

    epoch: int
    index: int
    accused: tuple[PublicKey, ...]
    weight: int
    validators: ValidatorSet
    freezes: bool
    reason: str

    @property
    def total_weight(self) -> int:
        """The weight of the whole set."""
        return self.validators.total_weight


def judge(
    evidence: ForkEvidence, ground: Ground, cache: SignatureCache, held: HeldBranch | None = None
) -> Verdict:
    """Whom `evidence` accuses and whether it freezes the cluster. Raises Refused for everything that is no
    proof: failing it is the submitter's fault and nobody else's (F3).

    Links start at the first set of the incarnation or at the client's own; where they pass the client's epoch
    they must pass through its set, so that keys of a forged branch convict nobody.
    """
    _check_conflict(evidence)
    validators = _set_of(evidence, ground, cache)
    both = evidence.first.certified.certificate.signers, evidence.second.certified.certificate.signers
    first, second = (frozenset(bitmap_indices(signers)) for signers in both)
    signed_both = sorted(first & second)
    weight = validators.weight_of(signed_both)
    freezes, reason = _does_freeze(evidence, ground, held)
    return Verdict(
        evidence.epoch,
        evidence.index,
        tuple(validators.validators[index].public_key for index in signed_both),
        weight,
        validators,
        freezes,
        reason,
    )


def _set_of(evidence: ForkEvidence, ground: Ground, cache: SignatureCache) -> ValidatorSet:
    """The set that certified both statements, led to by links from one that the judge knows."""
    begins = evidence.links[0].ending.header.epoch if evidence.links else evidence.epoch
    current = ground.current
    known = [s for s in (current, ground.origin) if s is not None and s.epoch == begins]
    if not known:
        raise Refused(Code.UNKNOWN_SET, f"nothing is known of the validators of epoch {begins}")
    sets = follow_all(
        evidence.links,
        known[0],
        ground.cluster_id,
        cache,
        incarnation=ground.incarnation,
        tops=(evidence.first.certified, evidence.second.certified),
    )
    for reached in sets:
        if current is not None and reached.epoch == current.epoch and reached.hash() != current.hash():
            raise Refused(
                Code.UNKNOWN_SET, f"the links reach another set of epoch {current.epoch} than we hold"
            )
    return sets[-1]


def _check_conflict(evidence: ForkEvidence) -> None:
    first, second, index = evidence.first, evidence.second, evidence.index
    if evidence.kind is ForkKind.TWO_HEADERS:
        if first.hash_at(index) == second.hash_at(index):
            raise Refused(Code.NO_CONFLICT, f"both statements name the same header {index}")
        return
    ending, beyond = first.certified.header, second.certified.header
    if (
        first.leaf is not None
        or second.leaf is not None
        or ending.next_validators_hash is None
        or ending.height != index
        or beyond.height <= index
    ):
        raise Refused(
            Code.NO_CONFLICT, f"header {beyond.height} is not above an end of its epoch at height {index}"
        )


def _does_freeze(evidence: ForkEvidence, ground: Ground, held: HeldBranch | None) -> tuple[bool, str]:
    epoch, current = evidence.epoch, ground.current
    if current is None:
        return True, f"clients in epoch {epoch} or before freeze; later ones need a view of the other branch"
    if epoch > current.epoch or (epoch == current.epoch and not ground.is_over):
        return True, f"epoch {epoch} is not over for a client in epoch {current.epoch}"
    past = f"epoch {epoch} is over for a client in epoch {current.epoch}, and its keys may have leaked"
    if held is None or ground.tip is None:
        return False, past
    try:
        _check_held(evidence, ground.tip, held)
    except ProofError as error:
        return False, f"{past}; the view of the other branch does not hold: {error}"
    return True, "one branch is in our history, another cluster anchored the other"


def _check_held(evidence: ForkEvidence, tip: Point, held: HeldBranch) -> None:
    if evidence.links:
        last = evidence.links[-1].ending.header
        tip.check_holds(last.height, last.hash, held.link_path or ())
    ours, theirs = _place(evidence.first, evidence), _place(evidence.second, evidence)
    if held.ours_is_second:
        ours, theirs = theirs, ours
    tip.check_holds(*ours, held.our_path)
    held.anchor.point.check_holds(*theirs, held.their_path)


def _place(statement: Statement, evidence: ForkEvidence) -> tuple[int, Digest]:
    """(height, header hash) that a branch with this statement must hold."""
    if evidence.kind is ForkKind.TWO_HEADERS:
        return evidence.index, statement.hash_at(evidence.index)
    header = statement.certified.header
    return header.height, header.hash
