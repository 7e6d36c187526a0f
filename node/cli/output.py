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

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.segment import Segment

from node.api.shapes import to_json
from node.cli.listing import Listing
from node.cli.plain import tame, tame_json

_WIDTH_ELSEWHERE = 160


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command writes its answer."""

    as_json: bool

    def answer(self, document: dict[str, Any], for_people: Callable[[Console], None]) -> None:
        """Write the answer in the form that was asked for."""
        if self.as_json:
            text = json.dumps(document, indent=2, ensure_ascii=False, default=_plain)
            sys.stdout.write(tame_json(text) + "\n")
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
    console = Console(
        file=file, highlight=False, soft_wrap=True, width=None if file.isatty() else _WIDTH_ELSEWHERE
    )
    console.push_render_hook(Taming())
    return console


def program() -> str:
    """How to call this command line from here: by its name when it is found, else by its place."""
    if shutil.which("isthmus") is not None:
        return "isthmus"
    script = Path(sys.executable).with_name("isthmus")
    if not script.exists():
        return f"{sys.executable} -m node.cli.main"
    return os.path.relpath(script) if script.is_relative_to(Path.cwd()) else str(script)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Listing:
    """Rows under headings, whose cells are plain text, never markup."""
    return Listing.of(headings, rows, title)


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


class Taming(RenderHook):
    """Makes a console send nothing of a text to the terminal but characters; its own colours stay."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Wraps what is about to be drawn."""
        return [_Tamed(each) for each in renderables]


@dataclass(frozen=True, slots=True)
class _Tamed:
    inner: ConsoleRenderable

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for segment in console.render(self.inner, options):
            yield segment if segment.control else Segment(tame(segment.text), segment.style)
