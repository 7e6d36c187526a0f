"""Mutants of signing: what a key forgets, signs twice, or lets go before it is durable."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bench.sim import host
from bench.sim.disk import Disk
from bench.sim.host import Host
from bench.sim.seams import Parts
from consensus import (
    Epoch,
    GuardRecord,
    Height,
    Persist,
    Persisted,
    Replica,
    Round,
    SafetyRecord,
    SafetyRules,
    Signer,
    SigningFloor,
    StartKind,
    ValidatorIndex,
    admit,
    encode,
    safety,
)
from consensus.blocks import Block
from consensus.effects import Effect
from consensus.events import Event
from consensus.messages import MessageKind
from node import wire
from node.validator import Append, Output, Recovered, SendFrame, Validator
from tests.mutants.hunt import Hunt
from tests.mutants.liars import Equivocator
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.weather import (
    CRASHES,
    GENERIC,
    NETWORK,
    crash,
    crash_at_boundary,
    restore_backup,
    wipe,
)

Remembers = Callable[[SafetyRecord], SafetyRecord]


def _starting_from(remembers: Remembers) -> Callable[[Parts], Parts]:
    """A signer that starts from what is left of its record."""

    def safety_rules(
        key: Signer, cluster_id: bytes, author: ValidatorIndex, record: SafetyRecord, guard: GuardRecord
    ) -> SafetyRules:
        return SafetyRules(key, cluster_id, author, remembers(record), guard)

    return lambda parts: replace(parts, safety=safety_rules)


def _nothing(record: SafetyRecord) -> SafetyRecord:
    return SafetyRecord.initial(record.epoch, record.boot, Height(0))


def _no_proposal(record: SafetyRecord) -> SafetyRecord:
    return replace(record, last_proposed_round=Round(0))


def _no_header(record: SafetyRecord) -> SafetyRecord:
    return replace(record, last_signed_height=Height(0), last_header=None)


# --- a vote signed anew (C15) ---------------------------------------------


def _may_vote_unless_passed(self: SafetyRules, block: Block) -> str | None:
    if block.round <= self.record.floor_round or block.round < self.record.last_voted_round:
        return "a round that was left"
    return safety.extends_safely(block)


def _forgets_the_vote(record: SafetyRecord) -> SafetyRecord:
    return replace(record, last_vote=None)


# --- headers (C3) ---------------------------------------------


def _reordered_after_a_restart(parts: Parts) -> Parts:
    """What is executed again after a start takes its batches as storage lists them, by digest."""

    def assemble(*arguments: Any, **named: Any) -> Validator:
        found: Recovered = arguments[1]
        again = {proposal.block.id for proposal in found.proposals}
        validator = parts.assemble(*arguments, **named)
        line = validator.data.line
        add = line.add

        def add_sorted(committed: Any, batches: Any) -> None:
            if committed.block.id in again:
                batches = tuple(sorted(batches, key=lambda batch: bytes(batch.digest)))
            add(committed, batches)

        line.add = add_sorted  # type: ignore[assignment,method-assign]  # this line only
        return validator

    return replace(_starting_from(_no_header)(parts), assemble=assemble)


# --- the guard (C14) ---------------------------------------------


def _new_guard(disk: Disk) -> None:
    disk.guard = encode(GuardRecord.initial(Epoch(0)).to_value())


def _guard_made_anew(parts: Parts) -> Parts:
    return replace(parts, before_start=_new_guard)


def _admit_without_guard(
    record: SafetyRecord | None, guard: GuardRecord | None, epoch: Epoch, **found_damaged: bool
) -> SigningFloor:
    """Whatever data is there is taken for the newest."""
    floor = admit(record, guard, epoch, **found_damaged)
    if floor.kind is not StartKind.BEHIND or floor.record is None or guard is None:
        return floor
    boot = floor.record.boot
    found = SafetyRecord.initial(epoch, boot, Height(0)) if record is None else replace(record, boot=boot)
    return SigningFloor(StartKind.NORMAL, found, replace(guard, boot=boot), "")


def _never_raised(self: SafetyRules) -> GuardRecord | None:
    self._guard_raised = False
    return None


_exact, _write_guard = SafetyRules._exact, SafetyRules._write_guard


def _exact_but_for_the_lock(self: SafetyRules) -> GuardRecord:
    """What matters are the rounds; the lock comes back with the certificates of the others."""
    return replace(_exact(self), locked_round=Round(0))


def _exact_when_the_round_is_new(self: SafetyRules, guard: GuardRecord) -> None:
    """A leader's vote for its own block needs no second look: its proposal has told the guard."""
    if guard.round_bound > self.guard.round_bound or self.reserves_ahead:
        _write_guard(self, guard)


# --- before it is durable (C2) ---------------------------------------------


