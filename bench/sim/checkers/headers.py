"""One header a height, on every honest host, each linked to the one before it.

A header that hosts sign or execute is known by its hash, one that they store or send by its bytes; both are
compared. Its links are recomputed: the parent's hash, rising time, the tree over all hashes before.
Memory: a header (under 600 bytes) a height.
"""

from typing import TYPE_CHECKING

import msgpack

from bench.sim.checkers.merkle import GrowingList
from bench.sim.checkers.reading import Fields, tagged, unpack
from bench.sim.violation import Violation

if TYPE_CHECKING:
    from bench.sim.host import Host

_DOMAIN = "isthmus/header/v1"
_ROOT_DOMAIN = "isthmus/epoch-root/v1"


def header_hash(encoded: bytes) -> bytes:
    """What is signed of a header."""
    return tagged(_DOMAIN, encoded)


def root_of(cluster_id: bytes, last_header: bytes, epoch: int = 0) -> bytes:
    """The block id that an epoch of agreement starts from, above the header that ended the one before
    (C4)."""
    return tagged(_ROOT_DOMAIN, msgpack.packb((cluster_id, epoch, header_hash(last_header))))


class Headers:
    """`headers` holds the bytes by height, `executed` the hashes."""

    def __init__(self, genesis_header: bytes) -> None:
        self.headers: dict[int, bytes] = {0: genesis_header}
        self.executed: dict[int, bytes] = {0: header_hash(genesis_header)}
        self._genesis = unpack(genesis_header)
        self._history = GrowingList()
        self._history.append(self.executed[0])
        self._tips: dict[int, object] = {}

    def on_stepped(self, host: "Host") -> None:
        """What an honest host has executed."""
        tip = host.validator.data.line.tip
        if tip is not self._tips.get(host.place):
            self._tips[host.place] = tip
            self.on_hash(host.name, tip.height, tip.header_hash)

    def on_hash(self, who: str, height: int, named: bytes) -> None:
        """An honest host executed or signed this header, or a quorum did."""
        known = self.executed.setdefault(height, named)
        if known != named:
            words = f"{named.hex()[:12]} at height {height}, others have {known.hex()[:12]}"
            raise Violation("headers", f"{who} has header {words}")

    def on_header(self, who: str, encoded: bytes) -> None:
        """An honest host stores or sends this header."""
        fields = unpack(encoded)
        height = fields[4]
        known = self.headers.get(height)
        if known is not None:
            if known != encoded:
                raise Violation("headers", f"{who} has another header at height {height}")
            return
        self.on_hash(who, height, header_hash(encoded))
        before = self.headers.get(height - 1)
        if before is None:
            raise Violation("headers", f"{who} has header {height}, nobody the one before")
        fault = self._fault(fields, unpack(before))
        if fault:
            raise Violation("headers", f"{who} has a header of height {height} with {fault}")
        self.headers[height] = encoded
        self._history.append(header_hash(encoded))

    def _fault(self, fields: Fields, before: Fields) -> str:
        (
            version,
            incarnation,
            cluster_id,
            epoch,
            height,
            parent,
            _,
            time_ms,
            *_,
            history,
            _,
            validators,
            _,
        ) = fields
        if (version, incarnation, cluster_id, epoch, validators) != (
            *self._genesis[:3],
            before[3] + (before[15] is not None),
            before[15] or before[14],
        ):
            return "another cluster, epoch, or set of validators"
        if parent != self.executed[height - 1]:
            return "another parent"
        if time_ms <= before[7]:
            return f"time {time_ms} after {before[7]}"
        if history != self._history.root:
            return "another history"
        return ""
