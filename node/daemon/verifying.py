"""What a verification worker runs, and all that it loads: a process that imports this starts in a tenth of a
second, and with a tenth of the memory, of one that imports the daemon.

Pure functions of bytes; `workers.py` decides where they run.
"""

import gc
from dataclasses import replace
from typing import TypeAlias

from consensus import ED25519, Digest, PublicKey, Signature
from node.pool.batches import BatchReport, BatchRules, verify_batch

GARBAGE_THRESHOLDS = (50_000, 10, 10)
"""New objects between two looks for cycles, and looks between two at older ones. By default there is a look
every 700, and under load each walks over transactions, receipts and writes that are still needed."""


def pace_garbage_collection() -> None:
    """Look for cycles of this process at our own pace; what is in none is freed at once anyway."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)


Signed: TypeAlias = tuple[PublicKey, Digest, Signature]
"""A sender, the id that was signed, and the signature: all that a check needs of a decoded transaction."""


def check_signatures(signed: tuple[Signed, ...]) -> tuple[bool, ...]:
    """For each whether the signature is its sender's."""
    return tuple(ED25519.verify(*one) for one in signed)


def judge_batch(data: bytes, rules: BatchRules) -> BatchReport:
    """`verify_batch`; what it decoded stays here: to send it costs what it costs to decode it."""
    return replace(verify_batch(data, rules), opened=())
