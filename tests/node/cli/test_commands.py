"""The command line without a running node: exit codes, sentences and JSON shapes that scripts rely on."""

import errno
import importlib
import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from node.api.exchange import ApiError
from node.cli import catalogue, main
from node.cli.exits import Exit
from node.cli.failures import EXITS, Failure, explain, root_of
from node.cli.main import COMMANDS, run
from node.config import ConfigError, load_config
from node.daemon.guardfile import GuardForeign
from node.daemon.journal import JournalCorrupt
from node.daemon.segment import JournalForeign
from node.daemon.startup import StartupError
from node.home import KeyFileError
from node.local.ports import fixed_ports
from node.local.testnet import Testnet, write_testnet
from node.storage import StoreForeign


@pytest.fixture
def testnet(tmp_path: Path) -> Testnet:
    seeds = iter(range(1, 100))
    return write_testnet(
        tmp_path / "net", "demo", fixed_ports(2), 1_750_000_000_000, lambda n: next(seeds).to_bytes(n, "big")
    )


def answered(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    """The exit code and the one JSON document on standard output."""
    code = run([str(argument) for argument in arguments])
    return code, json.loads(capsys.readouterr().out)


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit code and standard error."""
    code = run([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


# --- the door ---------------------------------------------------------------------------------------


def test_the_numbers_of_the_exit_codes_never_change() -> None:
    assert {e.name: int(e) for e in Exit} == {
        "OK": 0,
        "NEGATIVE": 1,
        "USAGE": 2,
        "NOT_REACHABLE": 3,
        "REFUSED": 4,
        "CONFIGURATION": 5,
        "KEYS": 6,
        "STORAGE": 7,
        "TIMEOUT": 8,
        "PORT_IN_USE": 9,
        "CHILD_DIED": 10,
        "BUG": 70,
        "INTERRUPTED": 130,
    }
    assert all(e.meaning.endswith(".") for e in Exit)


@pytest.mark.parametrize("name", EXITS)
def test_every_error_in_the_table_exists(name: str) -> None:
    module, _, class_name = name.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), class_name), BaseException)


def test_a_subclass_has_the_exit_code_of_its_base_and_a_group_that_of_its_content() -> None:
    group = BaseExceptionGroup(
        "nursery", [KeyboardInterrupt(), ExceptionGroup("inner", [KeyFileError("bad key")])]
    )
    found = explain(group)
    assert found is not None
    assert (found.exit_code, found.message) == (Exit.KEYS, "bad key")
    assert explain(ValueError("ours")) is None
    assert root_of(BaseExceptionGroup("n", [KeyboardInterrupt()])).__class__ is KeyboardInterrupt


def test_the_help_lists_every_command_and_imports_none() -> None:
    script = (
        "import sys; from node.cli.main import run; run(['--help']); "
        "sys.exit(any(m.startswith(('node.cli.commands', 'trio', 'rich', 'lmdb')) for m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in COMMANDS)


def test_an_unknown_command_and_option_are_usage_errors_with_a_suggestion(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert told(capsys, "verfy") == (
        2,
        "isthmus: there is no command 'verfy'; did you mean 'verify'?\n  see `isthmus --help`\n",
    )
    code, text = told(capsys, "init", "--hom", "x")
    assert code == 2
    assert "--home" in text


def test_a_usage_error_under_json_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    code, document = answered(capsys, "verfy", "--json")
    assert (code, document["exit"], document["error"]["code"]) == (2, 2, "usage")


def test_the_version_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert re.fullmatch(r"isthmus \S+\n", capsys.readouterr().out)


@click.command()
@click.option("--json", is_flag=True)
def failing(json: bool) -> None:
    raise ZeroDivisionError("a secret of ours")


@click.command()
def interrupted() -> None:
    raise KeyboardInterrupt


@pytest.fixture
def command_that(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(command: click.Command) -> None:
        monkeypatch.setattr(main.LazyCommands, "get_command", lambda self, ctx, name: command)

    return use


def test_our_own_fault_is_exit_70_with_a_log_and_without_a_traceback(
    capsys: pytest.CaptureFixture[str], command_that: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    command_that(failing)
    code, text = told(capsys, "status")
    assert code == 70
    assert "Traceback" not in text
    assert "a fault of Isthmus, not yours: ZeroDivisionError" in text
    (log,) = tmp_path.iterdir()
    assert str(log) in text
    assert "Traceback" in log.read_text()
    assert answered(capsys, "status", "--json")[1]["error"]["code"] == "bug"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], command_that: Any) -> None:
    command_that(failing)
    assert "Traceback" in told(capsys, "--debug", "status")[1]


@click.command()
def misconfigured() -> None:
    raise ConfigError(("config.toml: unknown key",))


def test_a_users_mistake_has_no_traceback_even_then(
    capsys: pytest.CaptureFixture[str], command_that: Any
) -> None:
    """A testnet's daemons run with --debug, and the end of their log is what people are shown."""
    command_that(misconfigured)
    assert told(capsys, "--debug", "status") == (5, "isthmus: config.toml: unknown key\n")


def test_ctrl_c_is_exit_130(capsys: pytest.CaptureFixture[str], command_that: Any) -> None:
    command_that(interrupted)
    code, text = told(capsys, "status")
    assert (code, text.strip()) == (130, "isthmus: interrupted")


def test_a_failure_has_its_own_sentence_and_hint() -> None:
    found = explain(Failure(Exit.REFUSED, "no", "try yes"))
    assert found is not None
    assert found.as_json() == {
        "error": {"code": "refused", "message": "no", "hint": "try yes"},
        "exit": 4,
    }
    both = explain(ConfigError(("one", "two")))
    assert both is not None
    assert both.message == "one\ntwo"


@pytest.mark.parametrize(
    ("error", "exit_code", "name"),
    [
        (JournalForeign("the journal has format 3"), Exit.CONFIGURATION, "journal-foreign"),
        (StoreForeign("the database has format 4"), Exit.CONFIGURATION, "store-foreign"),
        (GuardForeign("the guard is newer"), Exit.KEYS, "guard-foreign"),
        (JournalCorrupt("it is damaged"), Exit.STORAGE, "journal-corrupt"),
        (StartupError("journal-behind", "it is older"), Exit.CONFIGURATION, "journal-behind"),
        (ApiError(503, 9021, "shutting-down", "It stops.", ""), Exit.REFUSED, "shutting-down"),
    ],
)
def test_a_cause_is_told_under_the_name_that_the_catalogue_explains(
    capsys: pytest.CaptureFixture[str], command_that: Any, error: Exception, exit_code: Exit, name: str
) -> None:
    @click.command()
    @click.option("--json", is_flag=True)
    def fails(**_: object) -> None:
        raise error

    command_that(fails)
    code, text = told(capsys, "status")
    assert (code, text.splitlines()[0]) == (exit_code, f"isthmus: {error} ({name})")
    code, document = answered(capsys, "status", "--json")
    assert (code, document["error"]["name"]) == (exit_code, name)
    assert name in {entry.name for entry in catalogue.entries()}


def test_a_way_out_that_the_sentence_names_already_is_not_told_twice() -> None:
    found = explain(
        ApiError(400, 3, "oversized", "70000 bytes exceed the limit: keep it outside", "keep it outside")
    )
    assert found is not None
    assert (found.message, found.hint) == ("70000 bytes exceed the limit: keep it outside", "")
    apart = explain(ApiError(400, 9002, "bad-parameter", "Not a height.", "See the document."))
    assert apart is not None
    assert (apart.message, apart.hint) == ("Not a height. See the document.", "")


@pytest.mark.parametrize("arguments", [[], ["tx"], ["config"]])
def test_a_command_group_alone_shows_its_help_and_is_no_error_of_ours(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = told(capsys, *arguments)
    assert code == Exit.USAGE
    assert text.startswith("Usage: ")
    assert "see `" not in text


def leaves_of(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that can be run, with the words that lead to it."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves_of(inner, (*path, name))


def test_every_command_knows_json() -> None:
    found = dict(leaves_of(main.isthmus))
    assert len(found) > len(COMMANDS)
    without = [path for path, leaf in found.items() if not any("--json" in p.opts for p in leaf.params)]
    assert without == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.ENAMETOOLONG, errno.EIO])
def test_a_disk_that_refuses_is_exit_7_and_one_sentence(number: int) -> None:
    found = explain(OSError(number, os.strerror(number), "some/file"))
    assert found is not None
    assert (found.exit_code, found.message.split()[0]) == (Exit.STORAGE, "some/file")
    assert found.message.endswith(f"({found.name})")
    assert found.hint
    assert explain(OSError(errno.EBADF, "ours")) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [("explain", "--json"), ("explain", "5", "--json"), ("explain", "5")])
