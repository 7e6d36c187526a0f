"""Samples of call stacks, as py-spy writes them: one line a stack, outermost frame first, then a count."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
_FRAME = re.compile(r"(?P<function>.+) \((?P<file>[^()]+?)(?::\d+)?\)")
_LIBRARIES = re.compile(r".*/(?:site-packages|dist-packages|lib/python3\.\d+)/(?P<rest>.+)")
_THREAD = re.compile(r"thread \((?P<id>\d+)\)(?::.*)?")
_OUTSIDE = "<"


@dataclass(frozen=True, slots=True)
class Frame:
    """A function, and its file relative to where it is imported from (`consensus/codec.py`)."""

    function: str
    file: str

    def __str__(self) -> str:
        return f"{self.file}: {self.function}"


@dataclass(frozen=True, slots=True)
class Stack:
    """`count` samples in which a thread ran with these frames, outermost first. `thread` is the
    kernel's number of it."""

    thread: int
    frames: tuple[Frame, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Recording:
    """The stacks of one recording, and how many lines could not be read: the sampler does not stop what it
    looks at, so that a few of its readings are of memory that changes under it."""

    stacks: tuple[Stack, ...]
    torn: int

    @staticmethod
    def parse(data: bytes) -> "Recording":
        """Of raw stacks with thread ids. What is no frame (processes, their command lines) is left out, and
        so is a stack without any."""
        stacks: list[Stack] = []
        torn = 0
        for line in filter(None, data.split(b"\n")):
            stack = _stack(line)
            if stack is None:
                torn += 1
            elif stack.frames:
                stacks.append(stack)
        return Recording(tuple(stacks), torn)


def _stack(line: bytes) -> Stack | None:
    """One line's; None when it cannot be one."""
    try:
        text, _, count = line.decode().rpartition(" ")
    except UnicodeDecodeError:
        return None
    pieces = text.split(";")
    threads = [match["id"] for piece in pieces if (match := _THREAD.fullmatch(piece)) is not None]
    if not (count.isascii() and count.isdigit() and threads):
        return None
    frames = tuple(
        Frame(match["function"].strip(), importable(match["file"]))
        for piece in pieces
        if (match := _FRAME.fullmatch(piece)) is not None
    )
    return Stack(int(threads[-1]), frames, int(count))


def importable(file: str) -> str:
    """The path of a source file as an import sees it, without the machine it lies on."""
    match = _LIBRARIES.fullmatch(file)
    if match is not None:
        return match["rest"]
    path = PurePosixPath(file)
    if path.is_relative_to(ROOT.as_posix()):
        return path.relative_to(ROOT.as_posix()).as_posix()
    return file if file.startswith(_OUTSIDE) or not path.is_absolute() else path.name
