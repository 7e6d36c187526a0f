"""Empty lines before a request are passed over: old clients send one behind a body, and people type them.

So few of them as are found there: whoever sends only empty lines is no client. Source: RFC 9112 section 2.2.
"""

import re

EMPTY_BYTES_MAX = 16
"""Eight lines, or sixteen that end in a line feed alone."""
_EMPTY_LINES = re.compile(rb"(?:\r?\n)*")
_CR = ord("\r")


class EmptyLines:
    """What came of them before one request."""

    __slots__ = ("_open", "_passed")

    def __init__(self) -> None:
        self._open = b""
        self._passed = 0

    def begin(self) -> None:
        """A request begins: before the next one there may be as many again."""
        self._open = b""
        self._passed = 0

    def behind(self, data: bytes) -> bytes:
        """What of these bytes (one at least) stands behind empty lines; nothing while there may be more of
        them. Those that are too many stay, and are no request."""
        if data[0] > _CR and not self._open:
            return data
        data, self._open = self._open + data, b""
        lines = _EMPTY_LINES.match(data)
        end = 0 if lines is None else lines.end()
        self._passed += end
        if self._passed > EMPTY_BYTES_MAX:
            return data
        if data[end:] == b"\r":
            self._open = b"\r"
            return b""
        return data[end:]
