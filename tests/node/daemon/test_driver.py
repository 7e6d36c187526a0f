"""The loop's durability contract: what leaves, and when, seen through one list of everything done."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import trio

from consensus import Digest
from node.daemon.driver import DRAIN_MAX, LONG_WRITE_BYTES, Driver
from node.daemon.journal import Journal, JournalFailed
from node.daemon.postbox import Postbox
from node.validator import (
    Append,
    BatchLoaded,
    ClockSet,
    Input,
    LoadBatch,
    Output,
    Resume,
    Resumed,
    Start,
    StopTimer,
    TimerExpired,
    Written,
)

SEGMENT_BYTES = 64 * 1024
RECORD_BYTES_MAX = 24 * 1024


class Script:
    """A validator that answers each input as told, and notes what it was given."""

    def __init__(self, log: list[object], answers: dict[Input, list[Output]]) -> None:
        self._log = log
        self._answers = answers

    def step(self, item: Input, now_ms: int) -> list[Output]:
        self._log.append(item)
        return self._answers.get(item, [])


class LoggingGuard:
    """A guard that notes when it is stored."""

    def __init__(self, log: list[object]) -> None:
        self._log = log

    def store(self, payload: bytes) -> None:
        self._log.append(("guard", payload))


class LoggingLinks:
    """Links that note what had been done by each moment when frames left."""

    def __init__(self, log: list[object]) -> None:
        self._log = log
        self.left: list[list[object]] = []
        self.held = False

    def hold(self) -> None:
        self.held = True

    def release(self) -> None:
        self.held = False
        self.left.append(list(self._log))


class LoggingJournal(Journal):
    """The real journal, which notes what one write held."""

    log: list[object]

    def append(self, records: Sequence[bytes]) -> int:
        seq = super().append(records)
        self.log.append(("journal", tuple(records)))
        return seq


class Rig:
    """A driver over a real journal, with everything it does in `log`."""

    def __init__(self, directory: Path, answers: dict[Input, list[Output]]) -> None:
        self.log: list[object] = []
        self.postbox = Postbox()
        journal = LoggingJournal.open(
            directory, segment_bytes=SEGMENT_BYTES, max_record_bytes=RECORD_BYTES_MAX
        )
        assert isinstance(journal, LoggingJournal)
        journal.log = self.log
        self.journal = journal
        self.links = LoggingLinks(self.log)
        self.clock_sets: list[int] = []
        """By how much the wall clock is seen to have been set at each look; by nothing after these."""
        self.driver = Driver(
            Script(self.log, answers),
            self.postbox,
            journal,
            LoggingGuard(self.log),
            self.log.append,
            lambda: 1_000,
            self.links,
            clock_set_by=lambda _wall_ms: self.clock_sets.pop(0) if self.clock_sets else 0,
        )

    async def run(self, *items: Input, until: Callable[[list[object]], bool]) -> list[object]:
        """Give inputs to the running driver; what it did once `until` holds."""
        for item in items:
            self.postbox.put(item)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.driver.run)
                while not until(self.log):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        return self.log


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Callable[[dict[Input, list[Output]]], Rig]]:
    made: list[Rig] = []

    def make(answers: dict[Input, list[Output]]) -> Rig:
        made.append(Rig(tmp_path / f"journal{len(made)}", answers))
        return made[-1]

    yield make
    for one in made:
        one.journal.close()


Make = Callable[[dict[Input, list[Output]]], Rig]
TICK, TOCK = TimerExpired("tick"), TimerExpired("tock")


async def test_what_stands_behind_an_append_waits_for_the_journal_and_what_stands_before_does_not(
    rig: Make,
) -> None:
    before, after, then = StopTimer("before"), StopTimer("after"), StopTimer("then")
    made = rig({Start(): [before, Append(1, b"record"), after], Written(1): [then]})
    log = await made.run(Start(), until=lambda log: then in log)
    assert log == [Start(), before, ("journal", (b"record",)), Written(1), after, then]


async def test_frames_leave_before_the_sync_that_they_need_not_wait_for_and_once_after_it(rig: Make) -> None:
    before, after, then = StopTimer("before"), StopTimer("after"), StopTimer("then")
    made = rig({Start(): [before, Append(1, b"record"), after], Written(1): [then]})
    await made.run(Start(), until=lambda _: len(made.links.left) == 2)
    journalled = ("journal", (b"record",))
    assert made.links.left == [
        [Start(), before],
        [Start(), before, journalled, Written(1), after, then],
    ]
    assert not made.links.held


async def test_the_guard_is_durable_before_the_record_that_needs_it(rig: Make) -> None:
    made = rig({Start(): [Append(1, b"one"), Append(2, b"two", b"bound")]})
    log = await made.run(Start(), until=lambda log: Written(2) in log)
    assert log == [Start(), ("guard", b"bound"), ("journal", (b"one", b"two")), Written(2)]
    assert (made.driver.counts.guard_writes, made.driver.counts.groups) == (1, 1)


async def test_the_appends_of_one_drain_share_one_sync(rig: Make) -> None:
    sends = [StopTimer(f"send{n}") for n in range(3)]
    made = rig(
        {
            Start(): [Append(1, b"a"), sends[0]],
            TICK: [sends[1], Append(2, b"b")],
            TOCK: [Append(3, b"c"), sends[2]],
        }
    )
    log = await made.run(Start(), TICK, TOCK, until=lambda log: sends[2] in log)
    assert log == [Start(), TICK, TOCK, ("journal", (b"a", b"b", b"c")), Written(3), *sends]
    counts = made.driver.counts
    assert (counts.inputs, counts.groups, counts.appends, counts.journal_bytes) == (3, 1, 3, 3)


async def test_what_durability_leads_to_is_made_durable_in_turn(rig: Make) -> None:
    vote, done = StopTimer("vote"), StopTimer("done")
    made = rig({Start(): [Append(1, b"block")], Written(1): [Append(2, b"vote"), vote], Written(2): [done]})
    log = await made.run(Start(), until=lambda log: done in log)
    assert log == [
        Start(),
        ("journal", (b"block",)),
        Written(1),
        ("journal", (b"vote",)),
        Written(2),
        vote,
        done,
    ]


async def test_appends_beyond_one_segment_are_split_and_told_of_once(rig: Make) -> None:
    large = [bytes((n,)) * RECORD_BYTES_MAX for n in range(5)]
    made = rig({Start(): [Append(n + 1, record) for n, record in enumerate(large)]})
    log = await made.run(Start(), until=lambda log: Written(5) in log)
    writes = [entry[1] for entry in log if isinstance(entry, tuple)]
    assert [len(write) for write in writes] == [2, 2, 1]
    assert [record for write in writes for record in write] == large
    assert log.count(Written(5)) == 1
    assert list(made.journal.records()) == [(n + 1, record) for n, record in enumerate(large)]


async def test_a_journal_that_fails_stops_the_loop_and_nothing_leaves(rig: Make) -> None:
    secret = StopTimer("a vote that must not leave")
    made = rig({Start(): [Append(1, b"record"), secret]})
    made.journal.close()
    made.postbox.put(Start())
    with pytest.raises(JournalFailed, match="is closed"):
        await made.driver.run()
    assert made.log == [Start()]


async def test_who_steps_is_told_that_the_clock_was_set_before_it_is_told_anything_else(rig: Make) -> None:
    append, told, last = Append(1, b"record", None), StopTimer("told"), StopTimer("last")
    made = rig({Start(): [append], ClockSet(-9): [told], Written(1): [last]})
    made.clock_sets = [-9, 3_600_000, 0]
    log = await made.run(Start(), until=lambda log: last in log)
    journalled = ("journal", (b"record",))
    assert log == [ClockSet(-9), Start(), told, journalled, ClockSet(3_600_000), Written(1), last]


async def test_deferred_work_gets_its_slice_after_each_drain_without_a_new_input(rig: Make) -> None:
    last = StopTimer("last")
    made = rig({Start(): [Resume()], Resumed(): [last]})
    log = await made.run(Start(), until=lambda log: last in log)
    assert log == [Start(), Resumed(), last]


async def test_a_full_inbox_does_not_starve_deferred_work_and_tasks(rig: Make) -> None:
    load = LoadBatch(Digest(bytes(32)))
    made = rig({Start(): [Resume()], Resumed(): [load]})
    flood = [BatchLoaded(Digest(n.to_bytes(32, "big")), None) for n in range(3 * DRAIN_MAX)]
    log = await made.run(Start(), *flood, until=lambda log: load in log)
    assert log.index(load) <= 2 * DRAIN_MAX + 2


async def test_after_each_long_write_others_have_their_turn(rig: Make) -> None:
    """Who reads the links above all: what came meanwhile shares the next sync."""
    drains = 6
    made = rig({TICK: [Append(1, bytes(LONG_WRITE_BYTES // DRAIN_MAX), None)]})
    seen: list[int] = []

    def is_done(log: list[object]) -> bool:
        seen.append(made.driver.counts.groups)
        return seen[-1] == drains

    await made.run(*[TICK] * (drains * DRAIN_MAX), until=is_done)
    # Both have a turn in each round of the scheduler, in whatever order.
    assert len(set(seen)) > drains // 2
