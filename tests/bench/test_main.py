"""The table of measurements: each starts alone, and is listed in its own words."""

import subprocess
import sys

import click
import pytest

from bench.main import COMMANDS, main
from node.cli.main import COMMANDS as PEOPLE
from node.cli.main import isthmus


@pytest.mark.parametrize("name", COMMANDS)
def test_a_measurement_is_listed_in_its_own_words(name: str) -> None:
    found = main.get_command(click.Context(main), name)
    assert found is not None
    assert (found.name, found.get_short_help_str(limit=10_000)) == (name, COMMANDS[name].help)


@pytest.mark.parametrize("name", COMMANDS)
def test_what_is_no_number_is_refused_wherever_a_number_is_asked_for(name: str) -> None:
    found = main.get_command(click.Context(main), name)
    assert found is not None
    for parameter in found.params:
        for text in ("nan", "inf", "-inf"):
            if isinstance(parameter.type, click.types.FloatParamType):
                with pytest.raises(click.BadParameter, match=f"{text} is n"):
                    parameter.type.convert(text, parameter, None)


def test_help_imports_no_measurement_and_one_imports_no_other() -> None:
    code = (
        "import sys; from bench.main import main; main(['--help'], standalone_mode=False); "
        "loaded = [m for m in sys.modules if m.startswith(('bench.', 'trio', 'lmdb'))]; "
        "assert loaded == ['bench.main'], loaded; "
        "main(['report', '--help'], standalone_mode=False); "
        "loaded = [m for m in sys.modules if m.startswith(('bench.sim', 'node.daemon', 'lmdb'))]; "
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("table", "typed", "meant"), [(main, "clutser", "cluster"), (isthmus, "stauts", "status")]
)
def test_what_is_mistyped_is_told_with_what_was_meant(table: click.Group, typed: str, meant: str) -> None:
    with pytest.raises(click.UsageError, match=f"did you mean '{meant}'"):
        table.get_command(click.Context(table), typed)
    with pytest.raises(click.UsageError, match="there are "):
        table.get_command(click.Context(table), "zzzz")
    assert set(table.list_commands(click.Context(table))) in (set(COMMANDS), set(PEOPLE))
