"""The documents tell the truth about what a machine can compare: links lead somewhere, the files they name
exist, and so do the commands, with their options; every command and every exit code is told."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import click
import pytest

from bench.main import main
from node.cli.catalogue import entries
from node.cli.exits import Exit
from node.cli.main import isthmus
from tests.byzantine.drivers import DRIVERS

ROOT = Path(__file__).resolve().parents[1]
PLACES = ("bench", "consensus", "deploy", "node", "p2p", "tests")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(path for place in PLACES for path in (ROOT / place).rglob("*.md"))])
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for place in PLACES
    for path in (ROOT / place).rglob("*.*")
    if "__pycache__" not in path.parts
)
Rule = Callable[[str, Path], Iterator[str]]
PROGRAMS: dict[str, click.Command] = {"isthmus": isthmus, "isthmus-bench": main}

LINK = re.compile(r"\[[^\]\n]*\]\((?!https?:|#)([^)#\s]+)[^)]*\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4}(?=isthmus|make ).*(?:\n {8}.*)*", re.MULTILINE)
SPAN = re.compile(r"`([^`]+)`")
NAMED = re.compile(
    r"(?<![\w/.~<{*-])((?:[\w{},-]+/)*[\w{},-]+\.(?:py|js|md|html|yaml|jsonl|service))\b(?!\*)"
)
FOLDER = re.compile(rf"`((?:{'|'.join(PLACES)})/[\w/]*[\w/])`")
"""A folder is looked for where one of the project's own places begins its name."""
CALL = re.compile(r"(?<![\w./-])(isthmus(?:-bench)?) +([a-z-][^#;`]*)")
WORD = re.compile(r"--[a-z0-9-]+|[a-z][a-z0-9-]*\b|\||\S")


def braces(name: str) -> Iterator[str]:
    """`a/{b,c}.py` is `a/b.py` and `a/c.py`."""
    if found := re.search(r"\{([^{}]*)\}", name):
        for choice in found[1].split(","):
            yield from braces(name[: found.start()] + choice + name[found.end() :])
    else:
        yield name


def missing_links(text: str, folder: Path) -> Iterator[str]:
    """Relative links that lead nowhere."""
    for target in LINK.findall(text):
        if not (folder / target).exists():
            yield f"the link to {target} leads nowhere"


def missing_files(text: str, folder: Path) -> Iterator[str]:
    """Named files that there are not: a path is looked for from the root and from the document's folder, a
    bare name anywhere in the document's folder or in the tests of that."""
    code = [*FENCE.findall(text), *SPAN.findall(FENCE.sub("", text))]
    room = folder.relative_to(ROOT).as_posix()
    names_here = {
        PurePosixPath(path).name
        for path in FILES
        if room == "." or path.startswith((f"{room}/", f"tests/{room}/"))
    }
    for named in dict.fromkeys(name for part in code for name in NAMED.findall(part)):
        for name in braces(named):
            if name not in names_here and not (ROOT / name).exists() and not (folder / name).exists():
                yield f"there is no {name}"
    for name in FOLDER.findall(text):
        if not (ROOT / name).exists() and not (ROOT / f"{name}.py").exists():
            yield f"there is no {name}"


def calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """(program, the words after it) of each command line in a document, up to a comment or the line's end."""
    lines = [line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    lines += [block.replace("\\\n", " ") for block in INDENTED.findall(text)]
    lines += [" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text))]
    for line in lines:
        for program, rest in CALL.findall(line):
            yield program, WORD.findall(rest)


def below(command: click.Command) -> dict[str, click.Command]:
    """The commands of a group by name; none of a command that is no group."""
    if not isinstance(command, click.Group):
        return {}
    context = click.Context(command)
    found = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return {name: each for name, each in found.items() if each is not None}


def options_of(command: click.Command) -> set[str]:
    """The options of a command, and for a group those of all its commands: one may be the default."""
    own = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
    return own.union({"--help"}, *(options_of(each) for each in below(command).values()))


def called(program: str, words: list[str]) -> Iterator[tuple[str, str]]:
    """(full name, fault or "") of each command that a line calls; `db backup | restore` calls two.

    What follows a command and is neither a command nor an option is its argument.
    """
    command, names, siblings, is_alternative = PROGRAMS[program], [program], dict[str, click.Command](), False
    line = " ".join([program, *words])
    for word in words:
        if word in below(command):
            siblings = below(command)
            command, names = siblings[word], [*names, word]
            yield " ".join(names), ""
        elif is_alternative and word in siblings:
            command, names = siblings[word], [*names[:-1], word]
            yield " ".join(names), ""
        elif word.startswith("--") and word not in options_of(command):
            yield " ".join(names), f"{line}: there is no {word}"
        elif len(names) == 1 and not word.startswith("--"):
            yield program, f"{line}: there is no {word}"
            return
        is_alternative = word == "|"


def wrong_commands(text: str, _folder: Path) -> Iterator[str]:
    """Commands and options that there are not."""
    for program, words in calls(text):
        yield from (fault for _, fault in called(program, words) if fault)


def leaves(command: click.Command, name: str) -> Iterator[str]:
    """The full names of the commands that people type."""
    for word, each in below(command).items():
        if isinstance(each, click.Group) and not each.invoke_without_command:
            yield from leaves(each, f"{name} {word}")
        elif not each.hidden:
            yield f"{name} {word}"


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


RULES = (missing_links, missing_files, wrong_commands)
TEXTS = {path: path.read_text(encoding="utf-8") for path in DOCUMENTS}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_a_document_names_what_there_is(document: Path) -> None:
    faults = [fault for rule in RULES for fault in rule(TEXTS[document], document.parent)]
    assert not faults, "\n" + "\n".join(faults)


def commands_told_in(text: str) -> Iterator[str]:
    """The full names of the commands in a document's command lines."""
    for program, words in calls(text):
        yield from (name for name, fault in called(program, words) if not fault)


def test_every_command_stands_in_a_document() -> None:
    people = set(leaves(isthmus, "isthmus"))
    assert "isthmus db prune" in people
    assert not people - set(commands_told_in(TEXTS[ROOT / "node" / "cli" / "COMMANDS.md"]))
    measuring = set(leaves(main, "isthmus-bench"))
    assert "isthmus-bench cluster" in measuring
    assert not measuring - {name for text in TEXTS.values() for name in commands_told_in(text)}


def test_every_exit_code_stands_beside_the_commands() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", TEXTS[ROOT / "node" / "cli" / "COMMANDS.md"], re.MULTILINE)
    assert rows == [(str(int(code)), code.meaning) for code in Exit]


def test_the_runbook_speaks_of_codes_that_can_be_explained() -> None:
    named = set(re.findall(r"\*([a-z]+(?:-[a-z]+)+)\*", TEXTS[ROOT / "deploy" / "RUNBOOK.md"]))
    assert "guard-lost" in named
    assert not named - {entry.name for entry in entries()}


def test_the_readme_counts_the_ways_to_lie() -> None:
    assert f"# {len(DRIVERS)} ways for a validator to lie" in TEXTS[ROOT / "README.md"]


@pytest.mark.parametrize("room", ["consensus", "p2p"])
def test_a_room_of_files_names_each_in_its_design(room: str) -> None:
    files = {path.name for path in (ROOT / room).glob("*.py")} - {"__init__.py"}
    assert not {name for name in files if name not in TEXTS[ROOT / room / "DESIGN.md"]}


BROKEN = (
    (missing_links, "see [the page](consensus/NOWHERE.md)"),
    (missing_files, "it stands in `node/nowhere.py`"),
    (missing_files, "it stands in `node/pool/{pool,nowhere}.py`"),
    (missing_files, "it stands in `nowhere.py`"),
    (missing_files, "```\nsealed    node/pool/sealing.py, nowhere.py\n```"),
    (missing_files, "the room `node/nowhere`"),
    (wrong_commands, "`isthmus nowhere`"),
    (wrong_commands, "`isthmus db prune --nowhere`"),
    (wrong_commands, "```\nisthmus tx put a b \\\n  --nowhere\n```"),
    (wrong_commands, "    isthmus-bench cluster --nowhere"),
)
KEPT = (
    (missing_links, "[it](consensus/DESIGN.md), [there](https://example.org/a.md), [above](#above)"),
    (missing_files, "`node/pool/{sealing,spreading}.py`, `sealing.py`, `consensus/`, `node/config`"),
    (
        wrong_commands,
        "`isthmus db backup | restore --home H`, `isthmus explain prune`, `isthmus lanes | tail`",
    ),
    (wrong_commands, "```\nisthmus tx put a b --net net   # --nowhere\n```"),
)


@pytest.mark.parametrize(("rule", "text"), BROKEN)
def test_a_rule_finds_what_breaks_it(rule: Rule, text: str) -> None:
    assert list(rule(text, ROOT))


@pytest.mark.parametrize(("rule", "text"), KEPT)
def test_a_rule_leaves_good_text_alone(rule: Rule, text: str) -> None:
    assert not list(rule(text, ROOT))
