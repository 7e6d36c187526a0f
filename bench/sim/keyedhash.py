"""A keyed hash in the place of Ed25519: it makes a simulated world cheaper and proves nothing to anybody.

The public key is the hash's key, so whoever knows a validator can forge it. That is safe in a simulation,
where Byzantine drivers sign with the keys they are given, and nowhere else: a daemon refuses the scheme
(`node.daemon.daemon.require_ed25519`). Signatures keep Ed25519's length, so that every frame has its size.
"""

from hashlib import blake2b

from consensus import Digest, PublicKey, Signature, SignatureScheme, SigningKey

_SIGNATURE_BYTES = 64


def _tag(public_key: bytes, message: bytes) -> bytes:
    return blake2b(message, key=public_key, digest_size=_SIGNATURE_BYTES).digest()


def _verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    return len(public_key) == 32 and signature == _tag(public_key, message)


KEYED_HASH = SignatureScheme("keyed-hash", _verify)


class KeyedHashKey:
    """Signs as `consensus.SigningKey` does, for `KEYED_HASH`."""

    __slots__ = ("_public_key",)

    def __init__(self, seed: bytes) -> None:
        # a genesis takes only real Ed25519 keys
        self._public_key = SigningKey(seed).public_key

    @property
    def public_key(self) -> PublicKey:
        """32 bytes."""
        return self._public_key

    def sign(self, message: Digest) -> Signature:
        """64 bytes."""
        return Signature(_tag(self._public_key, message))
