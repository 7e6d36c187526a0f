"""Plays a scenario: the shipped replicas, virtual time in integer microseconds, one thread, no Trio.

A message meets the partition of the round its sender is in when it leaves. Whoever is in a round
`PATIENCE_US` after it was opened is there because of its partition, which is then healed: so every round is
reached. Whoever enters a round first opens it: only then does its plan matter, so a run can stop there (`run`
answers False), be copied by `branching.py`, and go on under several plans. After the last round the network
is whole, the twins are silent, correct nodes lead, and every correct node must soon commit a block proposed
then.
"""

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TypeAlias

from bench.sim.keyedhash import KEYED_HASH
from bench.sim.twins.cast import make_cast
from bench.sim.twins.counters import Counters
from bench.sim.twins.crashes import Crashes
from bench.sim.twins.instance import START_MS, Instance, SafetyFactory, Turns
from bench.sim.twins.network import LATENCY_US, Network, describe
from bench.sim.twins.oracles import Check, Oracles, Violation
from bench.sim.twins.scenario import Image, RoundPlan, Scenario, identity_of
from consensus import (
    Broadcast,
    CancelTimer,
    CheckPayload,
    Commit,
    Diverged,
    Effect,
    Event,
    KeepEvidence,
    Message,
    PayloadChecked,
    PayloadReady,
    PeerConnected,
    Penalise,
    PendingPayload,
    Persist,
    Persisted,
    Received,
    RequestPayload,
    Round,
    SafetyRules,
    Send,
    SetTimer,
    SignatureScheme,
    Started,
    Timer,
    TimerFired,
    ValidatorIndex,
    Verdict,
)

PERSIST_US = 200
DOWN_US = 20_000
"""From a crash to the start after it: several rounds of a good cluster, a fraction of a timeout."""
PATIENCE_US = 350_000
"""Longer than the longest round lasts: whatever can be given up inside the partition has been by then."""
TAIL_ROUNDS = 8
"""Rounds after the scenario's within which every correct node commits a block proposed in them (2n of 4)."""
STEPS_MAX = 50_000
"""Events of a run; the longest need a tenth."""

_DELIVER, _TIMER, _DURABLE, _RESTART, _HEAL = range(5)
_Entry: TypeAlias = tuple[int, int, int, tuple[int, ...], object]
Byzantine: TypeAlias = Callable[[Instance, Message], Message]
"""What a twin sends in the place of what it would send; tests lie with it."""


