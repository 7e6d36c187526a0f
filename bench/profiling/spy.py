"""py-spy at work: it samples another process's Python stacks from outside, without changing that process."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import trio

_GRACE_SECONDS = 30
"""Beyond the recording: reading the interpreter's symbols and writing the result."""
_MISSING = (
    "py-spy is not installed. It is an optional extra: pip install 'isthmus[profile]', or pip install py-spy "
    "into the environment of isthmus-bench."
)
_FORBIDDEN = (
    "py-spy may not look into the daemons. Run isthmus-bench as root, or let processes of one user trace "
    "each other (sysctl kernel.yama.ptrace_scope=0), or give a container the capability SYS_PTRACE."
)


_LINUX_ONLY = "Profiles need Linux: what each thread used is read from /proc, which is not here."


class SpyError(Exception):
    """Profiling cannot work here: a sentence with the way out."""


@dataclass(frozen=True, slots=True)
class Spy:
    """The program, and how often it looks."""

    program: str
    rate_hz: int

    @staticmethod
    def find(rate_hz: int) -> "Spy":
        """Beside this interpreter, or on the path. Raises SpyError."""
        if not Path("/proc/self/task").exists():
            raise SpyError(_LINUX_ONLY)
        beside = Path(sys.executable).with_name("py-spy")
        program = str(beside) if beside.exists() else shutil.which("py-spy")
        if program is None:
            raise SpyError(_MISSING)
        return Spy(program, rate_hz)

    async def raw(self, pid: int, seconds: float, output: Path) -> None:
        """Sample `pid` and its children into collapsed stacks. Raises SpyError."""
        await self._record(pid, seconds, output, "raw")

    async def flame_graph(self, pid: int, seconds: float, output: Path) -> None:
        """Sample `pid` and its children into an SVG. Raises SpyError."""
        await self._record(pid, seconds, output, "flamegraph")

    async def _record(self, pid: int, seconds: float, output: Path, kind: str) -> None:
        command = (
            *(self.program, "record", "--pid", str(pid), "--duration", str(max(1, round(seconds)))),
            *("--rate", str(self.rate_hz), "--format", kind, "--output", str(output)),
            *("--subprocesses", "--threads", "--function", "--full-filenames"),
            "--nonblocking",  # a thread that is stopped to look at it counts as running far too often
        )
        with trio.move_on_after(seconds + _GRACE_SECONDS) as patience:
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if patience.cancelled_caught:
            raise SpyError(f"py-spy did not end within {seconds + _GRACE_SECONDS:.0f} s")
        said = (done.stdout + done.stderr).decode(errors="replace")
        if "ermission" in said and done.returncode:
            raise SpyError(_FORBIDDEN)
        if done.returncode or not await trio.Path(output).exists():
            raise SpyError(f"py-spy failed: {said.strip()[-500:] or done.returncode}")
