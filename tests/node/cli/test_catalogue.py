"""Every stable code is in the one catalogue, and nothing is in it that nobody says."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import consensus
import node
import p2p
from node.anchoring.lanes import Refusal
from node.anchoring.questions import Refusal as Unanswered
from node.anchoring.refusals import Code as ClientCode
from node.api.faults import Fault
from node.cli import catalogue
from node.cli.exits import Exit
from node.cli.main import run
from node.ledger.codes import Code

CONSENSUS = Path(consensus.__file__).parent
NODE, P2P = Path(node.__file__).parent, Path(p2p.__file__).parent
DOCTOR_FUNCTIONS = frozenset(("good", "warning", "fault", "skipped", "_seed", "_port"))
SIGNED = ("vote", "timeout", "header-signature")
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


def suffixes_of(calls: frozenset[str], folder: Path) -> set[str]:
    """How the first arguments end that begin with a name: f"{what}-weight"."""
    return {
        str(call.args[0].values[-1].value)  # type: ignore[attr-defined]  # it ends in a constant, or this fails
        for tree in trees(folder)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in calls
        if call.args and isinstance(call.args[0], ast.JoinedStr)
    }


def test_every_fault_of_a_peer_is_in_the_catalogue_and_no_other() -> None:
    faults = frozenset(
        ("PeerError", "MalformedMessage", "InvalidCertificate", "InvalidBlock", "InvalidMessage")
    )
    certificates = ("-bitmap", "-count", "-signature", "-signer", "-weight")
    assert suffixes_of(faults, CONSENSUS) == {*certificates, "-link"}
    made = {f"{what}{end}" for what in ("qc", "tc", "header") for end in certificates}
    made |= {f"{what}{end}" for what in SIGNED for end in ("-link", "-signature")}
    assert set(names("peer")) == said_by(faults, CONSENSUS) | said_by(faults, NODE) | made


def test_every_fault_of_a_courier_and_every_end_of_a_question_is_in_the_catalogue() -> None:
    federation = NODE / "daemon" / "federation"
    said = said_by(frozenset(("BundleFault", "AskFailed", "SubmitFailed")), federation)
    blamed = {"malformed", "unasked", "wrong-answer", "round-timeout"}
    assert set(names("courier")) == said | blamed
    ends = said_by(frozenset(("NoAnswer",)), federation) | {"silent"}
    assert set(names("question")) == ends | {refusal.value for refusal in Unanswered}


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
        ("qc-weight", "peer"),
        ("no-progress", "courier"),
        ("not-anchored", "question"),
        ("not-synced", "ledger code"),
        ("314", "ledger code"),
    ],
)
def test_explain_knows_codes_of_every_kind(code: str, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", code, "--json"]) == 0
    assert kind in [entry["kind"] for entry in json.loads(capsys.readouterr().out)["codes"]]
