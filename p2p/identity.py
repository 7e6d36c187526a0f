"""Who a node is on the wire: an Ed25519 key, and the certificate that wraps it for TLS.

The node key is not the consensus key (rule C18): stealing it lets one impersonate a link, never a vote.
Certificates are only an envelope that TLS insists on. Trust is in the raw 32-byte keys of the membership,
so names inside certificates mean nothing and validity is as wide as X.509 allows (RFC 5280, 4.1.2.5):
nothing expires by wall clock.
"""

import datetime
import functools
from typing import NewType

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

PeerId = NewType("PeerId", bytes)
"""The 32-byte raw Ed25519 public node key."""

_NOT_BEFORE = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_NOT_AFTER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)


class NodeIdentity:
    """A node key, and the certificate it presents. Never printed, never pickled."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.peer_id = PeerId(key.public_key().public_bytes_raw())

    @classmethod
    def from_seed(cls, seed: bytes) -> "NodeIdentity":
        """The identity of a 32-byte secret seed; raises ValueError for any other length."""
        if len(seed) != 32:
            raise ValueError(f"a node key seed has 32 bytes, not {len(seed)}")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    def __repr__(self) -> str:
        return f"NodeIdentity({self.peer_id.hex()[:12]})"

    @functools.cached_property
    def certificate(self) -> x509.Certificate:
        """What this node presents: its own key, signed by itself, issued under the key's name.

        Subject and issuer differ on purpose: OpenSSL then looks for the issuer's key among the pinned
        keys and checks this signature with it (see tls.py), instead of comparing whole certificates.
        """
        return issue(self.peer_id, "isthmus node", self.peer_id.hex(), self._key, authority=False)

    @property
    def certificate_der(self) -> bytes:
        """The presented certificate; peers do not need it beforehand, they pin the 32-byte key."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    def encrypted_pem(self, password: bytes) -> bytes:
        """Private key (encrypted) and certificate, the only form in which `ssl` accepts them."""
        key = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
        return key + self.certificate.public_bytes(serialization.Encoding.PEM)


def issue(
    subject_key: PeerId, subject: str, issuer: str, issuer_key: Ed25519PrivateKey, *, authority: bool
) -> x509.Certificate:
    """A certificate for `subject_key` with common names `subject` and `issuer`, valid for ever.

    Raises ValueError if `subject_key` is not a 32-byte Ed25519 public key.
    """
    builder = (
        x509.CertificateBuilder()
        .subject_name(_common_name(subject))
        .issuer_name(_common_name(issuer))
        .public_key(Ed25519PublicKey.from_public_bytes(subject_key))
        .serial_number(1)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(
            x509.BasicConstraints(ca=authority, path_length=0 if authority else None), critical=True
        )
    )
    return builder.sign(issuer_key, None)


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