def test_an_answer_that_cannot_be_written_is_a_sentence_on_the_other_channel(
    arguments: tuple[str, ...],
) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "node.cli.main", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == Exit.STORAGE
    assert done.stderr.startswith("isthmus: the output cannot be written: the disk")
    assert "(disk-without-room)\n  make room" in done.stderr


# --- init, show-node-id, config, db, explain --------------------------------------------------------


def test_init_makes_a_private_home_and_prints_public_keys_only(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    home = tmp_path / "h"
    code, document = answered(capsys, "init", "--home", home, "--name", "alpha", "--json")
    assert code == 0
    assert set(document) == {"home", "name", "role", "node_key", "consensus_key", "cluster_id"}
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home / "keys").iterdir()}
    assert modes == {"node.key": 0o600, "validator.key": 0o600, "validator.guard": 0o600}
    secret = (home / "keys" / "validator.key").read_text().split()[1]
    assert secret not in json.dumps(document)
    shown = answered(capsys, "show-node-id", "--home", home, "--json")[1]
    assert (shown["node_key"], shown["consensus_key"]) == (document["node_key"], document["consensus_key"])


def test_init_never_overwrites(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["init", "--home", str(tmp_path / "h")]) == 0
    before = (tmp_path / "h" / "keys" / "validator.key").read_bytes()
    code, text = told(capsys, "init", "--home", tmp_path / "h")
    assert code == 5
    assert "is the home of a node already" in text
    assert (tmp_path / "h" / "keys" / "validator.key").read_bytes() == before


