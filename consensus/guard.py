"""What a start may sign, given the journal's safety record and the guard beside the key (C14, C19).

A signer whose data was wiped or rolled back must not sign anything a second time, and nobody else can
tell it what it signed. The guard file can: it reserves rounds and heights ahead, so everything signed
lies at or below its bounds. `admit` compares both and answers with the record to start from. What must
be forbidden is written into that record as its floor (E6), so the ordinary rules of safety.py enforce it and
it survives the next restart. Afterwards the caller writes `record` to the journal, then `guard` to the
guard file, and only then builds SafetyRules: a crash between the two leaves the journal ahead, which is
harmless; a journal behind the guard was rolled back, be it inside one reservation.
"""

from dataclasses import dataclass, replace
from enum import Enum

from consensus.reservation import GUARD_HEIGHTS, GUARD_ROUNDS, GuardRecord
from consensus.safety import SafetyRecord
from consensus.validators import Epoch, Height, Round


class StartKind(Enum):
    """How journal and guard compare."""

    FIRST = "first"
    """Nothing was ever signed with this key."""
    NORMAL = "normal"
    """The journal holds everything that was signed."""
    BEHIND = "behind"
    """The data was wiped or is older than what was signed: sign only above the reservation."""
    NO_GUARD = "no-guard"
    """The guard is lost: this key must never sign again (C14, C19)."""


@dataclass(frozen=True, slots=True)
class SigningFloor:
    """The outcome of `admit`. `record` and `guard` are to be made durable in that order before anything is
    signed; both are None iff this key must not sign. `explanation` is for the operator."""

    kind: StartKind
    record: SafetyRecord | None
    guard: GuardRecord | None
    explanation: str


def admit(
    record: SafetyRecord | None,
    guard: GuardRecord | None,
    epoch: Epoch,
    *,
    guard_slot_lost: bool = False,
    journal_damaged: bool = False,
) -> SigningFloor:
    """Decide what a start may sign (C14).

    `record` is the journal's last safety record, None without data; `guard` the newest readable guard
    slot, None when the guard file is missing or both slots are rotten; `guard_slot_lost` says that one of
    its two slots was damaged; `journal_damaged` that a record before the journal's last
    is unreadable, which no crash causes (a torn last record is normal: it was never acted upon). `epoch` is
    the epoch the chain on disk is in (0 without data): that of its next header (C4).
    """
    if guard is None:
        return SigningFloor(
            StartKind.NO_GUARD,
            None,
            None,
            "The guard file beside the consensus key is missing or unreadable, so nobody can tell what this "
            "key has signed. It will not sign again. Make a new key and rotate it through governance; "
            "until then this node follows the cluster without voting.",
        )
    if guard_slot_lost:
        guard = _with_full_reservation(guard)
    boot = max(guard.boot, 0 if record is None else record.boot) + 1
    if record is None and guard.boot == 0 and guard.round_bound == 0 and guard.height_bound == 0:
        first = SafetyRecord.initial(epoch, boot, Height(0))
        return SigningFloor(StartKind.FIRST, first, replace(guard, boot=boot, epoch=epoch), "First start.")
    missing = _what_is_missing(record, guard)
    if journal_damaged:
        missing = missing or "the journal is damaged"
    if record is None or missing is not None:
        latest = max(epoch, guard.epoch, epoch if record is None else record.epoch)
        return _start_above(record, guard, latest, boot, missing or "the data is gone")
    record = replace(record, boot=boot)
    if record.epoch < epoch:  # C4: the chain reached it, and the crash came before it was entered
        record = record.enter(epoch)
    return SigningFloor(StartKind.NORMAL, record, replace(guard, boot=boot), "The journal is complete.")


def _with_full_reservation(guard: GuardRecord) -> GuardRecord:
    """The lost slot may have been one reservation ahead of the one that is left."""
    bound = Round(guard.round_bound + GUARD_ROUNDS)
    height_bound = Height(guard.height_bound + GUARD_HEIGHTS)
    return replace(guard, round_bound=bound, height_bound=height_bound, locked_round=Round(bound - 1))


def _what_is_missing(record: SafetyRecord | None, guard: GuardRecord) -> str | None:
    if record is None:
        return "the data directory holds no signing record"
    if record.boot < guard.boot:
        return f"the journal is of start {record.boot}, the guard of start {guard.boot}"
    if record.epoch < guard.epoch:
        return f"the journal is of epoch {record.epoch}, the guard of epoch {guard.epoch}"
    if record.epoch == guard.epoch and record.highest_signed_round < guard.round_start:
        return f"the journal ends at round {record.highest_signed_round}, below {guard.round_start}"
    height = max(record.last_signed_height, record.floor_height)
    if height < guard.height_start:
        return f"the journal ends at height {height}, below {guard.height_start}"
    return None


def _start_above(
    record: SafetyRecord | None, guard: GuardRecord, epoch: Epoch, boot: int, missing: str
) -> SigningFloor:
    """Sign only beyond everything the lost data can have signed (E6)."""
    same_epoch = epoch == guard.epoch
    old = SafetyRecord.initial(epoch, boot, Height(0)) if record is None or record.epoch != epoch else record
    round_floor = max(guard.round_bound if same_epoch else Round(0), old.highest_signed_round)
    height_floor = max(
        guard.height_bound,
        Height(0) if record is None else max(record.last_signed_height, record.floor_height),
    )
    raised = replace(
        SafetyRecord.initial(epoch, boot, height_floor),
        locked_round=max(guard.locked_round if same_epoch else Round(0), old.locked_round),
        floor_round=round_floor,
        floor_height=height_floor,
    )
    reserved = GuardRecord(
        boot, epoch, round_floor, round_floor, height_floor, height_floor, raised.locked_round
    )
    return SigningFloor(
        StartKind.BEHIND,
        raised,
        reserved,
        f"The data is older than what this key has signed: {missing}. This node catches up without "
        f"signing, and signs again only above round {round_floor} and height {height_floor}. Nothing needs "
        "to be done; if the old data still exists, stop the node and put it back.",
    )
