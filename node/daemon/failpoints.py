"""Places where a test lets the process die, to prove that every crash between two writes recovers.

`ISTHMUS_FAILPOINT=name` kills the process with SIGKILL when it first comes to that place, and
`name:3` at the third time. Without the variable `hit` is a function that does nothing; which of the
two it is was decided when this module was imported, so nothing is looked up while running.
"""

import os
import signal
from collections.abc import Callable

VARIABLE = "ISTHMUS_FAILPOINT"

NAMES = (
    "journal-before-write",
    "journal-before-sync",
    "journal-after-sync",
    "journal-before-name",
    "journal-after-retire",
    "guard-before-write",
    "guard-after-sync",
    "store-before-chain",
    "store-before-state",
    "store-after-state",
)
"""Every place there is; a test over this tuple covers them all."""


class UnknownFailpoint(ValueError):
    """The variable names a place that does not exist, or a count that is not a positive number."""


def _off(_name: str) -> None:
    """The shipped behaviour: nothing."""


def _armed(setting: str) -> Callable[[str], None]:
    """A `hit` that kills this process; raises UnknownFailpoint on a setting that would never fire."""
    wanted, _, count_text = setting.partition(":")
    if wanted not in NAMES:
        raise UnknownFailpoint(f"{VARIABLE}={setting}: no such place; there are {', '.join(NAMES)}")
    if count_text and not (count_text.isdecimal() and int(count_text) > 0):
        raise UnknownFailpoint(f"{VARIABLE}={setting}: the count after the colon is a number from 1")
    remaining = int(count_text or "1")

    def kill_when_due(name: str) -> None:
        nonlocal remaining
        if name == wanted:
            remaining -= 1
            if remaining == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return kill_when_due


hit: Callable[[str], None] = _armed(os.environ[VARIABLE]) if VARIABLE in os.environ else _off
"""`hit(name)`: die here if the test asked for it."""
