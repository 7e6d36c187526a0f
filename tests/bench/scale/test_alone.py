"""What a replica did in a cluster it does again alone, or the measurement says that it did not."""

from cProfile import Profile
from dataclasses import replace

import pytest

from bench.scale.alone import Notes, NotRepeated, repeat
from bench.scale.metering import Meter
from bench.sim.remembered import remembered
from bench.sim.setting import CREATED_MS, make_setting
from bench.sim.world import World
from consensus import ED25519
from node.ledger.params import Params
from node.validator import Flush, Flushed, Frame

PARAMS = Params(created_ms=CREATED_MS, idle_interval_ms=0)


@pytest.fixture(scope="module")
def notes() -> Notes:
    """Two of four replicas that order, execute, certify and store a few transactions."""
    setting = make_setting(4, remembered(), params=PARAMS)
    notes = Notes([setting.validators[index].public_key for index in (1, 3)])
    world = World(setting, parts=notes.parts()).start()
    notes.begin()
    for host in (0, 1, 2):
        world.submit(host)
        world.run(200)
    assert min(host.height for host in world.hosts) > 0
    return notes


def test_the_wanted_replicas_are_noted_from_their_start(notes: Notes) -> None:
    assert len(notes.noted) == 2
    for noted in notes.noted:
        assert 0 < noted.begins < len(noted.steps)
        assert any(isinstance(item, Flushed) for item, _, _ in noted.steps)


def test_alone_a_replica_answers_the_same_and_is_measured_from_the_mark_on(notes: Notes) -> None:
    meter = Meter()
    for noted in notes.noted:
        repeat(noted, meter)
    total = meter.total()
    assert total.events == sum(len(noted.steps) - noted.begins for noted in notes.noted)
    assert total.verifies > total.signs > 0
    assert total.seconds > total.crypto_seconds > 0


def test_a_second_time_counts_the_same(notes: Notes) -> None:
    counts = []
    for _ in range(2):
        meter = Meter()
        repeat(notes.noted[0], meter)
        counts.append({kind: (c.events, c.verifies, c.signs) for kind, c in meter.kinds.items()})
    assert counts[0] == counts[1]


def test_under_a_profiler_nothing_is_timed(notes: Notes) -> None:
    profiler = Profile()
    meter = Meter(profiler)
    repeat(notes.noted[0], meter)
    assert meter.total().events > 0
    assert meter.total().seconds == 0
    assert profiler.getstats()


def test_a_step_that_comes_out_otherwise_is_told(notes: Notes) -> None:
    whole = notes.noted[0]
    frames = [n for n, (item, _, outputs) in enumerate(whole.steps) if isinstance(item, Frame) and outputs]
    for lost in (frames[0], frames[len(frames) // 2]):  # what led to something
        damaged = replace(whole, steps=whole.steps[:lost] + whole.steps[lost + 1 :])
        with pytest.raises(NotRepeated, match="came out otherwise alone"):
            repeat(damaged, Meter())


def test_a_flush_that_holds_something_else_is_told(notes: Notes) -> None:
    whole = notes.noted[0]
    at, flush = next(
        (number, output)
        for number, (_, _, outputs) in enumerate(whole.steps)
        for output in outputs
        if isinstance(output, Flush)
    )
    item, now_ms, outputs = whole.steps[at]
    other = replace(flush, chain=tuple(flush.chain)[:-1])
    steps = list(whole.steps)
    steps[at] = (item, now_ms, [other if output is flush else output for output in outputs])
    with pytest.raises(NotRepeated, match=f"step {at} "):
        repeat(replace(whole, steps=steps), Meter())


def test_the_clock_is_on_signatures_that_are_really_checked(notes: Notes) -> None:
    meter = Meter()
    repeat(notes.noted[1], meter)
    assert meter.verify(b"", b"", b"") is ED25519.verify(b"", b"", b"") is False
