"""Tables of subcommands: with lines of help that are shown whole, which click ends with dots; or imported
when they are used and not before."""

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click


class CommandTable(click.Group):
    """A group; its help wraps long lines."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Name and first sentence of each command."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [
            (name, inner.get_short_help_str(limit=10_000))
            for name, inner in found
            if inner is not None and not inner.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


@dataclass(frozen=True, slots=True)
class Entry:
    """A command that is `module.command`, and its line of help."""

    module: str
    help: str


class LazyCommands(click.Group):
    """A command table whose entries are imported on first use."""

    def __init__(self, *arguments: Any, table: Mapping[str, Entry], **attributes: Any) -> None:
        """`table`: the commands by name, in the order in which they are listed; the rest is click's."""
        super().__init__(*arguments, **attributes)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, as the table has them."""
        return list(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import the command's file. Raises UsageError with a suggestion for an unknown name."""
        if cmd_name not in self._table:
            close = difflib.get_close_matches(cmd_name, self._table, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(self._table)}"
            raise click.UsageError(f"there is no command {cmd_name!r}; {meant}", ctx)
        found: click.Command = importlib.import_module(self._table[cmd_name].module).command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help from the table, so that --help imports no command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self._table.items()])