def _overtaking(outputs: list[Output]) -> list[Output]:
    return [o for o in outputs if type(o) is not Append] + [o for o in outputs if type(o) is Append]


def _no_barrier(parts: Parts) -> Parts:
    return replace(parts, outputs=_overtaking)


_step = Replica.step


def _counting_at_once(self: Replica, event: Event, now_ms: int) -> list[Effect]:
    effects = _step(self, event, now_ms)
    for effect in effects:
        if isinstance(effect, Persist):
            effects += _step(self, Persisted(effect.seq), now_ms)
    return effects


_perform = Host._perform


def _perform_around_the_barrier(self: Host) -> None:
    """Answers to single peers need not wait for the disk: nothing in them was just signed."""
    _perform(self)
    if self._writing is not None and self.up:
        early = [output for output in self._out if _is_an_answer(output)]
        self._out = type(self._out)(output for output in self._out if not _is_an_answer(output))
        for output in early:
            self._do(output)


def _is_an_answer(output: Output) -> bool:
    if not isinstance(output, SendFrame) or output.topic != wire.Code.AGREEMENT:
        return False
    return output.body[1] > MessageKind.HEADER_SIGNATURE


_LOSING = Hunt(faults=(wipe, restore_backup, wipe, *NETWORK, *CRASHES))

SIGNING = (
    Mutant(
        "signs-before-it-is-durable",
        "C2: persist, then send",
        "aptos-core #18298: the vote left before the safety data was written.",
        Hunt(),
        parts=_no_barrier,
    ),
    Mutant(
        "counts-itself-at-once",
        "C2: an own signature counts when it is durable",
        "An own undurable vote completes a QC, which answers a lagging peer before the disk has it.",
        Hunt(faults=(*NETWORK, crash), gap_ms=(20, 200), persist_us=10_000),
        (
            Patch(Replica, "step", _counting_at_once),
            Patch(Host, "_perform", _perform_around_the_barrier),
        ),
        by=("signing",),  # such a barrier alone does other harm
    ),
    Mutant(
        "forgets-the-record",
        "C1: the safety record survives a restart",
        "asonnino/hotstuff dc01ac8: last_voted_round lives in memory; writing it is left for later.",
        Hunt(),
        parts=_starting_from(_nothing),
    ),
    Mutant(
        "forgets-its-proposal",
        "S7: one proposal a round, also across a restart",
        "DiemBFT's safety data has no last proposed round: a restarted leader proposes again.",
        Hunt(faults=(crash_at_boundary, crash_at_boundary, *GENERIC)),
        parts=_starting_from(_no_proposal),
    ),
    Mutant(
        "signs-its-vote-anew",
        "C15: the stored vote comes first",
        "tendermint #5804: 'same round, so sign it again', and the block had changed meanwhile.",
        Hunt(faults=(crash_at_boundary, crash_at_boundary, *GENERIC), liars=((3, Equivocator),)),
        (Patch(SafetyRules, "may_vote", _may_vote_unless_passed),),
        _starting_from(_forgets_the_vote),
    ),
    Mutant(
        "signs-a-height-twice",
        "C3, S8: one signature a height, also across a restart",
        "The height is not in the record, and a block executed again after a start comes out otherwise.",
        Hunt(faults=CRASHES, inline_bytes=0),
        parts=_reordered_after_a_restart,
    ),
    Mutant(
        "guard-made-anew",
        "C14: no signature at or below the guard's bound after data was lost",
        "A start that finds no fitting guard makes one: tendermint's 'reset the validator state' advice.",
        _LOSING,
        parts=_guard_made_anew,
    ),
    Mutant(
        "guard-ignored",
        "C14: data that is older than the guard signs only above the reservation",
        "Sui #18009, telcoin #391: restored from a backup, a validator votes again where it had voted.",
        _LOSING,
        (Patch(host, "admit", _admit_without_guard),),
    ),
    Mutant(
        "guard-never-raised",
        "C14: the bound is durable before anything is signed beyond it",
        "The reservation was written at the start only; what was signed since is unknown after a wipe.",
        _LOSING,
        (Patch(SafetyRules, "take_raised_guard", _never_raised),),
    ),
    Mutant(
        "guard-without-the-lock",
        "E17: an exact guard says how high the lock has risen",
        "Rounds are remembered and locks are not: the wiped give rounds up with less than they locked on.",
        _LOSING,
        (Patch(SafetyRules, "_exact", _exact_but_for_the_lock),),
    ),
    Mutant(
        "guard-exact-once-a-round",
        "E17: whatever is signed goes into the guard, also a second time in its round",
        "One write a round is saved: the vote of a leader raises the lock, its header signature the height.",
        _LOSING,
        (Patch(SafetyRules, "_write_guard", _exact_when_the_round_is_new),),
    ),
)
