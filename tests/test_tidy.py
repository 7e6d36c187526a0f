"""The house rules that a machine can check, as tests. Each rule is a function from one file to its faults,
and each is shown here to fail on a text that breaks it: a rule that cannot fail is no rule."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import pytest

from tests.conftest import LONG_FIRST

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("isthmus", "consensus", "p2p", "node", "bench")
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
CLASS_LINES_MAX = 300

PURE = (
    "consensus/*.py",
    "p2p/allowances.py",
    "p2p/doorstep.py",
    "p2p/frames.py",
    "p2p/gossip.py",
    "p2p/hello.py",
    "p2p/peers.py",
    "p2p/queues.py",
    "node/diagnosis/*.py",
    "node/condition.py",
    "node/genesis.py",
    "node/proofs/*.py",
    "node/anchoring/*.py",
    "node/anchoring/*/*.py",
    "node/ledger/*.py",
    "node/ledger/apps/*.py",
    "node/ledger/federation/*.py",
    "node/ledger/governance/*.py",
    "node/pool/*.py",
    "node/validator/*.py",
)
IMPURE_MODULES = frozenset(
    [
        "asyncio",
        "datetime",
        "lmdb",
        "logging",
        "os",
        "random",
        "secrets",
        "select",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "trio",
        "trio_parallel",
        "urllib",
        "uuid",
    ]
)
BROAD_EXCEPT = (
    "bench/rerun.py",
    "bench/sim/scenario.py",
    "node/api/app.py",
    "node/api/server.py",
    "node/cli/main.py",
    "node/daemon/daemon.py",
    "node/daemon/federation/federation.py",
    "p2p/sessions.py",
)
"""The edges of a process, where an unexpected error is written down and the rest goes on or ends."""
ONLY_IMPORTERS = {
    "lmdb": ("node/daemon/store.py", "node/daemon/reading.py"),
    "h11": ("node/api/asgi.py", "node/api/connection.py"),
}
BANNED_STEMS = ("utils", "util", "helpers", "helper", "common", "misc")
_PLACES = ("/wo" + "rk/", "/ro" + "ot/", "/ho" + "me/", "/Us" + "ers/")
_HOSTS = ("py" + "pi.org", "python" + "hosted")
MACHINE_TEXT = re.compile("|".join(re.escape(text) for text in (*_PLACES, *_HOSTS)))
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b")
BARE_IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[[a-z-, ]+\]\s+#\s*\S)")


@dataclass(frozen=True)
class Source:
    """One Python file; `path` is relative to the root, with slashes."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def nodes(self) -> tuple[ast.AST, ...]:
        """The whole tree, walked once for all rules."""
        return tuple(ast.walk(self.tree))


Rule = Callable[[Source], Iterator[str]]


def is_any_of(path: str, patterns: tuple[str, ...]) -> bool:
    return any(PurePosixPath(path).match(p) and path.count("/") == p.count("/") for p in patterns)


