"""Counting: verified signatures go in, certificates come out.

Each tally holds a window of rounds (or heights) and one entry per author in each, so a peer can fill
nothing (limits are window times validators). Signatures are grouped by the full signed content, never
demanded to agree: one validator's odd field must not poison the others' certificate. What is added has
been verified by the caller; what conflicts comes back as evidence material, not as an error.
"""

from collections.abc import Iterable, Mapping

from consensus.certificates import HeaderCertificate, QuorumCertificate, TimeoutCertificate
from consensus.keys import Digest, Signature
from consensus.messages import HeaderSignature, Timeout, Vote
from consensus.validators import Height, Round, ValidatorIndex, ValidatorSet, bitmap_of


def _joined(signatures: Mapping[ValidatorIndex, Signature]) -> bytes:
    return b"".join(signatures[index] for index in sorted(signatures))


class VoteTally:
    """Votes by round and author."""

    __slots__ = ("_by_round", "_validators", "_weights")

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._by_round: dict[Round, dict[ValidatorIndex, Vote]] = {}
        self._weights: dict[Round, int] = {}  # of all votes of a round, whatever they are for

    def get(self, round: Round, author: ValidatorIndex) -> Vote | None:
        """The author's first vote of a round."""
        return self._by_round.get(round, {}).get(author)

    def add(self, vote: Vote) -> QuorumCertificate | None:
        """Count a verified vote, the author's first of its round (L1); the QC when it completes one."""
        votes = self._by_round.setdefault(vote.round, {})
        if vote.author in votes:  # one entry an author: repetition adds no weight
            return None
        votes[vote.author] = vote
        weight = self._weights.get(vote.round, 0) + self._validators.validators[vote.author].weight
        self._weights[vote.round] = weight
        if not self._validators.is_quorum(weight):
            return None  # not even if all of them agree
        block_id, parent_round = vote.block_id, vote.parent_round
        agreeing = {
            author: other.signature
            for author, other in votes.items()
            if other.block_id == block_id
            and other.parent_round == parent_round
            and other.parent_id == vote.parent_id
            and other.commit_id == vote.commit_id
        }
        if not self._validators.is_quorum(self._validators.weight_of(agreeing)):
            return None
        signers = bitmap_of(agreeing, len(self._validators))
        return QuorumCertificate(
            vote.epoch,
            vote.round,
            block_id,
            vote.parent_id,
            parent_round,
            vote.commit_id,
            signers,
            _joined(agreeing),
        )

    def voters(self, round: Round) -> tuple[ValidatorIndex, ...]:
        """Whose votes of a round were counted, ascending."""
        return tuple(sorted(self._by_round.get(round, {})))

    def prune(self, below: Round) -> None:
        """Forget rounds before `below`."""
        for round in [known for known in self._by_round if known < below]:
            del self._by_round[round]
            del self._weights[round]

    def __len__(self) -> int:
        return sum(len(votes) for votes in self._by_round.values())


class TimeoutTally:
    """Timeouts by round and author; of an author's several, the one with the highest hqc (C20)."""

    __slots__ = ("_by_round", "_validators")

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._by_round: dict[Round, dict[ValidatorIndex, Timeout]] = {}

    def get(self, round: Round, author: ValidatorIndex) -> Timeout | None:
        """The author's best timeout of a round."""
        return self._by_round.get(round, {}).get(author)

    def of_round(self, round: Round) -> tuple[Timeout, ...]:
        """All timeouts of a round, by author."""
        timeouts = self._by_round.get(round, {})
        return tuple(timeouts[author] for author in sorted(timeouts))

    def add(self, timeout: Timeout) -> TimeoutCertificate | None:
        """Count a verified timeout; the TC when the round has a quorum of them."""
        timeouts = self._by_round.setdefault(timeout.round, {})
        known = timeouts.get(timeout.author)
        if known is not None and known.hqc_round >= timeout.hqc_round:
            return None
        timeouts[timeout.author] = timeout
        if not self._validators.is_quorum(self._validators.weight_of(timeouts)):
            return None
        authors = sorted(timeouts)
        return TimeoutCertificate(
            timeout.epoch,
            timeout.round,
            bitmap_of(authors, len(self._validators)),
            tuple(timeouts[author].hqc_round for author in authors),
            b"".join(timeouts[author].signature for author in authors),
        )

    def has_any(self) -> bool:
        """Whether there is any timeout in the window."""
        return bool(self._by_round)

    def blamed(self, round: Round) -> tuple[ValidatorIndex, ...]:
        """Batch authors whose payload a blocking set missed in this round: one liar blames nobody (C9)."""
        accusers: dict[ValidatorIndex, list[ValidatorIndex]] = {}
        for timeout in self.of_round(round):
            if timeout.blamed is not None:
                accusers.setdefault(timeout.blamed, []).append(timeout.author)
        validators = self._validators
        return tuple(
            author
            for author, by in sorted(accusers.items())
            if validators.contains(author) and validators.is_blocking(validators.weight_of(by))
        )

    def is_blocking(self, round: Round) -> bool:
        """Whether more than a third of the weight gave this round up (C10)."""
        timeouts = self._by_round.get(round)
        return timeouts is not None and self._validators.is_blocking(self._validators.weight_of(timeouts))

    def prune(self, below: Round) -> None:
        """Forget rounds before `below`."""
        for round in [known for known in self._by_round if known < below]:
            del self._by_round[round]

    def __len__(self) -> int:
        return sum(len(timeouts) for timeouts in self._by_round.values())


