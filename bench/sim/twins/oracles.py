"""What must never happen, watched from outside: nothing here asks the code it judges whether all is well.

Quorums are counted on identities with arithmetic of its own, certificates are verified signature by
signature, commits need a quorum of votes seen on the wire, and what a correct identity signed is remembered
across its crashes. The first broken promise raises `Violation`.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum

from bench.sim.twins.cast import Cast
from consensus import (
    Blocks,
    Certificates,
    CommittedBlock,
    Digest,
    Evidence,
    Message,
    Offence,
    PeerError,
    Proposal,
    QuorumCertificate,
    Replica,
    SafetyRecord,
    Timeout,
    TimeoutCertificate,
    Vote,
    bitmap_indices,
    timeout_digest,
    vote_digest,
)

_SIGNATURE_BYTES = 64
LATE_ROUNDS = 2
"""Votes and proposals of so many rounds before the receiver's are still compared (E9)."""


class Check(StrEnum):
    """Which promise is broken."""

    AGREEMENT = "agreement"
    """Committed sequences of correct nodes are prefixes of one another, in order, each block once."""
    PROOF = "commit-proof"
    """A commit follows from a quorum of votes for a child in the very next round."""
    CERTIFICATE = "certificate"
    """Every certificate on the wire is good."""
    ONE_QC = "one-qc-a-round"
    SIGNATURES = "double-signature"
    """A correct key signs one vote and one proposal a round, no vote after a timeout, no falling lock."""
    MONOTONE = "monotone-record"
    DURABLE = "durable-before-sent"
    EVIDENCE = "evidence"
    """Equivocation that was seen is proven; nobody correct is accused."""
    BLAME = "blame"
    """A correct node neither penalises a correct one nor reports divergence."""
    LIVENESS = "liveness"


class Violation(Exception):
    """A promise is broken; `check` says which."""

    def __init__(self, check: Check, text: str) -> None:
        super().__init__(f"{check.value}: {text}")
        self.check = check


