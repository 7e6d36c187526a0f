"""What becomes of a batch once somebody looked at its bytes: acknowledged, or its author's fault.

On a benchmark cluster of opaque bytes nobody need look: what was decoded is valid.
"""

from consensus import InvalidMessage, ValidatorIndex, ValidatorSet
from node.pool.batches import BatchContent, BatchReport
from node.pool.checking import PayloadChecks
from node.pool.config import PoolConfig
from node.pool.effects import Penalise, PoolEffect, VerifyBatch
from node.pool.shelf import FOREIGN, HeldBatch, Shelf
from node.pool.spreading import Spreading


class Verdicts:
    """Reports about batches, carried to whoever waits for them."""

    def __init__(
        self,
        config: PoolConfig,
        validators: ValidatorSet,
        shelf: Shelf,
        checks: PayloadChecks,
        spreading: Spreading,
    ) -> None:
        self._is_opaque = config.batch.content is BatchContent.CHUNKS
        self._validators = validators
        self._shelf = shelf
        self._checks = checks
        self._spreading = spreading

    def on_report(self, report: BatchReport, elapsed_ms: int) -> list[PoolEffect]:
        """The answer to `VerifyBatch`."""
        held = self._shelf.get(report.digest)
        if held is None or held.verified:
            return []
        if report.ok:
            self._shelf.keep_opened(held, report.opened)
            return self.accept(held, elapsed_ms)
        effects: list[PoolEffect] = []
        pushed_by = None if held.group == FOREIGN else ValidatorIndex(held.group)
        self._shelf.remove(report.digest)
        self._checks.note_invalid(report.digest, pushed_by)
        if pushed_by is not None:
            author = self._validators.validators[pushed_by].public_key
            effects.append(Penalise(author, InvalidMessage("batch-invalid", report.detail, author)))
        return effects + self._checks.judge_with(report.digest)

    def accept(self, held: HeldBatch, elapsed_ms: int) -> list[PoolEffect]:
        """Its signatures are good: verified here, or attested by a blocking set (VC1)."""
        held.verified = True
        needed = self._checks.references(held.batch.digest)
        effects = self._spreading.on_verified(held, elapsed_ms, needed=needed)
        self._shelf.refresh(held)
        return effects + self._checks.judge_with(held.batch.digest)

    def in_place(self, effects: list[PoolEffect], elapsed_ms: int) -> list[PoolEffect]:
        """The effects with every question answered that need not leave this node."""
        if not self._is_opaque:
            return effects
        answered: list[PoolEffect] = []
        for effect in effects:
            if isinstance(effect, VerifyBatch):
                answered += self.on_report(BatchReport(effect.digest, True, ""), elapsed_ms)
            else:
                answered.append(effect)
        return answered
