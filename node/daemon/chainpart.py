"""A chain file that begins above height 1, as a pruned node writes it, checked without executing it.

The epoch links in the file lead from the genesis to each set that signs in it; every header is certified or
linked to one that is, every block and batch is what its header names. So it is proven what was ordered, and
in which order. What came of it is not: executing it would need the state below the first height.
"""

from dataclasses import dataclass

from consensus import SignatureCache, ValidatorSet
from node.anchoring.cluster.epochs import LinksFile, follow_all
from node.anchoring.refusals import Refused
from node.genesis import Genesis
from node.pool.config import PoolConfig
from node.pool.messages import SYNC_HEIGHTS_MAX, SyncResponse
from node.pool.verifying import verify_range
from node.proofs.header import Header
from node.validator.replaying import ReplayRefused
from node.validator.term import trust_of


@dataclass(frozen=True, slots=True)
class CheckedPart:
    """The heights of a part, both included, and the hash of its last header."""

    first: int
    last: int
    header_hash: bytes


class PartCheck:
    """Takes the ranges of a part in order."""

    def __init__(self, genesis: Genesis, links: LinksFile, first: int, rules: PoolConfig) -> None:
        """Raises ReplayRefused for links that do not lead on from the genesis."""
        self._rules = rules
        self._cluster_id = genesis.cluster_id
        self._signatures = SignatureCache()
        self._first = self._next = first
        self._last: Header | None = None
        try:
            self._sets: tuple[ValidatorSet, ...] = follow_all(
                links.links, genesis.roster().validator_set(), genesis.cluster_id, self._signatures
            )
        except Refused as refused:
            raise ReplayRefused(f"its epoch links: {refused}") from refused

    def take(self, response: SyncResponse) -> None:
        """The next range. Raises ReplayRefused, PeerError."""
        certificate = response.certificate
        if response.from_height != self._next or not response.items or certificate is None:
            raise ReplayRefused(f"heights from {response.from_height} on do not follow {self._next - 1}")
        if certificate.epoch >= len(self._sets):
            raise ReplayRefused(f"height {certificate.height} is of an epoch that no link leads to")
        trust = trust_of(self._cluster_id, self._sets[certificate.epoch], self._signatures)
        items = verify_range(response, SYNC_HEIGHTS_MAX, self._rules, trust)
        if items is None:
            raise ReplayRefused(f"height {response.from_height} is of an epoch that does not follow")
        if self._last is not None and items[0].header.parent_hash != self._last.hash:
            raise ReplayRefused(f"height {response.from_height} does not follow the one before")
        self._last = items[-1].header
        self._next = self._last.height + 1

    def finished(self, promised: int) -> CheckedPart:
        """What was checked. Raises ReplayRefused when it ends elsewhere."""
        if self._last is None or self._last.height != promised:
            raise ReplayRefused(f"it ends at height {self._next - 1} and promises {promised}")
        return CheckedPart(self._first, promised, bytes(self._last.hash))
