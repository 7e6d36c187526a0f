"""Proofs: what lets somebody who trusts one hash check one fact, offline and without asking anybody.

Two trees live here, and their functions are called by the tree's name (`rfc6962.root`, `smt.update`):
`rfc6962` is the append-only list behind transactions, receipts, header history and outboxes; `smt` is
the sparse map behind state, anchors and registry. Everything is pure: bytes in, bytes or a refusal in
words out. A `ProofError` blames whoever supplied the proof.
"""

from node.proofs import rfc6962, smt
from node.proofs.errors import ProofError
from node.proofs.rfc6962 import CompactRange
from node.proofs.smt import OtherLeaf, SmtProof, SmtUpdate

__all__ = [
    "CompactRange",
    "OtherLeaf",
    "ProofError",
    "SmtProof",
    "SmtUpdate",
    "rfc6962",
    "smt",
]
