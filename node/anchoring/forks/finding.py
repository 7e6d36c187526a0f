"""Finding a fork: from two certified views of one cluster to the evidence that convicts it.

Views may be of different heights and epochs. Both are walked from the origin to the first epoch whose set
signed two things that cannot both be, since only signatures of one set make keys accountable (F5). Needs no
trust: whatever is found here is judged by `node/anchoring/forks/evidence.py` like everybody else's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from node.anchoring.cluster.certified import Certified
from node.anchoring.cluster.epochs import EpochLink
from node.anchoring.forks.evidence import ForkEvidence, ForkKind, Leaf, Statement
from node.proofs.header import Header

LeafOf = Callable[[Header, int], Leaf | None]
"""(a header, an index below its height) -> the hash at that index in its history, with its path."""


@dataclass(frozen=True, slots=True)
class Branch:
    """One view of a cluster: the links from the origin on, and a certified header of the epoch they reach."""

    links: tuple[EpochLink, ...]
    tip: Certified


def find_fork(ours: Branch, theirs: Branch, leaf_of: LeafOf) -> ForkEvidence | None:
    """Evidence where two certified views contradict each other, None where one extends the other.

    Views that part at an epoch's end are reduced to the set that signed both ends.
    Both views must have been checked; `leaf_of` answers from whoever serves the higher one.
    """
    common: list[EpochLink] = []
    for own, other in zip(ours.links, theirs.links, strict=False):
        if own.ending.header.hash != other.ending.header.hash:
            return _parted(common, own.ending, other.ending, leaf_of)
        common.append(own)
    own_next, other_next = (_next_statement(branch, len(common)) for branch in (ours, theirs))
    return _parted(common, own_next, other_next, leaf_of)


def _next_statement(branch: Branch, epochs: int) -> Certified:
    """The branch's highest statement by the set behind its first `epochs` links."""
    return branch.tip if len(branch.links) == epochs else branch.links[epochs].ending


def _parted(
    common: Sequence[EpochLink], ours: Certified, theirs: Certified, leaf_of: LeafOf
) -> ForkEvidence | None:
    """Two statements of one set: what they contradict each other in, if they do."""
    links = tuple(common)
    own, other = ours.header, theirs.header
    if own.height == other.height:
        if own.hash == other.hash:
            return None
        return ForkEvidence(ForkKind.TWO_HEADERS, own.height, links, Statement(ours), Statement(theirs))
    low, high = (ours, theirs) if own.height < other.height else (theirs, ours)
    if low.header.next_validators_hash is not None:
        return ForkEvidence(
            ForkKind.BEYOND_THE_END, low.header.height, links, Statement(low), Statement(high)
        )
    leaf = leaf_of(high.header, low.header.height)
    if leaf is None or leaf.header_hash == low.header.hash:
        return None
    first, second = Statement(ours), Statement(theirs)
    if high is theirs:
        second = Statement(theirs, leaf)
    else:
        first = Statement(ours, leaf)
    return ForkEvidence(ForkKind.TWO_HEADERS, low.header.height, links, first, second)
