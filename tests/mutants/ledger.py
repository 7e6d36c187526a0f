"""Mutants of execution and of what clients are told: replay, expiry, results that differ between nodes."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

from bench.sim.seams import Parts
from consensus import HeaderCertificate
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.execution import BlockToExecute, Ledger
from node.ledger.receipts import hash_writes
from node.ledger.replay import ReplayGuard
from node.ledger.run import Run
from node.ledger.transactions import Transaction
from node.validator import Validator
from node.validator.line import ExecutionLine, Settled
from tests.mutants.hunt import Hunt
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.weather import NETWORK, decision, standstill


def _execute_whenever(self: Run, position: int, transaction: Transaction) -> None:
    """A transaction is good for ever."""
    if not self._guard.admit(transaction):
        self.skipped.append((position, Code.REPLAYED))
        return
    try:
        result, writes = self._call(transaction)
    except RejectedTransaction as rejection:
        self._fail(position, transaction, rejection)
    else:
        self.state.state.update(writes)
        self._leaf(position, transaction, Code.OK, result, hash_writes(writes))


_admit = ReplayGuard.admit


def _admit_always(self: ReplayGuard, transaction: Transaction) -> bool:
    _admit(self, transaction)
    return True


def _changed(change: Callable[[Validator, bytes], None]) -> Callable[[Parts], Parts]:
    """Every validator is changed after it was put together, by something that is its own."""

    def parts_of(parts: Parts) -> Parts:
        def assemble(*arguments: Any, **named: Any) -> Validator:
            validator = parts.assemble(*arguments, **named)
            change(validator, bytes(named["consensus_key"]))
            return validator

        return replace(parts, assemble=assemble)

    return parts_of


def _order_of_a_set(validator: Validator, own: bytes) -> None:
    """Transactions of a block in the order of a set, whose hash is another in every process."""
    ledger = validator.data.line._ledger
    begin = ledger.begin

    def begin_shuffled(block: BlockToExecute) -> None:
        shuffled = sorted(block.transactions, key=lambda t: sha256(own + t.id).digest())
        begin(replace(block, transactions=tuple(shuffled)))

    ledger.begin = begin_shuffled  # type: ignore[method-assign]  # this ledger only


def _time_of_its_own(validator: Validator, own: bytes) -> None:
    """Headers dated when they are made."""
    ledger, mail = validator.data.line._ledger, validator._mail
    begin = ledger.begin

    def begin_now(block: BlockToExecute) -> None:
        begin(replace(block, time_ms=max(mail.now_ms, ledger.tip.header.time_ms + 1)))

    ledger.begin = begin_now  # type: ignore[method-assign]  # this ledger only


def _take_executed(self: ExecutionLine) -> tuple[list[Settled], list[HeaderCertificate]]:
    settled = list(self._executed)
    self._executed.clear()
    certificates = [
        self._certificates.pop(h) for h in sorted(self._certificates) if h <= self.executed_height
    ]
    return settled, certificates


_begin = Ledger.begin


def _begin_in_any_epoch(self: Ledger, block: BlockToExecute) -> None:
    """What the old set ordered after the end of its epoch is executed like everything else."""
    _begin(self, replace(block, epoch=self.epoch))


def _skips_nothing(self: Ledger, epoch: int) -> bool:
    return False


LEDGER = (
    Mutant(
        "expired-is-executed",
        "C24: expiry is judged at the block's time",
        "Checked at the door only: between the door and the block it may wait for minutes.",
        Hunt(faults=(standstill, *NETWORK)),
        (Patch(Run, "_execute", _execute_whenever),),
    ),
    Mutant(
        "replay-not-checked",
        "C22, F17: a (sender, id) is executed once",
        "The pool drops doubles, so the ledger need not: until one client asks two nodes.",
        Hunt(),
        (Patch(ReplayGuard, "admit", _admit_always),),
    ),
    Mutant(
        "order-of-a-set",
        "DESIGN 5: the same result at every node",
        "Aptos, 18 October 2023: iteration over an unordered collection, five hours of outage.",
        Hunt(),
        parts=_changed(_order_of_a_set),
    ),
    Mutant(
        "header-dated-by-its-maker",
        "DESIGN 5: a header is a function of its block",
        "time.time() in execution: an app hash that differs, as every chain's first one did.",
        Hunt(),
        parts=_changed(_time_of_its_own),
    ),
    Mutant(
        "shown-before-certified",
        "C26: acknowledged means certified",
        "Jepsen on Radix, 2022: the read path showed what was not final yet.",
        Hunt(),
        (Patch(ExecutionLine, "take_certified", _take_executed),),
    ),
    Mutant(
        "executed-after-the-epoch-ended",
        "C4: payload ordered after a reconfiguring block is not executed",
        "Voters cannot know that a block reconfigures; who executes on has as many histories as crossings.",
        Hunt(storm_ms=2_000, faults=(decision,), pause_ms=(4, 20), calm_ms=6_000),
        (
            Patch(Ledger, "begin", _begin_in_any_epoch),
            Patch(Ledger, "skips", _skips_nothing),
        ),
    ),
)
