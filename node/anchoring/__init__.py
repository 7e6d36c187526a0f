"""Anchoring: what one party may believe of a cluster it is not part of.

A `Bundle` is the one file in which a fact leaves a cluster; `verify` checks it against a pinned genesis
hash and says what it could not check. Pure: bytes in, a verdict or a refusal in words out.
"""

from node.anchoring.bundle import (
    BUNDLE_BYTES_MAX,
    Bundle,
    BundleKind,
    CertifiedLater,
    CheckpointProof,
    HeaderStatement,
    StateStatement,
    TransactionStatement,
)
from node.anchoring.facts import HeaderFact, StateFact, TransactionFact
from node.anchoring.identity import ClusterIdentity, cluster_id_of
from node.anchoring.verification import Verified, check_evidence, verify

__all__ = [
    "BUNDLE_BYTES_MAX",
    "Bundle",
    "BundleKind",
    "CertifiedLater",
    "CheckpointProof",
    "ClusterIdentity",
    "HeaderFact",
    "HeaderStatement",
    "StateFact",
    "StateStatement",
    "TransactionFact",
    "TransactionStatement",
    "Verified",
    "check_evidence",
    "cluster_id_of",
    "verify",
]
