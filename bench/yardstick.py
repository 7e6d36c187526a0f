"""What one signature costs on a machine: the yardstick by which figures of different machines are compared.

Agreement is made of Ed25519 checks, so a machine on which one takes twice as long does half of most things,
whatever its clock says. Measured in CPU time, so that neighbours disturb it little.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from statistics import median

from consensus import Digest, SigningKey, verify

_CALLS = 40
_RUNS = 9
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class SignatureCost:
    """CPU microseconds of one Ed25519 signature over 32 bytes, made and checked."""

    verify_us: float
    sign_us: float


def measure_signatures() -> SignatureCost:
    """Medians of short runs, in about 50 ms. Raises AssertionError when a good signature does not verify."""
    key = SigningKey(sha256(b"yardstick").digest())
    message = Digest(bytes(32))
    signature = key.sign(message)
    if not verify(key.public_key, message, signature):
        raise AssertionError("a good signature does not verify")
    return SignatureCost(
        _cost_us(lambda: verify(key.public_key, message, signature)), _cost_us(lambda: key.sign(message))
    )


def _cost_us(operation: Callable[[], object]) -> float:
    runs = []
    for _ in range(_RUNS):
        started = time.process_time()
        for _ in range(_CALLS):
            operation()
        runs.append((time.process_time() - started) / _CALLS)
    return median(runs) * _MICRO
