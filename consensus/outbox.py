"""What one step asks for, and the signatures that wait for their journal write (E2, C2, C23).

Whatever is signed during a step leaves together: one `Persist` with everything not yet durable, then the
broadcasts. A node's own signatures come back from `on_persisted`, and only then count in its own tallies:
an own undurable vote that completed a QC would be a double vote after a crash.
"""

from collections import deque
from collections.abc import Container

from consensus.certificates import HeaderCertificate, QuorumCertificate, TimeoutCertificate
from consensus.effects import Broadcast, Effect, Persist
from consensus.errors import LocalError
from consensus.keys import Digest
from consensus.messages import Message, Proposal
from consensus.safety import SafetyRecord, SafetyRules


class Outbox:
    """Collects the effects of a step; `flush` closes it."""

    __slots__ = (
        "_awaiting",
        "_certified",
        "_effects",
        "_high_qc",
        "_high_tc",
        "_proposals",
        "_safety",
        "_seq",
        "_signed",
    )

    def __init__(self, safety: SafetyRules | None) -> None:
        self._safety = safety
        self._effects: list[Effect] = []
        self._seq = 0
        self._signed: list[Message] = []
        self._awaiting: deque[tuple[int, SafetyRecord, tuple[Message, ...]]] = deque()
        self._proposals: dict[Digest, Proposal] = {}
        self._high_qc: QuorumCertificate | None = None
        self._high_tc: TimeoutCertificate | None = None
        self._certified: HeaderCertificate | None = None

    def emit(self, effect: Effect) -> None:
        """Ask for something."""
        self._effects.append(effect)

    # --- what rides along in the next Persist --------------------------------------------------

    def stage_proposal(self, proposal: Proposal) -> None:
        """A block entered the tree. Replicas that never sign keep no journal."""
        if self._safety is not None:
            self._proposals[proposal.block.id] = proposal

    def unstage_except(self, held: Container[Digest]) -> None:
        """Forget staged blocks that the tree dropped, so that staging is bounded by the tree."""
        for block_id in [staged for staged in self._proposals if staged not in held]:
            del self._proposals[block_id]

    def stage_qc(self, qc: QuorumCertificate) -> None:
        """The highest QC rose."""
        self._high_qc = qc

    def stage_tc(self, tc: TimeoutCertificate) -> None:
        """The highest TC rose."""
        self._high_tc = tc

    def stage_certified(self, certificate: HeaderCertificate) -> None:
        """The highest header certificate rose."""
        self._certified = certificate

    # --- signatures ----------------------------------------------------------------------------

    def release(self, message: Message) -> None:
        """Broadcast a message we have just signed, once its record is durable."""
        self._signed.append(message)

    def flush(self) -> list[Effect]:
        """The effects of this step, in the order in which they must be performed."""
        safety = self._safety
        if self._signed or (safety is not None and safety.guard_is_raised):
            self._persist_signed()
        effects, self._effects = self._effects, []
        return effects

    def _persist_signed(self) -> None:
        if self._safety is None:
            raise LocalError("a replica without a signing key has signed")
        self._seq += 1
        record = self._safety.record
        self._effects.append(
            Persist(
                self._seq,
                record,
                self._safety.take_raised_guard(),
                tuple(self._proposals.values()),
                self._high_qc,
                self._high_tc,
                self._certified,
            )
        )
        signed = tuple(self._signed)
        self._effects.extend(Broadcast(message) for message in signed)
        self._awaiting.append((self._seq, record, signed))
        self._signed.clear()
        self._proposals.clear()
        self._high_qc = self._high_tc = self._certified = None

    def on_persisted(self, seq: int) -> list[Message]:
        """Everything up to `seq` is durable: our signatures that may count now, in order (C23)."""
        if seq > self._seq:
            raise LocalError(f"write {seq} is durable, but only {self._seq} were asked for")
        durable: list[Message] = []
        while self._awaiting and self._awaiting[0][0] <= seq:
            _, record, messages = self._awaiting.popleft()
            if self._safety is not None:
                self._safety.on_durable(record)
            durable.extend(messages)
        return durable

    @property
    def staged(self) -> int:
        """Blocks waiting for the next journal write."""
        return len(self._proposals)

    @property
    def awaiting(self) -> int:
        """Journal writes asked for and not yet answered."""
        return len(self._awaiting)
