"""What a genesis says to somebody who only checks: the cluster's id and name, its header 0, who signs in
epoch 0, and whose admin keys speak for the cluster when its validators cannot (F6, F13).

A verifier must be able to judge clusters whose applications and policies it has never heard of, so it
reads only that of the document and lets the hash answer for the rest. Everything else about a
genesis, making it included, is `node/genesis.py`; the tests hold both to the same body.
"""

from dataclasses import dataclass

from consensus import (
    CodecError,
    Digest,
    PublicKey,
    ValidatorSet,
    Value,
    as_bytes,
    as_int,
    as_text,
    as_tuple,
    decode,
    digest,
    root_id,
)
from node.anchoring.cluster.operators import node_keys, read_members
from node.proofs.header import EMPTY_LIST_ROOT, NO_PARENT, Header

GENESIS_VERSION = 1
GENESIS_BODY_BYTES_MAX = 8 * 1024 * 1024
"""As large as the largest document that can describe one."""
_DOMAIN = "isthmus/genesis/v1"
_DEPTH_MAX = 6
_NAME_CHARACTERS_MAX = 64


def cluster_id_of(body: bytes) -> Digest:
    """`cluster_id = H("isthmus/genesis/v1", body)`, permanent (F1); what a user pins as trust."""
    return digest(_DOMAIN, body)


def nodes_of_genesis(body: bytes) -> tuple[PublicKey, ...]:
    """The keys of the nodes of epoch 0, in order; raises CodecError."""
    value = decode(body, max_bytes=GENESIS_BODY_BYTES_MAX, max_depth=_DEPTH_MAX)
    return node_keys(as_tuple(value, 7, "genesis")[3])


@dataclass(frozen=True, slots=True)
class ClusterIdentity:
    """Who a cluster is: `cluster_id` (32 bytes), the name it gave itself, the signers of epoch 0, their
    operators (admin key and weight, in the same order) and header 0, which nobody signs."""

    cluster_id: Digest
    name: str
    validators: ValidatorSet
    operators: ValidatorSet
    genesis_header: Header

    @staticmethod
    def from_body(body: bytes) -> "ClusterIdentity":
        """The identity in a canonical genesis body; raises CodecError. Compare the id before believing it.

        `[version, name, params, [[name, organisation, consensus key, node key, weight, operator key], ...],
        members, policies, state root]`; what is not read may be anything canonical.
        """
        value = decode(body, max_bytes=GENESIS_BODY_BYTES_MAX, max_depth=_DEPTH_MAX)
        version, name, params, listed, _, _, state_root = as_tuple(value, 7, "genesis")
        if version != GENESIS_VERSION:
            raise CodecError(f"genesis version {version!r:.20} is not {GENESIS_VERSION}")
        signers, operators = read_members(listed, 0)
        cluster_id = cluster_id_of(body)
        return ClusterIdentity(
            cluster_id,
            as_text(name, "cluster name", max_length=_NAME_CHARACTERS_MAX),
            signers,
            operators,
            _genesis_header(
                cluster_id,
                signers,
                _created_ms(params),
                as_bytes(state_root, "state root", length=32),
            ),
        )


def _created_ms(params: Value) -> int:
    """The first parameter; those behind it are the ledger's business."""
    if type(params) is not tuple or not params:
        raise CodecError("genesis params must be an array that begins with the time of header 0")
    return as_int(params[0], "created_ms")


def _genesis_header(cluster_id: Digest, signers: ValidatorSet, created_ms: int, state_root: bytes) -> Header:
    return Header.make(
        incarnation=0,
        cluster_id=cluster_id,
        epoch=0,
        height=0,
        parent_hash=NO_PARENT,
        block_id=root_id(cluster_id, 0, NO_PARENT),
        time_ms=created_ms,
        tx_root=EMPTY_LIST_ROOT,
        receipt_root=EMPTY_LIST_ROOT,
        state_root=state_root,
        history_root=EMPTY_LIST_ROOT,
        validators_hash=signers.hash(),
    )
