"""One cluster of four real daemons for each module that asks for it."""

from collections.abc import Iterator, Mapping

import pytest

from tests.endtoend.running import RunningCluster, write_cluster


@pytest.fixture(scope="module")
def environment() -> Mapping[str, str]:
    """Of every daemon; a module that is about the processes of a daemon gives it more of them."""
    return {}


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, environment: Mapping[str, str]
) -> Iterator[RunningCluster]:
    """Four daemons, started; the tests wait for them, and leave them running."""
    running = RunningCluster(write_cluster(tmp_path_factory.mktemp("net") / "cluster"), environment)
    try:
        running.start_missing()
        yield running
    finally:
        running.close()
