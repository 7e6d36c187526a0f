"""Pictures become SVG text. The only file that needs matplotlib, the optional extra `report`."""

from io import StringIO

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.report.picture import Line, Picture

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#999999")
"""Okabe and Ito's, which colour-blind people can tell apart."""
_GREY = "#888888"
_INCHES = (7.2, 3.8)
_TICKS_MAX = 24
_METADATA = {"Date": None, "Creator": None, "Format": None, "Type": None}


def draw(picture: Picture) -> str:
    """An `<svg>` element that loads nothing: text stays text, the same picture gives the same bytes."""
    salt = picture.title  # ids of different pictures differ, those of one are the same every time
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "text.parse_math": False}):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.add_subplot()
        for number, line in enumerate(picture.lines):
            _draw_line(axes, line, _COLOURS[number % len(_COLOURS)])
        _dress(axes, picture)
        out = StringIO()
        figure.savefig(out, format="svg", metadata=_METADATA)
    text = out.getvalue()
    return text[text.index("<svg") :]


def _draw_line(axes: Axes, line: Line, colour: str) -> None:
    xs, ys = [x for x, _ in line.points], [y for _, y in line.points]
    axes.plot(xs, ys, "--" if line.dashed else "-", color=colour, label=line.label, linewidth=1.4)
    for number, (x, y) in enumerate(line.points):
        face = "white" if number in line.hollow else colour
        axes.plot([x], [y], "o", color=colour, markerfacecolor=face, markersize=4)


def _dress(axes: Axes, picture: Picture) -> None:
    axes.set_title(picture.title, fontsize=10, wrap=True)
    axes.set_xlabel(picture.x_label)
    axes.set_ylabel(picture.y_label)
    for x, words in picture.verticals:
        axes.axvline(x, color=_GREY, linestyle=":")
        axes.annotate(words, (x, 0.97), xycoords=("data", "axes fraction"), fontsize=8, va="top")
    for y, words in picture.horizontals:
        axes.axhline(y, color=_GREY, linestyle=":")
        place = ("axes fraction", "data")
        axes.annotate(words, (0.99, y), xycoords=place, fontsize=8, ha="right", va="bottom")
    if picture.x_ticks:
        step = -(-len(picture.x_ticks) // _TICKS_MAX)
        shown = picture.x_ticks[::step]
        places, names = [x for x, _ in shown], [words for _, words in shown]
        axes.set_xticks(places, names, rotation=45, fontsize=7, ha="right")
    if picture.x_log:
        axes.set_xscale("log")
        _number(axes.xaxis)
    if picture.y_log:
        axes.set_yscale("log")
        _number(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)  # last: it ends the search for the limits
    axes.grid(alpha=0.3)
    if len(picture.lines) > 1:
        axes.legend(fontsize=8)


def _number(axis: Axis) -> None:
    """1, 2, 5, 10 on a logarithmic axis, written as people write them."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())