class World:
    """All instances, the clock, the network and the oracles of one run."""

    def __init__(
        self,
        nodes: int,
        twins: int,
        rounds: int,
        *,
        jitter: int = 0,
        scheme: SignatureScheme = KEYED_HASH,
        rules: SafetyFactory = SafetyRules,
        byzantine: Byzantine | None = None,
        watched: tuple[Check, ...] = tuple(Check),
    ) -> None:
        self.cast = make_cast(nodes, twins, scheme)
        self.network = Network(nodes, twins, jitter)
        self.crashes = Crashes()
        self.rounds = rounds
        self.rules = rules
        self.byzantine = byzantine
        self.turns = Turns(rounds, nodes, twins)
        self.oracles = Oracles(self.cast, watched)
        self.counters = Counters()
        self.instances = [self._instance(index) for index in range(nodes + twins)]
        self.now_us = 0
        self.now_ms = START_MS
        self.entered = 0  # the highest round anybody is in
        self.in_tail = False
        self.behind_tail = nodes - twins  # correct instances that committed nothing of the tail yet
        self.held: tuple[int, tuple[Effect, ...]] | None = None
        self.trace: list[str] | None = None
        self._queue: list[_Entry] = []
        self._todo: deque[tuple[int, int, Event]] = deque()
        self._seq = 0
        self._peers = tuple(instance.peer for instance in self.instances)
        self._twin_peers = self._peers[:twins]
        for instance in self.instances:
            self._start(instance)

    def _instance(self, index: int) -> Instance:
        identity = identity_of(index, len(self.cast.keys))
        return Instance(index, identity, self.cast.signers[identity], identity < self.cast.twins)

    # --- running ------------------------------------------------------------------------------

    def run(self) -> bool:
        """Play on; False when a round of the scenario must be opened first (`open`), True at the end.

        Raises Violation, and LocalError when a replica says that its own invariants are broken.
        """
        todo, queue, instances, counters = self._todo, self._queue, self.instances, self.counters
        if self.entered == 0:
            return False
        while self.held is None:
            if self.behind_tail == 0:
                self.oracles.on_end((i.identity, i.replica.view().hqc) for i in instances)
                return True
            if todo:
                index, life, event = todo.popleft()
                instance = instances[index]
                if instance.up and (life == instance.life or life == 0):
                    counters.steps += 1
                    self._step(instance, event)
                continue
            if counters.steps > STEPS_MAX or not queue:
                raise Violation(Check.LIVENESS, f"no end after {counters.steps} steps, round {self.entered}")
            self._happen(heappop(queue))
        return False

    def _happen(self, entry: _Entry) -> None:
        self.now_us, _, kind, who, what = entry
        self.now_ms = START_MS + self.now_us // 1000
        if kind == _DELIVER:
            for target in who:
                self._todo.append((target, 0, what))  # type: ignore[arg-type]  # a Received
        elif kind == _TIMER:
            index, use = who
            assert isinstance(what, Timer)
            timers = self.instances[index].timers
            if timers.get(what.kind) == use:
                del timers[what.kind]
                self._todo.append((index, 0, TimerFired(what)))
        elif kind == _DURABLE:
            assert isinstance(what, Persist)
            self._durable(self.instances[who[0]], who[1], what)
        elif kind == _RESTART:
            self._restart(self.instances[who[0]])
        elif not self.in_tail:
            self._heal(who[0])

    def _heal(self, round: int) -> None:
        """Whoever is still in `round` is heard by all; others may be ahead, in partitions of their own."""
        self.network.heal(round)
        if any(instance.up and instance.round <= round for instance in self.instances):
            self.counters.healed += 1
            self.note("round %d is healed", round)

    def open(self, plan: RoundPlan) -> None:
        """Give the next round its plan, and go on where `run` stopped."""
        self.entered += 1
        self.turns.opened.append(ValidatorIndex(plan.leader))
        self.network.open(plan)
        self.crashes.open(plan)
        self._push(self.now_us + PATIENCE_US, _HEAL, (self.entered,), None)
        self.note("round %d opens, led by %d", self.entered, plan.leader)
        if self.held is not None:
            index, effects = self.held
            instance = self.instances[index]
            if instance.round <= self.entered:
                self.held = None
                self._perform(instance, effects)
                self._todo.appendleft((index, instance.life, PendingPayload(True)))  # asks who leads again

    def _step(self, instance: Instance, event: Event) -> None:
        if type(event) is Received and not instance.is_twin and event.peer in self._twin_peers:
            self.oracles.on_heard((instance.index, instance.life), instance.replica, event.message)
        effects = instance.replica.step(event, self.now_ms)
        round = instance.replica.rounds()[0]
        if round != instance.round:
            instance.round = round
            instance.writes = 0
            if round > self.entered:
                if round <= self.rounds:
                    self.held = (instance.index, tuple(effects))
                    return
                self._enter_tail(round)
                if not instance.up:
                    return
        if effects:
            self._perform(instance, effects)

    def _enter_tail(self, round: Round) -> None:
        self.entered = round
        self.counters.tail_rounds = round - self.rounds
        if round - self.rounds > TAIL_ROUNDS:
            waiting = [i.index for i in self.instances if not i.is_twin and not i.in_tail]
            raise Violation(
                Check.LIVENESS, f"after {TAIL_ROUNDS} whole rounds {waiting} committed none of them"
            )
        if not self.in_tail:
            self.in_tail = True
            self.network.heal(round)
            self.note("the tail begins: the network is whole, the twins are silent")
            for instance in self.instances:
                if instance.is_twin:
                    instance.crash()

    # --- effects ------------------------------------------------------------------------------

    def _perform(self, instance: Instance, effects: Sequence[Effect]) -> None:
        for effect in effects:
            kind = type(effect)
            if kind is Broadcast:
                self._leave(instance, effect.message, None)  # type: ignore[union-attr]  # kind is Broadcast
            elif kind is Persist:
                if self._persist(instance, effect):  # type: ignore[arg-type]  # kind is Persist
                    return
            elif kind is SetTimer:
                instance.timer_uses += 1
                instance.timers[effect.timer.kind] = instance.timer_uses  # type: ignore[union-attr]  # SetTimer
                due_us = self.now_us + 1000 * effect.delay_ms  # type: ignore[union-attr]  # kind is SetTimer
                self._push(due_us, _TIMER, (instance.index, instance.timer_uses), effect.timer)  # type: ignore[union-attr]  # kind is SetTimer
            elif kind is CancelTimer:
                instance.timers.pop(effect.timer.kind, None)  # type: ignore[union-attr]  # kind is CancelTimer
            else:
                self._perform_rare(instance, effect)

    def _perform_rare(self, instance: Instance, effect: Effect) -> None:
        match effect:
            case CheckPayload(block):
                checked = PayloadChecked(block.id, Verdict.AVAILABLE, None, "available")
                self._todo.append((instance.index, instance.life, checked))
            case RequestPayload(round):
                payload = b"%d.%d.%d" % (instance.index, instance.life, round)
                self._todo.append((instance.index, instance.life, PayloadReady(round, payload)))
            case Commit(blocks):
                self.counters.add_commits(len(blocks), self.in_tail)
                self.note("%d commits %s", instance.index, [committed.block.round for committed in blocks])
                if not instance.is_twin:
                    self.oracles.on_commit(instance.index, blocks)
                    if not instance.in_tail and blocks[-1].block.round > self.rounds:
                        instance.in_tail = True
                        self.behind_tail -= 1
            case Send(peer, message):
                self._leave(instance, message, peer)
            case KeepEvidence(evidence):
                self.note("%d has evidence against %d", instance.index, evidence.accused)
                if not instance.is_twin:
                    self.oracles.on_evidence(instance.index, evidence)
            case Penalise(peer, error):
                self.note("%d penalises %d: %s", instance.index, self._peers.index(peer), error.code)
                if not instance.is_twin and self._peers.index(peer) >= self.cast.twins:
                    self.oracles.broken(Check.BLAME, f"{instance.index} penalises a correct node: {error}")
            case Diverged():
                if not instance.is_twin:
                    self.oracles.broken(Check.BLAME, f"{instance.index} diverged: {effect.detail}")
            case _:
                pass  # certified headers and catch-up need a ledger, which nobody has here

    def _persist(self, instance: Instance, effect: Persist) -> bool:
        """Ask for a write; whether the instance crashes before it is durable."""
        if not instance.is_twin:
            self.oracles.on_persist(instance.index, effect.record)
        instance.outgoing.append(effect.seq)
        self._push(self.now_us + PERSIST_US, _DURABLE, (instance.index, instance.life), effect)
        instance.writes += 1
        image = None if self.in_tail else self.crashes.due(instance)
        if image is Image.LOST:
            self._crash(instance, image)
            return True
        if image is not None:
            instance.doom = (effect.seq, image)
        return False

    def _durable(self, instance: Instance, life: int, effect: Persist) -> None:
        if life != instance.life or not instance.up:
            return
        instance.write(effect)
        doom = instance.doom
        if doom is not None and doom[0] == effect.seq:
            if doom[1] is not Image.WRITTEN:
                self._drain(instance)
            self._crash(instance, doom[1])
            return
        self._drain(instance)
        self._todo.append((instance.index, instance.life, Persisted(effect.seq)))

    def _drain(self, instance: Instance) -> None:
        outgoing, sent = instance.outgoing, 0
        for item in outgoing:
            if isinstance(item, int):
                if item > instance.durable_seq:
                    break
            else:
                self._send(instance, *item)
            sent += 1
        del outgoing[:sent]

    def _crash(self, instance: Instance, image: Image) -> None:
        self.note("%d crashes: %s", instance.index, image.value)
        instance.crash()
        if image is Image.WIPED:
            instance.wipe()
        self._push(self.now_us + DOWN_US, _RESTART, (instance.index,), None)

    def _start(self, instance: Instance) -> None:
        record = instance.start(self.cast, self.turns, self.rules)
        if not instance.is_twin:
            self.oracles.on_started(instance.index, record)
        self._todo.append((instance.index, instance.life, Started()))
        self._todo.append((instance.index, instance.life, PendingPayload(True)))

    def _restart(self, instance: Instance) -> None:
        if self.in_tail and instance.is_twin:
            return
        self.counters.restarts += 1
        self._start(instance)
        self.note("%d starts again in round %d", instance.index, instance.round)
        for other in self.instances:
            if other.up and other.identity != instance.identity:
                self._todo.append((other.index, other.life, PeerConnected(instance.peer)))
                if other.index == other.identity:
                    self._todo.append((instance.index, instance.life, PeerConnected(other.peer)))

    # --- network ------------------------------------------------------------------------------

    def _leave(self, instance: Instance, message: Message, peer: bytes | None) -> None:
        if instance.outgoing:
            instance.outgoing.append((message, peer))
        else:
            self._send(instance, message, peer)

    def _send(self, instance: Instance, message: Message, peer: bytes | None) -> None:
        if self.byzantine is not None and instance.is_twin:
            message = self.byzantine(instance, message)
        self.oracles.on_sent(instance.identity, instance.record, message)
        targets = self.network.targets(instance.index, instance.round, message)
        if peer is not None:
            targets = tuple(target for target in targets if self._peers[target] == peer)
        if self.trace is not None:
            self.note("%d sends %s to %s", instance.index, describe(message), list(targets))
        if not targets:
            return
        event = Received(instance.peer, message)
        if self.network.jitter == 0:
            self._push(self.now_us + LATENCY_US, _DELIVER, targets, event)
            return
        for target in targets:
            self._push(self.now_us + self.network.delay_us(), _DELIVER, (target,), event)

    def _push(self, due_us: int, kind: int, who: tuple[int, ...], what: object) -> None:
        self._seq += 1
        heappush(self._queue, (due_us, self._seq, kind, who, what))

    def note(self, text: str, *values: object) -> None:
        """A line of the trace, when there is one: virtual microseconds, then what happened."""
        if self.trace is not None:
            self.trace.append(f"{self.now_us:>9} {text % values}")


def play(scenario: Scenario, world: World | None = None, trace: list[str] | None = None) -> World:
    """Run one scenario to its end; `world` is a fresh one. Raises Violation."""
    if world is None:
        world = World(scenario.nodes, scenario.twins, len(scenario.rounds), jitter=scenario.jitter)
    world.trace = trace
    plans = iter(scenario.rounds)
    while not world.run():
        world.open(next(plans))
    return world
