"""The desk where clients' transactions are taken in: looked at, signatures checked, admitted, answered.

A ticket is one request of a client. Its transactions are prechecked at once, their signatures are checked
by whoever the shell chooses, and then each is admitted or refused; one refusal never touches the others.
"""

from collections.abc import Callable
from dataclasses import dataclass

from consensus import Digest
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.transactions import Transaction
from node.pool.admission import Admission
from node.validator.outputs import Answer, CheckSignatures, Refusal

TICKETS_MAX = 1024
"""Requests whose signatures are being checked; the shell's own bound on requests is lower."""


@dataclass(frozen=True, slots=True)
class _Ticket:
    outcomes: tuple[Digest | Refusal | None, ...]
    """None where a signature is being checked."""
    waiting: tuple[Transaction, ...]


class Desk:
    """Open tickets, in front of `Admission`."""

    def __init__(self, admission: Admission, is_replay: Callable[[Transaction, int], bool]) -> None:
        """`is_replay(transaction, now_ms)`: another transaction of this sender has used its id, so that
        ordering it would come to nothing, not even a receipt (C22)."""
        self.admission = admission
        self._is_replay = is_replay
        self._tickets: dict[int, _Ticket] = {}
        self.closed: str | None = None
        """Why nothing is admitted at the moment, in words (diverged, disk low)."""

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound)."""
        return (("desk_tickets", len(self._tickets), TICKETS_MAX), *self.admission.limits())

    def submit(self, ticket: int, encoded: tuple[bytes, ...], now_ms: int) -> Answer | CheckSignatures:
        """Look at a request: answered at once when nothing in it is worth a signature check."""
        outcomes: list[Digest | Refusal | None] = []
        waiting: list[Transaction] = []
        crowd = self.admission.crowd()
        later = None if crowd is None else Refusal(Code.POOL_FULL, crowd.sentence)
        for data in encoded:
            if crowd is not None and crowd.refuses(data):
                outcomes.append(later)
                continue
            verdict = self._precheck(data, now_ms, full=len(self._tickets) >= TICKETS_MAX)
            if isinstance(verdict, Transaction):
                waiting.append(verdict)
                outcomes.append(None)
            else:
                outcomes.append(verdict)
        if not waiting:
            return Answer(ticket, tuple(o for o in outcomes if o is not None))
        self._tickets[ticket] = _Ticket(tuple(outcomes), tuple(waiting))
        return CheckSignatures(ticket, self._tickets[ticket].waiting)

    def _precheck(self, data: bytes, now_ms: int, full: bool) -> Transaction | Digest | Refusal:
        if self.closed is not None:
            return Refusal(Code.POOL_FULL, self.closed)
        if full:
            return Refusal(Code.POOL_FULL, f"{TICKETS_MAX} requests are being checked; retry after 1000 ms")
        try:
            transaction = self.admission.precheck(data, now_ms)
        except RejectedTransaction as rejection:
            return self._refused(data, rejection)
        if self._is_replay(transaction, now_ms):
            detail = f"id {transaction.unique_id.hex()} of sender {transaction.sender.hex()[:12]}"
            return Refusal(Code.REPLAYED, str(RejectedTransaction(Code.REPLAYED, detail)))
        return transaction

    def _refused(self, data: bytes, rejection: RejectedTransaction) -> Digest | Refusal:
        if rejection.code is Code.REPLAYED:
            # The same bytes again: the first copy is on its way or done, so the client may wait for it.
            return Transaction.decode(data, len(data)).id
        return Refusal(rejection.code, str(rejection))

    def checked(self, ticket: int, valid: tuple[bool, ...], now_ms: int) -> tuple[list[Transaction], Answer]:
        """The admitted transactions, and the answer to the client."""
        opened = self._tickets.pop(ticket)
        admitted: list[Transaction] = []
        verdicts = iter(
            [self._admit(t, ok, now_ms, admitted) for t, ok in zip(opened.waiting, valid, strict=True)]
        )
        outcomes = tuple(next(verdicts) if outcome is None else outcome for outcome in opened.outcomes)
        return admitted, Answer(ticket, outcomes)

    def _admit(
        self, transaction: Transaction, signed: bool, now_ms: int, admitted: list[Transaction]
    ) -> Digest | Refusal:
        if self.closed is not None:  # it may have closed while signatures were checked
            return Refusal(Code.POOL_FULL, self.closed)
        try:
            if not signed:
                raise RejectedTransaction(Code.BAD_SIGNATURE, f"sender {transaction.sender.hex()[:12]}")
            self.admission.charge(transaction.sender, now_ms)
            self.admission.admit(transaction, now_ms)
        except RejectedTransaction as rejection:
            return self._refused(transaction.encoded, rejection)
        admitted.append(transaction)
        return transaction.id
