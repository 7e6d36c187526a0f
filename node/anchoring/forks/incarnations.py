"""Incarnations for somebody offline: from the genesis, by the recoveries given, to where a cluster is now.

A recovered cluster certifies in a later incarnation by a set that no link leads to (F6). Who checks its
bundles gives the recovery as a file, with the evidence that made it necessary: its signatures are then judged
as a light client judges them. What stays open is whether the other clusters approved it.

    recovery file  ["isthmus-recovery/1", recovery, [evidence, ...]]

Links and evidence in it begin at the first set of the incarnation that ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus import (
    CodecError,
    Digest,
    SignatureCache,
    ValidatorSet,
    as_array,
    as_tuple,
    decode,
    encode,
)
from node.anchoring.cluster.epochs import follow_all
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.forks.evidence import EVIDENCE_BYTES_MAX, ForkEvidence, Ground, judge
from node.anchoring.forks.recovery import (
    RECOVERY_BYTES_MAX,
    RecoveredBy,
    RecoveryCertificate,
    is_tainted,
    rank_of,
    signing_set,
)
from node.anchoring.refusals import Code, Refused

RECOVERY_MAGIC = "isthmus-recovery/1"
RECOVERY_FILE_BYTES_MAX = RECOVERY_BYTES_MAX + EVIDENCE_BYTES_MAX
EVIDENCE_MAX = 16
"""Pieces of evidence in one file; one names more than a third of a set."""
_DEPTH_MAX = 7
_ITEMS_MAX = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecoveryFile:
    """A recovery and the evidence against those who could not sign it."""

    recovery: RecoveryCertificate
    evidence: tuple[ForkEvidence, ...] = ()

    def encode(self) -> bytes:
        """The canonical bytes of the file."""
        evidence = tuple(item.to_value() for item in self.evidence)
        return encode((RECOVERY_MAGIC, self.recovery.to_value(), evidence))

    @staticmethod
    def decode(data: bytes) -> "RecoveryFile":
        """The inverse of `encode`; raises CodecError."""
        value = decode(data, max_bytes=RECOVERY_FILE_BYTES_MAX, max_depth=_DEPTH_MAX, max_items=_ITEMS_MAX)
        if type(value) is not tuple or not value or value[0] != RECOVERY_MAGIC:
            raise CodecError(f"this is no file of the format {RECOVERY_MAGIC}")
        _, recovery, evidence = as_tuple(value, 3, "recovery file")
        listed = as_array(evidence, EVIDENCE_MAX, "evidence")
        return RecoveryFile(
            RecoveryCertificate.from_value(recovery), tuple(ForkEvidence.from_value(item) for item in listed)
        )


@dataclass(frozen=True, slots=True)
class Footing:
    """What an incarnation begins with; `base_height` is the height that it begins above, -1 for the first."""

    cluster_id: Digest
    incarnation: int
    origin: ValidatorSet
    operators: ValidatorSet
    base_height: int

    @property
    def ground(self) -> Ground:
        """What evidence of this incarnation is judged by."""
        return Ground(self.cluster_id, self.incarnation, self.origin)


def footing_of(identity: ClusterIdentity, files: Sequence[RecoveryFile], cache: SignatureCache) -> Footing:
    """The footing behind these recoveries, in order, the base of each in the incarnation that the one before
    began. One that was replaced is left out.

    Raises Refused as `recover` of a frozen client does, RECOVERY_ACCUSED for one that its own evidence
    taints, and what `judge` refuses.
    """
    footing = Footing(identity.cluster_id, 0, identity.validators, identity.operators, -1)
    for file in files:
        footing = _recovered(footing, file, cache)
    return footing


def _recovered(footing: Footing, file: RecoveryFile, cache: SignatureCache) -> Footing:
    recovery = file.recovery
    base = recovery.base.header
    sets = follow_all(
        recovery.links,
        footing.origin,
        footing.cluster_id,
        cache,
        incarnation=footing.incarnation,
        above=footing.base_height,
    )
    if base.height <= footing.base_height:
        raise Refused(Code.RECOVERY_BASE, f"base {base.height} is not above base {footing.base_height}")
    recovery.check_base_claims(footing.cluster_id, footing.incarnation, sets[-1])
    recovery.base.check_signatures(footing.cluster_id, sets[-1], cache)
    verdicts = [judge(item, footing.ground, cache) for item in file.evidence]
    accused = {key for verdict in verdicts for key in verdict.accused}
    convicted = min((verdict.validators for verdict in verdicts), key=rank_of, default=None)
    signing = signing_set(sets, recovery.convicted)
    recovery.check_bound(signing, accused, convicted)
    recovery.check_signed(signing, footing.operators, cache)
    signers = recovery.signer_keys(signing) if recovery.by is RecoveredBy.VALIDATORS else ()
    named = (*signers, *(validator.public_key for validator in recovery.validators.validators))
    if is_tainted(named, recovery.convicted, accused, convicted):
        raise Refused(Code.RECOVERY_ACCUSED, "the evidence accuses more than the recovery says")
    return Footing(
        Digest(base.cluster_id), recovery.incarnation, recovery.validators, recovery.operators, base.height
    )
