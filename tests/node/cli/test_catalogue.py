"""Every stable code is in the one catalogue, and nothing is in it that nobody says."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import node
import p2p
from node.anchoring.lanes import Refusal
from node.anchoring.refusals import Code as ClientCode
from node.api.faults import Fault
from node.cli import catalogue
from node.cli.exits import Exit
from node.cli.main import run
from node.ledger.codes import Code

NODE, P2P = Path(node.__file__).parent, Path(p2p.__file__).parent
DOCTOR_FUNCTIONS = frozenset(("good", "warning", "fault", "skipped", "_seed", "_port"))
BASES = frozenset(("p2p", "local", "peer", "storage"))
"""Classes that are only inherited from."""


def trees(folder: Path) -> Iterator[ast.AST]:
    for path in sorted(folder.rglob("*.py")):
        yield ast.parse(path.read_text(encoding="utf-8"))


def said_by(calls: frozenset[str], folder: Path) -> set[str]:
    """The literal first arguments of calls by these names."""
    return {
        call.args[0].value
        for tree in trees(folder)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in calls
        if call.args and isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)
    }


def classes_say(folder: Path) -> set[str]:
    """The words that classes have as their `code`, as people type them."""
    found = set()
    for tree in trees(folder):
        for body in (item.body for item in ast.walk(tree) if isinstance(item, ast.ClassDef)):
            for line in body:
                targets = line.targets if isinstance(line, ast.Assign) else [getattr(line, "target", None)]
                is_code = any(isinstance(target, ast.Name) and target.id == "code" for target in targets)
                value = getattr(line, "value", None)
                if is_code and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found.add(value.value.replace("_", "-"))
    return found - BASES


def names(kind: str) -> list[str]:
    return [entry.name for entry in catalogue.entries() if entry.kind == kind]


def test_every_closed_table_is_in_the_catalogue() -> None:
    assert names("exit code") == [code.name.lower().replace("_", "-") for code in Exit]
    assert names("ledger code") == [code.label for code in Code]
    assert names("API error") == [fault.value.name for fault in Fault]
    assert sorted(names("light client")) == sorted(code.value for code in ClientCode)
    assert names("lane") == [refusal.label for refusal in Refusal]


def test_every_word_that_the_source_says_is_in_the_catalogue_and_no_other() -> None:
    ceremony = said_by(frozenset(("GenesisError", "CeremonyError")), NODE)
    assert set(names("genesis")) == ceremony
    assert set(names("doctor check")) == said_by(DOCTOR_FUNCTIONS, NODE / "doctor")
    start = said_by(frozenset(("StartupError",)), NODE) | classes_say(NODE)
    assert set(names("start")) == start
    assert set(names("maintenance")) == said_by(frozenset(("MaintenanceError", "SafetyRefused")), NODE)
    assert set(names("link")) == classes_say(P2P)


def test_entries_are_sentences_under_one_name_each_a_kind() -> None:
    found = catalogue.entries()
    assert len({(entry.kind, entry.name) for entry in found}) == len(found)
    for entry in found:
        assert entry.meaning.strip(), entry
        assert entry.name == entry.name.lower().replace("_", "-"), entry


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("needs-witnesses", "light client"),
        ("sequence-gap", "lane"),
        ("other-plan", "genesis"),
        ("disk-sync", "doctor check"),
        ("guard_missing", "start"),
        ("refused-by-peer", "link"),
        ("not-synced", "ledger code"),
        ("314", "ledger code"),
    ],
)
def test_explain_knows_codes_of_every_kind(code: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", code, "--json"]) == 0
    assert kind in [entry["kind"] for entry in json.loads(capsys.readouterr().out)["codes"]]
