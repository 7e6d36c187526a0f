"""Leaving rounds and keeping in step: timeouts, status, certificates on demand, timers.

The round timer runs iff somebody has something to wait for (C7), so an idle cluster is quiet; everything
not superseded is sent again every `resend_ms` at the latest, so a lost message costs a second, not a round.
"""

from consensus.certification import Certification
from consensus.core import ReplicaCore
from consensus.effects import Broadcast, CancelTimer, Send, SetTimer
from consensus.errors import InvalidMessage
from consensus.fetching import Fetching
from consensus.messages import (
    Certificates,
    CertificatesRequest,
    Message,
    Proposal,
    Status,
    Timeout,
    TimeoutReason,
)
from consensus.ordering import Ordering
from consensus.tally import TimeoutTally
from consensus.timers import Timer, TimerKind
from consensus.validators import Round, ValidatorIndex
from consensus.votes import Votes


class Rounds:
    """Timeouts of the current round, the timers that run, and who was asked and answered lately."""

    def __init__(
        self,
        core: ReplicaCore,
        votes: Votes,
        ordering: Ordering,
        fetching: Fetching,
        certification: Certification,
    ) -> None:
        self._core = core
        self._votes = votes
        self._ordering = ordering
        self._fetching = fetching
        self._certification = certification
        self._timeouts = TimeoutTally(core.validators)
        self._running: dict[TimerKind, tuple[Round, bool]] = {}
        self._expired_round = Round(0)
        self._armed_at: tuple[Round, int] | None = None  # the round whose timer was set, and when
        self._asked: dict[bytes, Round] = {}
        self._answered: dict[bytes, Round] = {}
        self.blamed: tuple[ValidatorIndex, ...] = ()  # batch authors, by the last TC formed here
        self.reasons: dict[TimeoutReason, int] = {}  # own timeouts, by reason

    @property
    def timeouts(self) -> int:
        """Timeouts kept."""
        return len(self._timeouts)

    @property
    def peers_counted(self) -> int:
        """Peers asked or answered since the last status tick."""
        return max(len(self._asked), len(self._answered))

    def timed_out_now(self) -> tuple[ValidatorIndex, ...]:
        """Who gave the current round up."""
        return tuple(t.author for t in self._timeouts.of_round(self._core.pacemaker.round))

    def enter_round(self) -> None:
        """The round changed: timeouts of the rounds before are of no use."""
        core, armed_at = self._core, self._armed_at
        self._timeouts.prune(core.pacemaker.round)
        if armed_at is not None and core.pacemaker.hqc.round == armed_at[0]:
            core.pacemaker.on_good_round(core.now_ms - armed_at[1])
        self._armed_at = None

    # --- timeouts -----------------------------------------------------------------------------

    def on_timeout(self, peer: bytes, timeout: Timeout) -> None:
        """Count a peer's timeout and learn from the certificates it carries; raises PeerError."""
        core = self._core
        core.require_author(peer, timeout.author, "timeout")
        if timeout.epoch != core.validators.epoch:
            return
        _require_opened(timeout)
        known = self._timeouts.get(timeout.round, timeout.author)
        if known is not None and known.hqc_round >= timeout.hqc_round:
            return
        hqc, tc = timeout.hqc, timeout.tc
        is_late = timeout.round < core.pacemaker.round and hqc.round <= core.pacemaker.hqc.round
        if is_late and not self._votes.belies(timeout):
            return self._answer(peer)  # its sender missed what ended that round; nobody counts it
        core.require_signature(timeout, "timeout")
        if hqc.round > core.pacemaker.hqc.round:  # free-standing: what we know already is not verified
            core.verify_qc(hqc)
            core.adopt_qc(hqc)
        if tc is not None and tc.round >= core.pacemaker.round:
            core.verify_tc(tc)
            core.adopt_tc(tc)
        self._votes.compare_lock(timeout)
        if timeout.round == core.pacemaker.round:
            self.count(timeout)
        elif timeout.round < core.pacemaker.round:
            self._answer(peer)  # its sender has missed what ended that round

    def count(self, timeout: Timeout) -> None:
        """A verified timeout of the current round, ours when it is durable (L2, C2)."""
        if timeout.round != self._core.pacemaker.round:
            return
        tc = self._timeouts.add(timeout)
        if tc is not None:
            self.blamed = self._timeouts.blamed(timeout.round)
            self._core.adopt_tc(tc)

    def give_up(self) -> None:
        """Time the round out when its timer expired, or when a blocking set did (P3)."""
        core = self._core
        round = core.pacemaker.round
        expired = self._expired_round == round
        if core.safety is None or core.safety.record.highest_timeout_round >= round:
            return
        if not expired and not self._timeouts.is_blocking(round):  # P3
            return
        hqc, tc = core.pacemaker.hqc, core.pacemaker.tc_to_carry
        if core.safety.may_time_out(round, hqc, tc) is not None:
            return
        reason, blamed = self._ordering.timeout_reason() if expired else (TimeoutReason.FOLLOWED, None)
        self.reasons[reason] = self.reasons.get(reason, 0) + 1
        core.outbox.release(core.safety.sign_timeout(round, hqc, tc, reason, blamed))

    # --- status and certificates --------------------------------------------------------------

    def status(self) -> Status:
        """Where we are (C7)."""
        core = self._core
        return Status(
            core.validators.epoch,
            core.pacemaker.round,
            core.pacemaker.hqc.round,
            core.pacemaker.htc_round,
            core.tree.committed.height,
            core.certified_height,
        )

    def on_status(self, peer: bytes, status: Status) -> None:
        """Ask a peer that is ahead; help one that cannot know that it is behind."""
        core = self._core
        if status.epoch != core.validators.epoch:
            return
        ahead = (
            status.round > core.pacemaker.round
            or status.hqc_round > core.pacemaker.hqc.round
            or status.certified_height > core.certified_height
        )
        if ahead:
            self._ask(peer)
        elif status.round < core.pacemaker.round and core.validators.index_of(peer) is None:
            self._answer(peer)  # observers are not told our status, so their own is a question

    def on_certificates_request(self, peer: bytes, request: CertificatesRequest) -> None:
        """Answer with the highest certificates (C16)."""
        self._answer(peer)

    def on_certificates(self, peer: bytes, message: Certificates) -> None:
        """Take what is higher than ours; raises PeerError."""
        core, qc, tc = self._core, message.qc, message.tc
        if qc is not None and qc.round > core.pacemaker.hqc.round:
            core.verify_qc(qc)
            core.adopt_qc(qc)
        if tc is not None and tc.round >= core.pacemaker.round:
            if core.pacemaker.hqc.round < tc.max_hqc_round:
                raise InvalidMessage(
                    "tc-without-qc", f"TC with hqc {tc.max_hqc_round}, QC of round {core.pacemaker.hqc.round}"
                )
            core.verify_tc(tc)
            core.adopt_tc(tc)
        certified = message.certified
        if certified is not None and certified.height > core.certified_height:
            core.verify_header(certified)
            self._certification.adopt(certified, peer)

    def _ask(self, peer: bytes) -> None:
        if self._may_contact(self._asked, peer):
            self._core.outbox.emit(Send(peer, CertificatesRequest(self._core.pacemaker.round)))

    def _answer(self, peer: bytes) -> None:
        if self._may_contact(self._answered, peer):
            core = self._core
            certified = core.certified
            if certified is not None and certified.epoch != core.validators.epoch:
                certified = None  # the peer's set could not verify it
            core.outbox.emit(Send(peer, Certificates(core.pacemaker.hqc, core.pacemaker.htc, certified)))

    def _may_contact(self, contacted: dict[bytes, Round], peer: bytes) -> bool:
        """At most once a peer and round (C16), and a status tick, since answers may get lost."""
        round = self._core.pacemaker.round
        if contacted.get(peer) == round:
            return False
        if peer not in contacted and len(contacted) >= self._core.config.peers_max:
            return False
        contacted[peer] = round
        return True

    # --- sending again ------------------------------------------------------------------------

    def unsuperseded(self) -> list[Message]:
        """What we signed and what still matters (C7): the stored bytes, never new signatures (C15)."""
        core = self._core
        if core.safety is None:
            return []
        round, record = core.pacemaker.round, core.safety.record
        found: list[Message] = []
        if record.last_proposed_round == round:
            found.extend(self._own_proposal())
        if record.last_vote is not None and record.last_vote.round == round:
            found.append(record.last_vote)
        if record.last_timeout is not None and record.last_timeout.round == round:
            found.append(record.last_timeout)
        if record.last_header is not None and record.last_header.height > core.certified_height:
            found.append(record.last_header)
        return found

    def _own_proposal(self) -> list[Message]:
        node = self._ordering.candidate()
        if node is None or node.block is None or node.signature is None or node.block.author != self._core.me:
            return []
        return [Proposal(node.block, node.signature)]

    def greet(self, peer: bytes) -> None:
        """A link came up: say where we are and what we last signed (C7)."""
        self._core.outbox.emit(Send(peer, self.status()))
        if self._core.validators.index_of(peer) is not None:
            for message in self.unsuperseded():
                self._core.outbox.emit(Send(peer, message))

    # --- timers -------------------------------------------------------------------------------

    def on_timer(self, timer: Timer) -> None:
        """A timer expired; one of an earlier round, or replaced meanwhile, means nothing."""
        core = self._core
        running = self._running.get(timer.kind)
        if running is None or running[0] != timer.round:
            return
        del self._running[timer.kind]
        match timer.kind:
            case TimerKind.ROUND:
                self._expired_round = timer.round
            case TimerKind.RESEND:
                for message in self.unsuperseded():
                    core.outbox.emit(Broadcast(message))
                self._fetching.ask()
            case TimerKind.STATUS:
                self._asked.clear()
                self._answered.clear()
                self._fetching.on_tick()
                core.outbox.emit(Broadcast(self.status()))
                self._certification.report_behind()
                if core.safety is not None:
                    core.safety.bring_guard_back()
            case TimerKind.IDLE:
                self._ordering.idle_over_round = timer.round
            case TimerKind.DEFERRED:
                pass  # the vote rule looks at the clock again

    @property
    def is_armed(self) -> bool:
        """C7, C24: whether anybody here waits for this round to make progress."""
        core = self._core
        return (
            core.pending_payload
            or core.tree.uncommitted_headers > 0
            or core.tree.committed.height > core.certified_height
            or self._timeouts.has_any()
            or core.heartbeat_in_ms == 0
        )

    def set_timers(self) -> None:
        """Start, replace and stop timers so that they match what is known."""
        core = self._core
        round = core.pacemaker.round
        signer = core.safety
        armed = self.is_armed
        waits = (
            armed
            and signer is not None
            and signer.record.highest_timeout_round < round
            and self._expired_round != round
        )
        self._keep(TimerKind.ROUND, round, core.pacemaker.duration_ms if waits else None)
        if not armed:
            self._armed_at = None  # nobody waits: what this round takes now says nothing
        elif waits and self._armed_at is None:
            self._armed_at = round, core.now_ms
        idle = self._ordering.is_waiting
        self._keep(TimerKind.IDLE, round, self._idle_delay_ms(armed) if idle else None, armed)
        self._keep(TimerKind.DEFERRED, round, self._ordering.deferred_ms)
        self._keep(TimerKind.STATUS, Round(0), core.config.status_ms)
        self._keep_resending()

    def _keep_resending(self) -> None:
        """Runs while something may have to be sent again, and lapses by itself: cheaper than a timer a
        round. A missing block brings it forward."""
        hurry = self._fetching.wants > 0 and self._fetching.has_new_wants
        running = self._running.get(TimerKind.RESEND)
        if running is not None and (running[1] or not hurry):
            return
        if hurry or self._fetching.wants or self.unsuperseded():
            config = self._core.config
            self._running[TimerKind.RESEND] = (Round(0), hurry)
            delay_ms = self._fetching.pause_ms if self._fetching.wants else config.resend_ms
            self._core.outbox.emit(SetTimer(Timer(TimerKind.RESEND, Round(0)), delay_ms))

    def _idle_delay_ms(self, armed: bool) -> int:
        """An idle leader waits; half of the shortest round at most when others may be waiting for it (E1)."""
        core = self._core
        wait_ms = min(core.config.idle_interval_ms, core.heartbeat_in_ms)
        return min(wait_ms, core.config.base_timeout_ms // 4) if armed else wait_ms

    def _keep(self, kind: TimerKind, round: Round, delay_ms: int | None, paced: bool = False) -> None:
        """Let this kind of timer run for `round`, or not at all; a running one keeps its start, unless
        `paced` changed, which means another delay."""
        running = self._running.get(kind)
        if delay_ms is None:
            if running is not None:
                del self._running[kind]
                self._core.outbox.emit(CancelTimer(Timer(kind, running[0])))
        elif running != (round, paced):
            self._running[kind] = (round, paced)
            self._core.outbox.emit(SetTimer(Timer(kind, round), delay_ms))


def _require_opened(timeout: Timeout) -> None:
    """A timeout carries the evidence that its round was reached, and nothing else (P2)."""
    round, hqc, tc = timeout.round, timeout.hqc.round, timeout.tc
    if hqc >= round:
        raise InvalidMessage("timeout-hqc", f"QC of round {hqc} in a timeout of round {round}")
    if hqc + 1 == round:
        if tc is not None:
            raise InvalidMessage("timeout-tc", f"a TC of round {tc.round} although the QC opens {round}")
    elif tc is None or tc.round + 1 != round or hqc < tc.max_hqc_round:
        raise InvalidMessage("timeout-opening", f"round {round} is not opened by QC {hqc} and its TC")
