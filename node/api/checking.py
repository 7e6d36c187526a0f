"""Believing an answer: its proof becomes a bundle and goes through the one verifier there is.

A client that pins a genesis hash need not trust the node it asks. What is checked is exactly what
`isthmus verify` checks (`bundles/verification.py`), and so is what is not: freshness above all.
"""

from dataclasses import dataclass

from consensus import CodecError, HeaderCertificate, decode
from node.anchoring import (
    Bundle,
    CertifiedLater,
    HeaderStatement,
    StateStatement,
    TransactionStatement,
    Verified,
    verify,
)
from node.anchoring.bundles.bundle import Statement
from node.api.views import ProvenHeader, StateEntry, TransactionAnswer
from node.proofs import ProofError, SmtProof
from node.proofs.header import Header


@dataclass(frozen=True, slots=True)
class Ground:
    """What answers are checked against: the genesis, its pinned hash, and the epoch links since, if any."""

    genesis_body: bytes
    trust: bytes
    links: bytes | None = None
    """A links file."""


def epoch_of(proven: ProvenHeader | None) -> int:
    """The epoch whose validators certified the answer, as it says itself. Raises ProofError."""
    if proven is None:
        return 0
    try:
        return Header.decode(proven.certified_header or proven.header).epoch
    except CodecError as error:
        raise ProofError(f"the answer's header is none: {error}") from error


def check_header(proven: ProvenHeader, ground: Ground) -> Verified:
    """The header is final in the cluster whose genesis hash is pinned. Raises ProofError."""
    return _check(proven, HeaderStatement(), ground)


def check_entry(entry: StateEntry, key: bytes, proven: ProvenHeader | None, ground: Ground) -> Verified:
    """The state holds exactly this at `key`, or nothing, after the header. Raises ProofError."""
    if proven is None or entry.proof is None:
        raise ProofError("the answer has no proof, though one was asked for")
    if entry.key != key:
        raise ProofError(f"the answer is about key {entry.key!r:.80}, asked was {key!r:.80}")
    try:
        proof = SmtProof.from_value(decode(entry.proof))
    except CodecError as error:
        raise ProofError(f"the state proof is no proof: {error}") from error
    return _check(proven, StateStatement(key, entry.value, proof), ground)


def check_transaction(answer: TransactionAnswer, ground: Ground) -> Verified:
    """The transaction and its receipt stand where the answer says. Raises ProofError."""
    if answer.proof is None:
        raise ProofError("the answer has no proof, though one was asked for")
    proof = answer.proof
    statement = TransactionStatement(
        answer.transaction,
        answer.receipt,
        answer.index,
        proof.size,
        proof.transaction_path,
        proof.receipt_path,
    )
    return _check(proof.header, statement, ground)


def _check(proven: ProvenHeader, statement: Statement, ground: Ground) -> Verified:
    if proven.certificate is None:
        raise ProofError("nothing above the genesis is certified yet, so there is nothing to check against")
    later = None
    if proven.certified_header is not None:
        later = CertifiedLater(proven.certified_header, proven.history_path)
    try:
        certificate = HeaderCertificate.from_value(decode(proven.certificate))
        data = Bundle(ground.genesis_body, proven.header, certificate, later, None, statement).encode()
    except CodecError as error:
        raise ProofError(f"the answer is not what it should be: {error}") from error
    return verify(data, trust=ground.trust, links=ground.links)
