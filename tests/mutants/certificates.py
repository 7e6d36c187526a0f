"""Mutants of counting and of believing: quorums, who is counted, and which signatures are looked at."""

from collections.abc import Iterable

from consensus import (
    Digest,
    InvalidCertificate,
    QuorumCertificate,
    Round,
    SignatureCache,
    TimeoutCertificate,
    ValidatorIndex,
    ValidatorSet,
    Vote,
    timeout_digest,
    votes,
)
from consensus.core import ReplicaCore
from consensus.tally import VoteTally
from consensus.validators import bitmap_indices, bitmap_of
from tests.mutants.hunt import Hunt
from tests.mutants.liars import Equivocator, Recycler, belittle, embed_junk, leads_by
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.weather import CRASHES, NETWORK


def _half(self: ValidatorSet, weight: int) -> bool:
    return 2 * weight >= self.total_weight


def _certificate(vote: Vote, voters: Iterable[Vote], size: int) -> QuorumCertificate:
    signed = {voter.author: voter.signature for voter in voters}
    return QuorumCertificate(
        vote.epoch,
        vote.round,
        vote.block_id,
        vote.parent_id,
        vote.parent_round,
        vote.commit_id,
        bitmap_of(signed, size),
        b"".join(signed[author] for author in sorted(signed)),
    )


class _CountsVotes(VoteTally):
    """Counts votes, not voters: one that is sent again weighs again."""

    __slots__ = ("_heard",)

    def __init__(self, validators: ValidatorSet) -> None:
        super().__init__(validators)
        self._heard: dict[Digest, list[Vote]] = {}

    def get(self, round: Round, author: ValidatorIndex) -> Vote | None:
        return None

    def add(self, vote: Vote) -> QuorumCertificate | None:
        heard = self._heard.setdefault(vote.block_id, [])
        heard.append(vote)
        weight = sum(self._validators.validators[other.author].weight for other in heard)
        if not self._validators.is_quorum(weight):
            return None
        return _certificate(vote, heard, len(self._validators))


class _CountsRounds(VoteTally):
    """Counts the votes of a round, for whatever block they are."""

    def add(self, vote: Vote) -> QuorumCertificate | None:
        super().add(vote)
        everybody = self._by_round[vote.round]
        if not self._validators.is_quorum(self._validators.weight_of(everybody)):
            return None
        return _certificate(vote, everybody.values(), len(self._validators))


def _verify_some_round(
    self: TimeoutCertificate, cluster_id: bytes, validators: ValidatorSet, cache: SignatureCache
) -> None:
    """Each signature is of some timeout of this round; of which, is believed."""
    indices = list(bitmap_indices(self.signers))
    if not validators.is_quorum(validators.weight_of(indices)) or self.max_hqc_round >= self.round:
        raise InvalidCertificate("tc-weight", "no quorum")
    statements = [timeout_digest(cluster_id, self.epoch, self.round, hqc) for hqc in range(self.round)]
    for position, index in enumerate(indices):
        signature = self.signatures[64 * position : 64 * position + 64]
        key = validators.validators[index].public_key
        if not any(cache.verify(key, statement, signature) for statement in reversed(statements)):
            raise InvalidCertificate("tc-signature", f"validator {index} gave no such round up")


_verify_qc = ReplicaCore.verify_qc


def _verify_new_qcs(self: ReplicaCore, qc: QuorumCertificate) -> None:
    if qc.round > self.pacemaker.hqc.round:
        _verify_qc(self, qc)


def _verify_without_message(
    self: SignatureCache, public_key: bytes, message: bytes, signature: bytes
) -> bool:
    entry = public_key + signature
    if entry in self._seen:
        return True
    if not self._verify(public_key, message, signature):
        return False
    self._remember(entry)
    return True


def _add_without_message(self: SignatureCache, public_key: bytes, message: bytes, signature: bytes) -> None:
    self._remember(public_key + signature)


CERTIFICATES = (
    Mutant(
        "quorum-of-half",
        "quorum: 3w > 2W",
        "2f in the place of 2f+1, which with four nodes is half of them.",
        Hunt(),
        (Patch(ValidatorSet, "is_quorum", _half),),
    ),
    Mutant(
        "votes-counted-not-voters",
        "L1: one entry an author",
        "asonnino/hotstuff's aggregator before its check of reuse: a repeated vote adds its stake again.",
        Hunt(),
        (Patch(votes, "VoteTally", _CountsVotes),),
    ),
    Mutant(
        "votes-of-two-blocks-added-up",
        "L1: votes are grouped by everything they sign",
        "linera #6572: what one voter says otherwise spoils or completes everybody's certificate.",
        Hunt(liars=((3, Equivocator),)),
        (Patch(votes, "VoteTally", _CountsRounds),),
    ),
    Mutant(
        "tc-without-its-hqc-rounds",
        "L3: each signature of a TC is over its own signer's hqc round",
        "A TC as one aggregate over the round alone: its leader says which QCs were reported.",
        Hunt(faults=(*NETWORK, *CRASHES), liars=((3, leads_by(belittle)),)),
        (Patch(TimeoutCertificate, "verify", _verify_some_round),),
        likely=1,
    ),
    Mutant(
        "embedded-qc-not-verified",
        "C6: every signature of every embedded certificate",
        "Certificates of known rounds are skipped to save time; one with junk then passes at some nodes.",
        Hunt(liars=((3, leads_by(embed_junk)),)),
        (Patch(ReplicaCore, "verify_qc", _verify_new_qcs),),
    ),
    Mutant(
        "cache-key-without-message",
        "a remembered signature is one of that message",
        "relab/hotstuff 3179c6e, security/cert/cache.go: hasher.Sum(hash[:]) drops its result.",
        Hunt(liars=((3, Recycler),)),
        (
            Patch(SignatureCache, "verify", _verify_without_message),
            Patch(SignatureCache, "add", _add_without_message),
        ),
    ),
)
