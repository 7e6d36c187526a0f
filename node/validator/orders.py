"""What clients want ordered, on its way to whoever seals it: our own pool, or the validators, by gossip."""

from node import wire
from node.ledger.transactions import Transaction
from node.validator import handover
from node.validator.dataplane import DataPlane
from node.validator.mail import Mail
from node.validator.outputs import PublishFrame, StartTimer
from node.validator.term import Term

HANDOVER_TIMER = "hand-over"


class Orders:
    """Admitted transactions of this node's clients, and those that observers hand over."""

    def __init__(self, mail: Mail, data: DataPlane) -> None:
        self._mail = mail
        self._data = data

    def take(self, term: Term, transactions: list[Transaction]) -> None:
        """A validator seals what it admitted; an observer hands it to the validators."""
        if not transactions:
            return
        if term.me is not None:
            data = self._data
            data.serve_pool(data.pool.on_transactions(transactions, self._mail.now_ms))
            return
        self._publish(self._data.outgoing.add(transactions))

    def again(self) -> None:
        """What was handed over and is not stored yet is due for another attempt."""
        self._publish(self._data.outgoing.again(self._mail.now_ms))

    def _publish(self, bodies: list[bytes]) -> None:
        for body in bodies:
            self._mail.put(PublishFrame(wire.Code.TRANSACTIONS, body))
        if len(self._data.outgoing):
            self._mail.put(StartTimer(HANDOVER_TIMER, handover.RETRY_MS))

    def on_handed(self, term: Term, body: bytes) -> bool:
        """A transaction came by gossip; whether to pass it on. Raises PeerError."""
        desk, now_ms = self._data.desk, self._mail.now_ms
        if desk.closed is not None:
            return True
        handed = handover.receive(body, desk.admission, term.me, len(term.validators), now_ms)
        if handed is not None and handed.taken:
            self.take(term, [handed.transaction])
        return handed is not None
