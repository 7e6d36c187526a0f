"""Tells the service manager that started this process how it is: ready, alive, about to end.

The protocol is systemd's `sd_notify(3)`: one datagram of `KEY=VALUE` lines to the socket named by
NOTIFY_SOCKET. Alive means that the loop turns: whatever holds it for longer than WatchdogSec (a hung disk, an
endless loop of ours) ends in a restart, which recovers. Not being ready is no reason for a restart.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

import structlog
import trio

from node.daemon.daemon import Node
from node.daemon.readiness import reasons_against

STATUS_SECONDS = 5.0
"""How often the status line is renewed when no watchdog asks for more."""
_PER_WATCHDOG_PERIOD = 3
"""Signs of life in the time after which the manager gives up."""
_STATUS_CHARACTERS_MAX = 400

_log = structlog.get_logger("isthmus")


@dataclass(frozen=True, slots=True)
class ServiceManager:
    """Where to send, and how often a sign of life is due in seconds (0: none is asked for)."""

    address: str
    watchdog_seconds: float

    @staticmethod
    def of(environ: Mapping[str, str], pid: int) -> "ServiceManager | None":
        """The manager named by the environment; None where nobody listens. WATCHDOG_PID, when it is there,
        must be ours: a child must not answer for its parent."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        asked = environ.get("WATCHDOG_USEC", "0")
        ours = environ.get("WATCHDOG_PID", str(pid)) == str(pid)
        return ServiceManager(address, int(asked) / 1e6 if ours and asked.isdigit() else 0.0)

    @property
    def interval_seconds(self) -> float:
        """Between two messages."""
        if not self.watchdog_seconds:
            return STATUS_SECONDS
        return min(STATUS_SECONDS, self.watchdog_seconds / _PER_WATCHDOG_PERIOD)

    def tell(self, *lines: str) -> None:
        """Send one datagram. Raises OSError when the manager cannot be reached."""
        name = "\0" + self.address[1:] if self.address.startswith("@") else self.address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto("\n".join(lines).encode(), name)

    # --- as a service of the daemon ----------------------------------------------------------------------

    def bind(self) -> None:
        """Nothing is taken in advance."""

    async def run(self, node: Node, ending: trio.Event) -> None:
        """Ready now; then a sign of life at each interval until the node is about to end."""
        self._try("READY=1", status_of(node))
        while not ending.is_set():
            with trio.move_on_after(self.interval_seconds):
                await ending.wait()
            if not ending.is_set():
                self._try("WATCHDOG=1", status_of(node))
        self._try("STOPPING=1", "STATUS=stopping")

    def _try(self, *lines: str) -> None:
        """A manager that does not listen is no reason to end; if it waited for us, it ends us itself."""
        try:
            self.tell(*lines)
        except OSError as error:
            _log.warning("service_manager", detail=f"{self.address}: {error}")


def status_of(node: Node) -> str:
    """The line that `systemctl status` shows."""
    height = node.validator.replica.view().certified_height
    reasons = reasons_against(node)
    words = "ready" if not reasons else f"not ready: {reasons[0]}"
    return f"STATUS=height {height}, {words}"[:_STATUS_CHARACTERS_MAX].replace("\n", " ")
