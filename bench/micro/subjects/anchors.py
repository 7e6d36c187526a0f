"""Anchoring: what one update of another cluster costs a validator, from bytes to the new state of its client.

`verify` is all of it, `signatures` the quorum's checks alone, `proofs` the same update when signatures are
remembered: the share of the signatures is the second divided by the first. Histories have 10,000 headers.
"""

from functools import lru_cache, partial
from hashlib import sha256

from bench.micro.ring import CLUSTER_ID, START_MS, keys_of, validators_of
from bench.micro.subject import Sampler, Subject, Workshop, repeated
from consensus import (
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    SignatureCache,
    ValidatorSet,
    bitmap_of,
    verify,
)
from node.anchoring.client.lightclient import Update, update
from node.anchoring.client.state import ClientState, Tip
from node.anchoring.cluster.anchors import ClientStatus
from node.anchoring.cluster.certified import Certified
from node.proofs import rfc6962
from node.proofs.header import EMPTY_LIST_ROOT, Header

_SIZES = (4, 7)
_HELD, _NEWER = 9_990, 10_000


class _Nodes:
    """Complete subtrees of a list of leaves."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._leaves = leaves

    def node(self, level: int, index: int) -> bytes:
        return rfc6962.root(self._leaves[index << level : (index + 1) << level])


def _header(height: int, leaves: list[bytes], validators: ValidatorSet) -> Header:
    seal = sha256(b"block %d" % height).digest()
    return Header.make(
        incarnation=0,
        cluster_id=CLUSTER_ID,
        epoch=0,
        height=height,
        parent_hash=seal,
        block_id=seal,
        time_ms=START_MS + height,
        tx_root=EMPTY_LIST_ROOT,
        receipt_root=EMPTY_LIST_ROOT,
        state_root=seal,
        history_root=rfc6962.root(leaves[:height]),
        validators_hash=validators.hash(),
    )


@lru_cache(maxsize=len(_SIZES))
def _anchored(nodes: int) -> tuple[ClientState, Update]:
    """A client at one header, and the update that leads it ten headers on."""
    keys = keys_of(nodes)
    validators = validators_of(keys)
    leaves = [rfc6962.leaf_hash(sha256(b"header %d" % number).digest()) for number in range(_NEWER)]
    held = _header(_HELD, leaves, validators)
    leaves[_HELD] = rfc6962.leaf_hash(held.hash)
    newer = _header(_NEWER, leaves, validators)
    size = 2 * nodes // 3 + 1
    fields = (0, Epoch(0), Height(_NEWER), newer.block_id, newer.hash, bitmap_of(range(size), nodes))
    message = HeaderCertificate(*fields, b"").digest(CLUSTER_ID)
    signatures = b"".join(key.sign(message) for key in keys[:size])
    proposed = Update(
        Certified(newer, HeaderCertificate(*fields, signatures)),
        (),
        rfc6962.consistency_path_from(_Nodes(leaves), _HELD, _NEWER),
        rfc6962.inclusion_path(leaves, _HELD),
    )
    name, status = "measured", ClientStatus.ACTIVE
    state = ClientState(Digest(CLUSTER_ID), name, 0, validators, validators, validators, Tip.of(held), status)
    return state, proposed


def _verify(nodes: int, workshop: Workshop) -> Sampler:
    state, proposed = _anchored(nodes)
    data, now_ms = proposed.encode(), START_MS + _NEWER
    return repeated(workshop.clock, lambda: update(state, Update.decode(data), now_ms, SignatureCache()))


def _proofs(nodes: int, workshop: Workshop) -> Sampler:
    state, proposed = _anchored(nodes)
    data, now_ms, cache = proposed.encode(), START_MS + _NEWER, SignatureCache()
    update(state, proposed, now_ms, cache)
    return repeated(workshop.clock, lambda: update(state, Update.decode(data), now_ms, cache))


def _signatures(nodes: int, workshop: Workshop) -> Sampler:
    certificate = _anchored(nodes)[1].certified.certificate
    message = certificate.digest(CLUSTER_ID)
    joined = certificate.signatures
    checks = [
        (key.public_key, joined[64 * position : 64 * position + 64])
        for position, key in enumerate(keys_of(nodes)[: len(joined) // 64])
    ]

    def check_all() -> None:
        for public_key, signature in checks:
            verify(public_key, message, signature)

    return repeated(workshop.clock, check_all)


SUBJECTS = tuple(
    Subject(f"anchor/{kind}/n{nodes}", "update", partial(make, nodes))
    for nodes in _SIZES
    for kind, make in (("verify", _verify), ("signatures", _signatures), ("proofs", _proofs))
)
