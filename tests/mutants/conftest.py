"""How each mutant was caught stands at the end of the session, also without -s."""

import pytest

CAUGHT = pytest.StashKey[list[str]]()


@pytest.fixture
def caught(request: pytest.FixtureRequest) -> list[str]:
    """Lines for the summary."""
    return request.config.stash.setdefault(CAUGHT, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print them."""
    lines = config.stash.get(CAUGHT, [])
    if lines:
        terminalreporter.section("mutants")
        for line in lines:
            terminalreporter.write_line(line)
