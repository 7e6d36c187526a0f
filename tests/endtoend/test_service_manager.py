"""A daemon under a service manager: it says when it is ready, that it lives, and when it is about to end."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from node.daemon.servicemanager import STATUS_SECONDS, ServiceManager
from tests.endtoend.running import STOP_SECONDS, RunningCluster, write_cluster

_PATIENCE_SECONDS = 60


def until(listener: socket.socket, word: str) -> list[str]:
    """The lines of all datagrams up to the first with `word`; the listener's timeout bounds the wait."""
    heard: list[str] = []
    while word not in heard:
        heard += listener.recv(4096).decode().split("\n")
    return heard


def test_a_daemon_tells_its_manager_everything_it_must(tmp_path: Path) -> None:
    address = tmp_path / "notify"
    running = RunningCluster(write_cluster(tmp_path / "cluster", 1))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(address))
        listener.settimeout(_PATIENCE_SECONDS)
        try:
            running.start("node0", {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "600000"})
            ready = until(listener, "READY=1")
            assert "WATCHDOG=1" not in ready
            for _ in range(3):
                until(listener, "WATCHDOG=1")
            running.process("node0").send_signal(signal.SIGTERM)
            last = until(listener, "STOPPING=1")
            assert any(line.startswith("STATUS=height ") for line in last) or "STATUS=stopping" in last
            assert running.process("node0").wait(STOP_SECONDS) == 0
        finally:
            running.close()


def test_a_manager_that_is_gone_does_not_end_the_daemon(tmp_path: Path) -> None:
    running = RunningCluster(write_cluster(tmp_path / "cluster", 1))
    try:
        running.start("node0", {"NOTIFY_SOCKET": str(tmp_path / "nobody"), "WATCHDOG_USEC": "300000"})
        node = running.node("node0")
        until_logged(running, node.log_file, "service_manager")
        assert not running.has_died("node0")
    finally:
        running.close()


def until_logged(running: RunningCluster, log_file: Path, word: str) -> None:
    """Look until a log holds a word."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (log_file.exists() and word in log_file.read_text()):
        assert not running.has_died("node0")
        assert time.monotonic() < deadline, f"{word} was never logged"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": ""}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, None),
        ({"NOTIFY_SOCKET": "/run/n"}, ServiceManager("/run/n", 0.0)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "3000000"}, ServiceManager("@n", 3.0)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, ServiceManager("@n", 0.0)),
        ({"NOTIFY_SOCKET": "@n", "WATCHDOG_USEC": "soon"}, ServiceManager("@n", 0.0)),
    ],
)
def test_the_environment_says_who_listens(
    environment: dict[str, str], expected: ServiceManager | None
) -> None:
    assert ServiceManager.of(environment, 4711) == expected


def test_signs_of_life_come_well_before_the_manager_gives_up() -> None:
    assert ServiceManager("@n", 3.0).interval_seconds == 1.0
    assert ServiceManager("@n", 60.0).interval_seconds == STATUS_SECONDS
    assert ServiceManager("@n", 0.0).interval_seconds == STATUS_SECONDS


def test_an_abstract_socket_is_reached() -> None:
    name = f"isthmus-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.settimeout(_PATIENCE_SECONDS)
        ServiceManager("@" + name, 0.0).tell("READY=1", "STATUS=well")
        assert listener.recv(100) == b"READY=1\nSTATUS=well"
