"""The ledger header, under the name it had before proofs needed it: see `node.proofs.header`."""

from node.proofs.header import (
    EMPTY_LIST_ROOT,
    EMPTY_MAP_ROOT,
    HEADER_BYTES_MAX,
    HEADER_VERSION,
    NO_PARENT,
    Header,
)

__all__ = [
    "EMPTY_LIST_ROOT",
    "EMPTY_MAP_ROOT",
    "HEADER_BYTES_MAX",
    "HEADER_VERSION",
    "NO_PARENT",
    "Header",
]
