"""The writes of one federation transaction, which happen all at once or not at all.

It is what lanes call their state (node/anchoring/lanes/state.py), over any leaf reader.
"""

from node.ledger.federation.records import Get


class Draft:
    """Writes and said leaves above a reader. Not bounded by the writes of an application's transaction: what
    a bundle or a recovery may write is bounded by its leaves and lanes."""

    __slots__ = ("_get", "said", "writes")

    def __init__(self, get: Get) -> None:
        self._get = get
        self.writes: dict[bytes, bytes | None] = {}
        self.said: list[tuple[bytes, bytes]] = []

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`, own writes included."""
        return self.writes[key] if key in self.writes else self._get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Write a non-empty value."""
        self.writes[key] = value

    def delete(self, key: bytes) -> None:
        """Remove `key`; removing what is absent changes nothing."""
        self.writes[key] = None

    def say(self, destination: bytes, leaf: bytes) -> None:
        """Append `leaf` to the outbox log of `destination`."""
        self.said.append((destination, leaf))
