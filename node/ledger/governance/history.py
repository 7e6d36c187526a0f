"""Recent headers in the state, for proofs that a joining validator has caught up.

    governance/recent    [height of the newest, its hash and those below it, newest last, 32 bytes each]

Execution must judge "this is the header of that height" from state alone. The leaf exists only while an open
proposal brings a consensus key, so that blocks cost nothing more the rest of the time.
"""

from consensus import Digest, as_bytes, as_int, as_tuple, decode, encode_trusted
from node.ledger.governance.proposals import OPEN_KEY, decode_open
from node.ledger.state import BlockState
from node.proofs.header import Header

RECENT_KEY = b"governance/recent"
RECENT_MAX = 128
"""Headers that are remembered: how far behind a joining validator's proof may be."""


def first_recent(parent: Header) -> bytes:
    """The leaf as it begins in the block above `parent`."""
    return encode_trusted((parent.height, parent.hash))


def recent_hash(stored: bytes | None, height: int) -> Digest | None:
    """The hash of the header of `height`, None when it is not remembered."""
    if stored is None:
        return None
    newest, hashes = _decoded(stored)
    end = len(hashes) - 32 * (newest - height)
    return Digest(hashes[end - 32 : end]) if 32 <= end <= len(hashes) else None


def remember_parent(state: BlockState, parent: Header, time_ms: int) -> None:
    """At the beginning of each block: its parent joins the remembered, or all are forgotten once nobody can
    join any more."""
    stored = state.get_state(RECENT_KEY)
    if stored is None:
        return
    opened = decode_open(state.get_state(OPEN_KEY))
    if not any(entry.has_joiners and time_ms < entry.expires_at_ms for entry in opened):
        state.state[RECENT_KEY] = None
        return
    _, hashes = _decoded(stored)
    state.state[RECENT_KEY] = encode_trusted((parent.height, (hashes + parent.hash)[-32 * RECENT_MAX :]))


def _decoded(stored: bytes) -> tuple[int, bytes]:
    newest, hashes = as_tuple(decode(stored), 2, "recent headers")
    return as_int(newest, "height"), as_bytes(hashes, "hashes", max_length=32 * RECENT_MAX)
