"""May this replica vote for this payload? Decided at once, or when what is missing has arrived.

AVAILABLE needs every referenced batch verified and durable here, every inline body verified, none expired at
the block's time (C24), none ordered before, and all within the rules. Verified is what this node verified or
a blocking set of the epoch's roster attests (VC1, `attesting.py`). A fault is the proposer's; a missing batch
is reported under its author's name only when that author's own link said that it holds it, so that a liar's
reference cannot put the blame on somebody else.
"""

from dataclasses import dataclass

from consensus import Block, Digest, PayloadChecked, ValidatorIndex, Verdict
from node.pool.config import PoolConfig
from node.pool.contents import Contents, timing_fault
from node.pool.effects import Answer, PoolEffect
from node.pool.ordered import OrderedBlocks
from node.pool.payload import Reference
from node.pool.shelf import Shelf


@dataclass(slots=True)
class _Check:
    block: Block
    contents: Contents
    told_missing: bool = False


class PayloadChecks:
    """The blocks without a verdict yet, oldest first; bounded, the oldest is given up first."""

    def __init__(self, config: PoolConfig, shelf: Shelf, ordered: OrderedBlocks) -> None:
        self._config = config
        self._shelf = shelf
        self._ordered = ordered
        self._waiting: dict[Digest, _Check] = {}
        self.invalid: dict[Digest, ValidatorIndex | None] = {}
        """Digests whose bytes break the rules, with the author whose own link pushed them."""

    def start(self, block: Block, contents: Contents, ancestors: tuple[Contents, ...]) -> str:
        """Take up a block; answers with its fault in words, or "" when `judge` shall decide."""
        if contents.fault:
            return contents.fault
        for name in contents.names():
            if self._ordered.contains(name) or any(name in older.digests for older in ancestors):
                return "a batch is ordered already"
        self._waiting[block.id] = _Check(block, contents)
        while len(self._waiting) > self._config.checks_max:
            del self._waiting[next(iter(self._waiting))]
        return ""

    def judge(self, block_id: Digest) -> list[PoolEffect]:
        """The verdict on a block taken up, if there is something new to say."""
        check = self._waiting.get(block_id)
        if check is None:
            return []
        fault, blamed = self._fault(check)
        if fault:
            return self._decide(block_id, Verdict.INVALID, blamed, fault)
        missing = self.missing(block_id)
        if missing:
            if check.told_missing:
                return []
            check.told_missing = True
            blamed = self._answerable(missing[0], check.block)
            return [Answer(PayloadChecked(block_id, Verdict.MISSING, blamed, "being fetched"))]
        if not self._all_held(check.contents):
            return []
        return self._decide(block_id, Verdict.AVAILABLE, None, "")

    def judge_with(self, name: Digest) -> list[PoolEffect]:
        """The verdicts on the blocks whose payload holds this batch, of which something became known."""
        return [effect for block_id in self.blocks_with(name) for effect in self.judge(block_id)]

    def blocks_with(self, name: Digest) -> tuple[Digest, ...]:
        """The blocks waiting whose payload holds this batch."""
        return tuple(i for i, check in self._waiting.items() if name in check.contents.digests)

    def waiting(self) -> tuple[Block, ...]:
        """Every block without a verdict."""
        return tuple(check.block for check in self._waiting.values())

    def missing(self, block_id: Digest) -> tuple[Reference, ...]:
        """The references of a waiting block whose batches are not here."""
        check = self._waiting.get(block_id)
        if check is None:
            return ()
        return tuple(r for r in check.contents.references if self._shelf.get(r.digest) is None)

    def references(self, name: Digest) -> bool:
        """Whether a waiting block names this batch, so that it must be durable for a vote."""
        return any(
            reference.digest == name
            for check in self._waiting.values()
            for reference in check.contents.references
        )

    def drop_through(self, block: Block) -> None:
        """`block` is committed: it and everything of its round or before needs no verdict any more."""
        place = (block.epoch, block.round)
        ended = [i for i, c in self._waiting.items() if (c.block.epoch, c.block.round) <= place]
        for block_id in ended:
            del self._waiting[block_id]

    def note_invalid(self, name: Digest, pushed_by: ValidatorIndex | None) -> None:
        """The bytes of this digest break the rules; bounded, the oldest is forgotten first."""
        self.invalid[name] = pushed_by
        if len(self.invalid) > self._config.invalid_digests_max:
            del self.invalid[next(iter(self.invalid))]

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        return (
            ("pool_payload_checks", len(self._waiting), self._config.checks_max),
            ("pool_invalid_digests", len(self.invalid), self._config.invalid_digests_max),
        )

    def _decide(
        self, block_id: Digest, verdict: Verdict, blamed: ValidatorIndex | None, reason: str
    ) -> list[PoolEffect]:
        del self._waiting[block_id]
        return [Answer(PayloadChecked(block_id, verdict, blamed, reason))]

    def _fault(self, check: _Check) -> tuple[str, ValidatorIndex | None]:
        size = 0
        for name in check.contents.names():
            if name in self.invalid:
                return "a batch breaks the rules", self.invalid[name]
        for reference in check.contents.references:
            held = self._shelf.get(reference.digest)
            if held is None:
                continue
            if held.batch.author != reference.author:
                return "a reference names another author than the batch", None
            fault = timing_fault(held.batch, check.block, self._config)
            if fault:
                return fault, None
            size += len(held.batch.encoded)
        size += sum(len(batch.encoded) for batch in check.contents.inline)
        if size > self._config.payload.body_bytes_max:
            return f"{size} bytes of batches exceed {self._config.payload.body_bytes_max}", None
        return "", None

    def _all_held(self, contents: Contents) -> bool:
        for reference in contents.references:
            held = self._shelf.get(reference.digest)
            if held is None or not held.verified or not held.durable:
                return False
        return all(
            (held := self._shelf.get(batch.digest)) is not None and held.verified for batch in contents.inline
        )

    def _answerable(self, reference: Reference, block: Block) -> ValidatorIndex:
        known = self._shelf.is_acknowledged_by(reference.digest, reference.author)
        return reference.author if known else block.author
