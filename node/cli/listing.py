"""Rows under headings, as wide as the reader's terminal allows.

A table whose cells are broken in the middle of their words cannot be read: `127.0.0.1:27601` over two lines
is no address. So a table is drawn where it fits, at most with its last column folded between words;
elsewhere each row becomes a paragraph that names its values.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from node.cli.plain import one_line

_TOGETHER_CHARACTERS_MAX = 40
_FOLDED_WIDTH_MIN = 24
_NOTHING = ("", "-")


@dataclass(frozen=True, slots=True)
class Listing:
    """What `table` shows; every cell is text, never markup."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str

    @staticmethod
    def of(headings: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> "Listing":
        """Takes cells of any kind."""
        return Listing(
            tuple(headings), tuple(tuple(one_line(str(cell)) for cell in row) for row in rows), title
        )

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        columns = tuple(zip(self.headings, *self.rows, strict=True))
        widths = [max(map(cell_len, column)) for column in columns]
        excess = sum(widths) + 3 * len(widths) - 1 - options.max_width
        longest_word = max(cell_len(word) for cell in columns[-1] for word in (cell.split() or [""]))
        if excess <= 0 or widths[-1] - excess >= max(longest_word, _FOLDED_WIDTH_MIN):
            widths[-1] -= max(excess, 0)
            yield self._table(widths)
        else:
            yield Text("\n".join(self._paragraphs(options.max_width)))

    def _table(self, widths: Sequence[int]) -> Table:
        title = Text(one_line(self.title)) if self.title else None
        drawn = Table(title=title, title_justify="left", header_style="bold", show_edge=False)
        for heading, width in zip(self.headings, widths, strict=True):
            drawn.add_column(Text(heading), width=width)
        for row in self.rows:
            drawn.add_row(*map(Text, row))
        return drawn

    def _paragraphs(self, width: int) -> Iterable[str]:
        """Each row begins with its first cell; values nobody knows are left out."""
        if self.title:
            yield one_line(self.title)
        for first, *others in self.rows:
            told = zip(self.headings[1:], others, strict=True)
            values = ", ".join(
                _together(f"{heading} {cell}") for heading, cell in told if cell not in _NOTHING
            )
            folded = textwrap.fill(
                f"{_together(first)}  {values}",
                width,
                subsequent_indent="  ",
                break_long_words=False,
                break_on_hyphens=False,
            )
            yield folded.replace("\N{NO-BREAK SPACE}", " ")


def _together(text: str) -> str:
    """A short value stays in one line with its name."""
    return text.replace(" ", "\N{NO-BREAK SPACE}") if len(text) <= _TOGETHER_CHARACTERS_MAX else text
