"""One browser, and one node to look at, for all tests of the explorer in a process."""

from collections.abc import Iterator

import pytest

from tests.node.explorer.beside import served
from tests.node.explorer.chromium import Browser, chromium
from tests.node.explorer.showcase import Showcase, build


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """An empty profile; skips where there is no Chromium."""
    with chromium(tmp_path_factory.mktemp("profile")) as found:
        yield found


@pytest.fixture(scope="package")
def showcase() -> Showcase:
    """A node with something on every page."""
    return build()


@pytest.fixture(scope="package")
def url(showcase: Showcase) -> Iterator[str]:
    """Where it is served."""
    with served(showcase) as address:
        yield address
