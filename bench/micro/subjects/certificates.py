"""Believing a certificate: every signature of a quorum, and again when all of them are remembered."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TypeAlias

from bench.micro.ring import CLUSTER_ID, keys_of, validators_of
from bench.micro.subject import Sampler, Subject, Workshop, repeated
from consensus import (
    Digest,
    Epoch,
    HeaderCertificate,
    Height,
    QuorumCertificate,
    Round,
    SignatureCache,
    TimeoutCertificate,
    ValidatorSet,
    bitmap_of,
    header_digest,
    timeout_digest,
    vote_digest,
)

_SIZES = (4, 10, 31, 100)
_BLOCK, _PARENT, _HEADER = (Digest(bytes((number,)) * 32) for number in (1, 2, 3))
_EPOCH, _ROUND, _HEIGHT = Epoch(0), Round(9), Height(7)
Verify: TypeAlias = Callable[[SignatureCache], None]


@lru_cache(maxsize=len(_SIZES))
def _quorum(nodes: int) -> tuple[ValidatorSet, bytes, int]:
    """The set, and its smallest quorum as a bitmap and as a number."""
    size = 2 * nodes // 3 + 1
    return validators_of(keys_of(nodes)), bitmap_of(range(size), nodes), size


def _signatures(nodes: int, message: Digest) -> bytes:
    return b"".join(key.sign(message) for key in keys_of(nodes)[: _quorum(nodes)[2]])


def _qc(nodes: int) -> Verify:
    validators, signers, _ = _quorum(nodes)
    fields = (_EPOCH, _ROUND, _BLOCK, _PARENT, Round(_ROUND - 1), _PARENT)
    signatures = _signatures(nodes, vote_digest(CLUSTER_ID, *fields))
    certificate = QuorumCertificate(*fields, signers, signatures)
    return lambda cache: certificate.verify(CLUSTER_ID, validators, cache, bytes(32))


def _tc(nodes: int) -> Verify:
    validators, signers, size = _quorum(nodes)
    hqc_round = Round(_ROUND - 1)
    signatures = _signatures(nodes, timeout_digest(CLUSTER_ID, _EPOCH, _ROUND, hqc_round))
    certificate = TimeoutCertificate(_EPOCH, _ROUND, signers, (hqc_round,) * size, signatures)
    return lambda cache: certificate.verify(CLUSTER_ID, validators, cache)


def _header(nodes: int) -> Verify:
    validators, signers, _ = _quorum(nodes)
    fields = (0, _EPOCH, _HEIGHT, _BLOCK, _HEADER)
    signatures = _signatures(nodes, header_digest(CLUSTER_ID, *fields))
    certificate = HeaderCertificate(*fields, signers, signatures)
    return lambda cache: certificate.verify(CLUSTER_ID, validators, cache)


def _cold(build: Callable[[int], Verify], nodes: int, workshop: Workshop) -> Sampler:
    verify = build(nodes)
    return repeated(workshop.clock, lambda: verify(SignatureCache()))


def _cached(build: Callable[[int], Verify], nodes: int, workshop: Workshop) -> Sampler:
    verify, cache = build(nodes), SignatureCache()
    verify(cache)
    return repeated(workshop.clock, partial(verify, cache))


SUBJECTS = tuple(
    Subject(f"{kind}/{how}/n{nodes}", "certificate", partial(make, build, nodes))
    for kind, build in (("qc", _qc), ("tc", _tc), ("header-certificate", _header))
    for how, make in (("verify-cold", _cold), ("verify-cached", _cached))
    for nodes in _SIZES
)