@pytest.mark.parametrize("command", ["init", "observe"])
def test_a_name_that_the_ledger_would_refuse_makes_no_home(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, testnet: Testnet, command: str
) -> None:
    genesis = ("--genesis", testnet.genesis_file)
    code, text = told(capsys, command, "--home", tmp_path / "h", "--name", "Quay 7", *genesis)
    assert code == 2
    assert "1 to 64 characters of a-z" in text
    assert not (tmp_path / "h").exists()


def test_init_checks_the_genesis_before_it_makes_anything(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, testnet: Testnet
) -> None:
    bad = tmp_path / "genesis.json"
    bad.write_text("{}")
    code, _ = told(capsys, "init", "--home", tmp_path / "h", "--genesis", bad)
    assert code == 5
    assert not (tmp_path / "h").exists()
    code, document = answered(
        capsys,
        "init",
        "--home",
        tmp_path / "h",
        "--role",
        "observer",
        "--genesis",
        testnet.genesis_file,
        "--json",
    )
    assert code == 0
    assert (document["cluster_id"], document["consensus_key"]) == (testnet.cluster_id.hex(), None)


def test_the_home_may_come_from_the_environment(
    capsys: pytest.CaptureFixture[str], testnet: Testnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_HOME", str(testnet.nodes[1].home.path))
    assert answered(capsys, "show-node-id", "--json")[1]["name"] == "node1"


def test_the_peer_entry_that_is_printed_is_accepted_by_another_node(
    capsys: pytest.CaptureFixture[str], testnet: Testnet, tmp_path: Path
) -> None:
    run(["show-node-id", "--home", str(testnet.nodes[0].home.path)])
    entry = capsys.readouterr().out
    run(["init", "--home", str(tmp_path / "h"), "--name", "other"])
    capsys.readouterr()
    config = tmp_path / "h" / "config" / "config.toml"
    config.write_text(config.read_text() + entry)
    shown = answered(capsys, "config", "show", "--home", tmp_path / "h", "--json")[1]
    assert shown["origins"]["p2p.peers[0].node_key"] == "config.toml"
    assert [peer["name"] for peer in shown["peers"]["p2p"]] == ["node0"]
    assert shown["peers"]["federation"] == []


def test_a_key_that_others_can_read_is_exit_6(capsys: pytest.CaptureFixture[str], testnet: Testnet) -> None:
    testnet.nodes[0].home.node_key_file.chmod(0o644)
    code, text = told(capsys, "show-node-id", "--home", testnet.nodes[0].home.path)
    assert code == 6
    assert "chmod 600" in text


def test_config_show_tells_values_purposes_and_origins(
    capsys: pytest.CaptureFixture[str], testnet: Testnet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_LOGGING__LEVEL", "debug")
    home = testnet.nodes[0].home.path
    _, brief = answered(capsys, "config", "show", "--home", home, "--json")
    _, full = answered(capsys, "config", "show", "--effective", "--home", home, "--json")
    assert brief["settings"]["logging.level"] == "debug"
    assert "storage.fsync" not in brief["settings"]
    assert full["settings"]["storage.fsync"] is True
    run(["config", "show", "--effective", "--home", str(home)])
    text = capsys.readouterr().out
    assert "[storage]" in text
    assert 'level = "debug"' in text
    assert "(ISTHMUS_LOGGING__LEVEL)" in text


def test_config_check_tells_every_mistake_and_exits_5(
    capsys: pytest.CaptureFixture[str], testnet: Testnet
) -> None:
    home = testnet.nodes[0].home
    count = len(load_config(home, {}).origins)
    assert count > 10
    assert answered(capsys, "config", "check", "--home", home.path, "--json") == (
        0,
        {"home": str(home.path), "ok": True, "overrides": count, "cluster_id": testnet.cluster_id.hex()},
    )
    home.config_file.write_text("[api]\nprot = 1\n[limits]\nconnections = 0\n")
    code, text = told(capsys, "config", "check", "--home", home.path)
    assert code == 5
    assert "did you mean 'port'?" in text
    assert "limits.connections must be from 8" in text


def test_db_check_before_the_first_start_is_a_negative_answer(
    capsys: pytest.CaptureFixture[str], testnet: Testnet
) -> None:
    code, text = told(capsys, "db", "check", "--home", testnet.nodes[0].home.path)
    assert code == 1
    assert "a first start makes it" in text


def test_explain_knows_names_and_numbers_of_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert answered(capsys, "explain", "record-exists", "--json")[1]["codes"][0]["code"] == 200
    kinds = [entry["kind"] for entry in answered(capsys, "explain", "3", "--json")[1]["codes"]]
    assert kinds == ["exit code", "ledger code"]
    code, text = told(capsys, "explain", "record-exist")
    assert code == 2
    assert "did you mean record-exists?" in text