def imports_of(nodes: Iterable[ast.AST]) -> Iterator[tuple[int, str, str]]:
    """(line, module, imported name or "") of every import among these."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, node.module or "", alias.name) for alias in node.names)


def used_of(nodes: Iterable[ast.AST], module: str) -> set[str]:
    """The attributes of a module that a file uses: `random.Random` is a type, the instance is passed in."""
    return {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module
    }


def length(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


# --- the rules --------------------------------------------------------------------------------------


def pure_files_are_pure(source: Source) -> Iterator[str]:
    if not is_any_of(source.path, PURE):
        return
    for line, module, name in imports_of(source.nodes):
        top = module.split(".")[0]
        is_type_only = module == "random" and (
            name == "Random" or used_of(source.nodes, "random") == {"Random"}
        )
        is_type_only |= (module, name) == ("urllib.parse", "quote")
        if top in IMPURE_MODULES and not is_type_only:
            yield f"line {line}: a pure file imports {module}; take what it gives as an argument"
    for node in source.nodes:
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield f"line {node.lineno}: a pure file has no async"


def imports_stand_at_the_top(source: Source) -> Iterator[str]:
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for line, module, _ in imports_of(ast.walk(node)):
                yield f"line {line}: {module} is imported inside a function"


def files_functions_and_classes_are_short(source: Source) -> Iterator[str]:
    lines = source.text.count("\n")
    if lines > FILE_LINES_MAX and source.path.startswith(PRODUCT):
        yield f"{lines} lines are more than {FILE_LINES_MAX}"
    for node in source.nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > FUNCTION_LINES_MAX:
            yield f"line {node.lineno}: {node.name} has {length(node)} lines, at most {FUNCTION_LINES_MAX}"
        if isinstance(node, ast.ClassDef) and length(node) > CLASS_LINES_MAX:
            yield f"line {node.lineno}: {node.name} has {length(node)} lines, at most {CLASS_LINES_MAX}"


def errors_are_caught_by_name(source: Source) -> Iterator[str]:
    if source.path in BROAD_EXCEPT or source.path.startswith("tests/"):
        return
    for node in source.nodes:
        if not isinstance(node, ast.ExceptHandler) or isinstance(node.body[-1], ast.Raise):
            continue
        caught = [] if node.type is None else [n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)]
        if node.type is None or {"Exception", "BaseException", "BaseExceptionGroup"} & set(caught):
            yield f"line {node.lineno}: catches everything; only a process's edge may"


def nothing_is_mocked(source: Source) -> Iterator[str]:
    for line, module, name in imports_of(source.nodes):
        if (
            module.split(".")[0] == "mock"
            or module == "unittest.mock"
            or (module, name) == ("unittest", "mock")
        ):
            yield f"line {line}: mocks are not used here; write a fake that passes the same contract test"


def nothing_is_left_unfinished(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield f"line {number}: is unfinished"


def ignored_types_have_a_reason(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if BARE_IGNORE.search(line):
            yield f"line {number}: write `type: ignore[code]  # reason`"


def files_have_telling_names(source: Source) -> Iterator[str]:
    path = PurePosixPath(source.path)
    for part in (*path.parent.parts, path.stem):
        if part in BANNED_STEMS:
            yield f"{part} says nothing about what is inside; put each function beside its noun"
    if path.stem in sys.stdlib_module_names and path.stem != "__main__":
        yield f"{path.stem} is a module of the standard library"


def files_say_why_they_exist(source: Source) -> Iterator[str]:
    if source.text.strip() and ast.get_docstring(source.tree) is None:
        yield "opens without a docstring"


def rare_imports_stay_in_one_place(source: Source) -> Iterator[str]:
    if not source.path.startswith(PRODUCT):
        return
    for line, module, _ in imports_of(source.nodes):
        allowed = ONLY_IMPORTERS.get(module.split(".")[0])
        if allowed is not None and source.path not in allowed and not module.endswith(".typing"):
            yield f"line {line}: only {' and '.join(allowed)} may import {module}"


def machine_texts(source: Source) -> Iterator[str]:
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := MACHINE_TEXT.search(line):
            yield f"line {number}: {found[0]} belongs to one machine or to one registry"


RULES: tuple[Rule, ...] = (
    pure_files_are_pure,
    imports_stand_at_the_top,
    files_functions_and_classes_are_short,
    errors_are_caught_by_name,
    nothing_is_mocked,
    nothing_is_left_unfinished,
    ignored_types_have_a_reason,
    files_have_telling_names,
    files_say_why_they_exist,
    rare_imports_stay_in_one_place,
    machine_texts,
)

# --- on our own files -------------------------------------------------------------------------------


def python_files() -> Iterator[Source]:
    """One after the other: all their trees at once are hundreds of megabytes."""
    for folder in (*PRODUCT, "tests"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def faults() -> dict[Rule, list[str]]:
    """What breaks each rule in all our files, each of which is parsed once for all rules."""
    found: dict[Rule, list[str]] = {rule: [] for rule in RULES}
    for source in python_files():
        for rule in RULES:
            found[rule] += [f"{source.path}: {fault}" for fault in rule(source)]
    return found


def other_texts() -> list[Source]:
    """Every text that is no Python: the root's files and what lies beside the code."""
    places = [path for path in ROOT.iterdir() if path.is_file() and not path.name.startswith(".")]
    places += [ROOT / ".ci" / "run", ROOT / ".gitignore"]
    for folder in (*PRODUCT, "tests", "deploy"):
        places += [path for path in (ROOT / folder).rglob("*") if path.is_file() and path.suffix != ".py"]
    found = []
    for path in places:
        if path.suffix not in (".pyc", ".so", ".mdb") and "__pycache__" not in path.parts:
            text = path.read_text(encoding="utf-8", errors="replace")
            found.append(Source(path.relative_to(ROOT).as_posix(), text))
    return found


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_our_files_keep_the_rule(rule: Rule, faults: dict[Rule, list[str]]) -> None:
    assert not faults[rule], "\n" + "\n".join(faults[rule])


def test_no_other_text_names_a_machine_or_a_registry() -> None:
    faults = [f"{source.path}: {fault}" for source in other_texts() for fault in machine_texts(source)]
    assert not faults, "\n" + "\n".join(faults)


