"""Where another package has the name of one of ours, a command says so in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.door import CONFIGURATION
from node.cli.exits import Exit

ROOT = Path(__file__).parents[2]
# What setuptools writes for a namespace package, shortened: as `node` 1.0 on PyPI brings it.
NAMESPACE = (
    "import sys, importlib.util, importlib.machinery; "
    "sys.modules.setdefault('node', importlib.util.module_from_spec("
    "importlib.machinery.PathFinder.find_spec('node', [sys._getframe(1).f_locals['sitedir']])))"
)


def strangers(folder: Path, package: str) -> Path:
    """An installed distribution with a package of that name."""
    (folder / package).mkdir(parents=True)
    (folder / package / "base.py").write_text("")
    described = folder / f"{package}-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (described / "RECORD").write_text(f"{package}/base.py,,\n")
    return folder


def command(setup: str, door: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The console script of an editable install: our folder is on the path, site packages come before."""
    called = f"from bench.door import {door}; {door}()"
    script = f"import sys; sys.argv = ['isthmus', *{arguments!r}]; {setup}; {called}"
    return subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("door", ["main", "bench"])
def test_a_package_that_takes_our_name_at_every_start_is_told_as_such(door: str, tmp_path: Path) -> None:
    site = strangers(tmp_path / "site", "node")
    (site / "node-1.0-nspkg.pth").write_text(NAMESPACE + "\n")
    done = command(f"import site; site.addsitedir({str(site)!r})", door, "doctor")
    assert (done.returncode, done.stdout) == (CONFIGURATION, "")
    assert done.stderr == (
        "isthmus: the package 'node' that Python finds is not Isthmus's own: it is brought by node\n"
        "  remove it (pip uninstall node), or install isthmus into an environment of its own\n"
    )


def test_a_package_that_comes_first_on_the_path_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "consensus").mkdir()
    (tmp_path / "consensus" / "__init__.py").write_text("")
    done = command(f"sys.path.insert(0, {str(tmp_path)!r})", "main", "doctor")
    assert done.returncode == CONFIGURATION
    assert "the package 'consensus' that Python finds is not Isthmus's own\n" in done.stderr
    assert "look at PYTHONPATH" in done.stderr


@pytest.mark.parametrize("door", ["main", "bench"])
def test_where_all_packages_are_ours_the_command_runs(door: str) -> None:
    done = command("pass", door, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert "isthmus" in done.stdout


def test_the_exit_code_is_that_of_a_wrong_configuration() -> None:
    assert CONFIGURATION == Exit.CONFIGURATION
