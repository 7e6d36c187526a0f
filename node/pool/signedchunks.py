"""Transactions of a benchmark cluster that verifies signatures and executes nothing.

Each is `public key (32) | Ed25519 signature (64) | content`, as many of one size joined as a chunk has. What
is signed is the digest of the cluster's id and the content under a domain of its own, so that no signature is
good for another cluster or purpose. Anybody's key will do: there is no ledger that knows members. Verifying
costs what it costs an honest cluster, execution nothing.
"""

from collections.abc import Generator

from consensus import Digest, SignatureScheme, Signer, digest

_DOMAIN = "isthmus/benchmark-transaction/v1"
_KEY_BYTES = 32
_CONTENT_AT = _KEY_BYTES + 64
SIGNED_BYTES_MIN = _CONTENT_AT + 1
"""Of one transaction: a key, a signature, and something that is signed."""


def signed_transaction(key: Signer, cluster_id: bytes, content: bytes) -> bytes:
    """One transaction with this content, signed for this cluster."""
    return key.public_key + key.sign(_signed(cluster_id, content)) + content


def examine_chunk(
    chunk: bytes, transaction_bytes: int, cluster_id: bytes, scheme: SignatureScheme
) -> Generator[None, None, str]:
    """Check every signature of a chunk, a whole number of transactions of SIGNED_BYTES_MIN at least, in steps
    of one: the first fault in words, "" when there is none."""
    verify = scheme.verify
    for position, start in enumerate(range(0, len(chunk), transaction_bytes)):
        key, signature, content = (
            chunk[start : start + _KEY_BYTES],
            chunk[start + _KEY_BYTES : start + _CONTENT_AT],
            chunk[start + _CONTENT_AT : start + transaction_bytes],
        )
        if not verify(key, _signed(cluster_id, content), signature):
            return f"transaction {position}: the signature is wrong"
        yield
    return ""


def verify_chunk(chunk: bytes, transaction_bytes: int, cluster_id: bytes, scheme: SignatureScheme) -> str:
    """`examine_chunk` in one go."""
    steps = examine_chunk(chunk, transaction_bytes, cluster_id, scheme)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            fault: str = end.value
            return fault


def _signed(cluster_id: bytes, content: bytes) -> Digest:
    return digest(_DOMAIN, cluster_id, content)