def test_every_folder_with_code_is_a_package() -> None:
    folders = {(ROOT / source.path).parent for source in python_files()}
    assert not [str(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()]


def test_the_files_that_must_be_pure_exist() -> None:
    paths = [source.path for source in python_files()]
    assert not [p for p in PURE if not any(is_any_of(path, (p,)) for path in paths)]


def test_the_long_test_files_exist() -> None:
    assert not [path for path in LONG_FIRST if not (ROOT / path).exists()]


def test_the_lock_has_a_hash_for_everything_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "://" not in lock
    assert all("--hash=sha256:" in entry for entry in re.split(r"\n(?=[a-zA-Z])", lock.strip()))


# --- the rules can fail -----------------------------------------------------------------------------

BROKEN: tuple[tuple[Rule, str, str], ...] = (
    (pure_files_are_pure, "consensus/replica.py", "import time"),
    (pure_files_are_pure, "consensus/replica.py", "from os import urandom"),
    (pure_files_are_pure, "p2p/gossip.py", "import random\nx = random.random()"),
    (pure_files_are_pure, "node/ledger/apps/records.py", "import trio"),
    (pure_files_are_pure, "node/ledger/governance/app.py", "import time"),
    (pure_files_are_pure, "node/anchoring/client/lightclient.py", "import time"),
    (pure_files_are_pure, "node/pool/pool.py", "async def f(): ..."),
    (imports_stand_at_the_top, "node/config.py", "def f():\n    import json"),
    (files_functions_and_classes_are_short, "node/a.py", "\n" * 401),
    (files_functions_and_classes_are_short, "node/a.py", "def f():\n" + "    x = 1\n" * 70),
    (files_functions_and_classes_are_short, "node/a.py", "class A:\n" + "    x = 1\n" * 300),
    (errors_are_caught_by_name, "node/a.py", "try:\n    f()\nexcept:\n    pass"),
    (errors_are_caught_by_name, "node/a.py", "try:\n    f()\nexcept (OSError, Exception):\n    pass"),
    (nothing_is_mocked, "tests/test_a.py", "from unittest import mock"),
    (nothing_is_mocked, "tests/test_a.py", "import unittest.mock"),
    (nothing_is_left_unfinished, "node/a.py", "x = 1  # TO" + "DO later"),
    (ignored_types_have_a_reason, "node/a.py", "x = f()  # type: " + "ignore"),
    (ignored_types_have_a_reason, "node/a.py", "x = f()  # type: " + "ignore[arg-type]"),
    (files_have_telling_names, "node/utils.py", ""),
    (files_have_telling_names, "node/common/genesis.py", ""),
    (files_have_telling_names, "node/queue.py", ""),
    (files_say_why_they_exist, "node/a.py", "x = 1"),
    (rare_imports_stay_in_one_place, "node/api/app.py", "import lmdb"),
    (machine_texts, "node/a.py", "x = '" + _PLACES[0] + "main'"),
    (machine_texts, "node/a.py", "x = 'https://" + _HOSTS[0] + "/simple'"),
)
KEPT: tuple[tuple[Rule, str, str], ...] = (
    (pure_files_are_pure, "p2p/gossip.py", "from random import Random"),
    (pure_files_are_pure, "p2p/gossip.py", "import random\ndef f(rng: random.Random): ..."),
    (pure_files_are_pure, "p2p/network.py", "import trio\nasync def f(): ..."),
    (pure_files_are_pure, "consensus/replica.py", "from node.times import x"),
    (imports_stand_at_the_top, "node/config.py", "import json\ndef f(): ..."),
    (files_functions_and_classes_are_short, "node/a.py", "def f():\n" + "    x = 1\n" * 69),
    (errors_are_caught_by_name, "node/cli/main.py", "try:\n    f()\nexcept Exception:\n    pass"),
    (errors_are_caught_by_name, "node/a.py", "try:\n    f()\nexcept OSError:\n    pass"),
    (errors_are_caught_by_name, "node/a.py", "try:\n    f()\nexcept Exception:\n    note()\n    raise"),
    (ignored_types_have_a_reason, "node/a.py", "x = f()  # type: " + "ignore[arg-type]  # its stub is wrong"),
    (files_have_telling_names, "node/errors.py", ""),
    (rare_imports_stay_in_one_place, "node/daemon/store.py", "import lmdb"),
)


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN, ids=lambda value: getattr(value, "__name__", None))
def test_a_rule_finds_what_breaks_it(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(("rule", "path", "text"), KEPT, ids=lambda value: getattr(value, "__name__", None))
def test_a_rule_leaves_good_text_alone(rule: Rule, path: str, text: str) -> None:
    assert not list(rule(Source(path, text)))


# --- the scripts beside the code --------------------------------------------------------------------


def test_the_ci_script_is_valid_shell_and_may_be_run() -> None:
    script = ROOT / ".ci" / "run"
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert script.stat().st_mode & 0o111


@pytest.mark.parametrize("target", ["help", "install", "demo", "test", "check", "lock", "wheel", "clean"])
def test_every_make_target_can_be_planned(target: str) -> None:
    command = ["make", "--dry-run", "--directory", str(ROOT), target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_make_alone_lists_every_target() -> None:
    done = subprocess.run(["make", "-C", str(ROOT)], capture_output=True, text=True, check=True)
    for target in ("install", "demo", "test", "check", "lock", "wheel", "clean"):
        assert f"make {target} " in done.stdout
