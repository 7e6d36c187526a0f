"""Chains of certified headers with real keys, without a ledger: epochs that change, forks, recoveries.

What anchoring sees of a cluster is headers, certificates and paths; here they are made directly, so that a
test may hold every validator's key and do with it what no honest node does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from consensus import (
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    PublicKey,
    SigningKey,
    Validator,
    ValidatorSet,
    bitmap_of,
    digest,
    encode,
)
from node.anchoring.client.lightclient import Update
from node.anchoring.cluster.anchors import Anchor, AnchorProof, ClientStatus, Point
from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import EpochLink, LinksFile
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.forks.evidence import Leaf
from node.anchoring.forks.finding import Branch, LeafOf
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.proofs import CompactRange, rfc6962, smt
from node.proofs.header import EMPTY_LIST_ROOT, EMPTY_MAP_ROOT, Header

START_MS = 1_700_000_000_000
STEP_MS = 1_000


@dataclass(frozen=True)
class Keys:
    """The keys and weights of one set."""

    keys: tuple[SigningKey, ...]
    weights: tuple[int, ...]

    @property
    def members(self) -> tuple[Validator, ...]:
        return tuple(Validator(k.public_key, w) for k, w in zip(self.keys, self.weights, strict=True))

    def set(self, epoch: int) -> ValidatorSet:
        return ValidatorSet(Epoch(epoch), self.members)

    def quorum(self) -> tuple[int, ...]:
        """The first members that are a quorum."""
        chosen: list[int] = []
        while 3 * sum(self.weights[i] for i in chosen) <= 2 * sum(self.weights):
            chosen.append(len(chosen))
        return tuple(chosen)

    def sign(self, message: Digest, signers: Sequence[int]) -> tuple[bytes, bytes]:
        """(bitmap, joined signatures)."""
        ordered = sorted(signers)
        joined = b"".join(self.keys[index].sign(message) for index in ordered)
        return bitmap_of(ordered, len(self.keys)), joined


@cache
def key(label: str, number: int) -> SigningKey:
    return SigningKey(digest("test/seed", f"{label}/{number}".encode()))


def keys(label: str, weights: Sequence[int] = (1, 1, 1, 1), first: int = 0) -> Keys:
    """A set of keys of this label; sets with overlapping numbers share members."""
    return Keys(tuple(key(label, first + i) for i in range(len(weights))), tuple(weights))


def genesis_body(name: str, validators: Keys, operators: Keys) -> bytes:
    """A genesis with as little in it as identity needs."""
    listed = tuple(
        (f"node-{i}", "port", v.public_key, key("node", i).public_key, v.weight, o.public_key)
        for i, (v, o) in enumerate(zip(validators.members, operators.members, strict=True))
    )
    return encode((1, name, (START_MS,), listed, (), (), digest("test/state", b"0")))


class Chain:
    """A cluster's headers from 0 on, every key of it, and the proofs that its nodes would serve."""

    def __init__(self, name: str = "harbour", weights: Sequence[int] = (1, 1, 1, 1)) -> None:
        self.name = name
        self.operators = keys(f"{name}/operator", weights)
        first = keys(name, weights)
        self.body = genesis_body(name, first, self.operators)
        self.identity = ClusterIdentity.from_body(self.body)
        self.cluster_id = self.identity.cluster_id
        self.incarnation = 0
        self.sets: dict[int, Keys] = {0: first}
        self.headers = [self.identity.genesis_header]
        self.ends: list[int] = []
        self.first_link_epoch = 0
        self.accusations: tuple[Sequence[PublicKey], ValidatorSet | None] = ((), None)
        self._leaves = [rfc6962.leaf_hash(self.headers[0].hash)]
        self._ranges = [CompactRange().append(self._leaves)[0]]

    @property
    def height(self) -> int:
        return self.headers[-1].height

    @property
    def epoch(self) -> int:
        return max(self.sets)

    @property
    def now_ms(self) -> int:
        return self.headers[-1].time_ms

    # --- growing -------------------------------------------------------------------------------------

    def grow(
        self,
        count: int = 1,
        *,
        salt: str = "",
        next_set: Keys | None = None,
        anchors_root: bytes = EMPTY_MAP_ROOT,
        state_root: bytes | None = None,
        gap_ms: int = 0,
    ) -> "Chain":
        """`count` more headers, the last of which ends the epoch where `next_set` is given."""
        for number in range(count):
            previous = self.headers[-1]
            height = previous.height + 1
            is_last = number == count - 1
            following = next_set if is_last else None
            seal = digest("test/block", f"{salt}/{height}".encode())
            header = Header.make(
                incarnation=self.incarnation,
                cluster_id=self.cluster_id,
                epoch=self.epoch,
                height=height,
                parent_hash=previous.hash,
                block_id=seal,
                time_ms=previous.time_ms + STEP_MS + (gap_ms if number == 0 else 0),
                tx_root=EMPTY_LIST_ROOT,
                receipt_root=EMPTY_LIST_ROOT,
                state_root=digest("test/state", seal) if state_root is None else state_root,
                history_root=self._ranges[-1].root(),
                validators_hash=self.sets[self.epoch].set(self.epoch).hash(),
                next_validators_hash=None if following is None else following.set(self.epoch + 1).hash(),
                anchors_root=anchors_root,
            )
            self._append(header)
            if following is not None:
                self.ends.append(height)
                self.sets[self.epoch + 1] = following
        return self

    def _append(self, header: Header) -> None:
        leaf = rfc6962.leaf_hash(header.hash)
        self.headers.append(header)
        self._leaves.append(leaf)
        self._ranges.append(self._ranges[-1].append([leaf])[0])

    def fork(self, height: int) -> "Chain":
        """The same cluster with headers 0..height only, to be grown another way."""
        other = Chain.__new__(Chain)
        other.__dict__.update(self.__dict__)
        other.headers = self.headers[: height + 1]
        other.ends = [end for end in self.ends if end <= height]
        reached = self.first_link_epoch + len(other.ends)
        other.sets = {epoch: known for epoch, known in self.sets.items() if epoch <= reached}
        other._leaves = self._leaves[: height + 1]
        other._ranges = self._ranges[: height + 1]
        return other

    def recovered(self, height: int, validators: Keys, operators: Keys, *, skipped: int = 0) -> "Chain":
        """The next incarnation on top of header `height`, or the one after `skipped` that it replaces."""
        other = self.fork(height)
        epoch = other.headers[-1].epoch + 1 + skipped
        other.incarnation = self.incarnation + 1 + skipped
        other.sets = {**other.sets, epoch: validators}
        other.operators = operators
        other.ends = []
        other.first_link_epoch = epoch
        other.accusations = ((), None)
        return other

    # --- what nodes serve ----------------------------------------------------------------------------

    def certified(self, height: int, signers: Sequence[int] | None = None) -> Certified:
        """The header of `height` with a certificate by its epoch's quorum, or by these signers."""
        header = self.headers[height]
        return certify(header, self.sets[header.epoch], signers)

    def links(self, since: int | None = None, until: int | None = None) -> tuple[EpochLink, ...]:
        """The links that lead from epoch `since` to epoch `until`."""
        begin = self.first_link_epoch if since is None else since
        end = self.epoch if until is None else until
        return tuple(
            EpochLink(self.certified(self.ends[epoch - self.first_link_epoch]), self.sets[epoch + 1].members)
            for epoch in range(begin, end)
        )

    def links_file(self) -> LinksFile:
        return LinksFile(self.cluster_id, self.links())

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        """Where header `index` stands in the history of header `size`; empty for the header itself."""
        return () if index == size else rfc6962.inclusion_path(self._leaves[:size], index)

    def leaf(self, index: int, size: int) -> Leaf:
        return Leaf(self.headers[index].hash, self.path(index, size))

    def consistency(self, size1: int, size2: int) -> tuple[bytes, ...]:
        if size1 in (0, size2):
            return ()
        return rfc6962.consistency_path_from(_Nodes(self._leaves), size1, size2)

    def update(self, since: int, until: int) -> Update:
        """What leads a client from header `since` to header `until`."""
        tip, header = self.headers[since], self.headers[until]
        return Update(
            self.certified(until),
            self.links(tip.epoch, header.epoch)
            if tip.incarnation == header.incarnation
            else self.links(self.first_link_epoch, header.epoch),
            self.consistency(since, until),
            self.path(since, until),
        )

    def branch(self, height: int | None = None) -> Branch:
        """This history as a view of somebody who was shown header `height`."""
        header = self.headers[-1 if height is None else height]
        return Branch(self.links(until=header.epoch), self.certified(header.height))

    def recovery(
        self,
        height: int,
        validators: Keys,
        operators: Keys,
        signers: Sequence[int],
        by: RecoveredBy = RecoveredBy.VALIDATORS,
        *,
        with_links: bool = False,
        replaces: int = 0,
    ) -> RecoveryCertificate:
        """A recovery on top of header `height`, signed by these of its set or of the operators, and judged by
        `accusations`: the accused keys, and the first set of theirs that was convicted."""
        header = self.headers[height]
        links = self.links(until=header.epoch) if with_links else ()
        accused, convicted = self.accusations
        signing = self.sets[header.epoch] if by is RecoveredBy.VALIDATORS else self.operators
        proposed = RecoveryCertificate.proposed(
            self.certified(height),
            validators.members,
            operators.members,
            by,
            links,
            accused=accused,
            convicted=convicted,
            replaces=replaces,
            signers=bitmap_of(sorted(signers), len(signing.keys)),
        )
        bitmap, joined = signing.sign(proposed.digest(), signers)
        return replace(proposed, signers=bitmap, signatures=joined)


