"""The processes of a measurement that are no daemons: signers and load generators.

Each gets its plan as one line of JSON and answers in lines of JSON. None outlives the block that opened it,
and none hears of a Ctrl-C before we do: they have sessions of their own.
"""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio

_LINE_BYTES_MAX = 64 * 1024
_CHUNK_BYTES = 16 * 1024


class ChildFailed(Exception):
    """A process of the measurement ended before its work was done; our fault, told with its last words."""


class Child:
    """One running process. Made by `open_child`."""

    def __init__(self, name: str, process: trio.Process, errors_file: Path) -> None:
        self.name = name
        self._process = process
        self._errors_file = errors_file
        self._buffer = b""

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    async def tell(self, line: str) -> None:
        """Write one line to it. Raises ChildFailed."""
        if self._process.stdin is None:
            raise ValueError(f"{self.name} was started without standard input")
        try:
            await self._process.stdin.send_all(line.encode() + b"\n")
        except trio.BrokenResourceError as error:
            raise self._failure() from error

    async def hear(self) -> dict[str, Any]:
        """Its next line. Raises ChildFailed when it ends instead."""
        if self._process.stdout is None:
            raise ValueError(f"{self.name} was started without standard output")
        while b"\n" not in self._buffer:
            chunk = await self._process.stdout.receive_some(_CHUNK_BYTES)
            if not chunk or len(self._buffer) > _LINE_BYTES_MAX:
                raise self._failure()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        heard: dict[str, Any] = json.loads(line)
        return heard

    async def expect(self, event: str) -> dict[str, Any]:
        """Its next line, which must be this event. Raises ChildFailed."""
        heard = await self.hear()
        if heard.get("event") != event:
            raise ChildFailed(f"{self.name} said {heard} instead of {event}")
        return heard

    def _failure(self) -> ChildFailed:
        words = self._errors_file.read_text(errors="replace").strip()[-2_000:]
        return ChildFailed(f"{self.name} ended early: {words or 'it said nothing'}")


@asynccontextmanager
async def open_child(module: str, name: str, plan: str, directory: Path) -> AsyncIterator[Child]:
    """`python -m MODULE` with its plan told; killed when the block ends. Raises ChildFailed, OSError."""
    errors_file = directory / f"{name}.log"
    with errors_file.open("wb") as errors:
        process = await trio.lowlevel.open_process(
            (sys.executable, "-m", module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    try:
        child = Child(name, process, errors_file)
        await child.tell(plan)
        yield child
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    await stream.aclose()
