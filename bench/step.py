"""What a round of agreement costs a replica in CPU: `Replica.step` with real signatures, no network, no disk.

Four replicas in one thread run empty rounds; only the time inside `step` is counted, codec time apart. The
figure is the minimum and the median of several runs: on a shared machine only the minimum is tight.
"""

import json
import time
from collections import deque
from dataclasses import asdict, dataclass
from statistics import median

import click

from bench.processes import machine
from consensus import (
    Broadcast,
    Effect,
    Epoch,
    Event,
    GuardRecord,
    Persist,
    Persisted,
    Received,
    RecoveredState,
    Replica,
    ReplicaConfig,
    Round,
    SafetyRules,
    Send,
    SetTimer,
    SigningKey,
    Started,
    TimerFired,
    TimerKind,
    Validator,
    ValidatorIndex,
    ValidatorSet,
    admit,
    decode_message,
    encode_message,
    root_certificate,
    root_id,
)

_CLUSTER_ID = bytes(32)
_START_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class StepCost:
    """CPU microseconds a round and replica: in `step`, and in encoding and decoding its messages."""

    step_us: float
    codec_us: float
    persists: float


class _Ring:
    """Replicas that answer each other at once."""

    def __init__(self, nodes: int) -> None:
        keys = [SigningKey(bytes((number + 1,)) * 32) for number in range(nodes)]
        self._names: list[bytes] = [key.public_key for key in keys]
        validators = ValidatorSet(Epoch(0), tuple(Validator(key.public_key, 1) for key in keys))
        config = ReplicaConfig(_CLUSTER_ID, idle_interval_ms=0)
        root = root_certificate(Epoch(0), root_id(_CLUSTER_ID, 0, bytes(32)))
        self.replicas: list[Replica] = []
        for number, key in enumerate(keys):
            floor = admit(None, GuardRecord.initial(Epoch(0)), Epoch(0))
            if floor.record is None or floor.guard is None:
                raise AssertionError("a first start may sign")
            index = ValidatorIndex(number)
            safety = SafetyRules(key, _CLUSTER_ID, index, floor.record, floor.guard)
            state = RecoveredState(root, _START_MS)
            self.replicas.append(Replica(config, validators, index, safety, state))
        self._queue: deque[tuple[int, Event]] = deque((number, Started()) for number in range(nodes))
        self._now_ms = _START_MS
        self._step = self._codec = 0.0
        self._persists = 0

    def run(self, rounds: int) -> StepCost:
        """Until the first replica is past `rounds`."""
        steps = 0
        reached = Round(0)
        while reached <= rounds:
            number, event = self._queue.popleft()
            self._now_ms += 1
            started = time.process_time()
            effects = self.replicas[number].step(event, self._now_ms)
            self._step += time.process_time() - started
            for effect in effects:
                self._perform(number, effect)
            steps += 1
            if steps % 64 == 0:
                reached = self.replicas[0].view().round
        share = 1_000_000 / reached / len(self.replicas)
        return StepCost(
            self._step * share, self._codec * share, self._persists / reached / len(self.replicas)
        )

    def _perform(self, number: int, effect: Effect) -> None:
        if isinstance(effect, Persist):
            self._persists += 1
            self._queue.append((number, Persisted(effect.seq)))
        elif isinstance(effect, Broadcast):
            started = time.process_time()
            data = encode_message(effect.message)
            self._codec += time.process_time() - started
            for other in range(len(self.replicas)):
                if other != number:
                    started = time.process_time()
                    message = decode_message(data)
                    self._codec += time.process_time() - started
                    self._queue.append((other, Received(self._names[number], message)))
        elif isinstance(effect, Send) and effect.peer in self._names:
            other = self._names.index(effect.peer)
            self._queue.append((other, Received(self._names[number], effect.message)))
        elif isinstance(effect, SetTimer) and effect.timer.kind is TimerKind.IDLE:
            self._queue.append((number, TimerFired(effect.timer)))


@click.command("step")
@click.option("--nodes", default=4, show_default=True)
@click.option("--rounds", default=1000, show_default=True)
@click.option("--runs", default=5, show_default=True)
@click.option("--json", "as_json", is_flag=True)
def command(nodes: int, rounds: int, runs: int, as_json: bool) -> None:
    """CPU of Replica.step a round and replica."""
    costs = [_Ring(nodes).run(rounds) for _ in range(runs)]
    best = min(costs, key=lambda cost: cost.step_us)
    typical = median(cost.step_us for cost in costs)
    if as_json:
        click.echo(json.dumps({"machine": machine(), "nodes": nodes, "median_us": typical} | asdict(best)))
        return
    click.echo(
        f"{nodes} replicas, {rounds} rounds, {runs} runs, {machine()}: step {best.step_us:.0f} us at best, "
        f"{typical:.0f} us median; codec {best.codec_us:.0f} us; {best.persists:.2f} persists a round"
    )
