"""Ed25519 and SHA-256 with domain separation: the only cryptography of the agreement layer.

Everything signed or hashed starts with a domain tag (`isthmus/vote/v1`), so that bytes made for one
purpose can never be replayed for another. Signatures are made over 32-byte digests. One verifier is
used everywhere (libsodium's, through PyNaCl): verifiers of different libraries accept different sets
of crafted signatures, which would split a cluster. Source: RFC 8032; FIPS 180-4.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import NewType, Protocol

from nacl.bindings import crypto_sign, crypto_sign_open, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError, CryptoError

PublicKey = NewType("PublicKey", bytes)
"""A 32-byte Ed25519 public key."""
Signature = NewType("Signature", bytes)
"""A 64-byte Ed25519 signature over a 32-byte digest."""
Digest = NewType("Digest", bytes)
"""A 32-byte SHA-256 digest."""

PUBLIC_KEY_BYTES = 32
SIGNATURE_BYTES = 64
DIGEST_BYTES = 32
SEED_BYTES = 32


_COPIED_BYTES_MAX = 8 * 1024
"""Up to here joining domain and content costs less than a second call of the hash function."""


def digest(domain: str, *parts: bytes) -> Digest:
    """SHA-256 of the length-prefixed domain tag and the concatenated `parts`.

    Callers pass one canonical encoding, or parts of fixed width: the parts are not delimited.
    """
    content = parts[0] if len(parts) == 1 else b"".join(parts)
    if len(content) < _COPIED_BYTES_MAX:
        return Digest(sha256(_prefix(domain) + content).digest())
    hasher = sha256(_prefix(domain))
    hasher.update(content)
    return Digest(hasher.digest())


@lru_cache(maxsize=64)
def _prefix(domain: str) -> bytes:
    tag = domain.encode("ascii")
    return bytes((len(tag),)) + tag


class Signer(Protocol):
    """Something that signs: `SigningKey`, and in the simulator a keyed hash in its place."""

    @property
    def public_key(self) -> PublicKey:
        """The key that verifies what this signs."""

    def sign(self, message: Digest) -> Signature:
        """The signature of a 32-byte digest."""


class SigningKey:
    """An Ed25519 private key made from a 32-byte seed; its representation never shows the secret."""

    __slots__ = ("_public_key", "_secret")

    def __init__(self, seed: bytes) -> None:
        """Raises ValueError unless `seed` is 32 bytes."""
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a signing key seed has {SEED_BYTES} bytes, not {len(seed)}")
        public, self._secret = crypto_sign_seed_keypair(seed)
        self._public_key = PublicKey(public)

    @property
    def public_key(self) -> PublicKey:
        """The 32-byte key that verifies."""
        return self._public_key

    def sign(self, message: Digest) -> Signature:
        """The signature of a 32-byte digest."""
        return Signature(crypto_sign(message, self._secret)[:SIGNATURE_BYTES])

    def __repr__(self) -> str:
        return f"SigningKey(public_key={self.public_key.hex()[:12]}...)"


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` is `public_key`'s over `message`; malformed lengths are simply False."""
    if len(signature) != SIGNATURE_BYTES or len(public_key) != PUBLIC_KEY_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, public_key)
    except (BadSignatureError, CryptoError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class SignatureScheme:
    """How signatures are checked. A validator is assembled with one and asks no other; a daemon refuses
    every scheme but `ED25519`, so that a simulator may put a cheaper one in its place."""

    name: str
    verify: Callable[[bytes, bytes, bytes], bool]
    """(public key, message, signature) -> whether it is good; never raises."""


ED25519 = SignatureScheme("ed25519", verify)


class SignatureCache:
    """Remembers signatures that verified, so that each is checked once (votes come back inside QCs).

    The key is message, signer and signature together: a cache that left out the message would accept
    any message for a known signature. Only successes are kept; bounded, oldest out first.
    """

    __slots__ = ("_seen", "_verify", "hits", "limit", "misses", "scheme")

    def __init__(self, limit: int = 4096, scheme: SignatureScheme = ED25519) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._verify = scheme.verify
        self.scheme = scheme
        self.limit = limit
        self.hits = 0
        self.misses = 0

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """The scheme's `verify`, remembering a success."""
        entry = message + public_key + signature
        if entry in self._seen:
            self.hits += 1
            return True
        self.misses += 1
        if not self._verify(public_key, message, signature):
            return False
        self._remember(entry)
        return True

    def add(self, public_key: bytes, message: bytes, signature: bytes) -> None:
        """Remember a signature this process has just made itself."""
        self._remember(message + public_key + signature)

    def _remember(self, entry: bytes) -> None:
        self._seen[entry] = None
        if len(self._seen) > self.limit:
            self._seen.popitem(last=False)

    def __len__(self) -> int:
        return len(self._seen)
