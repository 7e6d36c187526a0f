"""Who plays: the keys of a cluster of some size, the same every time, and short times for its replicas."""

from dataclasses import dataclass
from hashlib import sha256

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.setting import key_of
from consensus import (
    Epoch,
    QuorumCertificate,
    ReplicaConfig,
    SignatureScheme,
    Signer,
    Validator,
    ValidatorSet,
    root_certificate,
    root_id,
)

_CLUSTER_ID = sha256(b"twins").digest()


@dataclass(frozen=True, slots=True)
class Cast:
    """Signers by identity, the first `twins` of which have a second instance."""

    cluster_id: bytes
    validators: ValidatorSet
    signers: tuple[Signer, ...]
    keys: tuple[bytes, ...]
    twins: int
    scheme: SignatureScheme
    root: QuorumCertificate
    config: ReplicaConfig


def make_cast(nodes: int, twins: int, scheme: SignatureScheme = KEYED_HASH) -> Cast:
    """A cluster of `nodes` equal validators. There is no ledger, so no header is ever due."""
    signers = tuple(key_of(f"twins {identity}", scheme) for identity in range(nodes))
    validators = ValidatorSet(Epoch(0), tuple(Validator(signer.public_key, 1) for signer in signers))
    config = ReplicaConfig(
        _CLUSTER_ID,
        base_timeout_ms=100,
        max_timeout_ms=200,
        resend_ms=150,
        fetch_delay_ms=2,
        idle_interval_ms=0,
        heartbeat_ms=10**9,
    )
    root = root_certificate(Epoch(0), root_id(_CLUSTER_ID, 0, bytes(32)))
    keys = tuple(signer.public_key for signer in signers)
    return Cast(_CLUSTER_ID, validators, signers, keys, twins, scheme, root, config)
