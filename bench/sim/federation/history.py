"""One history of a cluster: its headers, who may certify them, and the proofs that its nodes serve.

A corrupt cluster has several: `fork` is where the second begins, `rewrite` what a history looks like whose
past was changed, `recovered` the next incarnation.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from bench.sim.federation.keyring import Keyring, genesis_body, keyring
from consensus import PublicKey, bitmap_of, digest
from node.anchoring.client.lightclient import Update
from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import EpochLink
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.forks.evidence import Leaf
from node.anchoring.forks.finding import Branch
from node.anchoring.forks.recovery import RecoveredBy, RecoveryCertificate
from node.proofs import CompactRange, rfc6962
from node.proofs.header import EMPTY_LIST_ROOT, Header


class History:
    """Headers 0..height of one branch; from `first_epoch` on its epochs ended at the heights `ends`."""

    def __init__(self, name: str, nodes: int, body: bytes | None = None) -> None:
        """`body` is a genesis of these very keys; without one there is as little in it as can be."""
        self.name = name
        self.operators = keyring(f"{name}/operator", nodes)
        first = keyring(name, nodes)
        self.body = genesis_body(name, first, self.operators) if body is None else body
        self.identity = ClusterIdentity.from_body(self.body)
        self.cluster_id = self.identity.cluster_id
        self.incarnation = 0
        self.sets: dict[int, Keyring] = {0: first}
        self.headers = [self.identity.genesis_header]
        self.signers: list[tuple[int, ...]] = [first.least_quorum(range(nodes))]
        self.ends: list[int] = []
        self.first_epoch = 0
        self.leaves = [rfc6962.leaf_hash(self.headers[0].hash)]
        self._range = CompactRange()
        self._certified: dict[int, Certified] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._add(self.leaves[0])

    @property
    def tip(self) -> Header:
        """The highest header."""
        return self.headers[-1]

    @property
    def height(self) -> int:
        """The tip's height."""
        return self.headers[-1].height

    @property
    def epoch(self) -> int:
        """The epoch of the next header."""
        return max(self.sets)

    @property
    def keyring(self) -> Keyring:
        """Who certifies the next header."""
        return self.sets[self.epoch]

    def _add(self, leaf: bytes) -> None:
        self._range, nodes = self._range.append([leaf])
        self._nodes.update({(level, index): node for level, index, node in nodes})

    def append(
        self,
        *,
        epoch: int,
        seal: bytes,
        time_ms: int,
        roots: tuple[bytes, bytes, bytes],
        signers: Sequence[int],
        next_set: Keyring | None = None,
    ) -> Header:
        """The next header. `roots` are of state, outbox and anchors."""
        previous = self.tip
        state_root, outbox_root, anchors_root = roots
        header = Header.make(
            incarnation=self.incarnation,
            cluster_id=self.cluster_id,
            epoch=epoch,
            height=previous.height + 1,
            parent_hash=previous.hash,
            block_id=digest("isthmus/simulated-block/v1", seal),
            time_ms=time_ms,
            tx_root=EMPTY_LIST_ROOT,
            receipt_root=EMPTY_LIST_ROOT,
            state_root=state_root,
            outbox_root=outbox_root,
            anchors_root=anchors_root,
            history_root=self._range.root(),
            validators_hash=self.sets[epoch].set(epoch).hash(),
            next_validators_hash=None if next_set is None else next_set.set(epoch + 1).hash(),
        )
        self.take(header, signers)
        if next_set is not None:
            self.ends.append(header.height)
            self.sets[epoch + 1] = next_set
        return header

    def take(self, header: Header, signers: Sequence[int]) -> None:
        """A header that was made elsewhere, certified by a quorum of these."""
        self.headers.append(header)
        self.signers.append(self.sets[header.epoch].least_quorum(signers))
        self.leaves.append(rfc6962.leaf_hash(header.hash))
        self._add(self.leaves[-1])

    # --- what nodes serve --------------------------------------------------------------------------

    def node(self, level: int, index: int) -> bytes:
        """A complete subtree of the list of header hashes."""
        return self._nodes[level, index]

    def certified(self, height: int) -> Certified:
        """The header of `height` with its certificate."""
        known = self._certified.get(height)
        if known is None:
            header = self.headers[height]
            known = self.sets[header.epoch].certify(header, self.signers[height])
            self._certified[height] = known
        return known

    def links(self, since: int, until: int) -> tuple[EpochLink, ...]:
        """The links that lead from epoch `since` to epoch `until`."""
        return tuple(
            EpochLink(self.certified(self.ends[epoch - self.first_epoch]), self.sets[epoch + 1].members)
            for epoch in range(since, until)
        )

    def path(self, index: int, size: int) -> tuple[bytes, ...]:
        """Where header `index` stands in the history of header `size`; empty for the header itself."""
        return () if index == size else rfc6962.inclusion_path_from(self, index, size)

    def update(self, incarnation: int, since: int, until: int) -> Update:
        """What leads a client from header `since`, held in `incarnation`, to header `until`."""
        last, header = self.headers[since], self.headers[until]
        is_begun = incarnation == last.incarnation == header.incarnation
        begin = last.epoch if is_begun else self.first_epoch
        consistency = () if since == 0 else rfc6962.consistency_path_from(self, since, until)
        return Update(
            self.certified(until), self.links(begin, header.epoch), consistency, self.path(since, until)
        )

    def view(self, height: int) -> Branch:
        """This history as somebody sees it who was shown header `height`."""
        header = self.headers[height]
        return Branch(self.links(self.first_epoch, header.epoch), self.certified(height))

    def leaf_of(self, header: Header, index: int) -> Leaf | None:
        """Header `index` in the history of `header`, if that is one of ours."""
        if header.height > self.height or self.headers[header.height].hash != header.hash:
            return None
        return Leaf(self.headers[index].hash, self.path(index, header.height))

    # --- what only a corrupt or a recovering cluster does ------------------------------------------

    def fork(self, height: int) -> "History":
        """The same cluster with headers 0..height only, to go on another way."""
        other = History.__new__(History)
        other.__dict__.update(self.__dict__)
        other.headers = self.headers[: height + 1]
        other.signers = self.signers[: height + 1]
        other.ends = [end for end in self.ends if end <= height]
        reached = self.first_epoch + len(other.ends)
        other.sets = {epoch: known for epoch, known in self.sets.items() if epoch <= reached}
        other.leaves = []
        other._range, other._nodes = CompactRange(), {}
        other._certified = {h: c for h, c in self._certified.items() if h <= height}
        for leaf in self.leaves[: height + 1]:
            other.leaves.append(leaf)
            other._add(leaf)
        return other

    def rewrite(self, index: int) -> "History":
        """The same headers, above a list in which header `index` is another."""
        other = self.fork(self.height)
        leaves = [*self.leaves]
        leaves[index] = rfc6962.leaf_hash(digest("isthmus/simulated-rewrite/v1", leaves[index]))
        other.leaves, other._range, other._nodes = leaves, CompactRange(), {}
        for leaf in leaves:
            other._add(leaf)
        return other

    def recovered(self, validators: Keyring, operators: Keyring) -> "History":
        """The next incarnation on top of the tip."""
        other = self.fork(self.height)
        epoch = self.tip.epoch + 1
        other.incarnation = self.incarnation + 1
        other.sets = {**other.sets, epoch: validators}
        other.operators = operators
        other.ends, other.first_epoch = [], epoch
        return other

    def recovery(
        self, validators: Keyring, operators: Keyring, accused: Collection[bytes], convicted: int | None
    ) -> RecoveryCertificate:
        """The certificate of that for whoever has evidence against keys of the set of epoch `convicted`,
        signed by the others of that set or, where at most a third is left, by the operators (F6)."""
        old = self.sets[self.tip.epoch if convicted is None else convicted]
        left = [index for index, known in enumerate(old.keys) if known.public_key not in accused]
        by = RecoveredBy.VALIDATORS if 3 * len(left) > len(old.keys) else RecoveredBy.OPERATORS
        signing, signers = (old, left) if by is RecoveredBy.VALIDATORS else (self.operators, None)
        chosen = range(len(signing.keys)) if signers is None else signers
        proposed = RecoveryCertificate.proposed(
            self.certified(self.height),
            validators.members,
            operators.members,
            by,
            self.links(self.first_epoch, self.tip.epoch),
            accused=[PublicKey(key) for key in accused],
            convicted=None if convicted is None else old.set(convicted),
            signers=bitmap_of(chosen, len(signing.keys)),
        )
        bitmap, joined = signing.sign(proposed.digest(), chosen)
        return replace(proposed, signers=bitmap, signatures=joined)
