"""The end of a journal that nobody holds open, read without changing it: to explain a node that is down."""

from dataclasses import dataclass
from pathlib import Path

from consensus import LocalError, SafetyRecord
from node.daemon.segment import (
    DATA_START,
    JournalForeign,
    UnreadableHeader,
    find_group_behind,
    read_header,
    scan_groups,
)
from node.validator.records import PersistRecord, decode_record


@dataclass(frozen=True, slots=True)
class JournalEnd:
    """What the last readable segment holds. `record` is the last safety record in it, None without one;
    `is_closed` says that the last thing in it is the mark of an orderly end."""

    words: str
    is_closed: bool
    record: SafetyRecord | None
    damage: str = ""
    """Why no start would accept it: this is no interrupted write."""
    foreign: str = ""
    """Why a start of this release would not accept it, though nothing is damaged."""


def read_end(directory: Path) -> JournalEnd:
    """The end of the journal in `directory`; it never raises for what is missing or damaged."""
    segments = sorted(directory.glob("journal-*.seg"), reverse=True)
    if not segments:
        return JournalEnd("there is no journal", False, None)
    try:
        with segments[0].open("rb") as file:
            return _end_of(file.fileno())
    except JournalForeign as error:
        return JournalEnd("the journal is another release's", False, None, foreign=str(error))
    except UnreadableHeader as error:
        return JournalEnd("the journal cannot be read", False, None, f"of {segments[0].name} {error}")
    except (OSError, LocalError) as error:
        return JournalEnd(f"the journal cannot be read: {error}", False, None)


def _end_of(fd: int) -> JournalEnd:
    record: SafetyRecord | None = None
    last_seq, is_closed, header, end = 0, False, read_header(fd), DATA_START
    for group in scan_groups(fd, header):
        end = group.end
        is_closed = group.record_count == 0
        for seq, data in group.records():
            decoded = decode_record(data)
            last_seq = seq
            if isinstance(decoded, PersistRecord) and decoded.record is not None:
                record = decoded.record
    damage = ""
    if find_group_behind(fd, header, end) is not None:
        damage = f"records from {last_seq + 1} on cannot be read, though intact ones follow"
    if record is None:
        return JournalEnd(f"the journal goes to record {last_seq}", is_closed, None, damage)
    words = (
        f"the journal goes to record {last_seq}: epoch {record.epoch}, signed up to round "
        f"{record.highest_signed_round} and height {record.last_signed_height}"
    )
    return JournalEnd(words, is_closed, record, damage)