class Oracles:
    """The memory of one run. Copied with it, so every attribute is plain data."""

    def __init__(self, cast: Cast, watched: tuple[Check, ...] = tuple(Check)) -> None:
        """`watched` are the promises whose breach ends the run."""
        self.cast = cast
        self.watched = watched
        self.chain: list[Digest] = [cast.root.block_id]
        self.positions: dict[int, int] = {}
        self.certified: dict[int, Digest] = {}
        self.believed: dict[int, object] = {}  # by id(): the certificate itself keeps its id taken
        self.supporters: dict[Digest, int] = {}  # a bit an identity
        self.provable: dict[Digest, int] = {}
        self.votes: dict[tuple[int, int], Digest] = {}
        self.proposals: dict[tuple[int, int], Digest] = {}
        self.timeouts: dict[tuple[int, int], int] = {}  # (identity, round) -> highest hqc round said
        self.given_up: dict[int, int] = {}
        self.locks: dict[int, tuple[int, int]] = {}  # identity -> (parent round, round) of its highest vote
        self.records: dict[int, SafetyRecord] = {}
        self.heard: dict[tuple[int, int, int, int, bool], Digest] = {}
        self.equivocated: dict[int, int] = {}  # identity -> round in which a correct node saw it
        self.accused: dict[int, Offence] = {}

    def broken(self, check: Check, text: str) -> None:
        """Raises Violation when this promise is watched."""
        if check in self.watched:
            raise Violation(check, text)

    def is_correct(self, identity: int) -> bool:
        """Whether this identity has no twin."""
        return identity >= self.cast.twins

    # --- commits ------------------------------------------------------------------------------

    def on_started(self, instance: int, record: SafetyRecord) -> None:
        """A correct instance starts from `record`; its commits are delivered again from the root."""
        self.positions[instance] = 0
        self.records[instance] = record

    def on_commit(self, instance: int, blocks: tuple[CommittedBlock, ...]) -> None:
        """One chain, in order, each block once, and proven."""
        chain, position = self.chain, self.positions[instance]
        for committed in blocks:
            block = committed.block
            if block.parent_id != chain[position]:
                self.broken(Check.AGREEMENT, f"{instance} commits round {block.round} out of order")
            position += 1
            if position == len(chain):
                chain.append(block.id)
            elif chain[position] != block.id:
                self.broken(
                    Check.AGREEMENT, f"{instance} commits another block at {position}, of round {block.round}"
                )
        self.positions[instance] = position
        if chain[position] not in self.provable:
            self.broken(
                Check.PROOF, f"{instance} commits round {blocks[-1].block.round}: no quorum voted for that"
            )

    # --- what is sent -------------------------------------------------------------------------

    def on_sent(self, identity: int, record: SafetyRecord | None, message: Message) -> None:
        """Something leaves an instance whose durable record is `record`."""
        kind = type(message)
        if kind is Vote:
            assert isinstance(message, Vote)
            self._on_vote(identity, record, message)
        elif kind is Timeout:
            assert isinstance(message, Timeout)
            self._on_timeout(identity, record, message)
        elif kind is Proposal:
            assert isinstance(message, Proposal)
            self._on_proposal(identity, record, message)
        elif kind is Certificates:
            assert isinstance(message, Certificates)
            self._believe(identity, message.qc, message.tc)
        elif kind is Blocks:
            assert isinstance(message, Blocks)
            for proposal in message.proposals:
                self._believe(identity, proposal.block.qc, proposal.block.tc)

    def _on_vote(self, identity: int, record: SafetyRecord | None, vote: Vote) -> None:
        mask = self.supporters.get(vote.block_id, 0) | 1 << identity
        self.supporters[vote.block_id] = mask
        if vote.commit_id is not None and self._is_quorum(mask.bit_count()):
            self.provable[vote.commit_id] = vote.round
        if identity < self.cast.twins:
            return
        round = vote.round
        known = self.votes.get((identity, round))
        if known is None:
            if self.given_up.get(identity, 0) >= round:
                self.broken(Check.SIGNATURES, f"{identity} votes in round {round} after giving it up")
            self.votes[identity, round] = vote.block_id
        elif known != vote.block_id:
            self.broken(Check.SIGNATURES, f"{identity} votes for two blocks of round {round}")
        if vote.parent_round >= self.locks.get(identity, (0, 0))[0]:
            self.locks[identity] = (vote.parent_round, round)
        self._require_durable(identity, round, 0 if record is None else record.last_voted_round, "vote")

    def _on_timeout(self, identity: int, record: SafetyRecord | None, timeout: Timeout) -> None:
        self._believe(identity, timeout.hqc, timeout.tc)
        if identity < self.cast.twins:
            return
        round, hqc = timeout.round, timeout.hqc.round
        if hqc < self.timeouts.get((identity, round), 0):
            self.broken(Check.SIGNATURES, f"{identity} gives round {round} up again with the lower QC {hqc}")
        parent, voted = self.locks.get(identity, (0, 0))
        if round >= voted and hqc < parent:
            self.broken(
                Check.SIGNATURES, f"{identity} gives round {round} up with QC {hqc}, below its lock {parent}"
            )
        self.timeouts[identity, round] = hqc
        self.given_up[identity] = max(round, self.given_up.get(identity, 0))
        durable = 0 if record is None else record.highest_timeout_round
        self._require_durable(identity, round, durable, "timeout")

    def _on_proposal(self, identity: int, record: SafetyRecord | None, proposal: Proposal) -> None:
        block = proposal.block
        self._believe(identity, block.qc, block.tc)
        if identity < self.cast.twins or block.author != identity:
            return
        if self.proposals.setdefault((identity, block.round), block.id) != block.id:
            self.broken(Check.SIGNATURES, f"{identity} proposes two blocks of round {block.round}")
        durable = 0 if record is None else record.last_proposed_round
        self._require_durable(identity, block.round, durable, "proposal")

    def _require_durable(self, identity: int, round: int, durable: int, what: str) -> None:
        if durable < round:
            self.broken(Check.DURABLE, f"{identity}'s {what} of round {round} left before it was durable")

    # --- certificates -------------------------------------------------------------------------

    def _is_quorum(self, members: int) -> bool:
        return 3 * members > 2 * len(self.cast.keys)

    def _believe(self, identity: int, qc: QuorumCertificate | None, tc: TimeoutCertificate | None) -> None:
        if qc is not None and id(qc) not in self.believed:
            self.believed[id(qc)] = qc
            self.on_qc(identity, qc)
        if tc is not None and id(tc) not in self.believed:
            self.believed[id(tc)] = tc
            self._on_tc(identity, tc)

    def on_qc(self, identity: int, qc: QuorumCertificate) -> None:
        """A certificate was seen: it is good, and the only one of its round. Twins that lie may send bad
        ones: nobody has to believe them."""
        commits = qc.parent_id if qc.round == qc.parent_round + 1 else None
        fault: str | None = "its shape"
        if qc.round == 0:
            fault = None if qc == self.cast.root else "not the root's"
        elif qc.parent_round < qc.round and qc.commit_id == commits:
            fields = (qc.epoch, qc.round, qc.block_id, qc.parent_id, qc.parent_round, commits)
            message = vote_digest(self.cast.cluster_id, *fields)
            fault = self._fault(qc.signers, qc.signatures, lambda position: message)
        if fault is not None:
            if self.is_correct(identity):
                self.broken(Check.CERTIFICATE, f"{identity} has a bad QC of round {qc.round}: {fault}")
        elif self.certified.setdefault(qc.round, qc.block_id) != qc.block_id:
            self.broken(Check.ONE_QC, f"two blocks of round {qc.round} are certified")

    def _on_tc(self, identity: int, tc: TimeoutCertificate) -> None:
        rounds = tc.hqc_rounds
        fault: str | None = "its shape"
        if all(hqc < tc.round for hqc in rounds) and len(rounds) * _SIGNATURE_BYTES == len(tc.signatures):
            fault = self._fault(
                tc.signers,
                tc.signatures,
                lambda position: timeout_digest(self.cast.cluster_id, tc.epoch, tc.round, rounds[position]),
            )
        if fault is not None and self.is_correct(identity):
            self.broken(Check.CERTIFICATE, f"{identity} has a bad TC of round {tc.round}: {fault}")

    def _fault(self, signers: bytes, signatures: bytes, message_of: Callable[[int], bytes]) -> str | None:
        indices = list(bitmap_indices(signers))
        if not self._is_quorum(len(indices)):
            return f"{len(indices)} signers of {len(self.cast.keys)}"
        if len(signatures) != _SIGNATURE_BYTES * len(indices) or indices[-1] >= len(self.cast.keys):
            return "signers and signatures differ"
        for position, index in enumerate(indices):
            signature = signatures[position * _SIGNATURE_BYTES : (position + 1) * _SIGNATURE_BYTES]
            if not self.cast.scheme.verify(self.cast.keys[index], message_of(position), signature):
                return f"validator {index} did not sign that"
        return None

    # --- records ------------------------------------------------------------------------------

    def on_persist(self, instance: int, record: SafetyRecord) -> None:
        """A correct instance asks for `record` to be made durable: nothing in it may fall."""
        before = self.records[instance]
        self.records[instance] = record
        fell = (
            record.last_voted_round < before.last_voted_round
            or record.locked_round < before.locked_round
            or record.highest_timeout_round < before.highest_timeout_round
            or record.last_proposed_round < before.last_proposed_round
            or record.floor_round < before.floor_round
        )
        if fell:
            self.broken(Check.MONOTONE, f"{instance} forgets: {before} then {record}")
        timeout = record.last_timeout
        if timeout is not None and timeout.hqc.round < record.locked_round:
            self.broken(
                Check.MONOTONE,
                f"{instance} gives round {timeout.round} up with QC {timeout.hqc.round}, "
                f"locked on {record.locked_round}",
            )

    # --- accountability -----------------------------------------------------------------------

    def on_heard(self, target: tuple[int, int], replica: Replica, message: Message) -> None:
        """A message of a twin reaches the replica of `target` (correct instance, life).

        Two votes or proposals that differ must lead to evidence, unless the first came when its round was
        certified here or the second when it was superseded: those are not looked at any more
        (consensus/DESIGN.md 7).
        """
        if isinstance(message, Vote):
            author, round, block_id, is_vote = message.author, message.round, message.block_id, True
        elif isinstance(message, Proposal):
            block = message.block
            author, round, block_id, is_vote = block.author, block.round, block.id, False
        else:
            return
        own, hqc, committed = replica.rounds()
        compared = round >= own - LATE_ROUNDS
        counts = compared and round > hqc
        if not is_vote:
            counts = compared = compared and round > committed and replica.proposal(block_id) is None
        key = (*target, int(author), int(round), is_vote)
        known = self.heard.get(key)
        if known is None:
            if counts:
                self.heard[key] = block_id
        elif known != block_id and compared:
            self.equivocated.setdefault(int(author), int(round))

    def on_evidence(self, instance: int, evidence: Evidence) -> None:
        """A correct instance accuses: the proof holds, and against a twin."""
        try:
            evidence.verify(self.cast.cluster_id, self.cast.validators, self.cast.scheme)
        except PeerError as error:
            self.broken(Check.EVIDENCE, f"{instance} shows evidence that proves nothing: {error}")
        if self.is_correct(evidence.accused):
            self.broken(
                Check.EVIDENCE, f"{instance} accuses {evidence.accused} of {evidence.offence.name.lower()}"
            )
        self.accused.setdefault(int(evidence.accused), evidence.offence)

    def on_end(self, highest: Iterable[tuple[int, QuorumCertificate]]) -> None:
        """The run is over; `highest` are the identities' highest QCs, sent or not."""
        for holder, qc in highest:
            self.on_qc(holder, qc)
        for identity, round in self.equivocated.items():
            if identity not in self.accused:
                self.broken(
                    Check.EVIDENCE, f"{identity} was seen to equivocate in round {round}; nobody accuses it"
                )
