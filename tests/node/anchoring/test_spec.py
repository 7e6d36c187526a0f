"""The specification for other languages names what the code does: codes, domains, formats, limits, files."""

import re
from pathlib import Path

import node.anchoring
from node.anchoring.bundles.bundle import MAGIC
from node.anchoring.bundles.message import MESSAGE_MAGIC
from node.anchoring.cluster.epochs import LINKS_MAGIC, LINKS_MAX
from node.anchoring.forks.evidence import EVIDENCE_MAGIC
from node.anchoring.refusals import Code
from tests.node.proofs.vector_files import VECTORS

FOLDER = Path(node.anchoring.__file__).parent
SPEC = (FOLDER / "SPEC.md").read_text(encoding="utf-8")
LANES = (FOLDER / "lanes" / "LANES.md").read_text(encoding="utf-8")


def test_every_code_of_a_refusal_is_told_with_its_rule_and_no_other() -> None:
    named = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", SPEC))
    prefixes = {"WRONG_CLUSTER", "WRONG_INCARNATION", "WRONG_EPOCH", "WRONG_VALIDATORS"}
    assert prefixes <= named
    assert named == {code.name for code in Code}


def test_every_domain_that_is_hashed_here_stands_in_the_table() -> None:
    hashed = set()
    for path in FOLDER.rglob("*.py"):
        hashed |= set(re.findall(r'"(isthmus/[a-z-]+/v\d+)"', path.read_text(encoding="utf-8")))
    assert hashed
    assert not [domain for domain in sorted(hashed) if domain not in SPEC + LANES]


def test_formats_limits_and_vector_files_are_those_of_the_code() -> None:
    for magic in (MAGIC, LINKS_MAGIC, EVIDENCE_MAGIC, MESSAGE_MAGIC):
        assert f'"{magic}"' in SPEC
    assert f"at most {LINKS_MAX}" in SPEC
    files = re.findall(r"`([a-z0-9_]+\.json)`", SPEC)
    assert len(files) >= 8
    assert all((VECTORS / name).exists() for name in files)
