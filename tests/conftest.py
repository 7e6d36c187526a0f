"""Options of the whole suite, and what it tells at its end."""

import gc
from collections.abc import Callable, Generator, Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

LONG_FIRST = (
    "tests/mutants/test_mutants.py",
    "tests/endtoend/test_crashes.py",
    "tests/bench/sim/test_scenarios.py",
    "tests/endtoend/test_operators_tools.py",
    "tests/byzantine/test_drivers.py",
    "tests/endtoend/test_chaos.py",
    "tests/node/validator/test_epochs.py",
    "tests/node/explorer/test_pages.py",
    "tests/endtoend/test_federation_apart.py",
    "tests/byzantine/test_forked_island.py",
    "tests/node/local/test_cluster.py",
    "tests/bench/sim/test_command.py",
    "tests/endtoend/test_epochs.py",
    "tests/mutants/test_federations.py",
    "tests/bench/test_smoke.py",
    "tests/node/explorer/test_proofs.py",
    "tests/endtoend/test_federation.py",
    "tests/bench/twins/",
    "tests/endtoend/test_upgrade.py",
    "tests/endtoend/test_replay.py",
    "tests/bench/test_replaying.py",
    "tests/bench/cluster/test_endtoend.py",
    "tests/endtoend/test_refused_starts.py",
    "tests/node/validator/test_leading.py",
    "tests/endtoend/",
    "tests/bench/",
    "tests/node/local/",
    "tests/node/ledger/federation/",
    "tests/node/validator/",
)
"""Files and folders that take long, about the longest first: begun last, they would keep one process busy
while the others have nothing left to do. Those that compute stand between those that wait for a cluster."""
CAUGHT = "caught"
"""The property of a test that tells how a broken rule was found; it travels from worker processes too."""
GARBAGE_THRESHOLD = 50_000
"""Objects between two looks of the collector at the youngest. At the interpreter's 700 every tenth look of
every tenth goes through all that thousands of tests, and what they import, consist of."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite` records the scenario files anew instead of comparing; read the difference like code."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the recorded traces of scenario files")


# By itself an example is wrong that takes longer than 200 ms: no test here is about time.
settings.register_profile("isthmus", deadline=None, suppress_health_check=(HealthCheck.too_slow,))
settings.load_profile("isthmus")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected lives to the end: the collector looks at it never."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(GARBAGE_THRESHOLD)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files come first; what is in one file stays together and in its order."""
    items.sort(key=lambda item: _rank(item.nodeid))


def _rank(nodeid: str) -> int:
    return next((rank for rank, path in enumerate(LONG_FIRST) if nodeid.startswith(path)), len(LONG_FIRST))


@pytest.fixture(autouse=True)
def logs_of_its_own() -> Iterator[None]:
    """A daemon that ran in a test's own process sent the logs of the whole process to that test's output,
    which is closed when the next one logs."""
    yield
    if structlog.is_configured():
        structlog.reset_defaults()


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether traces are to be recorded instead of compared."""
    return bool(request.config.getoption("--rewrite"))


@pytest.fixture
def caught(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Tell how a broken rule was found: a line at the end of the session, also without -s."""
    return lambda line: record_property(CAUGHT, line)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print those lines."""
    reports = terminalreporter.getreports("passed")
    lines = [str(line) for report in reports for name, line in report.user_properties if name == CAUGHT]
    if lines:
        terminalreporter.section("broken rules, and how they were caught")
        for line in lines:
            terminalreporter.write_line(line)
