"""Which fault hits which node when: a pure function of a seed, so that a run can be run again.

A schedule is a row of slots; a slot is injected, held, healed, and followed by a rest. In ordinary slots at
most f nodes are hurt, however: a fault of a cable counts against the node at one of its ends. Two kinds of
slot hurt more: all nodes killed at once, and more than f nodes taken away, when no progress is expected.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import TypeVar

T = TypeVar("T")
SLOT_MS = 6_000
"""How long a slot is when there is time enough."""
_HELD_SHARE = 60
"""Per cent of a slot in which its faults are on."""
_BEYOND_EVERY = 12
"""Ordinary slots before more than f nodes are hurt again."""
_LONG_EVERY = 8
_LONG_HELD_MS = 20_000
"""How much longer some slots of a longer run are held: links then end for silence (15 s), reconnections have
backed off, and a node that comes back is many heights behind."""
_LOW_SEEN_MS = 6_000
"""A node looks at the room on its disk every five seconds."""
_CLOCK_STEPS_MS = (2_000, 15_000, 60_000, 120_000)
_QUORUM_CLOCK_STEP_MS = 45_000
_DELAY_MS = (50, 400)


class FaultKind(Enum):
    """What can be done to a node."""

    KILL = "kill"
    STOP = "stop"
    CUT = "cut"
    DISK = "disk"
    CLOCK = "clock"


class Phase(Enum):
    """How many nodes a slot hurts: at most f; all of them; more than f."""

    MINORITY = "minority"
    ALL = "all"
    BEYOND = "beyond"


_SPECIAL_PHASES = (Phase.ALL, Phase.BEYOND)
VARIANTS: dict[FaultKind, tuple[str, ...]] = {
    FaultKind.KILL: ("kill",),
    FaultKind.STOP: ("stop",),
    FaultKind.CUT: ("refused", "silent", "deaf", "mute", "slow"),
    FaultKind.DISK: ("full", "dead", "low"),
    FaultKind.CLOCK: ("ahead", "back"),
}
"""refused: connections end; silent: nothing arrives either way; deaf: nothing arrives at the node; mute:
nothing it says arrives; slow: everything is late. The disk's are those of switches.Disk."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one node. `amount_ms` is a clock's error (negative: back) or a cable's delay; `peers` are
    the nodes at the other ends of the cables it concerns."""

    kind: FaultKind
    variant: str
    node: int
    amount_ms: int = 0
    peers: tuple[int, ...] = ()

    def words(self, name: str) -> str:
        """What is broken, for people."""
        match self.kind:
            case FaultKind.CLOCK:
                return f"{name}'s clock {self.amount_ms / 1000:+.0f} s"
            case FaultKind.CUT:
                others = ", ".join(f"node{peer}" for peer in self.peers)
                return f"{name} {self.variant} to {others}"
            case FaultKind.DISK:
                return f"{name}'s disk {self.variant}"
            case FaultKind.KILL:
                return f"{name} killed"
            case _:
                return f"{name} stopped"


@dataclass(frozen=True, slots=True)
class Slot:
    """Faults that are on together for `held_ms`, and the rest after they were healed."""

    phase: Phase
    faults: tuple[Fault, ...]
    held_ms: int
    rest_ms: int


def tolerated(nodes: int) -> int:
    """f: how many of equally weighted nodes may fail (3f < n)."""
    return (nodes - 1) // 3


def make_schedule(rng: Random, nodes: int, total_ms: int, kinds: Sequence[FaultKind]) -> tuple[Slot, ...]:
    """Slots for about `total_ms`, every kind at least once; a disk that is only low is held longer.

    Raises ValueError without kinds, and for fewer than four nodes, of which none may fail.
    """
    if not kinds or tolerated(nodes) < 1:
        raise ValueError("a schedule needs a kind of fault, and four nodes or more")
    ordinary = _ordinary(rng, nodes, kinds)
    left = max(len(kinds), total_ms // SLOT_MS - len(_SPECIAL_PHASES))
    bare: list[tuple[Phase, tuple[Fault, ...]]] = []
    while left > 0:
        block = [(Phase.MINORITY, next(ordinary)) for _ in range(min(left, _BEYOND_EVERY))]
        left -= len(block)
        for special in _specials(rng, nodes, kinds):
            block.insert(rng.randint(1, len(block)), special)
        bare += block
    lengthened = rng.sample(range(len(bare)), min(len(bare) // _LONG_EVERY, total_ms // (3 * _LONG_HELD_MS)))
    slot_ms = (total_ms - len(lengthened) * _LONG_HELD_MS) // len(bare)
    return tuple(
        _slot(phase, faults, slot_ms, _LONG_HELD_MS if position in lengthened else 0)
        for position, (phase, faults) in enumerate(bare)
    )


def _ordinary(rng: Random, nodes: int, kinds: Sequence[FaultKind]) -> Iterator[tuple[Fault, ...]]:
    """At most f nodes hurt at a time; every kind in turn, every variant of a kind in turn."""
    variants = {kind: _cycle(rng, VARIANTS[kind]) for kind in kinds}
    turns = _cycle(rng, tuple(kinds))
    while True:
        victims = rng.sample(range(nodes), rng.randint(1, tolerated(nodes)))
        chosen = [next(turns) for _ in victims]
        yield tuple(
            _fault(rng, kind, next(variants[kind]), victim, nodes)
            for kind, victim in zip(chosen, victims, strict=True)
        )


def _slot(phase: Phase, faults: tuple[Fault, ...], slot_ms: int, longer_ms: int) -> Slot:
    held_ms = slot_ms * _HELD_SHARE // 100
    least_ms = max(_LOW_SEEN_MS if fault.variant == "low" else 0 for fault in faults)
    return Slot(phase, faults, max(held_ms + longer_ms, least_ms), slot_ms - held_ms)


def _cycle(rng: Random, items: tuple[T, ...]) -> Iterator[T]:
    """All items in a random order, and again in another."""
    while True:
        yield from rng.sample(items, len(items))


def _fault(rng: Random, kind: FaultKind, variant: str, node: int, nodes: int) -> Fault:
    others = tuple(other for other in range(nodes) if other != node)
    if kind is FaultKind.CUT:
        peers = others if rng.random() < 0.5 else tuple(sorted(rng.sample(others, 1)))
        return Fault(kind, variant, node, rng.randint(*_DELAY_MS) if variant == "slow" else 0, peers)
    if kind is FaultKind.CLOCK:
        step_ms = rng.choice(_CLOCK_STEPS_MS)
        return Fault(kind, variant, node, step_ms if variant == "ahead" else -step_ms)
    return Fault(kind, variant, node)


def _specials(rng: Random, nodes: int, kinds: Sequence[FaultKind]) -> list[tuple[Phase, tuple[Fault, ...]]]:
    """All killed at once, and more than f taken away, as far as the kinds allow."""
    slots: list[tuple[Phase, tuple[Fault, ...]]] = []
    if FaultKind.KILL in kinds:
        slots.append((Phase.ALL, tuple(Fault(FaultKind.KILL, "kill", node) for node in range(nodes))))
    many = rng.sample(range(nodes), nodes // 2)
    rest = tuple(node for node in range(nodes) if node not in many)
    beyond: list[tuple[Fault, ...]] = []
    if FaultKind.CUT in kinds:
        beyond.append(tuple(Fault(FaultKind.CUT, "refused", node, 0, rest) for node in many))
        beyond.append(tuple(Fault(FaultKind.CUT, "silent", node, 0, rest) for node in many))
    if FaultKind.STOP in kinds:
        beyond.append(tuple(Fault(FaultKind.STOP, "stop", node) for node in many))
    if FaultKind.CLOCK in kinds:
        quorum = rng.sample(range(nodes), 2 * nodes // 3 + 1)
        beyond.append(tuple(Fault(FaultKind.CLOCK, "ahead", node, _QUORUM_CLOCK_STEP_MS) for node in quorum))
    if beyond:
        slots.append((Phase.BEYOND, rng.choice(beyond)))
    rng.shuffle(slots)
    return slots
