"""What a round must cost a replica by counting: signatures, messages and bytes, from n and a quorum alone.

Only what the protocol cannot do without is counted. Measured beside it, the difference is what this
implementation adds: decoding, tallies, journal records, and signatures that were checked although nobody
needed them.
"""

from dataclasses import dataclass
from hashlib import sha256

from bench.yardstick import SignatureCost
from consensus import (
    Block,
    Digest,
    Epoch,
    HeaderCertificate,
    HeaderSignature,
    Height,
    Proposal,
    QuorumCertificate,
    Round,
    Signature,
    ValidatorIndex,
    Vote,
    bitmap_of,
    encode_message,
)

_DIGEST = Digest(sha256(b"some block").digest())
_SIGNATURE = Signature(bytes(64))
_EPOCH, _ROUND, _HEIGHT, _TIME_MS = Epoch(0), Round(300), Height(300), 1_700_000_000_000


def quorum_of(nodes: int) -> int:
    """The fewest of `nodes` equal validators that weigh more than two thirds."""
    return 2 * nodes // 3 + 1


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of each message's body as it is encoded, with a quorum's certificates, without any batch."""

    vote: int
    proposal: int
    header_signature: int

    @staticmethod
    def of(nodes: int, with_header: bool) -> "Sizes":
        """For a cluster of equal weights; `with_header`: proposals carry the latest header's certificate."""
        quorum = quorum_of(nodes)
        signers, signatures = bitmap_of(range(quorum), nodes), bytes(64 * quorum)
        last = ValidatorIndex(nodes - 1)
        before = Round(_ROUND - 1)
        vote = Vote(_EPOCH, _ROUND, _DIGEST, _DIGEST, before, _DIGEST, last, _SIGNATURE)
        qc = QuorumCertificate(
            _EPOCH, before, _DIGEST, _DIGEST, Round(before - 1), _DIGEST, signers, signatures
        )
        certificate = HeaderCertificate(0, _EPOCH, _HEIGHT, _DIGEST, _DIGEST, signers, signatures)
        block = Block.make(
            cluster_id=_DIGEST,
            epoch=_EPOCH,
            round=_ROUND,
            qc=qc,
            tc=None,
            certified=certificate if with_header else None,
            payload=b"",
            author=last,
            time_ms=_TIME_MS,
        )
        header = HeaderSignature(0, _EPOCH, _HEIGHT, _DIGEST, _DIGEST, last, _SIGNATURE)
        return Sizes(
            len(encode_message(vote)),
            len(encode_message(Proposal(block, _SIGNATURE))),
            len(encode_message(header)),
        )


@dataclass(frozen=True, slots=True)
class Predicted:
    """A round's cost for one replica, averaged over who leads. Messages and bytes are those it sends."""

    verifies: float
    signs: float
    crypto_us: float
    messages: float
    bytes: float


def predict(nodes: int, headers: float, cost: SignatureCost) -> Predicted:
    """For rounds of which each yields `headers` headers (0 for empty rounds, 1 when every block has payload).

    A replica checks the other votes of a quorum as they arrive (its own it knows), and the proposal unless it
    made it; the certificate inside is of votes it has seen. The other header signatures of a quorum are
    checked as often as there are headers. Everybody sends its vote and header signature to everybody.
    """
    others, quorum, sizes = nodes - 1, quorum_of(nodes), Sizes.of(nodes, headers > 0)
    led = 1 / nodes
    verifies = (quorum - 1) + (1 - led) + headers * (quorum - 1)
    signs = 1 + led + headers
    messages = others * (1 + led + headers)
    sent = others * (sizes.vote + led * sizes.proposal + headers * sizes.header_signature)
    crypto_us = verifies * cost.verify_us + signs * cost.sign_us
    return Predicted(verifies, signs, crypto_us, messages, sent)
