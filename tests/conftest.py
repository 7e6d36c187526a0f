"""Options of the whole suite."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite` records the scenario files anew instead of comparing; read the difference like code."""
    parser.addoption("--rewrite", action="store_true", help="rewrite the recorded traces of scenario files")


@pytest.fixture
def rewrite(request: pytest.FixtureRequest) -> bool:
    """Whether traces are to be recorded instead of compared."""
    return bool(request.config.getoption("--rewrite"))
