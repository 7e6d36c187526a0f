"""From one epoch into the next (C4), in two strides.

First our safety record leaves the old epoch, by itself in the journal: agreement of the old epoch hears and
says nothing from then on. Once that is on disk the new term begins. In one stride the guard beside the key
could be of the new epoch while the journal is of the old one, which is what lost data looks like (C14).
"""

from consensus import LocalError, SafetyRecord
from node.ledger.transactions import Transaction
from node.validator.border import Border
from node.validator.dataplane import DataPlane
from node.validator.durable import EnteredEpoch
from node.validator.feeding import Feeding
from node.validator.mail import Mail
from node.validator.outputs import Append, EnterEpoch, Tell
from node.validator.records import encode_start
from node.validator.term import Term, Terms, TermStart


class Crossing:
    """The way over the border; `under_way` between the two strides."""

    def __init__(self, mail: Mail, data: DataPlane, feeding: Feeding, terms: Terms, border: Border) -> None:
        self._mail = mail
        self._data = data
        self._feeding = feeding
        self._terms = terms
        self._border = border
        self._left: tuple[int, SafetyRecord] | None = None
        self.under_way = False
        """Whether the old epoch is left and the new one not begun."""
        self.is_due = False
        """Whether the new one is to begin now."""

    def leave(self, term: Term) -> None:
        """Leave the epoch of `term` if a stored header has ended it; the next is due at once where nothing
        ever signs, else once that is written."""
        if self.under_way or self._data.ended_epoch != term.epoch:
            return
        self.under_way = True
        record = self._terms.leave(term.epoch)
        if record is None:
            self.is_due = True
            return
        encoded = encode_start(record)
        seq = self._data.book.append(EnteredEpoch(record), len(encoded))
        self._left = seq, record
        self._mail.put(Append(seq, encoded))

    def on_written(self, seq: int) -> None:
        """Everything up to `seq` is on disk."""
        if self._left is not None and seq >= self._left[0]:
            self._terms.on_left(self._left[1])
            self._left, self.is_due = None, True

    def enter(self, term: Term) -> tuple[Term, list[Transaction]]:
        """The term after `term`, and our own transactions that are to be ordered again in it. Raises
        UpgradeNeeded when this software does not know the rules of the next epoch."""
        self.under_way = self.is_due = False
        self._mail.events.clear()  # for agreement of the epoch that is over
        mail, data = self._mail, self._data
        data.line.require_known_features()
        link = self._terms.epochs.link(term.epoch + 1)
        if link is None:
            raise LocalError(f"epoch {term.epoch} ended, and its link is not stored")
        entered = self._terms.begin(data.line.roster, TermStart(data.line.tip, None, link.certificate))
        renamed = mail.directory.enter(entered.roster)
        left = data.enter(entered.pool, entered.trust, renamed)
        mail.put(EnterEpoch(entered.epoch, mail.directory.validator_links))
        seat = "a validator" if entered.me is not None else "no validator"
        words = (
            f"epoch {entered.epoch} above height {link.header.height}, {len(entered.validators)} validators"
        )
        mail.put(Tell("epoch", f"{words}; this node is {seat} in it"))
        tip_ms = link.header.time_ms
        data.serve_pool(entered.pool.recover((), (), tip_ms, mail.now_ms))
        self._feeding.enter(entered, renamed)
        return entered, left
