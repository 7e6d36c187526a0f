"""One validator with a shell that is meaner than the daemon, and what a crash leaves of it.

The journal takes time and a crash tears its last group anywhere; a crash falls between chain and state;
workers answer late. The contract of `node.validator.outputs` is kept: nothing after an `Append` leaves before
that is written, and all appends of one group are written at the place of the first.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from consensus import (
    Digest,
    Epoch,
    GuardRecord,
    SafetyRules,
    SigningFloor,
    SigningKey,
    ValidatorIndex,
    admit,
    decode,
    encode,
)
from node import wire
from node.daemon.serving import blocks_answer, sync_answer
from node.ledger.transactions import Transaction, check_signature
from node.pool.batches import verify_batch
from node.storage import ChainTable
from node.validator import (
    Answer,
    Append,
    BatchChecked,
    BatchLoaded,
    BroadcastFrame,
    CheckBatch,
    CheckSignatures,
    DiskLow,
    Flush,
    Flushed,
    ForwardGossip,
    Frame,
    Input,
    LinkDown,
    LinkUp,
    LoadBatch,
    Output,
    PublishFrame,
    Punish,
    Refusal,
    Resume,
    Resumed,
    SendFrame,
    ServeBlocks,
    ServeSync,
    SignaturesChecked,
    Start,
    StartTimer,
    StopTimer,
    Submitted,
    Tell,
    TimerExpired,
    Validator,
    Written,
    assemble,
    recover,
)
from node.validator.layout import OPEN_KEY, OpenBook
from node.validator.records import encode_start
from tests.node.ledger.world import key_of
from tests.node.validator.checkers import Violation, stored_height

if TYPE_CHECKING:
    from tests.node.validator.world import World


BOUNDS_EVERY = 16
"""Steps of a node between two looks at its bounds."""


def gossip_id_of(topic: int, body: bytes) -> bytes:
    """The name of a gossiped message."""
    return sha256(bytes((topic,)) + body).digest()[:16]


class Node:
    """One validator with its shell."""

    def __init__(self, world: "World", index: int) -> None:
        self.world = world
        self.index = index
        self.key: SigningKey = key_of(f"consensus {index}")
        self.peer = bytes(key_of(f"node {index}").public_key)
        self.up = False
        self.life = 0
        self.skew_ms = 0
        self.boundaries = 0
        self.crash_at: int | None = None
        self.told: list[Tell] = []
        self.punished: list[Punish] = []
        self.published: list[PublishFrame] = []
        self.answers: dict[int, tuple[Digest | Refusal, ...]] = {}
        self.frames = self.appends = self.flushes = 0
        self.flushing = True
        self.disk = world.new_disk()
        self._forget()

    def _forget(self) -> None:
        self._out: deque[Output] = deque()
        self._writing: list[Append] | None = None
        self._timers: dict[str, int] = {}
        self._timer_number = 0
        self._gossip_seen: dict[bytes, bytes] = {}
        self._steps = 0

    # --- life ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """What the daemon's start-up does: recover, admit, raise the boot count, assemble, say `Start`."""
        if self.up:
            return
        world, disk = self.world, self.disk
        self.life += 1
        self._forget()
        stored = disk.store.reader().get(ChainTable.META, OPEN_KEY)
        if stored is not None:
            disk.last_seq = max(disk.last_seq, OpenBook.decode(stored).journal_seq)
        recovered = recover(disk.store.reader(), list(disk.journal), disk.last_seq)
        guard = None if disk.guard is None else GuardRecord.from_value(decode(disk.guard))
        self.floor: SigningFloor = admit(recovered.record, guard, Epoch(recovered.tip.header.epoch))
        safety = None
        if self.floor.record is not None and self.floor.guard is not None:
            self._write([encode_start(self.floor.record)])
            if not self.boundary():
                return
            disk.guard = encode(self.floor.guard.to_value())
            safety = SafetyRules(
                self.key, world.genesis.cluster_id, self.index_in_set, self.floor.record, self.floor.guard
            )
            recovered = replace(recovered, record=self.floor.record, journal_seq=disk.last_seq)
        self.recovered = recovered
        self.validator: Validator = assemble(
            world.genesis,
            recovered,
            disk.store.reader(),
            consensus_key=self.key.public_key,
            safety=safety,
            tuning=world.tuning,
            now_ms=self.now_ms,
        )
        self.up = True
        world.prepare(self)
        self.feed(Start())
        world.link_up(self)

    @property
    def index_in_set(self) -> ValidatorIndex:
        """Which validator this is."""
        index = self.world.genesis.validator_set().index_of(self.key.public_key)
        assert index is not None
        return index

    @property
    def now_ms(self) -> int:
        """This node's wall clock."""
        return self.world.now_ms + self.skew_ms

    def crash(self) -> None:
        """kill -9: memory, timers and what was not synced are gone; the group being written is torn."""
        if not self.up:
            return
        self.up = False
        self.life += 1
        if self._writing is not None:
            self._tear(self._writing)
        self.world.link_down(self)

    def _tear(self, group: list[Append]) -> None:
        guards = [append.guard for append in group if append.guard is not None]
        reached = self.world.random.randint(0, len(guards) + len(group))
        if guards and reached:
            self.disk.guard = guards[min(reached, len(guards)) - 1]
        self._write([append.record for append in group[: max(0, reached - len(guards))]])

    def boundary(self) -> bool:
        """A point where a crash may fall; False when it did."""
        self.boundaries += 1
        if self.crash_at is not None and self.boundaries >= self.crash_at:
            self.crash_at = None
            self.world.note(self, "crashes at a boundary")
            self.crash()
            self.world.after(self.world.random.randint(1, 400), self.start)
            return False
        return True

    # --- the loop --------------------------------------------------------------------------------------

    def feed(self, item: Input) -> None:
        """One input; its outputs queue behind what is being written."""
        if not self.up:
            return
        self._out.extend(self.validator.step(item, self.now_ms))
        self.world.checkers.on_stepped(self.index, self.validator)
        self._steps += 1
        if self._steps % BOUNDS_EVERY == 0:
            self.world.checkers.check_bounds(self.index, self.validator)
        self._perform()

    def _perform(self) -> None:
        while self.up and self._out and self._writing is None:
            output = self._out[0]
            if type(output) is Append:
                self._begin_write()
            else:
                self._out.popleft()
                self._do(output)

    def _begin_write(self) -> None:
        group = [output for output in self._out if type(output) is Append]
        self._out = deque(output for output in self._out if type(output) is not Append)
        self._writing = group
        if self.boundary():
            self.later(self.world.persist_ms, lambda: self._written(group))

    def _written(self, group: list[Append]) -> None:
        for append in group:
            if append.guard is not None:
                self.disk.guard = append.guard
        if group[0].seq != self.disk.last_seq + 1:
            raise Violation(f"node {self.index} appends {group[0].seq} after {self.disk.last_seq}")
        self._write([append.record for append in group])
        self.appends += len(group)
        self._writing = None
        if self.boundary():
            # what waited behind the write leaves before what Written leads to
            self.feed(Written(group[-1].seq))

    def _write(self, records: list[bytes]) -> None:
        for record in records:
            self.disk.last_seq += 1
            self.disk.journal.append((self.disk.last_seq, record))
            self.world.checkers.on_record(self.index, record)

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        """`action` in this life, or never."""
        life = self.life
        self.world.after(delay_ms, lambda: action() if self.life == life and self.up else None)

    def _do(self, output: Output) -> None:
        world = self.world
        match output:
            case SendFrame(peer, topic, body):
                world.send(self, world.by_peer.get(peer), topic, body)
            case BroadcastFrame(topic, body):
                for other in world.nodes:
                    if other is not self:
                        world.send(self, other, topic, body)
            case PublishFrame(topic, body):
                self.published.append(output)
                self.spread(topic, body, None)
            case ForwardGossip(peer, topic, gossip_id):
                self.spread(topic, self._gossip_seen[gossip_id], peer)
            case StartTimer(name, delay_ms):
                self._start_timer(name, delay_ms)
            case StopTimer(name):
                self._timers.pop(name, None)
            case Resume():
                self.later(0, lambda: self.feed(Resumed()))
            case Answer(ticket, outcomes):
                self.answers[ticket] = outcomes
            case Punish():
                self.punished.append(output)
            case Tell():
                self.told.append(output)
                world.note(self, f"tells {output.event}: {output.detail}")
            case Flush():
                world.checkers.on_flush(self.index, output)
                if self.flushing:
                    self.later(world.flush_ms, lambda: self._flush_chain(output))
            case _:
                self._work(output)

    def _work(self, output: Output) -> None:
        world = self.world
        delay_ms = world.random.randint(*world.worker_ms)
        match output:
            case CheckBatch(digest, data):
                report = verify_batch(data, world.pool_config.batch)
                fault = None if report.ok else report.detail
                self.later(delay_ms, lambda: self.feed(BatchChecked(digest, fault)))
            case CheckSignatures(ticket, transactions):
                valid = tuple(check_signature(Transaction.decode(data)) for data in transactions)
                self.later(delay_ms, lambda: self.feed(SignaturesChecked(ticket, valid)))
            case LoadBatch(digest):
                reader = self.disk.store.reader()
                self.later(
                    delay_ms,
                    lambda: self.feed(BatchLoaded(digest, reader.get(ChainTable.BATCHES, digest))),
                )
            case ServeSync() | ServeBlocks():
                self.later(delay_ms, lambda: self._serve(output))
            case _:
                raise Violation(f"an output nobody performs: {output}")

    def _serve(self, asked: ServeSync | ServeBlocks) -> None:
        with self.disk.store.snapshot() as snapshot:
            if isinstance(asked, ServeSync):
                frame = wire.frame_of_pool(sync_answer(snapshot, self.world.pool_config, asked.request))
            else:
                blocks = blocks_answer(snapshot, asked.block_id, asked.count)
                if blocks is None:
                    return
                frame = wire.frame_of_agreement(blocks)
        self.world.send(self, self.world.by_peer.get(asked.peer), *frame)

    def _start_timer(self, name: str, delay_ms: int) -> None:
        self._timer_number += 1
        number = self._timers[name] = self._timer_number

        def fire() -> None:
            if self._timers.get(name) == number:
                del self._timers[name]
                self.feed(TimerExpired(name))

        self.later(delay_ms, fire)

    def _flush_chain(self, flush: Flush) -> None:
        if not self.boundary():
            return
        self.disk.store.apply(flush.chain, ())
        if self.boundary():
            self.later(self.world.flush_ms, lambda: self._flush_state(flush))

    def _flush_state(self, flush: Flush) -> None:
        disk = self.disk
        disk.store.apply((), flush.state)
        self.world.checkers.on_flushed(self.index, flush, disk.store)
        if self.boundary():
            disk.journal = [entry for entry in disk.journal if entry[0] > flush.journal_seq]
            self.flushes += 1
            self.feed(Flushed(flush.number))

    def link(self, other: "Node", *, up: bool) -> None:
        """The link to `other` opens or ends."""
        self.feed(LinkUp(other.peer) if up else LinkDown(other.peer))

    # --- gossip and clients ----------------------------------------------------------------------------

    def spread(self, topic: int, body: bytes, source: bytes | None) -> None:
        """Gossip to every link but the one it came from."""
        self._gossip_seen[gossip_id_of(topic, body)] = body
        for other in self.world.nodes:
            if other is not self and other.peer != source:
                self.world.send(self, other, topic, body, gossip=True)

    def receive(self, source: bytes, topic: int, body: bytes, *, gossip: bool = False) -> None:
        """A frame arrives; gossip seen before is dropped."""
        name = gossip_id_of(topic, body) if gossip else None
        if name is not None:
            if name in self._gossip_seen:
                return
            self._gossip_seen[name] = body
        self.feed(Frame(source, topic, body, name))

    def submit(self, *transactions: Transaction | bytes) -> int:
        """A client's request at this node; the ticket its answer will have."""
        ticket = self.world.next_ticket()
        self.feed(Submitted(ticket, tuple(t if isinstance(t, bytes) else t.encoded for t in transactions)))
        return ticket

    def disk_low(self, low: bool) -> None:
        """The shell saw the disk run full, or free again."""
        self.feed(DiskLow(low))

    @property
    def height(self) -> int:
        """What the database shows."""
        return stored_height(self.disk.store)

    @property
    def events(self) -> list[str]:
        """Names of what the operator was told."""
        return [tell.event for tell in self.told]
