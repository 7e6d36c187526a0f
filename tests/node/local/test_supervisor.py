"""The laptop's supervisor, with real child processes small enough to read."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from node.local.supervisor import Program, ProgramDied, Supervisor, last_lines, open_supervisor

PATIENCE_SECONDS = 60

LIVES_UNTIL_ABANDONED = """
import os, threading
from node.local.lifeline import follow_parent, lifeline_descriptor
gone = threading.Event()
follow_parent(lifeline_descriptor(os.environ), gone.set, 20)
print("ready", os.getpid(), flush=True)
gone.wait()
print("orderly end", flush=True)
"""
HANGS_WHEN_ABANDONED = """
import os, threading
from node.local.lifeline import follow_parent, lifeline_descriptor
follow_parent(lifeline_descriptor(os.environ), lambda: None, 0.2)
print("ready", os.getpid(), flush=True)
threading.Event().wait()
"""
IGNORES_TERM = """
import os, signal, threading
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", os.getpid(), flush=True)
threading.Event().wait()
"""
DIES_SAYING_WHY = """
print("first line")
print("the disk is full", flush=True)
raise SystemExit(7)
"""
SUPERVISES = """
import sys, trio
from pathlib import Path
from node.local.supervisor import Program, open_supervisor

async def main():
    async with open_supervisor(print) as supervisor:
        for number in range(2):
            command, log = (sys.executable, "-c", sys.argv[1]), Path(sys.argv[2]) / f"{number}.log"
            await supervisor.start(Program(f"child{number}", command, log, {}))
        print("started", flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def program(script: str, folder: Path, name: str = "child") -> Program:
    return Program(name, (sys.executable, "-c", script), folder / "log" / f"{name}.log", {})


async def logged(path: Path, wanted: str) -> str:
    """The log once it has `wanted`; the file is written by another process, so it must be looked at."""
    with trio.fail_after(PATIENCE_SECONDS):
        while True:
            text = path.read_text() if path.exists() else ""
            if wanted in text:
                return text
            await trio.sleep(0.01)


async def until_gone(pid: int) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while is_alive(pid):  # noqa: ASYNC110 - not our child, so nothing tells us of its end
            await trio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be collected does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return bool(state.stdout.strip()) and not state.stdout.startswith("Z")


def pid_in(log: str) -> int:
    return int(log.split("ready ")[1].split()[0])


def refuse(death: ProgramDied) -> None:
    raise death


async def test_leaving_the_block_ends_every_child_and_catches_its_output(tmp_path: Path) -> None:
    async with open_supervisor(refuse) as supervisor:
        for name in ("one", "two"):
            await supervisor.start(program(LIVES_UNTIL_ABANDONED, tmp_path, name))
        pids = [pid_in(await logged(tmp_path / "log" / f"{name}.log", "ready")) for name in ("one", "two")]
        assert supervisor.running() == ("one", "two")
    assert supervisor.running() == ()
    assert not any(is_alive(pid) for pid in pids)


async def test_a_child_that_dies_by_itself_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    deaths: list[ProgramDied] = []
    reported = trio.Event()

    def note(death: ProgramDied) -> None:
        deaths.append(death)
        reported.set()

    async with open_supervisor(note) as supervisor:
        await supervisor.start(program(DIES_SAYING_WHY, tmp_path))
        with trio.fail_after(PATIENCE_SECONDS):
            await reported.wait()
        assert supervisor.running() == ()
    assert deaths[0].return_code == 7
    assert deaths[0].last_lines == ("first line", "the disk is full")
    assert "child ended with exit code 7" in str(deaths[0])
    assert "the disk is full" in str(deaths[0])


async def test_a_death_by_signal_is_told_by_the_signals_name(tmp_path: Path) -> None:
    deaths: list[ProgramDied] = []
    async with open_supervisor(deaths.append) as supervisor:
        await supervisor.start(program(LIVES_UNTIL_ABANDONED, tmp_path))
        pid = pid_in(await logged(tmp_path / "log" / "child.log", "ready"))
        os.kill(pid, signal.SIGKILL)
        await until_gone(pid)
        with trio.fail_after(PATIENCE_SECONDS):
            await supervisor.process("child").wait()
            while not deaths:
                await trio.lowlevel.checkpoint()
    assert "was killed by SIGKILL" in str(deaths[0])


async def test_an_error_raised_about_a_death_stops_the_other_children(tmp_path: Path) -> None:
    with pytest.RaisesGroup(ProgramDied):
        async with open_supervisor(refuse) as supervisor:
            await supervisor.start(program(LIVES_UNTIL_ABANDONED, tmp_path, "survivor"))
            pid = pid_in(await logged(tmp_path / "log" / "survivor.log", "ready"))
            await supervisor.start(program(DIES_SAYING_WHY, tmp_path, "victim"))
            with trio.fail_after(PATIENCE_SECONDS):
                await trio.sleep_forever()
    assert not is_alive(pid)


async def test_a_child_that_was_killed_on_purpose_is_not_reported_and_can_start_again(tmp_path: Path) -> None:
    async with open_supervisor(refuse) as supervisor:
        child = program(LIVES_UNTIL_ABANDONED, tmp_path)
        await supervisor.start(child)
        first = pid_in(await logged(child.log_file, "ready"))
        with pytest.raises(ValueError, match="running already"):
            await supervisor.start(child)
        supervisor.send_signal("child", signal.SIGKILL)
        with trio.fail_after(PATIENCE_SECONDS):
            await supervisor.process("child").wait()
        await supervisor.start(child)
        assert supervisor.running() == ("child",)
        assert supervisor.process("child").pid != first


async def test_a_paused_child_is_stopped_too(tmp_path: Path) -> None:
    async with open_supervisor(refuse) as supervisor:
        child = program(LIVES_UNTIL_ABANDONED, tmp_path)
        await supervisor.start(child)
        pid = pid_in(await logged(child.log_file, "ready"))
        supervisor.send_signal("child", signal.SIGSTOP)
        assert await supervisor.stop() == ()
    assert not is_alive(pid)


async def test_a_child_that_ignores_the_polite_signal_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.local.supervisor.STOP_SECONDS", 0.2)
    async with open_supervisor(refuse) as supervisor:
        child = program(IGNORES_TERM, tmp_path)
        await supervisor.start(child)
        await logged(child.log_file, "ready")
        assert await supervisor.stop() == ("child",)


@pytest.mark.parametrize("script", [LIVES_UNTIL_ABANDONED, HANGS_WHEN_ABANDONED], ids=["orderly", "hanging"])
async def test_a_killed_supervisor_leaves_no_child(tmp_path: Path, script: str) -> None:
    supervising = await trio.lowlevel.open_process(
        [sys.executable, "-c", SUPERVISES, script, str(tmp_path)], stdout=subprocess.DEVNULL
    )
    pids = [pid_in(await logged(tmp_path / f"{number}.log", "ready")) for number in range(2)]
    supervising.kill()
    await supervising.wait()
    for pid in pids:
        await until_gone(pid)


async def test_a_command_that_does_not_exist_is_an_error_at_once(tmp_path: Path) -> None:
    async def attempt(supervisor: Supervisor) -> None:
        await supervisor.start(Program("child", (str(tmp_path / "missing"),), tmp_path / "child.log", {}))

    async with open_supervisor(refuse) as supervisor:
        with pytest.raises(FileNotFoundError):
            await attempt(supervisor)


def test_the_last_lines_of_a_large_log_are_read_without_reading_it_all(tmp_path: Path) -> None:
    log = tmp_path / "large.log"
    log.write_text("".join(f"line {number}\n" for number in range(100_000)))
    assert last_lines(log, 2) == ("line 99998", "line 99999")
    assert last_lines(tmp_path / "none.log") == ()


async def test_a_restart_at_once_does_not_make_a_wanted_end_a_death(tmp_path: Path) -> None:
    deaths: list[ProgramDied] = []
    async with open_supervisor(deaths.append) as supervisor:
        for _ in range(8):
            await supervisor.start(program("import time; time.sleep(60)", tmp_path))
            supervisor.send_signal("child", signal.SIGKILL)
            await supervisor.process("child").wait()
    assert deaths == []


async def test_who_waits_for_an_end_finds_its_death_told(tmp_path: Path) -> None:
    deaths: list[ProgramDied] = []
    async with open_supervisor(deaths.append) as supervisor:
        for life in range(1, 5):
            await supervisor.start(program(DIES_SAYING_WHY, tmp_path))
            with trio.fail_after(PATIENCE_SECONDS):
                await supervisor.ended("child")
            assert len(deaths) == life
