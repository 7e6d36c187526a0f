"""A child must not outlive whoever started it, even when that one was killed.

The parent keeps the writing end of a pipe open and writes nothing; the child reads. However the parent
ends, the kernel closes the pipe and the child sees it. A thread watches rather than a task: it also works
when the event loop hangs, and after a grace it ends the process by force. The thread sleeps in `read`.
"""

import os
import threading
from collections.abc import Callable, Mapping

VARIABLE = "ISTHMUS_LIFELINE_FD"
"""Environment variable that holds the descriptor to read; a process without it has no parent to follow."""
ABANDONED_EXIT_CODE = 143


def lifeline_descriptor(environ: Mapping[str, str]) -> int | None:
    """The descriptor named by the environment, or None. Raises ValueError for anything but a number."""
    text = environ.get(VARIABLE)
    if text is None:
        return None
    if not text.isdecimal():
        raise ValueError(f"{VARIABLE} must be the number of an open descriptor, not {text!r}")
    return int(text)


def follow_parent(descriptor: int, on_parent_gone: Callable[[], None], grace_seconds: float) -> None:
    """Call `on_parent_gone` (from a thread) when the pipe closes; end the process after the grace.

    `on_parent_gone` asks for an orderly stop. A process that has not ended `grace_seconds` later is
    ended at once with exit code 143: a leftover process would hold its ports and its key lock.
    """

    def watch() -> None:
        while os.read(descriptor, 4096):
            pass
        end = threading.Timer(grace_seconds, os._exit, (ABANDONED_EXIT_CODE,))
        end.daemon = True
        end.start()
        on_parent_gone()

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
