"""A wall clock that is set is seen, whichever way; time that passes is not."""

from dataclasses import dataclass

import pytest

from node.daemon.clockwatch import SET_MS, ClockWatch


@dataclass
class Machine:
    """Both clocks of a machine."""

    wall_ms: int = 1_700_000_000_000
    elapsed_ms: int = 70

    def pass_ms(self, ms: int) -> None:
        self.wall_ms += ms
        self.elapsed_ms += ms


@pytest.mark.parametrize("by_ms", [3_600_000, -3_600_000, SET_MS + 1, -SET_MS - 1])
def test_a_step_of_the_wall_clock_is_told_once(by_ms: int) -> None:
    machine = Machine()
    watch = ClockWatch(lambda: machine.elapsed_ms)
    assert watch.set_by(machine.wall_ms) == 0
    machine.pass_ms(40)
    machine.wall_ms += by_ms
    assert watch.set_by(machine.wall_ms) == by_ms
    machine.pass_ms(40)
    assert watch.set_by(machine.wall_ms) == 0


@pytest.mark.parametrize("drift_ms", [0, 1, -1, SET_MS, -SET_MS])
def test_time_that_passes_and_how_it_is_rounded_is_no_step(drift_ms: int) -> None:
    machine = Machine()
    watch = ClockWatch(lambda: machine.elapsed_ms)
    for _ in range(10):
        assert watch.set_by(machine.wall_ms) == 0
        machine.pass_ms(86_400_000)
        machine.wall_ms += drift_ms


def test_the_clocks_of_this_machine_are_looked_at() -> None:
    watch = ClockWatch()
    assert watch.set_by(0) == 0
    assert watch.set_by(10**15) == pytest.approx(10**15, abs=3_600_000)


def test_who_is_held_between_its_looks_is_told_of_nothing_in_the_end() -> None:
    machine = Machine()
    watch = ClockWatch(lambda: machine.elapsed_ms)
    watch.set_by(machine.wall_ms)
    read_ms = machine.wall_ms
    machine.pass_ms(30)
    assert watch.set_by(read_ms) == -30
    assert watch.set_by(machine.wall_ms) == 30
