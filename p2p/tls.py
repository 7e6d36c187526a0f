"""TLS 1.3, mutual, with nothing trusted but a set of 32-byte keys.

Peers are known by raw Ed25519 keys, not by certificate files, so each node is its own little certificate
authority for one process lifetime: for every pinned key it issues an anchor certificate, named after the
key and signed with a throwaway key, and trusts exactly these anchors (partial chain: an anchor needs no
trusted issuer of its own). A peer presents a certificate issued under its key's name and signed with its
key. OpenSSL therefore requires, before any byte of ours is read: a certificate (CERT_REQUIRED), made by a
pinned key (the anchor checks its signature), and possession of the key inside it (the TLS 1.3
CertificateVerify, RFC 8446 4.4.3). The last gap, a pinned key that certifies some other key, is closed by
`authenticated_key`: the key inside the presented certificate must itself be pinned.

Both sides fail for an unpinned key. A refused client's handshake succeeds in TLS 1.3; it learns of the
refusal at its first read, which is why the hello exchange counts as part of the handshake.
"""

import os
import ssl
import tempfile
from collections.abc import Iterable

import trio
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from p2p.errors import ConfigError, UntrustedPeer
from p2p.identity import NodeIdentity, PeerId, issue
from p2p.tlsstream import TlsStream


class TlsContexts:
    """The two TLS configurations of a node and the set of keys they trust; immutable."""

    def __init__(self, identity: NodeIdentity, pinned: Iterable[PeerId]) -> None:
        """Raises ConfigError if a pinned key is not an Ed25519 public key."""
        self.pinned = frozenset(pinned)
        anchors = _anchors(sorted({*self.pinned, identity.peer_id}))
        self.server = _context(ssl.PROTOCOL_TLS_SERVER, identity, anchors)
        self.client = _context(ssl.PROTOCOL_TLS_CLIENT, identity, anchors)
        # No session tickets: every connection proves possession of its key afresh.
        self.server.num_tickets = 0

    def wrap(self, stream: trio.abc.Stream, *, server_side: bool) -> TlsStream:
        """The stream with TLS on it; the handshake has not happened yet."""
        context = self.server if server_side else self.client
        return TlsStream(stream, context, server_side=server_side)


async def handshake(stream: TlsStream, who: str) -> PeerId:
    """Does the handshake and answers whose key it was; `who` names the other end in errors.

    Raises UntrustedPeer when TLS refuses the other side or it refuses us. Being one of the pinned keys is
    the caller's check (`TlsContexts.pinned`): our own key has an anchor too, so that a self-connection
    can be named.
    """
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        raise UntrustedPeer(describe(error), who) from error
    return authenticated_key(stream.peer_certificate(), who)


def authenticated_key(certificate_der: bytes | None, who: str) -> PeerId:
    """The raw Ed25519 key inside a presented certificate, whose possession TLS has just proven."""
    if certificate_der is None:
        raise UntrustedPeer("it presented no certificate", who)
    try:
        key = x509.load_der_x509_certificate(certificate_der).public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise UntrustedPeer(f"its certificate cannot be read: {error}", who) from error
    if not isinstance(key, Ed25519PublicKey):
        raise UntrustedPeer("its certificate does not hold an Ed25519 key", who)
    return PeerId(key.public_bytes_raw())


def describe(error: trio.BrokenResourceError) -> str:
    """What went wrong in a TLS stream, in words."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its key is not one of the pinned node keys ({cause.verify_message})"
    if isinstance(cause, ssl.SSLEOFError):
        return "it closed the connection without a word"
    if isinstance(cause, ssl.SSLError):
        reason = (cause.reason or str(cause)).lower().replace("_", " ")
        if "unknown ca" in reason or "decrypt error" in reason:
            return "it does not know our node key: its operator must add it to the peers or the allowed keys"
        return f"TLS failed: {reason}"
    if cause is not None:
        return f"the connection broke: {cause}"
    return "the connection broke"


def _anchors(keys: Iterable[PeerId]) -> bytes:
    throwaway = Ed25519PrivateKey.generate()
    anchors: list[bytes] = []
    for key in keys:
        try:
            anchor = issue(key, key.hex(), "isthmus local anchor", throwaway, authority=True)
        except ValueError as error:
            raise ConfigError(f"{key.hex()} is not an Ed25519 public key: {error}") from error
        anchors.append(anchor.public_bytes(serialization.Encoding.DER))
    return b"".join(anchors)


def _context(protocol: ssl._SSLMethod, identity: NodeIdentity, anchors: bytes) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=anchors)
    # `ssl` reads keys from files only: a private folder, an encrypted key, and both gone at once.
    password = os.urandom(32).hex()
    with tempfile.TemporaryDirectory(prefix="isthmus-") as folder:
        path = os.path.join(folder, "node.pem")
        with open(path, "xb") as file:
            file.write(identity.encrypted_pem(password.encode()))
        context.load_cert_chain(path, password=password)
    return context
