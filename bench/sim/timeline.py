"""What happened in a world, in lines that a person reads: bounded, and the same for the same seed."""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

LINES_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Line:
    """`who` is a host's name, or "world"; `what` one word; `words` the rest."""

    at_us: int
    who: str
    what: str
    words: str

    def __str__(self) -> str:
        return f"{self.at_us / 1_000_000:11.6f}  {self.who:>6}  {self.what:<12} {self.words}"


def _nowhere(line: Line) -> None:
    return None


class Timeline:
    """The last `LINES_MAX` lines, and how often each kind of thing happened at all. `sink` is given every
    line as it is written, and the details, which are kept nowhere else."""

    def __init__(self, elapsed_us: Callable[[], int]) -> None:
        self._elapsed_us = elapsed_us
        self.sink: Callable[[Line], None] = _nowhere
        self.lines: deque[Line] = deque(maxlen=LINES_MAX)
        self.counts: Counter[str] = Counter()

    def note(self, who: str, what: str, words: str) -> None:
        """Something happened now."""
        self.counts[what] += 1
        line = Line(self._elapsed_us(), who, what, words)
        self.lines.append(line)
        self.sink(line)

    def detail(self, at_us: int, who: str, what: str, words: str) -> None:
        """Something of which there is too much for people in a hurry."""
        self.sink(Line(at_us, who, what, words))
