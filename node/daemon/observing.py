"""Who may observe, while the node runs: `p2p.allowed` is read again whenever config.toml changes (C18).

Each node decides alone whom it lets in, so an observer needs one operator's word and nobody's restart. Every
other setting counts from the next start on.
"""

import os
from collections.abc import Iterable
from typing import Protocol

import structlog
import trio

from node.config import ConfigError, NodeConfig, load_config
from p2p import PeerId

WATCH_SECONDS = 2.0

_log = structlog.get_logger("isthmus")


class Admission(Protocol):
    """Who takes the new list."""

    def allow(self, keys: Iterable[PeerId]) -> None:
        """Accept exactly these beside peers, genesis and roster."""

    def review(self) -> bool:
        """Give up keys whose time is over."""


class AllowedList:
    """The list as it was read last."""

    def __init__(self, config: NodeConfig, admission: Admission) -> None:
        self._config = config
        self._admission = admission
        self._allowed = config.p2p.allowed
        self._seen = self._stamp()

    def look(self) -> bool:
        """Read the file again if it changed; whether the list is another now. What cannot be read is told,
        and the list stays."""
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            allowed = load_config(self._config.home, os.environ).config.p2p.allowed
        except (ConfigError, OSError) as error:
            _log.warning("config_unreadable", detail=str(error))
            return False
        if allowed == self._allowed:
            return False
        added = sorted(key.hex()[:12] for key in set(allowed) - set(self._allowed))
        removed = sorted(key.hex()[:12] for key in set(self._allowed) - set(allowed))
        self._allowed = allowed
        self._admission.allow(PeerId(key) for key in allowed)
        _log.info("allowed_changed", added=added, removed=removed)
        return True

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._config.home.config_file.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    async def watch(self) -> None:
        """Look, and have rotated keys given up, until cancelled."""
        while True:
            await trio.sleep(WATCH_SECONDS)
            self.look()
            self._admission.review()
