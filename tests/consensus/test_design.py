"""The design document and the code name the same rules: whoever reads one finds the other."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOM = Path(__file__).resolve().parents[2] / "consensus"
DESIGN = (ROOM / "DESIGN.md").read_text(encoding="utf-8")


def rules_of(design: str) -> set[str]:
    """The numbers of the rules: rows of the tables, decisions, and those the text on idle clusters names."""
    rows = re.findall(r"^\| ([A-Z]\d+) \|", design, re.MULTILINE)
    decisions = re.findall(r"^\* \*\*(E\d+) ", design, re.MULTILINE)
    return {*rows, *decisions, *re.findall(r"\b(E\d+):", design)}


def citations_of(text: str) -> Iterator[str]:
    """The numbers of rules in a text; `S1-S5` names all five."""
    for letter, first, last in re.findall(r"\b([A-Z])(\d+)(?:-\1(\d+))?\b", text):
        for number in range(int(first), int(last or first) + 1):
            yield f"{letter}{number}"


def test_every_numbered_rule_is_cited_at_a_line_of_code() -> None:
    rules = rules_of(DESIGN)
    assert {"S1", "V7", "L3", "P3", "C12", "E1", "E13"} <= rules
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOM.glob("*.py")))
    assert rules - set(citations_of(code)) == set()


def test_every_correction_named_in_the_code_is_one_of_the_26() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in sorted(ROOM.glob("*.py")))
    cited = {int(name[1:]) for name in citations_of(code) if name.startswith("C")}
    assert cited <= set(range(1, 27))


def test_the_tests_that_the_proof_names_exist() -> None:
    named = re.findall(r"`(test_[a-z_]+(?:\.\.\.|\.py)?)`", DESIGN)
    assert named
    tests = Path(__file__).parent
    texts = "\n".join(path.read_text(encoding="utf-8") for path in sorted(tests.glob("test_*.py")))
    for name in named:
        if name.endswith(".py"):
            assert (tests / name).is_file(), name
        else:
            assert f"def {name.removesuffix('...')}" in texts, name