def certify(header: Header, signing: Keys, signers: Sequence[int] | None = None) -> Certified:
    """Any header with a certificate by these keys, whether or not they may or suffice."""
    unsigned = HeaderCertificate(
        header.incarnation, Epoch(header.epoch), Height(header.height), header.block_id, header.hash, b"", b""
    )
    bitmap, joined = signing.sign(
        unsigned.digest(header.cluster_id), signing.quorum() if signers is None else signers
    )
    return Certified(header, replace(unsigned, signers=bitmap, signatures=joined))


HEADER_FIELDS = (
    "incarnation",
    "cluster_id",
    "epoch",
    "height",
    "parent_hash",
    "block_id",
    "time_ms",
    "tx_root",
    "receipt_root",
    "state_root",
    "outbox_root",
    "history_root",
    "anchors_root",
    "validators_hash",
    "next_validators_hash",
)


def changed(header: Header, **fields: Any) -> Header:
    """The same header with other fields, hashed anew."""
    return Header.make(**({name: getattr(header, name) for name in HEADER_FIELDS} | fields))


def leaf_of(*chains: Chain) -> LeafOf:
    """Serves any header's history out of the chains that hold it."""

    def serve(header: Header, index: int) -> Leaf | None:
        for chain in chains:
            if header.height <= chain.height and chain.headers[header.height].hash == header.hash:
                return chain.leaf(index, header.height)
        return None

    return serve


