"""Epoch links: how a reader comes from the validators it knows to those of a later epoch.

A link is the certified header that ends an epoch, with the members of the next: the old set signs the hash
of the new one. Links are followed one by one and never skipped: with a third of an old set's weight, or
with keys that leaked after an epoch, a skipping reader can be led anywhere (federation.md section 2, 13).

    EpochLink = [header bytes, certificate, [[public key, weight], ...]]
    links file = [ "isthmus-links/1", cluster id, [EpochLink, ...] ]   of one incarnation, none left out

Sources: DESIGN 7; consensus.md C4; federation.md 3.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus import (
    CodecError,
    Epoch,
    SignatureCache,
    Validator,
    ValidatorSet,
    Value,
    as_array,
    as_bytes,
    as_tuple,
    decode,
    encode,
)
from node.anchoring.cluster.certified import Certified
from node.anchoring.refusals import Code, Refused

LINKS_MAGIC = "isthmus-links/1"
LINKS_MAX = 1024
"""Links in one object: at one epoch a week, twenty years."""
LINKS_BYTES_MAX = 4 * 1024 * 1024
_DEPTH_MAX = 5
_ITEMS_MAX = 512 * LINKS_MAX


@dataclass(frozen=True, slots=True)
class EpochLink:
    """The header that ends an epoch, certified by its set, and the validators of the next epoch."""

    ending: Certified
    validators: tuple[Validator, ...]

    def to_value(self) -> tuple[Value, ...]:
        """`[header bytes, certificate, [[public key, weight], ...]]`."""
        return (*self.ending.to_value(), tuple((v.public_key, v.weight) for v in self.validators))

    @staticmethod
    def from_value(value: Value) -> "EpochLink":
        """The inverse of `to_value`; raises CodecError, also for members that can be no set."""
        header, certificate, members = as_tuple(value, 3, "epoch link")
        return EpochLink(
            Certified.from_value((header, certificate)), ValidatorSet.from_value((0, members)).validators
        )


def follow(
    link: EpochLink,
    validators: ValidatorSet,
    cluster_id: bytes,
    cache: SignatureCache,
    *,
    incarnation: int = 0,
) -> ValidatorSet:
    """The set of the next epoch, on the word of `validators`, who must be those of the link's epoch.

    Raises Refused: WRONG_* for another cluster, incarnation, epoch or set; CERTIFICATE_*; LINK_NOT_AN_END for
    a header that ends no epoch; LINK_NEXT_SET for members whose hash is not the one that was signed.
    """
    return follow_all((link,), validators, cluster_id, cache, incarnation=incarnation)[-1]


def follow_all(
    links: Sequence[EpochLink],
    validators: ValidatorSet,
    cluster_id: bytes,
    cache: SignatureCache,
    *,
    incarnation: int = 0,
    above: int = -1,
    tops: Sequence[Certified] = (),
) -> tuple[ValidatorSet, ...]:
    """`validators` and the set behind each link, in order. Heights must rise, the first above `above`; `tops`
    are certified by the last set.

    Raises Refused as `follow` does, and LINK_HEIGHT. Whatever needs no signature is checked first, then the
    tops, then the links: true links are public, and under a false top they should cost nobody anything.
    """
    sets = named_sets(links, validators, cluster_id, incarnation=incarnation, above=above)
    for top in tops:
        top.check(cluster_id, incarnation, sets[-1], cache)
    check_links_signed(links, sets, cluster_id, cache)
    return sets


def named_sets(
    links: Sequence[EpochLink],
    validators: ValidatorSet,
    cluster_id: bytes,
    *,
    incarnation: int,
    above: int = -1,
) -> tuple[ValidatorSet, ...]:
    """`follow_all` without a signature: what the links claim, to be believed after `check_links_signed`."""
    sets = [validators]
    height = above
    for link in links:
        ending = link.ending.header
        if ending.height <= height:
            raise Refused(
                Code.LINK_HEIGHT,
                f"epoch {ending.epoch} ends at height {ending.height}, which is not above {height}",
            )
        height = ending.height
        sets.append(_named_set(link, sets[-1], cluster_id, incarnation))
    return tuple(sets)


def check_links_signed(
    links: Sequence[EpochLink], sets: Sequence[ValidatorSet], cluster_id: bytes, cache: SignatureCache
) -> None:
    """Each link is certified by its set of `sets`, which begin with the first link's. Raises Refused
    CERTIFICATE_INVALID."""
    for link, signers in zip(links, sets, strict=False):
        link.ending.check_signatures(cluster_id, signers, cache)


def _named_set(
    link: EpochLink, validators: ValidatorSet, cluster_id: bytes, incarnation: int
) -> ValidatorSet:
    """The set of the next epoch that the link claims, nothing yet signed for."""
    header = link.ending.header
    if header.next_validators_hash is None:
        raise Refused(Code.LINK_NOT_AN_END, f"header {header.height} does not end epoch {header.epoch}")
    following = ValidatorSet(Epoch(validators.epoch + 1), link.validators)
    if following.hash() != header.next_validators_hash:
        raise Refused(
            Code.LINK_NEXT_SET,
            f"header {header.height} names the next validators {header.next_validators_hash.hex()}, "
            f"the members of the link come to {following.hash().hex()}",
        )
    link.ending.check_claims(cluster_id, incarnation, validators)
    return following


def links_value(links: Sequence[EpochLink]) -> tuple[Value, ...]:
    """`[EpochLink, ...]`."""
    return tuple(link.to_value() for link in links)


def links_from_value(value: Value) -> tuple[EpochLink, ...]:
    """The inverse of `links_value`; raises CodecError."""
    return tuple(EpochLink.from_value(item) for item in as_array(value, LINKS_MAX, "epoch links"))


@dataclass(frozen=True, slots=True)
class LinksFile:
    """The links of one incarnation of a cluster, from its first epoch on, as a file of its own: any number of
    bundles use it (F9)."""

    cluster_id: bytes
    links: tuple[EpochLink, ...]

    def encode(self) -> bytes:
        """The canonical bytes of the file."""
        return encode((LINKS_MAGIC, self.cluster_id, links_value(self.links)))

    @staticmethod
    def decode(data: bytes) -> "LinksFile":
        """The links in these bytes, in order, none missing between them; raises CodecError."""
        value = decode(data, max_bytes=LINKS_BYTES_MAX, max_depth=_DEPTH_MAX, max_items=_ITEMS_MAX)
        if type(value) is not tuple or not value or value[0] != LINKS_MAGIC:
            raise CodecError(f"this is no file of the format {LINKS_MAGIC}")
        _, cluster_id, links = as_tuple(value, 3, "links file")
        found = links_from_value(links)
        for epoch, link in enumerate(found, start=found[0].ending.header.epoch if found else 0):
            if link.ending.header.epoch != epoch:
                raise CodecError(
                    f"link {epoch} ends epoch {link.ending.header.epoch}, links are never skipped"
                )
        return LinksFile(as_bytes(cluster_id, "cluster id", length=32), found)
