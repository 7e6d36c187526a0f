"""The composition: every input is routed to the part it concerns, every effect to where it is carried out.

Nothing is decided here. Effects of one step leave in their order; an answer that one part owes the replica
is queued and handled after them, so an `Append` stays a barrier for everything that follows from it.
"""

from collections import deque
from typing import assert_never

import consensus as agreement
from consensus import (
    InvalidMessage,
    PeerError,
    Timer,
    TimerKind,
    ValidatorSet,
)
from node import wire
from node.ledger.transactions import Transaction
from node.pool.batches import BatchReport
from node.pool.effects import PoolEffect
from node.pool.messages import Fed, Follow, SyncRequest, SyncResponse
from node.validator import inputs, outputs
from node.validator.border import Border
from node.validator.chunkdesk import take_chunk
from node.validator.clocksteps import clock_set
from node.validator.committimes import CommitTimes
from node.validator.crossing import Crossing
from node.validator.dataplane import CATCHUP_TIMER, POOL_TIMER, DataPlane
from node.validator.directory import Directory
from node.validator.durable import DurableBook
from node.validator.feeding import FOLLOW_TIMER, Feeding
from node.validator.mail import Mail
from node.validator.orders import HANDOVER_TIMER, Orders
from node.validator.outputs import Append, Output
from node.validator.ownrounds import OwnRounds
from node.validator.records import encode_persist, split_persist
from node.validator.sightings import Sightings
from node.validator.term import Term, Terms

_TIMER_NAMES = {kind: f"consensus-{kind.name.lower()}" for kind in TimerKind}
_NO_ROOM = "this node's disk or database is full, its log says which; use another node"


def _is_ballot(events: deque[agreement.Event]) -> bool:
    """Whether a step is about a vote or header signature and nothing else. Where that leads to nothing, no
    part has to do what it had not before."""
    if len(events) != 1:
        return False
    event = events[0]
    return isinstance(event, agreement.Received) and type(event.message) in agreement.BALLOTS


def timer_name(kind: TimerKind, epoch: int) -> str:
    """The shell's name of a timer of agreement: one that went off late is of no epoch but its own."""
    return f"{_TIMER_NAMES[kind]}-{epoch}" if epoch else _TIMER_NAMES[kind]