class _Nodes:
    """Complete subtrees, computed when asked for."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._leaves = leaves

    def node(self, level: int, index: int) -> bytes:
        return rfc6962.root(self._leaves[index << level : (index + 1) << level])


class Tree:
    """A sparse Merkle tree with its proofs: a state, or what stands under an `anchors_root`."""

    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self.values = dict(values)
        self._stored: dict[bytes, bytes | None] = {}
        built = smt.update(self, list(self.values.items()))
        self._stored = dict(built.writes)
        self.root = built.root

    def get(self, key: bytes) -> bytes | None:
        return self._stored.get(key)

    def prove(self, key: bytes) -> smt.SmtProof:
        return smt.prove(self, key)


class Anchors:
    """The tree under a cluster's `anchors_root`, with its proofs."""

    def __init__(self, views: Mapping[bytes, Anchor]) -> None:
        self._tree = Tree({subject: anchor.encode() for subject, anchor in views.items()})
        self.root = self._tree.root

    def prove(self, subject: Digest) -> AnchorProof:
        return AnchorProof(subject, self._tree.values[subject], self._tree.prove(subject))


def anchor_of(chain: Chain, height: int, status: ClientStatus = ClientStatus.ACTIVE) -> Anchor:
    """How somebody sees the chain who was shown header `height`."""
    header = chain.headers[height]
    return Anchor(header.incarnation, header.epoch, Point.of(header), status)
