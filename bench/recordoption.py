"""The `--record` option of every command that measures: one wording, one default file."""

from pathlib import Path

import click

from bench.results import HISTORY

record_option = click.option(
    "--record",
    is_flag=False,
    flag_value=HISTORY,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Add the figures to a history, by default bench/results/history.jsonl.",
)
