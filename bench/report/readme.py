"""The table of the README: one row a goal, written between two markers and nowhere else."""

from collections.abc import Sequence

from bench.report.goals import GOALS, Answer, latest
from bench.report.reading import Run

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_HEADINGS = ("figure", "floor", "aim", "latest", "which is", "taken on", "Ed25519 check there", "command")
_RIGHT = ("floor", "aim", "latest", "Ed25519 check there")


class MarkersError(ValueError):
    """The text has no place for the table; `str()` says what is wrong."""


def table(runs: Sequence[Run]) -> str:
    """Markdown, a line a goal."""
    rules = ("---:" if heading in _RIGHT else "---" for heading in _HEADINGS)
    rows = [_HEADINGS, tuple(rules)]
    for goal in GOALS:
        answer = latest(goal, runs)
        place = ("not recorded", "", "", "")
        if answer is not None:
            value = answer.found.value
            verdict = ", ".join((goal.verdict(answer.found), *_marks(answer)))
            written = "-" if value is None else goal.written(value)
            verify_us = answer.run.record.signatures.verify_us
            place = (written, verdict, place_of(answer.run), f"{verify_us:.0f} us")
        rows.append((goal.name, goal.written_floor, goal.written_aim, *place, f"`{goal.command}`"))
    return "\n".join("| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in rows)


def _marks(answer: Answer) -> tuple[str, ...]:
    return tuple(mark for mark in answer.run.marks if mark != "NOT CARRIED")  # the verdict says it


def place_of(run: Run) -> str:
    """Commit, day and machine."""
    record = run.record
    commit = record.commit[:9] if record.commit is not None else "no commit"
    return f"{commit}, {record.date[:10]}, {record.machine.cores} x {record.machine.cpu}"


def written_into(text: str, content: str) -> str:
    """The text with everything between the markers replaced. Raises MarkersError."""
    begins, ends = text.count(BEGIN), text.count(END)
    if (begins, ends) != (1, 1) or text.index(BEGIN) > text.index(END):
        raise MarkersError(
            f"there must be one line {BEGIN} and one line {END} below it, not {begins} and {ends}; "
            "put them where the table shall stand"
        )
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{content}\n{END}{after}"
