"""Files that cannot be read or written: a sentence with a name and a way out, whatever the command."""

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from bench.main import main as bench_main
from node.cli.exits import Exit
from node.cli.failures import explain
from node.cli.filefaults import FILE_FAULTS
from node.cli.main import isthmus, run
from tests.node.daemon.running import written

NUMBERS = [(number, fault) for fault in FILE_FAULTS for number in fault.numbers]


@pytest.mark.parametrize(("number", "fault"), NUMBERS, ids=lambda item: str(getattr(item, "name", item)))
def test_what_the_system_says_of_a_file_is_a_sentence_with_a_way_out(number: int, fault: object) -> None:
    told = explain(OSError(number, os.strerror(number), "some/file"))
    assert told is not None
    assert told.message.startswith("some/file ")
    assert told.message.endswith(f"({told.name})")
    assert (told.name, told.exit_code) == (getattr(fault, "name", ""), getattr(fault, "exit_code", None))
    assert told.hint
    assert told.as_json()["error"] == {
        "code": told.exit_code.name.lower(),
        "message": told.message,
        "hint": told.hint,
        "name": told.name,
    }


def test_no_number_has_two_sentences_and_what_is_not_about_files_is_ours() -> None:
    assert len({number for number, _ in NUMBERS}) == len(NUMBERS)
    assert len({fault.name for fault in FILE_FAULTS}) == len(FILE_FAULTS)
    assert explain(OSError(errno.EBADF, "ours")) is None
    assert explain(OSError("without a number")) is None


def ends(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """(exit code, name, message) of a command that fails."""
    code = run([*map(str, words), "--json"])
    document = json.loads(capsys.readouterr().out)
    return code, document["error"].get("name", ""), document["error"]["message"]


def test_files_in_the_way_of_a_command_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = written(tmp_path / "net").nodes[0].home
    assert run(["genesis", "new", "harbour", "--out", str(tmp_path / "plan.json")]) == Exit.OK
    capsys.readouterr()
    file = tmp_path / "file"
    file.write_bytes(b"x")
    out = tmp_path / "none" / "there.json"
    code, name, message = ends(capsys, "genesis", "new", "harbour", "--out", out)
    assert (code, name) == (Exit.USAGE, "no-such-file")
    assert str(out) in message
    code, name, _ = ends(capsys, "genesis", "new", "harbour", "--out", file / "plan.json")
    assert (code, name) == (Exit.USAGE, "not-a-folder")
    code, name, message = ends(capsys, "init", "--home", file)
    assert (code, name) == (Exit.USAGE, "not-a-folder")
    assert str(file) in message
    home.genesis_file.unlink()
    home.genesis_file.mkdir()
    code, name, message = ends(capsys, "start", "--home", home.path)
    assert (code, name) == (Exit.USAGE, "is-a-folder")
    assert str(home.genesis_file) in message


def test_what_is_no_text_is_told_and_is_no_fault_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = written(tmp_path / "net").nodes[0].home
    home.genesis_file.write_bytes(b"\xff\xfe\x00")
    code, _, message = ends(capsys, "start", "--home", home.path)
    assert code == Exit.CONFIGURATION
    assert str(home.genesis_file) in message


@pytest.mark.parametrize(
    ("option", "value"), [("--organisation", "No Spaces"), ("--organisation", ""), ("--host", "x" * 300)]
)
def test_a_bad_value_on_the_command_line_is_a_usage_error_and_makes_no_key(
    option: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, home = tmp_path / "plan.json", tmp_path / "h"
    assert run(["genesis", "new", "harbour", "--out", str(plan)]) == Exit.OK
    assert run(["init", "--home", str(home), "--name", "alpha"]) == Exit.OK
    capsys.readouterr()
    words = {"--organisation": "port", option: value}
    given = [item for pair in words.items() for item in pair]
    code, _, message = ends(capsys, "genesis", "join", plan, "--home", home, *given)
    assert code == Exit.USAGE
    assert option in message
    assert not (home / "keys" / "operator.key").exists()


def groups(command: click.Command, context: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """Every group's name and help at 80 columns."""
    if not isinstance(command, click.Group):
        return
    own = click.Context(
        command, info_name=command.name, parent=context, max_content_width=80, terminal_width=80
    )
    yield own.command_path, command.get_help(own)
    for name in command.list_commands(own):
        inner = command.get_command(own, name)
        assert inner is not None
        yield from groups(inner, own)


@pytest.mark.parametrize("command", [isthmus, bench_main], ids=["isthmus", "isthmus-bench"])
def test_no_line_of_help_is_cut(command: click.Command) -> None:
    found = dict(groups(command))
    assert len(found) > 1
    for name, text in found.items():
        lines = text.splitlines()[1:]
        assert not [line for line in lines if line.rstrip().endswith("...")], name
        assert max(map(len, lines)) <= 80, name
