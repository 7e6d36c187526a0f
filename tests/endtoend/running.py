"""A cluster of real daemons for the tests: started, hurt and healed at will, and gone afterwards.

Plain processes without a nursery, so that a whole module can share one cluster. Every child reads a pipe
that this process holds open (`node.local.lifeline`), and gets a process group of its own, by which `close`
finds out whether anything, worker processes included, outlived its daemon.
"""

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path

from node.local.lifeline import VARIABLE
from node.local.ports import BELOW_CONNECTIONS, NodePorts, first_busy, free_ports
from node.local.supervisor import last_lines
from node.local.testnet import LocalNode, Testnet, write_testnet

STOP_SECONDS = 20
"""A daemon promises to end within 10 s of SIGTERM on a machine that is not overloaded."""
GONE_SECONDS = 30


TEST_PROCESSES_MAX = 4
"""As many as the Makefile starts."""


_drawn: deque[NodePorts] = deque(maxlen=64)
"""For nodes that perhaps do not listen yet, or do not at the moment: nobody is seen on these ports."""


def ports_of_our_own(nodes: int) -> tuple[NodePorts, ...]:
    """Ports that neither another process of this test run draws nor a cluster of this one has: a killed node
    is to find its own again."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % TEST_PROCESSES_MAX
    low, high = BELOW_CONNECTIONS
    share = (high - low) // TEST_PROCESSES_MAX // 10 * 10
    while True:
        ports = free_ports(nodes, (low + number * share, low + (number + 1) * share))
        if not set(ports) & set(_drawn):
            _drawn.extend(ports)
            return ports


OWN_MACHINES = {"ISTHMUS_LIMITS__VERIFY_WORKERS": "1"}
"""The environment of daemons that are to work as on machines of their own: signatures in another process."""


def write_cluster(directory: Path, nodes: int = 4) -> Testnet:
    """A new testnet on ports of its own."""
    return write_testnet(
        directory, "endtoend", ports_of_our_own(nodes), time.time_ns() // 1_000_000, os.urandom
    )


def members_of(group: int) -> list[int]:
    """The processes of a process group that have not ended."""
    listed = subprocess.run(["ps", "-axo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True)
    rows = (line.split() for line in listed.stdout.splitlines())
    return [int(pid) for pid, found, state in rows if int(found) == group and not state.startswith("Z")]


def reap(group: int) -> list[int]:
    """Wait until a process group is empty; kill and return what is still there at the deadline."""
    deadline = time.monotonic() + GONE_SECONDS
    while left := members_of(group):
        if time.monotonic() > deadline:
            os.killpg(group, signal.SIGKILL)
            return left
        time.sleep(0.02)
    return []


class RunningCluster:
    """The daemons of one testnet by name. `close` ends all of them, whatever state they are in."""

    def __init__(
        self,
        testnet: Testnet,
        environment: Mapping[str, str] | None = None,
        through: tuple[str, ...] = (),
    ) -> None:
        """`environment` is for every daemon, at each of its starts; `through` a program that becomes it."""
        self.testnet = testnet
        self._through = through
        self._environment = {**os.environ, **(environment or {}), VARIABLE: "0"}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._groups: list[int] = []

    def node(self, name: str) -> LocalNode:
        """One node of the testnet."""
        return next(node for node in self.testnet.nodes if node.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        """All nodes, running or not."""
        return tuple(node.name for node in self.testnet.nodes)

    def running(self) -> tuple[str, ...]:
        """The nodes whose process has not ended."""
        return tuple(name for name, process in self._processes.items() if process.poll() is None)

    def has_died(self, name: str) -> bool:
        """Whether a node that was started here has ended."""
        return name in self._processes and name not in self.running()

    def process(self, name: str) -> subprocess.Popen[bytes]:
        """The latest process of a node."""
        return self._processes[name]

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a node that does not run."""
        assert name not in self.running(), f"{name} runs already"
        program = self.node(name).program()
        program.log_file.parent.mkdir(parents=True, exist_ok=True)
        with program.log_file.open("ab") as log:
            process = subprocess.Popen(
                (*self._through, *program.command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**self._environment, **(environment or {})},
            )
        self._processes[name] = process
        self._groups.append(process.pid)

    def start_missing(self) -> None:
        """Start every node that does not run."""
        for name in self.names:
            if name not in self.running():
                self.start(name)

    def kill(self, *names: str) -> None:
        """SIGKILL, all at once, and wait for their ends."""
        for name in names:
            self._processes[name].kill()
        for name in names:
            assert self._wait(name) == -signal.SIGKILL

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """SIGTERM, or Ctrl-C's SIGINT; the exit code."""
        self._processes[name].send_signal(number)
        return self._wait(name)

    def end_of(self, name: str) -> int:
        """Wait for the end of a node that was asked to; its exit code."""
        return self._wait(name)

    def exit_code(self, name: str) -> int | None:
        """How a node ended by itself; None while it runs."""
        return None if self._processes[name].poll() is None else self._wait(name)

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self._processes[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self._processes[name].send_signal(signal.SIGCONT)

    def adopt(self, groups: Iterable[int]) -> None:
        """Process groups that somebody else started, and that `close` must find empty."""
        self._groups.extend(groups)

    def log(self, name: str) -> str:
        """Everything a node said since it was written."""
        return self.node(name).log_file.read_text(encoding="utf-8", errors="replace")

    def last_words(self) -> str:
        """The end of every node's log, for the message of a test that failed."""
        return "\n".join(
            f"--- {node.name} (exit {process.poll()})\n" + "\n".join(last_lines(node.log_file, 12))
            for node in self.testnet.nodes
            if (process := self._processes.get(node.name)) is not None
        )

    def _wait(self, name: str) -> int:
        process = self._processes[name]
        code = process.wait(STOP_SECONDS)
        if process.stdin is not None:
            process.stdin.close()
        return code

    def close(self) -> None:
        """End everything. Raises AssertionError when a process or a port was left behind."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
                process.send_signal(signal.SIGCONT)
        stubborn = [name for name in self._processes if not self._ended(name)]
        left = {group: pids for group in self._groups if (pids := reap(group))}
        busy = first_busy(tuple(node.ports for node in self.testnet.nodes))
        assert not stubborn, f"{stubborn} did not end when asked\n{self.last_words()}"
        assert not left, f"processes outlived their daemon: {left}"
        assert busy is None, f"port {busy} is still in use"

    def _ended(self, name: str) -> bool:
        try:
            self._wait(name)
        except subprocess.TimeoutExpired:
            os.killpg(self._processes[name].pid, signal.SIGKILL)
            self._wait(name)
            return False
        return True
