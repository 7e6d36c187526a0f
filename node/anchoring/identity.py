"""What a genesis says to somebody who only checks: the cluster's id, its name, and who signs in epoch 0.

A verifier must be able to judge clusters whose applications and policies it has never heard of, so it
reads three things of the document and lets the hash answer for the rest. Everything else about a
genesis, making it included, is `node/genesis.py`; the tests hold both to the same body.
"""

from dataclasses import dataclass

from consensus import (
    CodecError,
    Digest,
    Epoch,
    PublicKey,
    Validator,
    ValidatorSet,
    as_array,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    digest,
)

GENESIS_VERSION = 1
GENESIS_BODY_BYTES_MAX = 8 * 1024 * 1024
"""As large as the largest document that can describe one."""
_DOMAIN = "isthmus/genesis/v1"
_DEPTH_MAX = 6
_VALIDATORS_MAX = 128
_WEIGHT_MAX = 1_000_000
_NAME_CHARACTERS_MAX = 64


def cluster_id_of(body: bytes) -> Digest:
    """`cluster_id = H("isthmus/genesis/v1", body)`, permanent (F1); what a user pins as trust."""
    return digest(_DOMAIN, body)


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """Who a cluster is: `cluster_id` (32 bytes), the name it gave itself, the signers of epoch 0."""

    cluster_id: Digest
    name: str
    validators: ValidatorSet

    @staticmethod
    def from_body(body: bytes) -> "ClusterIdentity":
        """The identity in a canonical genesis body; raises CodecError. Compare the id before believing it.

        `[version, name, params, [[name, organisation, consensus key, node key, weight, operator key], ...],
        members, policies, state root]`; what is not read may be anything canonical.
        """
        value = decode(body, max_bytes=GENESIS_BODY_BYTES_MAX, max_depth=_DEPTH_MAX)
        version, name, _, listed, _, _, _ = as_tuple(value, 7, "genesis")
        if version != GENESIS_VERSION:
            raise CodecError(f"genesis version {version!r:.20} is not {GENESIS_VERSION}")
        validators = []
        for item in as_array(listed, _VALIDATORS_MAX, "genesis validators"):
            _, _, key, _, weight, _ = as_tuple(item, 6, "genesis validator")
            public_key = PublicKey(as_bytes(key, "consensus key", length=32))
            validators.append(Validator(public_key, as_int(weight, "weight", low=1, high=_WEIGHT_MAX)))
        try:
            signers = ValidatorSet(Epoch(0), tuple(validators))
        except ValueError as error:
            raise CodecError(f"genesis validators: {error}") from error
        text = as_text(name, "cluster name", max_length=_NAME_CHARACTERS_MAX)
        return ClusterIdentity(cluster_id_of(body), text, signers)
