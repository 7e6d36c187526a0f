"""One shipped validator with a shell that is meaner than the daemon.

The journal takes time and a crash tears its last group anywhere; a crash falls between chain and state;
workers answer late. The contract of `node.validator.outputs` is kept: nothing after an `Append` leaves before
that is written, and all appends of one group are written at the place of the first.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

from bench.sim import labour
from bench.sim.seams import Behaviour
from bench.sim.violation import Violation
from consensus import (
    NO_SEAT,
    Digest,
    GuardRecord,
    ValidatorIndex,
    admit,
    decode,
    encode,
)
from node.ledger.transactions import Transaction
from node.validator import (
    Answer,
    Append,
    BroadcastFrame,
    DiskLow,
    EnterEpoch,
    ForwardGossip,
    Frame,
    Input,
    LinkDown,
    LinkUp,
    Output,
    PublishFrame,
    Punish,
    Refusal,
    Resume,
    Resumed,
    SendFrame,
    Start,
    StartTimer,
    StopTimer,
    Submitted,
    Tell,
    TimerExpired,
    Validator,
    Written,
    recover,
)
from node.validator.epochs import epoch_after
from node.validator.records import encode_start

if TYPE_CHECKING:
    from bench.sim.world import World


BOUNDS_EVERY = 64
"""Steps of a host between two looks at its bounds."""
REMEMBERED_MAX = 4_096
"""Gossip a host remembers, and punishments and words it keeps for whoever asks later."""
_RESTART_MS = (1, 400)
"""How long a host is down that crashed at a boundary."""


def gossip_id_of(topic: int, body: bytes) -> bytes:
    """The name of a gossiped message."""
    return sha256(bytes((topic,)) + body).digest()[:16]


class Host:
    """A machine with one validator on it. `place` is its number in the world, `index` the validator's in the
    set: a twin shares the index, key and link identity of another host, and nothing else."""

    def __init__(self, world: "World", place: int, index: int, behaviour: Behaviour | None = None) -> None:
        self.world = world
        self.place = place
        self.index = index
        self.name = str(index) if place == index else f"{index}'"
        self.key = world.setting.validators[index]
        self.peer: bytes = world.setting.records[index].node_key
        self.behaviour = behaviour
        self.up = False
        self.life = self.skew_ms = self.boundaries = 0
        self.crash_at: int | None = None
        self.told: deque[Tell] = deque(maxlen=REMEMBERED_MAX)
        self.punished: deque[Punish] = deque(maxlen=REMEMBERED_MAX)
        self.published: deque[PublishFrame] = deque(maxlen=REMEMBERED_MAX)
        self.answers: dict[int, tuple[Digest | Refusal, ...]] = {}
        self.frames = self.appends = self.flushes = 0
        self.flushing = True
        self.slice_us = 0
        self.disk = world.new_disk()
        self._forget()

    def _forget(self) -> None:
        self._out: deque[Output] = deque()
        self._writing: list[Append] | None = None
        self.storing = labour.Storing()
        self.timers: dict[str, int] = {}
        self._timer_number = self._steps = 0
        self._gossip_seen: dict[bytes, bytes] = {}
        self.broadcasts_to: frozenset[bytes] = frozenset()

    # --- life ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """What the daemon's start-up does: recover, admit, raise the boot count, assemble, say `Start`."""
        if self.up:
            return
        world, disk, parts = self.world, self.disk, self.world.parts
        self.life += 1
        self._forget()
        disk.check_journal(self.name)
        parts.before_start(disk)
        disk.last_seq = max(disk.last_seq, disk.filled_up_to)
        recovered = recover(disk.store.reader(), list(disk.journal), disk.last_seq)
        guard = None if disk.guard is None else GuardRecord.from_value(decode(disk.guard))
        epoch, lost = epoch_after(recovered.tip.header), disk.is_journal_lost
        self.floor = floor = admit(recovered.record, guard, epoch, journal_damaged=lost)
        safety = None
        if floor.record is not None and floor.guard is not None:
            self._write([encode_start(floor.record)])
            if not self.boundary():
                return
            disk.guard = encode(floor.guard.to_value())
            safety = parts.safety(self.key, world.genesis.cluster_id, NO_SEAT, floor.record, floor.guard)
            recovered = replace(recovered, record=floor.record, journal_seq=disk.last_seq)
        self.recovered = recovered
        self.validator: Validator = parts.assemble(
            world.genesis,
            recovered,
            disk.store.reader(),
            consensus_key=self.key.public_key,
            safety=safety,
            tuning=world.tuning,
            now_ms=self.now_ms,
            scheme=world.setting.scheme,
        )
        self.up = True
        world.prepare(self)
        world.timeline.note(self.name, "starts", f"height {self.disk.height}, {self.floor.kind.value}")
        self.feed(Start())
        if self.behaviour is not None:
            self.behaviour.started(self)
        world.network.link_up(self)

    @property
    def index_in_set(self) -> ValidatorIndex:
        """Which validator this is in the epoch it is in; `NO_SEAT` for a host that only follows."""
        return NO_SEAT if self.validator.term.me is None else self.validator.term.me

    @property
    def now_ms(self) -> int:
        """This host's wall clock."""
        return self.world.now_ms + self.skew_ms

    def crash(self) -> None:
        """kill -9: memory, timers and what was not synced are gone; the group being written is torn."""
        if not self.up:
            return
        self.up = False
        self.life += 1
        if self._writing is not None:
            self._tear(self._writing)
        self.world.timeline.note(self.name, "crashes", "")
        self.world.network.link_down(self)

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
            self.world.timeline.note(self.name, "boundary", "a crash falls between two writes")
            self.crash()
            self.world.after(self.world.random.randint(*_RESTART_MS), self.start)
            return False
        return True

    # --- the loop --------------------------------------------------------------------------------------

    def feed(self, item: Input) -> None:
        """One input; its outputs queue behind what is being written."""
        if self.behaviour is None:
            self.step(item)
            return
        for changed in self.behaviour.incoming(self, item):
            self.step(changed)

    def step(self, item: Input) -> None:
        """One input reaches the validator as it is."""
        if not self.up:
            return
        world = self.world
        self._out.extend(world.parts.outputs(self.validator.step(item, self.now_ms)))
        world.checkers.on_stepped(self)
        self._steps += 1
        if self._steps % BOUNDS_EVERY == 0:
            world.checkers.check_bounds(self)
        self._perform()

    def _perform(self) -> None:
        out = self._out
        while out and self._writing is None and self.up:
            output = out[0]
            if type(output) is Append:
                self._begin_write()
            else:
                out.popleft()
                self._do(output)
            out = self._out

    def _begin_write(self) -> None:
        group = [output for output in self._out if type(output) is Append]
        self._out = deque(output for output in self._out if type(output) is not Append)
        self._writing = group
        if self.boundary():
            self.later(self.world.persist_us, lambda: self._written(group))

    def _written(self, group: list[Append]) -> None:
        for append in group:
            if append.guard is not None:
                self.disk.guard = append.guard
        if group[0].seq != self.disk.last_seq + 1:
            raise Violation("journal", f"host {self.name} appends {group[0].seq} after {self.disk.last_seq}")
        self._write([append.record for append in group])
        self.appends += len(group)
        self._writing = None
        if self.boundary():
            # what waited behind the write leaves before what Written leads to
            self.feed(Written(group[-1].seq))

    def _write(self, records: list[bytes]) -> None:
        for record in records:
            self.disk.append(record)
            self.world.checkers.on_record(self, record)

    def later(self, delay_us: int, action: Callable[[], None]) -> None:
        """`action` in this life, or never."""
        life = self.life

        def act() -> None:
            if self.life == life and self.up:
                action()

        self.world.clock.after(delay_us, act)

    def _do(self, output: Output) -> None:
        world = self.world
        match output:
            case SendFrame(peer, topic, body):
                for other in world.hosts_of(peer):
                    self.send(other, topic, body)
            case BroadcastFrame(topic, body):
                world.checkers.on_frame(self, topic, body)
                for other in world.hosts:
                    if other.index != self.index and other.peer in self.broadcasts_to:
                        self.send(other, topic, body, checked=True)
            case EnterEpoch(_, validators):
                self.broadcasts_to = frozenset(validators)
            case StartTimer(name, delay_ms):
                self._start_timer(name, delay_ms)
            case StopTimer(name):
                self.timers.pop(name, None)
            case PublishFrame(topic, body):
                self.published.append(output)
                self.spread(topic, body, None)
            case ForwardGossip(peer, topic, gossip_id):
                self.spread(topic, self._gossip_seen[gossip_id], peer)
            case Resume():
                self.later(self.slice_us, lambda: self.feed(Resumed()))
            case Answer(ticket, outcomes):
                self.answers[ticket] = outcomes
                world.checkers.on_answer(self, outcomes)
            case Punish(peer, code, detail):
                self.punished.append(output)
                world.checkers.on_punished(self, world.hosts_of(peer), code, world.network.doubled > 0)
                world.timeline.note(self.name, "punishes", f"{world.name_of(peer)} for {code}: {detail}")
            case Tell(event, detail):
                self.told.append(output)
                world.timeline.note(self.name, "tells", f"{event}: {detail}")
            case _:
                labour.work(self, output)

    def _start_timer(self, name: str, delay_ms: int) -> None:
        self.world.checkers.on_timer(self, name, delay_ms)
        self._timer_number += 1
        number = self.timers[name] = self._timer_number

        def fire() -> None:
            if self.timers.get(name) == number:
                del self.timers[name]
                self.feed(TimerExpired(name))

        self.later(delay_ms * 1_000, fire)

    # --- frames ----------------------------------------------------------------------------------------

    def send(
        self, target: "Host", topic: int, body: bytes, *, gossip: bool = False, checked: bool = False
    ) -> None:
        """A frame leaves for one host, unless the link is down."""
        if target is self or not self.world.network.connected(self, target):
            return
        if self.behaviour is None:
            if not checked and not gossip:
                self.world.checkers.on_frame(self, topic, body)
            self.frames += 1
            self.world.network.send(self, target, topic, body, gossip=gossip)
            return
        for changed_topic, changed in self.behaviour.outgoing(self, target, topic, body):
            self.frames += 1
            self.world.network.send(self, target, changed_topic, changed, gossip=gossip)

    def link(self, other: "Host", *, up: bool) -> None:
        """The link to `other` opens or ends."""
        self.feed(LinkUp(other.peer) if up else LinkDown(other.peer))

    def spread(self, topic: int, body: bytes, source: bytes | None) -> None:
        """Gossip to every link but the one it came from."""
        self.world.checkers.on_frame(self, topic, body)
        self._remember(gossip_id_of(topic, body), body)
        for other in self.world.hosts:
            if other.index != self.index and other.peer != source:
                self.send(other, topic, body, gossip=True)

    def _remember(self, name: bytes, body: bytes) -> None:
        self._gossip_seen[name] = body
        if len(self._gossip_seen) > REMEMBERED_MAX:
            del self._gossip_seen[next(iter(self._gossip_seen))]

    def receive(self, source: bytes, topic: int, body: bytes, *, gossip: bool = False) -> None:
        """A frame arrives; gossip seen before is dropped."""
        self.world.checkers.on_received(self.world.hosts_of(source), topic, body)
        name = gossip_id_of(topic, body) if gossip else None
        if name is not None:
            if name in self._gossip_seen:
                return
            self._remember(name, body)
        self.feed(Frame(source, topic, body, name))

    # --- clients and the operator ----------------------------------------------------------------------

    def submit(self, *transactions: Transaction | bytes) -> int:
        """A client's request at this host; the ticket its answer will have."""
        ticket = self.world.next_ticket()
        self.feed(Submitted(ticket, tuple(t if isinstance(t, bytes) else t.encoded for t in transactions)))
        return ticket

    def disk_low(self, low: bool) -> None:
        """The shell saw the disk run full, or free again."""
        self.feed(DiskLow(low))

    @property
    def height(self) -> int:
        """What the database shows."""
        return self.disk.height

    @property
    def events(self) -> list[str]:
        """Names of what the operator was told."""
        return [tell.event for tell in self.told]