class Validator:
    """One node's pure core; the shell calls `step` and performs what it answers. Made by `assemble`."""

    def __init__(
        self,
        mail: Mail,
        data: DataPlane,
        terms: Terms,
        term: Term,
        feeding: Feeding,
        beginning: list[PoolEffect],
        left: list[Transaction],
    ) -> None:
        """`beginning` is what the pool asked for when it recovered, `left` our own transactions of an epoch
        that is over; both carried out at `Start`."""
        self.term, self.replica = term, term.replica
        self.data = data
        self._mail = mail
        self._border = Border(terms.epochs)
        self.feeding = feeding
        self._crossing = Crossing(mail, data, feeding, terms, self._border)
        self._orders = Orders(mail, data)
        self.sightings = Sightings()
        self.commit_times = CommitTimes()
        self._own_rounds = OwnRounds()
        self._beginning, self._left = beginning, left
        self._timers: dict[str, Timer] = {}

    def step(self, item: inputs.Input, now_ms: int) -> list[Output]:
        """The outputs of one input, in the order in which they are to be performed. Raises LocalError
        when one of our own invariants is broken, and nothing that a peer or client can cause."""
        mail = self._mail
        mail.now_ms = now_ms
        self._dispatch(item)
        if self._crossing.is_due:
            self._enter_next()
        leads_on = not _is_ballot(mail.events)
        while mail.events:
            event = mail.events.popleft()
            if not self._crossing.under_way:  # C4: nobody lives in the epoch that was left
                for effect in self.replica.step(event, now_ms):
                    self._carry_out(effect)
                    leads_on = True
        if type(item) is inputs.Start:
            self.data.line.keep_found()
        if leads_on:
            self._own_rounds.certified(self.replica.certified_round, self.data.pool, now_ms)
            self._own_rounds.good(*self.replica.last_good_round, self.term.turn_rounds, self.data.pool)
            if (certified := self.data.follow_up()) is not None:
                self.feeding.on_certified(*certified)
        return mail.take()

    @property
    def validators(self) -> ValidatorSet:
        """The signers of the current epoch."""
        return self.term.validators

    @property
    def directory(self) -> Directory:
        """Who is who on the links."""
        return self._mail.directory

    def reachable_weight(self) -> int:
        """The weight of the validators whose links are open, this node's own included."""
        keys, term = self._mail.directory.connected_validators(), self.term
        known = {term.validators.index_of(key) for key in keys} | {term.me}
        return term.validators.weight_of(sorted(index for index in known if index is not None))

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """(name, current, bound) of everything in here that can grow."""
        data, ours = self.data, (self.replica, self._border, self.sightings, self.feeding)
        rooms = (*ours, data.pool, data.catchup, data.held, data.desk, data.line, data.book, data.outgoing)
        return tuple(limit for room in rooms for limit in room.limits())

    def _dispatch(self, item: inputs.Input) -> None:
        data, now_ms = self.data, self._mail.now_ms
        match item:
            case inputs.Frame():
                self._on_frame(item)
            case inputs.Written(seq):
                self._on_written(seq)
            case inputs.TimerExpired(name):
                self._on_timer(name)
            case inputs.Resumed():
                data.on_resumed()
            case inputs.ClockSet(by_ms):
                clock_set(by_ms, self._own_rounds, data.pool, data.catchup, self.feeding.following)
            case inputs.BatchChecked(digest, fault, opened):
                report = BatchReport(digest, fault is None, fault or "", opened)
                data.serve_pool(data.pool.on_batch_verified(report, now_ms))
            case inputs.BatchLoaded(digest, body):
                data.serve_pool(data.pool.on_read(digest, body, now_ms))
            case inputs.Flushed(number):
                self.feeding.on_stored(data.on_flushed(number))
                self._crossing.leave(self.term)
            case inputs.Submitted(ticket, transactions):
                self._mail.put(data.desk.submit(ticket, transactions, now_ms))
            case inputs.ChunkSubmitted() | inputs.ChunkChecked():
                take_chunk(item, data, self._mail)
            case inputs.SignaturesChecked(ticket, valid):
                admitted, answer = data.desk.checked(ticket, valid, now_ms)
                self._mail.put(answer)
                self._orders.take(self.term, admitted)
            case inputs.LinkUp(peer) | inputs.LinkDown(peer):
                (self._on_link_up if type(item) is inputs.LinkUp else self._on_link_down)(peer)
            case inputs.DiskLow(low):
                data.close_desk(_NO_ROOM if low else None)
            case inputs.Start():
                self._start()
            case _:
                assert_never(item)

    def _start(self) -> None:
        self._mail.put(outputs.EnterEpoch(self.term.epoch, self.directory.validator_links))
        self.data.serve_pool(self._beginning)
        self._mail.events.append(agreement.Started())
        self._orders.take(self.term, self._left)

    def _on_written(self, seq: int) -> None:
        persisted, batches = self.data.book.written(seq)
        self._crossing.on_written(seq)
        if persisted is not None:
            self._mail.events.append(agreement.Persisted(persisted))
        if batches:
            self.data.serve_pool(self.data.pool.on_persisted(batches, self._mail.now_ms))

    def _on_timer(self, name: str) -> None:
        data, now_ms = self.data, self._mail.now_ms
        if name == POOL_TIMER:
            data.serve_pool(data.pool.on_tick(now_ms))
        elif name == CATCHUP_TIMER:
            data.serve_catchup(data.catchup.on_tick(now_ms))
        elif name == FOLLOW_TIMER:
            self.feeding.on_tick()
        elif name == HANDOVER_TIMER:
            self._orders.again()
        elif name in self._timers:
            timer = self._timers[name]
            if timer.kind is TimerKind.STATUS:
                self._border.on_tick()
            self._mail.events.append(agreement.TimerFired(timer))

    # --- epochs ----------------------------------------------------------------------------------------

    def _enter_next(self) -> None:
        """The next epoch begins: its parts take over, and all links are greeted anew (C4)."""
        mail = self._mail
        self.term, left = self._crossing.enter(self.term)
        self.replica = self.term.replica
        for name in self._timers:
            mail.put(outputs.StopTimer(name))
        self._timers.clear()
        mail.events.append(agreement.Started())
        for identity in mail.directory.links().values():
            self._greet(identity)
        self._orders.take(self.term, left)
        for frame in self._border.cross(mail.directory.links()):
            self._on_frame(frame)

    def _greet(self, identity: bytes) -> None:
        self._mail.events.append(agreement.PeerConnected(identity))
        self.data.serve_pool(self.data.pool.on_peer_connected(identity, self._mail.now_ms))

    # --- links and frames ------------------------------------------------------------------------------

    def _on_link_up(self, peer: bytes) -> None:
        self.directory.up(peer)
        self.sightings.on_link_up(peer)
        self._greet(self.directory.inner(peer))
        self.feeding.on_link_up(self.directory.inner(peer))

    def _on_link_down(self, peer: bytes) -> None:
        mail, data, identity = self._mail, self.data, self.directory.inner(peer)
        mail.directory.down(peer)
        self._border.on_link_down(peer)
        data.serve_pool(data.pool.on_peer_disconnected(identity, mail.now_ms))
        data.serve_catchup(data.catchup.on_peer_gone(identity, mail.now_ms))
        self.feeding.on_link_down(identity)

    def _on_frame(self, frame: inputs.Frame) -> None:
        identity = self._mail.directory.inner(frame.peer)
        try:
            if frame.gossip_id is not None:
                if self._on_gossip(identity, frame):
                    self._mail.put(outputs.ForwardGossip(frame.peer, frame.topic, frame.gossip_id))
            elif frame.topic in wire.AGREEMENT_TOPICS:
                self._on_agreement(identity, wire.agreement_message(frame.topic, frame.body), frame)
            elif frame.topic == wire.Code.CONDITION:
                self.sightings.told(frame.peer, wire.condition_message(frame.body), self._mail.now_ms)
            else:
                self._on_pool_message(identity, frame)
        except PeerError as error:
            gossip = None if frame.gossip_id is None else (frame.topic, frame.gossip_id)
            self._mail.punish(identity, error, gossip)

    def _on_agreement(self, identity: bytes, message: agreement.Message, frame: inputs.Frame) -> None:
        mail, data, term = self._mail, self.data, self.term
        epoch = agreement.epoch_of(message)
        self.sightings.note(frame.peer, message, mail.now_ms, self.replica.certified_round)
        if type(message) in agreement.BALLOTS and epoch == term.epoch and term.me is not None:
            mail.events.append(agreement.Received(identity, message))
            return
        if isinstance(message, agreement.Status):
            data.serve_catchup(data.catchup.on_peer_height(identity, message.certified_height, mail.now_ms))
        if isinstance(message, agreement.Certificates) and term.me is None:
            if message.certified is not None:
                self.feeding.on_told(identity, message.certified)
            return
        if epoch is not None and epoch != term.epoch:
            answer = self._border.answer(frame, message, self.term.epoch, self.replica.view)
            if answer is not None:
                mail.put(outputs.SendFrame(frame.peer, *wire.frame_of_agreement(answer)))
            return
        if self._border.has_come_over(frame.peer, message):
            data.serve_pool(data.pool.on_peer_connected(identity, mail.now_ms))
        match message:
            case agreement.BlocksRequest(block_id, count):
                if self.replica.proposal(block_id) is None:
                    mail.put(outputs.ServeBlocks(mail.directory.outer(identity), block_id, count))
                    return
            case agreement.Timeout():
                self._on_blame(identity, message)
        if self.term.me is None:
            return  # without a seat only certified heights count, and rounds are not taken part in
        mail.events.append(agreement.Received(identity, message))

    def _on_blame(self, identity: bytes, timeout: agreement.Timeout) -> None:
        author = self.term.validators.index_of(identity)
        if author is None or timeout.blamed is None:
            return
        blame = self.term.gossip.blame(author, timeout, self.replica.view().round)
        if blame is not None:
            self.data.serve_pool(self.data.pool.on_blamed(*blame, self._mail.now_ms))

    def _on_pool_message(self, identity: bytes, frame: inputs.Frame) -> None:
        data, now_ms = self.data, self._mail.now_ms
        message = wire.pool_message(frame.topic, frame.body)
        if isinstance(message, SyncRequest):
            self._mail.put(outputs.ServeSync(frame.peer, message))
        elif isinstance(message, Follow | Fed):
            self.feeding.on_message(identity, message)
        elif isinstance(message, SyncResponse):
            if not self.feeding.takes(identity, message):
                data.serve_catchup(data.catchup.on_response(identity, message, now_ms))
        else:
            data.serve_pool(data.pool.on_message(identity, message, now_ms))

    def _on_gossip(self, identity: bytes, frame: inputs.Frame) -> bool:
        """Whether to pass it on."""
        if frame.topic == wire.Code.EVIDENCE:
            evidence = self.term.gossip.evidence(frame.body)
            if evidence is None:
                return False
            _keep(evidence, self._mail, self.data.book, publish=False)
            return self.data.book.knows(evidence)  # beyond what is kept of one liar nothing is spread
        if frame.topic == wire.Code.TRANSACTIONS:
            return self._orders.on_handed(self.term, frame.body)
        raise InvalidMessage("topic", f"topic {frame.topic} is no gossip")

    # --- what agreement asks for -----------------------------------------------------------------------

    def _carry_out(self, effect: agreement.Effect) -> None:
        mail, data = self._mail, self.data
        match effect:
            case agreement.Persist():
                blocks, rest = split_persist(effect)
                for part in blocks:
                    mail.put(Append(data.book.append(None, len(part)), part))
                record = encode_persist(rest)
                guard = None if effect.guard is None else agreement.encode(effect.guard.to_value())
                mail.put(Append(data.book.append(effect, len(record)), record, guard))
            case agreement.Send() | agreement.Broadcast():
                if self.term.me is not None:  # who has no seat has nothing to say
                    self._own_rounds.said(effect, mail.now_ms)
                    mail.say(effect)
            case agreement.SetTimer(timer, delay_ms):
                name = timer_name(timer.kind, self.term.epoch)
                self._timers[name] = timer
                mail.put(outputs.StartTimer(name, delay_ms))
            case agreement.CancelTimer(timer):
                mail.put(outputs.StopTimer(timer_name(timer.kind, self.term.epoch)))
            case agreement.RequestPayload(round, time_ms, ancestors, bytes_max):
                data.serve_pool(data.pool.on_request(round, time_ms, ancestors, bytes_max, mail.now_ms))
            case agreement.CheckPayload(block, ancestors):
                data.serve_pool(data.pool.on_check(block, ancestors, mail.now_ms))
            case agreement.Commit(blocks, proposals):
                self.commit_times.note(blocks, mail.now_ms)
                data.on_committed(blocks, proposals)
            case agreement.Certified(certificate):
                data.on_certified(certificate)
            case agreement.KeepEvidence(evidence):
                _keep(evidence, mail, data.book, publish=True)
            case agreement.Penalise(peer, error):
                mail.punish(peer, error)
            case agreement.FellBehind(certificate, peer):
                data.fell_behind(certificate, peer, walks=True)
            case agreement.Diverged():
                data.diverge(effect)
            case _:
                assert_never(effect)


def _keep(evidence: agreement.Evidence, mail: Mail, book: DurableBook, *, publish: bool) -> None:
    """Store evidence that is new, tell of it, and spread what was found here."""
    encoded = evidence.encode()
    if not book.add_evidence(evidence, encoded):
        return
    accused = mail.directory.name(evidence.accused_key)
    mail.put(outputs.Tell("evidence", f"{evidence.offence.name} by {accused}"))
    if publish:
        mail.put(outputs.PublishFrame(wire.Code.EVIDENCE, encoded))
