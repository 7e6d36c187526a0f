"""Transactions between nodes: an observer hands what its clients sent to the validators, by gossip.

Only the validator that takes a transaction seals it, so that it is ordered once: of all validators that
hear of it, the one that the transaction's id and the attempt point to. While it is not stored here, the
observer spreads it again and the next validator's turn comes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from consensus import (
    CodecError,
    Digest,
    InvalidMessage,
    MalformedMessage,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    encode_trusted,
)
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.transactions import Transaction, check_signature
from node.pool.admission import Admission

RETRY_MS = 2_000
"""Between two attempts: several times what ordering takes on a busy cluster."""
ATTEMPTS_MAX = 64
HANDED_MAX = 65_536
"""Transactions an observer waits for at once: admission counts the same ones and refuses beyond it."""
_SILENT = (Code.EXPIRED, Code.REPLAYED, Code.POOL_FULL, Code.QUOTA_EXCEEDED, Code.EXPIRY_TOO_FAR)
"""Refusals an honest neighbour cannot foresee: not forwarded, and nobody's fault."""


@dataclass(slots=True)
class _Handed:
    encoded: bytes
    expires_at_ms: int
    attempt: int = 0


class Outgoing:
    """An observer's transactions until they are stored or expired."""

    def __init__(self) -> None:
        self._handed: dict[Digest, _Handed] = {}

    def __len__(self) -> int:
        return len(self._handed)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("handed_transactions", len(self), HANDED_MAX),)

    def add(self, transactions: Iterable[Transaction]) -> list[bytes]:
        """The gossip bodies of a first attempt each."""
        bodies = []
        for transaction in transactions:
            self._handed[transaction.id] = _Handed(transaction.encoded, transaction.expires_at_ms)
            bodies.append(encode_trusted((0, transaction.encoded)))
        return bodies

    def stored(self, ids: Iterable[Digest]) -> None:
        """These need no further attempt."""
        for tx_id in ids:
            self._handed.pop(tx_id, None)

    def again(self, now_ms: int) -> list[bytes]:
        """The gossip bodies of the next attempt of everything that still waits; what expired is let go."""
        bodies = []
        for tx_id, handed in list(self._handed.items()):
            handed.attempt += 1
            if handed.expires_at_ms <= now_ms or handed.attempt > ATTEMPTS_MAX:
                del self._handed[tx_id]
            else:
                bodies.append(encode_trusted((handed.attempt, handed.encoded)))
        return bodies


@dataclass(frozen=True, slots=True)
class Handed:
    """A gossiped transaction: valid by its bytes; `taken` when it is this validator's to seal."""

    transaction: Transaction
    taken: bool


def receive(body: bytes, admission: Admission, me: int | None, validators: int, now_ms: int) -> Handed | None:
    """Judge a gossiped transaction: None when it is to be dropped in silence. Raises PeerError for what no
    honest node forwards."""
    try:
        attempt_value, encoded_value = as_tuple(
            decode(body, max_depth=2, max_items=2), 2, "handed transaction"
        )
        attempt = as_int(attempt_value, "attempt", high=ATTEMPTS_MAX)
        encoded = as_bytes(encoded_value, "transaction")
    except CodecError as error:
        raise MalformedMessage("gossip-transaction", str(error)) from error
    try:
        transaction = admission.precheck(encoded, now_ms)
    except RejectedTransaction as rejection:
        if rejection.code in _SILENT:
            return None
        raise InvalidMessage("gossip-transaction", str(rejection)) from rejection
    if not check_signature(transaction, admission.scheme):
        raise InvalidMessage("gossip-transaction", "the signature is not the sender's")
    turn = (int.from_bytes(transaction.id[:8], "big") + attempt) % validators
    if me != turn:
        return Handed(transaction, False)
    try:
        admission.admit(transaction, now_ms)
    except RejectedTransaction:
        return Handed(transaction, False)
    return Handed(transaction, True)
