"""The sources of another revision, in a folder that is gone afterwards.

The revision is unpacked from `git archive`: unlike a registered worktree it leaves nothing behind in the
repository, whatever ends this process. Beside it stand a copy of today's sources, and an overlay with today's
`bench`, by which both are measured.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The sources these lines belong to."""
PACKAGES = ("consensus", "p2p", "node")
_GIT_SECONDS = 120
_COMPILED = shutil.ignore_patterns("__pycache__")


class RevisionError(Exception):
    """The user's fault, or this installation's: a sentence with the way out."""


@dataclass(frozen=True, slots=True)
class Sources:
    """A folder with the product's packages, and the path to import them and today's `bench` by."""

    label: str
    tree: Path
    overlay: Path

    def environment(self) -> dict[str, str]:
        """For a child process that shall import these sources and no others."""
        path = os.pathsep.join((str(self.overlay), str(self.tree)))
        return {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}


@contextmanager
def open_sources(revision: str, repository: Path = ROOT) -> Iterator[tuple[Sources, Sources]]:
    """(the repository's sources as they are, those of `revision`). Raises RevisionError."""
    commit = commit_of(revision, repository)
    with tempfile.TemporaryDirectory(prefix="isthmus-revision-") as folder:
        overlay, here, tree = (Path(folder) / name for name in ("overlay", "here", "base"))
        shutil.copytree(ROOT / "bench", overlay / "bench", ignore=_COMPILED)
        for package in PACKAGES:  # a copy, so that edits meanwhile do not show
            shutil.copytree(repository / package, here / package, ignore=_COMPILED)
        listed = _git(repository, "ls-tree", "--name-only", commit).decode().split()
        present = [package for package in PACKAGES if package in listed]
        if not present:
            raise RevisionError(
                f"{revision} holds none of {', '.join(PACKAGES)}: there is nothing to measure."
            )
        archive = _git(repository, "archive", "--format=tar", commit, *present)
        with tarfile.open(fileobj=BytesIO(archive)) as tar:
            # The first releases of Python 3.11 know no filters, and take no argument for one.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(tree)
        yield Sources("here", here, overlay), Sources(commit[:12], tree, overlay)


def commit_of(revision: str, repository: Path = ROOT) -> str:
    """The full name of a commit. Raises RevisionError."""
    if not (repository / ".git").exists():
        raise RevisionError(
            "Comparing needs a git checkout, and this is an installed package: run it from a clone."
        )
    try:
        return _git(repository, "rev-parse", "--verify", "--quiet", revision + "^{commit}").decode().strip()
    except RevisionError:
        raise RevisionError(
            f"There is no revision {revision!r} in this repository: give a commit, tag or branch, "
            "for example HEAD~1."
        ) from None


def _git(repository: Path, *arguments: str) -> bytes:
    command = ("git", "-C", str(repository), *arguments)
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_GIT_SECONDS)
    except FileNotFoundError:
        raise RevisionError("Comparing needs git, which is not installed.") from None
    if done.returncode:
        raise RevisionError(f"git {arguments[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
