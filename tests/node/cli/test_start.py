"""What a start of a node costs before it begins, and what its end costs after it has ended."""

import subprocess
import sys
from pathlib import Path

from node.cli.exits import Exit

SCRIPT = """
import atexit, sys
from node.cli import main
main.run(sys.argv[1:])
print(*sys.modules)
atexit.register(print, "taken apart")
main.main()
"""
UNNEEDED = (
    "bench",
    "httpx2",
    "matplotlib",
    "node.ceremony",
    "node.client",
    "node.doctor",
    "node.explorer",
    "node.local.cluster",
    "node.local.supervisor",
    "node.wallet",
    "pydantic",
    "pytest",
    "rich.live",
    "rich.progress",
    "starlette.testclient",
    "tests",
    "unittest",
)
"""What a daemon has no use for and others of our commands have."""


def test_a_start_imports_nothing_that_no_daemon_needs_and_an_end_takes_no_module_apart(
    tmp_path: Path,
) -> None:
    asked = ["start", "--home", str(tmp_path / "nowhere")]
    done = subprocess.run([sys.executable, "-c", SCRIPT, *asked], capture_output=True, text=True, check=False)
    assert done.returncode == Exit.CONFIGURATION
    assert done.stderr.count("is not a node's home") == 2
    loaded = done.stdout.split()
    assert "node.daemon.daemon" in loaded
    wrong = [m for m in loaded if any(m == name or m.startswith(f"{name}.") for name in UNNEEDED)]
    assert wrong == []
    assert [m for m in loaded if m.startswith("node.cli.commands.")] == ["node.cli.commands.start"]
    assert "taken apart" not in done.stdout


def test_a_start_without_a_standard_output_is_refused_in_the_same_words(tmp_path: Path) -> None:
    asked = [sys.executable, "-m", "node.cli.main", "start", "--home", str(tmp_path / "nowhere")]
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *asked]
    done = subprocess.run(closed, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == Exit.CONFIGURATION
    assert "Traceback" not in done.stderr
    assert "is not a node's home" in done.stderr
