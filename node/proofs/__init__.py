"""Proofs: what lets somebody who trusts one hash check one fact, offline and without asking anybody.

`rfc6962` holds the append-only trees behind transactions, receipts, header history and outboxes.
Everything here is pure: bytes in, bytes or a refusal in words out. A `ProofError` blames whoever
supplied the proof.
"""

from node.proofs.errors import ProofError
from node.proofs.rfc6962 import (
    EMPTY_ROOT,
    CompactRange,
    StoredNode,
    consistency_path_from,
    inclusion_path,
    inclusion_path_from,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)
from node.proofs.rfc6962 import NodeReader as TreeReader

__all__ = [
    "EMPTY_ROOT",
    "CompactRange",
    "ProofError",
    "StoredNode",
    "TreeReader",
    "consistency_path_from",
    "inclusion_path",
    "inclusion_path_from",
    "leaf_hash",
    "node_hash",
    "root",
    "verify_consistency",
    "verify_inclusion",
]
