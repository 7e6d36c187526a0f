"""May I sign? The only holder of the consensus key, small enough to audit in ten minutes.

Every method computes the new safety record first, then signs, and the caller makes the record durable
before the signature leaves (C1, C2). The rules are Jolteon's (section 3.1) as in Diem's
`safety_rules_2chain.rs`; numbers in brackets are the rules of DESIGN.md.

A block handed to `sign_vote` has been verified by the caller: author is the leader of its round, every
signature of every embedded certificate is good. What is decided here needs only rounds, heights and the
record. `may_*` answers None or a sentence with the numbers compared; `sign_*` raises SigningRefused with
that sentence, because asking without having looked is a local fault.
"""

from dataclasses import replace

from consensus.blocks import Block, proposal_digest
from consensus.certificates import (
    QuorumCertificate,
    TimeoutCertificate,
    header_digest,
    timeout_digest,
    vote_digest,
)
from consensus.codec import Value, as_int, as_tuple
from consensus.errors import SigningRefused
from consensus.keys import Digest, PublicKey, Signer
from consensus.messages import HeaderSignature, Proposal, Timeout, TimeoutReason, Vote
from consensus.reservation import GUARD_HEIGHTS, GUARD_ROUNDS, GuardRecord
from consensus.validators import VALIDATORS_MAX, Epoch, Height, Round, ValidatorIndex
from consensus.values import immutable

NO_SEAT = ValidatorIndex(VALIDATORS_MAX)
"""The author that a key signs as while it is of no validator: no set has such a member."""
_RECORD_VERSION = 1


@immutable(frozen=True, slots=True)
class SafetyRecord:
    """Everything a signer must never forget (C1). `(epoch, round)` compare lexicographically (C4).

    `boot` counts starts; `floor_round` and `floor_height` are below or at everything this key may have
    signed with data that was lost (C14); `last_vote`, `last_timeout` and `last_header` are kept whole,
    so that after a crash the same bytes are sent again instead of new ones being signed (C15).
    """

    boot: int
    epoch: Epoch
    last_voted_round: Round
    locked_round: Round
    highest_timeout_round: Round
    last_proposed_round: Round
    last_signed_height: Height
    floor_round: Round
    floor_height: Height
    last_vote: Vote | None
    last_timeout: Timeout | None
    last_header: HeaderSignature | None

    @property
    def highest_signed_round(self) -> Round:
        """No signature of this epoch by this record is of a higher round."""
        return max(
            self.last_voted_round, self.highest_timeout_round, self.last_proposed_round, self.floor_round
        )

    @staticmethod
    def initial(epoch: Epoch, boot: int, height: Height) -> "SafetyRecord":
        """Nothing signed in `epoch` yet, and no header above `height`."""
        zero = Round(0)
        return SafetyRecord(boot, epoch, zero, zero, zero, zero, height, zero, Height(0), None, None, None)

    def enter(self, epoch: Epoch) -> "SafetyRecord":
        """The record with which `epoch` starts: rounds restart, heights go on, no return (C4)."""
        if epoch <= self.epoch:
            raise SigningRefused(f"epoch {epoch} does not follow epoch {self.epoch}")
        fresh = SafetyRecord.initial(epoch, self.boot, self.last_signed_height)
        return replace(fresh, floor_height=self.floor_height, last_header=self.last_header)

    def to_value(self) -> tuple[Value, ...]:
        """`[version, nine integers in field order, last vote, last timeout, last header]`."""
        vote, timeout, header = self.last_vote, self.last_timeout, self.last_header
        return (
            _RECORD_VERSION,
            self.boot,
            self.epoch,
            self.last_voted_round,
            self.locked_round,
            self.highest_timeout_round,
            self.last_proposed_round,
            self.last_signed_height,
            self.floor_round,
            self.floor_height,
            None if vote is None else vote.to_value(),
            None if timeout is None else timeout.to_value(),
            None if header is None else header.to_value(),
        )

    @staticmethod
    def from_value(value: Value) -> "SafetyRecord":
        """The inverse of `to_value`; raises CodecError."""
        version, *numbers, vote, timeout, header = as_tuple(value, 13, "safety record")
        as_int(version, "safety record version", low=_RECORD_VERSION, high=_RECORD_VERSION)
        boot, epoch, voted, locked, timed_out, proposed, height, floor_round, floor_height = (
            as_int(number, "safety record field") for number in numbers
        )
        return SafetyRecord(
            boot,
            Epoch(epoch),
            Round(voted),
            Round(locked),
            Round(timed_out),
            Round(proposed),
            Height(height),
            Round(floor_round),
            Height(floor_height),
            None if vote is None else Vote.from_value(vote),
            None if timeout is None else Timeout.from_value(timeout),
            None if header is None else HeaderSignature.from_value(header),
        )


