"""Anchoring: what one party may believe of a cluster it is not part of.

A `Bundle` is the one file in which a fact leaves a cluster; `verify` checks it against a pinned genesis
hash and says what it could not check. Pure: bytes in, a verdict or a refusal in words out.

`cluster` what a cluster shows of itself; `forks` two histories of one; `client` what a ledger keeps of
another; `lanes` what they say to each other; `bundles` the file that anybody checks; `exchange` how nodes ask
for all that.
"""

from node.anchoring.bundles.bundle import (
    BUNDLE_BYTES_MAX,
    Bundle,
    BundleKind,
    CertifiedLater,
    CheckpointProof,
    HeaderStatement,
    StateStatement,
    TransactionStatement,
)
from node.anchoring.bundles.facts import HeaderFact, StateFact, TransactionFact
from node.anchoring.bundles.verification import Verified, check_evidence, verify
from node.anchoring.cluster.identity import ClusterIdentity, cluster_id_of

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
