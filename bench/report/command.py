"""`isthmus-bench report`: the history becomes a page and the README's table."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import click

from bench.report.page import page
from bench.report.picture import Picture
from bench.report.reading import Run, read_runs
from bench.report.readme import MarkersError, table, written_into
from bench.results import HISTORY, HistoryError

_DRAWING = "bench.report.drawing"


class NoDrawing(Exception):
    """The extra that draws is not installed; `str()` names the way out."""


@click.command("report")
@click.option(
    "--history",
    default=HISTORY,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The lines to read; by default bench/results/history.jsonl.",
)
@click.option(
    "--out",
    default=None,
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="The page to write; report.html unless only --readme is given.",
)
@click.option(
    "--readme",
    type=click.Path(exists=True, dir_okay=False, writable=True, path_type=Path),
    help="Also write the table between the markers of this file.",
)
def command(history: Path, out: Path | None, readme: Path | None) -> None:
    """A page with curves, distributions, faults and history, and the README's table.

    Reads what commands wrote with --record. The page needs matplotlib (extra "report"); the table does not.
    """
    try:
        runs = read_runs(history)
    except FileNotFoundError as error:
        raise click.ClickException(
            f"There is no history at {history}; measure with --record first, for example "
            "isthmus-bench cluster --scenario lone --record"
        ) from error
    except (HistoryError, OSError) as error:
        raise click.ClickException(str(error)) from error
    try:
        if readme is not None:
            _write_table(runs, readme)
        if out is not None or readme is None:
            _write_page(runs, out or Path("report.html"))
    except (MarkersError, NoDrawing, OSError) as error:
        raise click.ClickException(str(error)) from error


def _write_table(runs: Sequence[Run], readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    try:
        changed = written_into(text, table(runs))
    except MarkersError as error:
        raise MarkersError(f"{readme}: {error}") from error
    if changed != text:
        readme.write_text(changed, encoding="utf-8")
    click.echo(f"{readme}: {'table written' if changed != text else 'unchanged'}")


def _write_page(runs: Sequence[Run], out: Path) -> None:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    out.write_text(page(runs, _load_drawing(), now), encoding="utf-8")
    click.echo(f"{out}: {len(runs)} runs")


def _load_drawing() -> Callable[[Picture], str]:
    """Imported only now, because everything else of the harness works without it. Raises NoDrawing."""
    try:
        draw: Callable[[Picture], str] = import_module(_DRAWING).draw
    except ImportError as error:
        raise NoDrawing(
            f'The page needs matplotlib ({error}); install it with pip install "isthmus[report]", or in a '
            "checkout with make install. --readme alone needs nothing."
        ) from error
    return draw
