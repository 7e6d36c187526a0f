"""Options of the whole suite, and what it tells at its end."""

from collections.abc import Callable, Iterator

import pytest
import structlog

CAUGHT = "caught"
"""The property of a test that tells how a broken rule was found; it travels from worker processes too."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite` records the scenario files anew instead of comparing; read the difference like code."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the recorded traces of scenario files")


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
