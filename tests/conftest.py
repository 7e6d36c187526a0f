"""Options of the whole suite, and what it tells at its end."""

from collections.abc import Callable, Iterator

import pytest
import structlog

LONG_FIRST = (
    "tests/endtoend/test_crashes.py",
    "tests/byzantine/",
    "tests/endtoend/test_chaos.py",
    "tests/endtoend/test_lost_data.py",
    "tests/bench/sim/",
    "tests/endtoend/",
    "tests/mutants/",
    "tests/node/local/",
    "tests/bench/",
)
"""Files and folders that take long, the longest first: begun last, they would keep one process busy while the
others have nothing left to do. Those that compute stand between those that mostly wait for a cluster."""
CAUGHT = "caught"
"""The property of a test that tells how a broken rule was found; it travels from worker processes too."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite` records the scenario files anew instead of comparing; read the difference like code."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the recorded traces of scenario files")


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
