"""One cluster of four real daemons for each module that asks for it."""

from collections.abc import Iterator

import pytest

from tests.endtoend.running import OWN_MACHINES, RunningCluster, write_cluster


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    """Four daemons, started; the tests wait for them, and leave them running."""
    running = RunningCluster(write_cluster(tmp_path_factory.mktemp("net") / "cluster"), OWN_MACHINES)
    try:
        running.start_missing()
        yield running
    finally:
        running.close()
