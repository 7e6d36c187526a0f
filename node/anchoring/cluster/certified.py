"""A header with its certificate: the only statement of a cluster that others believe (DESIGN 5, F1).

Links, updates, evidence and views of others all come to this one check: is this header of that cluster,
incarnation and epoch, and did a quorum of that epoch's own set sign exactly it? Sizes stay at 660 bytes
for four validators and at 790 for seven.
"""

from dataclasses import dataclass

from consensus import (
    HeaderCertificate,
    InvalidCertificate,
    SignatureCache,
    ValidatorSet,
    Value,
    as_bytes,
    as_tuple,
)
from node.anchoring.refusals import Code, Refused
from node.proofs.header import HEADER_BYTES_MAX, Header


@dataclass(frozen=True, slots=True)
class Certified:
    """A ledger header and the certificate for it; nothing is believed until `check` has passed."""

    header: Header
    certificate: HeaderCertificate

    def check(
        self, cluster_id: bytes, incarnation: int, validators: ValidatorSet, cache: SignatureCache
    ) -> None:
        """The header is `cluster_id`'s, of `incarnation`, of the epoch of `validators`, names that set, and
        is certified by a quorum of it. Raises Refused; signatures are verified last."""
        self.check_claims(cluster_id, incarnation, validators)
        self.check_signatures(cluster_id, validators, cache)

    def check_claims(self, cluster_id: bytes, incarnation: int, validators: ValidatorSet) -> None:
        """All of `check` that costs no signature."""
        header, certificate = self.header, self.certificate
        check_origin(header, cluster_id, incarnation, validators)
        stated = (certificate.incarnation, certificate.epoch, certificate.height, certificate.block_id)
        if (
            stated != (header.incarnation, header.epoch, header.height, header.block_id)
            or certificate.header_hash != header.hash
        ):
            raise Refused(
                Code.CERTIFICATE_MISMATCH,
                f"the certificate is for height {certificate.height}, epoch {certificate.epoch}, hash "
                f"{certificate.header_hash.hex()}; the header is {header.height}, epoch {header.epoch}, hash "
                f"{header.hash.hex()}",
            )

    def check_signatures(self, cluster_id: bytes, validators: ValidatorSet, cache: SignatureCache) -> None:
        """The rest of `check`: the signers are a quorum and each signature is good."""
        try:
            self.certificate.verify(cluster_id, validators, cache)
        except InvalidCertificate as error:
            raise Refused(Code.CERTIFICATE_INVALID, f"header {self.header.height}: {error}") from error

    def to_value(self) -> tuple[Value, ...]:
        """`[header bytes, certificate]`."""
        return (self.header.encoded, self.certificate.to_value())

    @staticmethod
    def from_value(value: Value) -> "Certified":
        """The inverse of `to_value`; raises CodecError."""
        header, certificate = as_tuple(value, 2, "certified header")
        return Certified(
            Header.decode(as_bytes(header, "header", max_length=HEADER_BYTES_MAX)),
            HeaderCertificate.from_value(certificate),
        )


def check_origin(header: Header, cluster_id: bytes, incarnation: int, validators: ValidatorSet) -> None:
    """Everything about a header's origin that needs no signature. Raises Refused."""
    if header.cluster_id != cluster_id:
        raise Refused(
            Code.WRONG_CLUSTER,
            f"header {header.height} is of cluster {header.cluster_id.hex()}, expected {cluster_id.hex()}",
        )
    if header.incarnation != incarnation:
        raise Refused(
            Code.WRONG_INCARNATION,
            f"header {header.height} is of incarnation {header.incarnation}, expected {incarnation}",
        )
    if header.epoch != validators.epoch:
        raise Refused(
            Code.WRONG_EPOCH,
            f"header {header.height} is of epoch {header.epoch}, expected {validators.epoch}",
        )
    expected = validators.hash()
    if header.validators_hash != expected:
        raise Refused(
            Code.WRONG_VALIDATORS,
            f"header {header.height} names the validators {header.validators_hash.hex()}, "
            f"epoch {validators.epoch} has {expected.hex()}",
        )
