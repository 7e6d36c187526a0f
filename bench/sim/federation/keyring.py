"""The keys of simulated clusters: every set is a function of names, so a seed means the same everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from consensus import (
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    SigningKey,
    Validator,
    ValidatorSet,
    bitmap_of,
    digest,
    encode,
)
from node.anchoring.cluster.certified import Certified
from node.proofs.header import Header

START_MS = 1_700_000_000_000
_DOMAIN = "isthmus/simulated-federation/v1"


@dataclass(frozen=True, slots=True)
class Keyring:
    """The signing keys of one set and their weights."""

    keys: tuple[SigningKey, ...]
    weights: tuple[int, ...]

    @property
    def members(self) -> tuple[Validator, ...]:
        """The set as others see it."""
        return tuple(Validator(k.public_key, w) for k, w in zip(self.keys, self.weights, strict=True))

    def set(self, epoch: int) -> ValidatorSet:
        """The set of this epoch."""
        return ValidatorSet(Epoch(epoch), self.members)

    def is_quorum(self, indices: Sequence[int]) -> bool:
        """More than two thirds of the weight."""
        return 3 * sum(self.weights[i] for i in indices) > 2 * sum(self.weights)

    def least_quorum(self, among: Sequence[int]) -> tuple[int, ...]:
        """The first of `among` that are a quorum; all of them when they are none."""
        for count in range(1, len(among) + 1):
            if self.is_quorum(among[:count]):
                return tuple(among[:count])
        return tuple(among)

    def sign(self, message: Digest, signers: Sequence[int]) -> tuple[bytes, bytes]:
        """(bitmap, joined signatures)."""
        ordered = sorted(signers)
        joined = b"".join(self.keys[index].sign(message) for index in ordered)
        return bitmap_of(ordered, len(self.keys)), joined

    def certify(self, header: Header, signers: Sequence[int]) -> Certified:
        """The header with a certificate by these, whether or not they suffice."""
        unsigned = HeaderCertificate(
            header.incarnation,
            Epoch(header.epoch),
            Height(header.height),
            header.block_id,
            header.hash,
            b"",
            b"",
        )
        bitmap, joined = self.sign(unsigned.digest(header.cluster_id), signers)
        certificate = HeaderCertificate(
            header.incarnation,
            Epoch(header.epoch),
            Height(header.height),
            header.block_id,
            header.hash,
            bitmap,
            joined,
        )
        return Certified(header, certificate)


@lru_cache(maxsize=4096)
def key(label: str, number: int) -> SigningKey:
    """The key of this label and number."""
    return SigningKey(digest(_DOMAIN, f"{label}/{number}".encode()))


def keyring(label: str, nodes: int, first: int = 0) -> Keyring:
    """`nodes` keys of weight 1; rings with overlapping numbers share keys."""
    return Keyring(tuple(key(label, first + i) for i in range(nodes)), (1,) * nodes)


def genesis_body(name: str, validators: Keyring, operators: Keyring) -> bytes:
    """A genesis with as little in it as an identity needs."""
    listed = tuple(
        (f"node-{i}", "simulated", v.public_key, key("node", i).public_key, v.weight, o.public_key)
        for i, (v, o) in enumerate(zip(validators.members, operators.members, strict=True))
    )
    return encode((1, name, (START_MS,), listed, (), (), digest(_DOMAIN, b"state", name.encode())))