class SafetyRules:
    """Signs for one validator, in the epoch of `record`; `record` and `guard` are what must be durable (C1,
    C14). With an epoch its seat may change, or go to others (`NO_SEAT`)."""

    def __init__(
        self,
        key: Signer,
        cluster_id: bytes,
        author: ValidatorIndex,
        record: SafetyRecord,
        guard: GuardRecord,
    ) -> None:
        """`record` and `guard` come from `consensus.guard.admit` and are both on disk already."""
        self._key = key
        self._cluster_id = cluster_id
        self._author = author
        self.record = record
        self.guard = guard
        self.reserves_ahead = True
        """Whether a guard that is written reserves ahead, or says exactly what was signed (E17)."""
        self.guards_written = 0
        """Guards that went out with a `Persist`."""
        self._durable = record
        self._guard_raised = False

    @property
    def public_key(self) -> PublicKey:
        """The key that signs."""
        return self._key.public_key

    # --- epochs (C4) ---------------------------------------------------------------------------

    def enter(self, epoch: Epoch) -> SafetyRecord:
        """Leave the epoch of the record for a later one: from now on nothing of it is signed. The answer must
        be durable, and told to `on_durable`, before anything of `epoch` is signed: a guard that is of a later
        epoch than the journal would look like lost data. Raises SigningRefused for an earlier epoch."""
        self.record = self.record.enter(epoch)
        return self.record

    def sit(self, author: ValidatorIndex | None) -> None:
        """The validator that this key signs as in the epoch of the record; None: it is none of them."""
        self._author = NO_SEAT if author is None else author

    # --- votes ---------------------------------------------------------------------------------

    def may_vote(self, block: Block) -> str | None:
        """None when this block may be voted for, else why not (S1-S5)."""
        record = self.record
        if block.epoch != record.epoch:
            return f"block of epoch {block.epoch}, signing in epoch {record.epoch}"
        last = record.last_vote
        if last is not None and last.round == block.round:  # S1, C15: the stored vote comes first
            return None if last.block_id == block.id else f"voted in round {block.round} for another block"
        if block.round <= record.floor_round:  # C14
            return f"round {block.round} is not above the reserved round {record.floor_round}"
        if block.round <= record.last_voted_round:  # S2
            return f"round {block.round} is not above the last voted round {record.last_voted_round}"
        return extends_safely(block)

    def sign_vote(self, block: Block) -> Vote:
        """The vote for `block`: a stored one again (C15), or a new one; raises SigningRefused."""
        refusal = self.may_vote(block)
        if refusal is not None:
            raise SigningRefused(f"vote: {refusal}")
        record = self.record
        if record.last_vote is not None and record.last_vote.round == block.round:
            return record.last_vote
        fields = (block.epoch, block.round, block.id, block.qc.block_id, block.qc.round, block.commit_id)
        signature = self._key.sign(vote_digest(self._cluster_id, *fields))
        vote = Vote(*fields, self._author, signature)
        self._keep(
            replace(
                record,
                last_voted_round=block.round,
                locked_round=max(record.locked_round, block.qc.round),  # S4
                last_vote=vote,
                last_timeout=None,  # of an earlier round by S2, S5: superseded
            )
        )
        return vote

    # --- timeouts ------------------------------------------------------------------------------

    def may_time_out(self, round: Round, hqc: QuorumCertificate, tc: TimeoutCertificate | None) -> str | None:
        """None when `round` may be given up holding `hqc` and `tc`, else why not (S6). The floor of lost
        data bounds votes: here the lock matters, and it is in the record whatever was lost (E17)."""
        record = self.record
        if hqc.epoch != record.epoch:
            return f"certificate of epoch {hqc.epoch}, signing in epoch {record.epoch}"
        if round < record.last_voted_round:
            return f"round {round} is below the last voted round {record.last_voted_round}"
        if hqc.round < record.locked_round:
            return f"the highest QC of round {hqc.round} is below the locked round {record.locked_round}"
        if hqc.round >= round:
            return f"the highest QC of round {hqc.round} already ends round {round}"
        opened_by_tc = tc is not None and tc.round + 1 == round
        if hqc.round + 1 != round and not opened_by_tc:
            return f"no certificate opens round {round}: highest QC is of round {hqc.round}"
        if tc is not None and hqc.round < tc.max_hqc_round:
            return f"the highest QC of round {hqc.round} is below {tc.max_hqc_round} in the TC"
        return None

    def sign_timeout(
        self,
        round: Round,
        hqc: QuorumCertificate,
        tc: TimeoutCertificate | None,
        reason: TimeoutReason,
        blamed: ValidatorIndex | None,
    ) -> Timeout:
        """The timeout of `round`; after it no vote of this round is signed. Raises SigningRefused."""
        refusal = self.may_time_out(round, hqc, tc)
        if refusal is not None:
            raise SigningRefused(f"timeout: {refusal}")
        record = self.record
        signature = self._key.sign(timeout_digest(self._cluster_id, record.epoch, round, hqc.round))
        carried = None if hqc.round + 1 == round else tc
        timeout = Timeout(record.epoch, round, hqc, carried, reason, blamed, self._author, signature)
        self._keep(
            replace(
                record,
                last_voted_round=max(record.last_voted_round, round),  # S5
                highest_timeout_round=max(record.highest_timeout_round, round),
                last_timeout=timeout,
            )
        )
        return timeout

    # --- proposals and headers -----------------------------------------------------------------

    def may_propose(self, round: Round) -> str | None:
        """None when a proposal of `round` may be signed, else why not (S7)."""
        if round <= self.record.floor_round:  # C14
            return f"round {round} is not above the reserved round {self.record.floor_round}"
        if round <= self.record.last_proposed_round:
            return f"round {round} is not above the last proposed round {self.record.last_proposed_round}"
        return None

    def sign_proposal(self, block: Block) -> Proposal:
        """The only proposal of its round by this key; raises SigningRefused."""
        refusal = self.may_propose(block.round)
        if refusal is None and (block.epoch != self.record.epoch or block.author != self._author):
            refusal = f"block of epoch {block.epoch} by author {block.author} is not ours"
        if refusal is not None:
            raise SigningRefused(f"proposal: {refusal}")
        signature = self._key.sign(proposal_digest(self._cluster_id, block.epoch, block.round, block.id))
        self._keep(replace(self.record, last_proposed_round=block.round))
        return Proposal(block, signature)

    def may_sign_header(self, height: Height) -> str | None:
        """None when a header of `height` may be signed, else why not (S8, C3)."""
        if height <= self.record.floor_height:  # C14
            return f"height {height} is not above the reserved height {self.record.floor_height}"
        if height <= self.record.last_signed_height:
            return f"height {height} is not above the last signed height {self.record.last_signed_height}"
        return None

    def sign_header(
        self, incarnation: int, height: Height, block_id: Digest, header_hash: Digest
    ) -> HeaderSignature:
        """The only signature of this key at `height` (S8, C3); raises SigningRefused."""
        refusal = self.may_sign_header(height)
        if refusal is not None:
            raise SigningRefused(f"header: {refusal}")
        record = self.record
        fields = (incarnation, record.epoch, height, block_id, header_hash)
        signature = self._key.sign(header_digest(self._cluster_id, *fields))
        signed = HeaderSignature(*fields, self._author, signature)
        self._keep(replace(record, last_signed_height=height, last_header=signed))
        return signed

    # --- the guard (C14) -----------------------------------------------------------------------

    def _keep(self, record: SafetyRecord) -> None:
        """What was signed now, and the guard with it where it must say more; both go out in one `Persist`."""
        self.record = record
        reached = (record.epoch, record.highest_signed_round, record.last_signed_height, record.locked_round)
        if not self.guard.covers(*reached):
            self._write_guard(self._ahead() if self.reserves_ahead else self._exact())
        elif not self.reserves_ahead:
            self._write_guard(self._exact())

    def _exact(self) -> GuardRecord:
        """What was signed, and nothing more (E17). What a timeout has claimed counts like a lock: those of
        one round rise (C20)."""
        record = self.record
        claimed = Round(0) if record.last_timeout is None else record.last_timeout.hqc_round
        lock = max(record.locked_round, claimed)
        return self._guard_up_to(record.highest_signed_round, record.last_signed_height, lock)

    def _ahead(self) -> GuardRecord:
        """A reservation. The lock can rise up to the round before its bound (E7)."""
        bound = Round(self.record.highest_signed_round + GUARD_ROUNDS)
        return self._guard_up_to(
            bound, Height(self.record.last_signed_height + GUARD_HEIGHTS), Round(bound - 1)
        )

    def _guard_up_to(self, round: Round, height: Height, lock: Round) -> GuardRecord:
        record, durable = self.record, self._durable
        # E8: what is durable, not what is signed: the guard reaches the disk before the journal does
        start = durable.highest_signed_round if durable.epoch == record.epoch else Round(0)
        return GuardRecord(record.boot, record.epoch, start, round, durable.last_signed_height, height, lock)

    def _write_guard(self, guard: GuardRecord) -> None:
        if guard != self.guard:
            self.guard = guard
            self._guard_raised = True

    def bring_guard_back(self) -> None:
        """Nothing is signed for now: a guard that reaches ahead says again what was signed, if it may. Not
        before something was signed in this epoch: its guard would stand beside a journal of the last (C4)."""
        record, guard = self.record, self.guard
        if self.reserves_ahead or not guard.epoch == record.epoch == self._durable.epoch:
            return
        exact = self._exact()
        if exact.covers(guard.epoch, guard.round_bound, guard.height_bound, guard.locked_round):
            return
        self._write_guard(exact)

    @property
    def guard_is_raised(self) -> bool:
        """Whether the next `Persist` has a guard to take along."""
        return self._guard_raised

    def take_raised_guard(self) -> GuardRecord | None:
        """The guard if it was changed since it was last taken: it goes out with the next `Persist`."""
        raised = self.guard if self._guard_raised else None
        self._guard_raised = False
        self.guards_written += raised is not None
        return raised

    def on_durable(self, record: SafetyRecord) -> None:
        """This record is on disk now."""
        self._durable = record


def extends_safely(block: Block) -> str | None:
    """None when the block's parent is allowed to be its parent, else why not (S3).

    Either the parent was certified in the round before, or a TC of the round before shows that no
    quorum can have locked above the parent.
    """
    qc, tc = block.qc, block.tc
    if qc.round >= block.round:
        return f"QC of round {qc.round} in a block of round {block.round}"
    if block.round == qc.round + 1:
        return None if tc is None else f"a TC of round {tc.round} although the QC opens round {block.round}"
    if tc is None:
        return f"round {block.round} does not follow QC round {qc.round}, and there is no TC"
    if tc.round + 1 != block.round:
        return f"a TC of round {tc.round} does not open round {block.round}"
    if qc.round < tc.max_hqc_round:
        return f"QC of round {qc.round} is below the highest round {tc.max_hqc_round} in the TC"
    return None
