"""What a verification worker runs, and all that it loads: a process that imports this starts in a tenth of a
second, and with a tenth of the memory, of one that imports the daemon.

Pure functions of bytes; `workers.py` decides where they run.
"""

import gc

from node.ledger.codes import RejectedTransaction
from node.ledger.transactions import Transaction, check_signature

GARBAGE_THRESHOLDS = (50_000, 10, 10)
"""New objects between two looks for cycles, and looks between two at older ones. By default there is a look
every 700, and under load each walks over transactions, receipts and writes that are still needed."""


def pace_garbage_collection() -> None:
    """Look for cycles of this process at our own pace; what is in none is freed at once anyway."""
    gc.set_threshold(*GARBAGE_THRESHOLDS)


def check_transactions(encoded: tuple[bytes, ...], max_bytes: int) -> tuple[bool, ...]:
    """For each transaction whether it decodes and its signature is its sender's."""
    return tuple(_is_signed(data, max_bytes) for data in encoded)


def _is_signed(data: bytes, max_bytes: int) -> bool:
    try:
        return check_signature(Transaction.decode(data, max_bytes))
    except RejectedTransaction:
        return False