class HeaderTally:
    """Header signatures by height and author."""

    __slots__ = ("_by_height", "_hashes", "_validators", "_weights")

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._by_height: dict[Height, dict[ValidatorIndex, HeaderSignature]] = {}
        self._hashes: dict[Height, dict[Digest, None]] = {}
        self._weights: dict[Height, int] = {}  # of all signatures of a height, whatever they are of

    def get(self, height: Height, author: ValidatorIndex) -> HeaderSignature | None:
        """The author's first signature of a height."""
        return self._by_height.get(height, {}).get(author)

    def holds(self, height: Height) -> bool:
        """Whether anybody's signature of a height is kept."""
        return height in self._by_height

    def add(self, signed: HeaderSignature) -> HeaderCertificate | None:
        """Count a verified signature, the author's first of its height; the certificate it completes."""
        signatures = self._by_height.setdefault(signed.height, {})
        if signed.author in signatures:
            return None
        signatures[signed.author] = signed
        self._hashes.setdefault(signed.height, {})[signed.header_hash] = None
        weight = self._weights.get(signed.height, 0) + self._validators.validators[signed.author].weight
        self._weights[signed.height] = weight
        if not self._validators.is_quorum(weight):
            return None  # not even if all of them agree
        agreeing = {
            author: other.signature
            for author, other in signatures.items()
            if other.header_hash == signed.header_hash
            and other.block_id == signed.block_id
            and other.incarnation == signed.incarnation
            and other.epoch == signed.epoch
        }
        if not self._validators.is_quorum(self._validators.weight_of(agreeing)):
            return None
        return HeaderCertificate(
            signed.incarnation,
            signed.epoch,
            signed.height,
            signed.block_id,
            signed.header_hash,
            bitmap_of(agreeing, len(self._validators)),
            _joined(agreeing),
        )

    def contradiction(self, height: Height, ours: Digest) -> Digest | None:
        """A hash other than `ours` that more than a third of the weight signed at `height` (C3)."""
        if self._hashes.get(height, {}).keys() <= {ours}:
            return None  # nobody says otherwise, as ever: looked at after every signature
        signatures = self._by_height.get(height, {})
        hashes: dict[Digest, list[ValidatorIndex]] = {}
        for author in sorted([author for author, signed in signatures.items() if signed.header_hash != ours]):
            hashes.setdefault(signatures[author].header_hash, []).append(author)
        for header_hash, authors in hashes.items():
            if self._blocks(authors):
                return header_hash
        return None

    def _blocks(self, authors: Iterable[ValidatorIndex]) -> bool:
        return self._validators.is_blocking(self._validators.weight_of(authors))

    def prune(self, below: Height) -> None:
        """Forget heights before `below`."""
        for height in [known for known in self._by_height if known < below]:
            del self._by_height[height]
            del self._hashes[height]
            del self._weights[height]

    def __len__(self) -> int:
        return sum(len(signatures) for signatures in self._by_height.values())
