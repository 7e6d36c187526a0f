"""A table of subcommands whose lines of help are shown whole; click ends them with dots."""

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
