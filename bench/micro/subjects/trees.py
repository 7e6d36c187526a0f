"""Both Merkle trees: the append-only list of a block or a history, and the sparse map of the state."""

from functools import lru_cache, partial
from hashlib import sha256

from bench.micro.subject import Sampler, Subject, Workshop, repeated
from node.proofs import CompactRange, rfc6962, smt

_HISTORY = 100_000
_CHANGED = 100
"""Keys in one batch: half of them new."""


def _leaves(count: int) -> list[bytes]:
    return [sha256(b"leaf %d" % number).digest() for number in range(count)]


def _root(count: int, workshop: Workshop) -> Sampler:
    return repeated(workshop.clock, partial(rfc6962.root, _leaves(count)))


def _append(count: int, workshop: Workshop) -> Sampler:
    history, _ = CompactRange().append(_leaves(_HISTORY))
    return repeated(workshop.clock, partial(history.append, _leaves(count)))


class _Nodes:
    """Stored nodes in memory: the reader that `smt.update` takes."""

    def __init__(self) -> None:
        self.stored: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.stored.get(key)


@lru_cache(maxsize=2)
def _state(keys: int) -> _Nodes:
    nodes = _Nodes()
    changes = [(b"key %d" % number, b"value") for number in range(keys)]
    nodes.stored = {key: value for key, value in smt.update(nodes, changes).writes if value is not None}
    return nodes


def _update(keys: int, workshop: Workshop) -> Sampler:
    first = keys - _CHANGED // 2
    changes = [(b"key %d" % number, b"changed") for number in range(first, first + _CHANGED)]
    return repeated(workshop.clock, partial(smt.update, _state(keys), changes))


SUBJECTS = (
    Subject("rfc6962/tree-head/100", "root", partial(_root, 100)),
    Subject("rfc6962/tree-head/1000", "root", partial(_root, 1_000)),
    Subject("rfc6962/append/1", "leaf", partial(_append, 1)),
    Subject("rfc6962/append/100", "leaf", partial(_append, 100), per=100),
    Subject("smt/update/1e3", "key", partial(_update, 1_000), per=_CHANGED),
    Subject("smt/update/1e5", "key", partial(_update, 100_000), per=_CHANGED),
)
