"""The beginning of a ledger: header 0 over the first leaves, and what a new home stores for it."""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus import Digest, LocalError
from node.ledger.execution import Tip
from node.ledger.state import Space, StateWrite
from node.proofs import CompactRange, smt
from node.proofs.header import NO_PARENT, Header
from node.proofs.rfc6962 import StoredNode, leaf_hash


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a new home stores before the first block, and the tip its execution starts from."""

    tip: Tip
    state_writes: tuple[StateWrite, ...]
    history_nodes: tuple[StoredNode, ...]


def state_root_of(leaves: Sequence[tuple[bytes, bytes]]) -> Digest:
    """The state root over these leaves alone."""
    return Digest(smt.update(_Empty(), leaves).root)


def begin(leaves: Sequence[tuple[bytes, bytes]], header: Header) -> Beginning:
    """The beginning whose state is `leaves`. Raises LocalError when `header` is no header 0 over them."""
    update = smt.update(_Empty(), leaves)
    if header.height != 0 or header.parent_hash != NO_PARENT or header.state_root != update.root:
        raise LocalError("this header does not begin a ledger over these leaves")
    history, nodes = CompactRange().append([leaf_hash(header.hash)])
    states: list[StateWrite] = [(Space.STATE, key, value) for key, value in leaves]
    inner: list[StateWrite] = [(Space.NODES, key, value) for key, value in update.writes]
    return Beginning(Tip(header, history), (*states, *inner), nodes)


class _Empty:
    """The reader of an empty store."""

    def get(self, key: bytes) -> bytes | None:
        return None
