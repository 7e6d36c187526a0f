"""How answers leave the command line: one JSON document for programs, tables and sentences for people.

Under --json standard output holds exactly one document and nothing else; progress and remarks go to
standard error. Without a terminal there are no colours and no moving bars.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.table import Table

from node.api.shapes import to_json

_WIDTH_ELSEWHERE = 160


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes its answer."""

    as_json: bool

    def answer(self, document: dict[str, Any], for_people: Callable[[Console], None]) -> None:
        """Write the answer in the form that was asked for."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=_plain) + "\n")
            sys.stdout.flush()  # a full disk or a closed pipe is told here, not after the exit code
        else:
            for_people(_console(sys.stdout))

    def remark(self, text: str) -> None:
        """A sentence that is not the answer."""
        _console(sys.stderr).print(text, markup=False)

    @property
    def remarks(self) -> Console:
        """Where remarks of more than a sentence go."""
        return _console(sys.stderr)


def _console(file: IO[str]) -> Console:
    """Without a terminal nobody knows a width, so lines are not folded where 80 columns would end."""
    return Console(
        file=file, highlight=False, soft_wrap=True, width=None if file.isatty() else _WIDTH_ELSEWHERE
    )


def program() -> str:
    """How to call this command line from here: by its name when it is found, else by its place."""
    if shutil.which("isthmus") is not None:
        return "isthmus"
    script = Path(sys.executable).with_name("isthmus")
    if not script.exists():
        return f"{sys.executable} -m node.cli.main"
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """A table whose cells are plain text, never markup."""
    drawn = Table(title=title or None, title_justify="left", header_style="bold", show_edge=False)
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*(str(cell).replace("[", r"\[") for cell in row))
    return drawn


def document_of(view: object) -> dict[str, Any]:
    """An answer of the API as the document of a command."""
    shown = to_json(view)
    if not isinstance(shown, dict):
        raise TypeError(f"{type(view).__name__} is no document")
    return shown


def _plain(value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return str(value)
