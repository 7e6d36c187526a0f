"""A chain that is grown once, for the tests of what operators do with it; each works on a copy."""

from pathlib import Path

import pytest

from tests.node.daemon.grown import Grown, copy_of, grow


@pytest.fixture(scope="session")
def _grown_once(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    return grow(tmp_path_factory.mktemp("grown") / "net")


@pytest.fixture
def grown(_grown_once: Grown, tmp_path: Path) -> Grown:
    """A stopped node with a chain of `HEIGHTS`."""
    return copy_of(_grown_once, tmp_path / "net")
