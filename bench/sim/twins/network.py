"""Who hears whom: the partition of the sender's round, until the round is healed or the tail begins."""

from collections.abc import Sequence

from bench.sim.twins.scenario import Firewall, Partition, RoundPlan, identity_of
from consensus import Message, Proposal, Vote

LATENCY_US = 1_000
JITTER_US = 3_000
"""With jitter, a message takes up to so much longer: votes overtake proposals, rounds overlap."""


class Network:
    """The links of all instances; `healed` is the round up to which every round is whole."""

    def __init__(self, nodes: int, twins: int, jitter: int) -> None:
        self.nodes = nodes
        self.twins = twins
        self.jitter = jitter
        self.healed = 0
        self._random = jitter
        self._everyone = reach_of((tuple(range(nodes + twins)),), (), nodes, twins)
        self._reach: list[tuple[tuple[tuple[int, ...], ...], ...]] = []

    def open(self, plan: RoundPlan) -> None:
        """The next round's plan."""
        self._reach.append(
            tuple(reach_of(one, plan.firewall, self.nodes, self.twins) for one in plan.partitions)
        )

    def targets(self, sender: int, round: int, message: Message) -> tuple[int, ...]:
        """The instances that hear this of a sender in `round`."""
        if round <= self.healed or round > len(self._reach):
            return self._everyone[sender]
        kind = type(message)
        phase = 0 if kind is Proposal else 1 if kind is Vote else 2
        return self._reach[round - 1][phase][sender]

    def heal(self, round: int) -> None:
        """Every round up to this one is whole from now on."""
        self.healed = max(self.healed, round)

    def delay_us(self) -> int:
        """What the next message takes."""
        if self.jitter == 0:
            return LATENCY_US
        self._random = (self._random * 1_103_515_245 + 12_345) % 2**31
        return LATENCY_US + (self._random >> 8) % JITTER_US


def reach_of(partition: Partition, firewall: Firewall, nodes: int, twins: int) -> tuple[tuple[int, ...], ...]:
    """By sender, the instances that hear it: those of its block with another key, less the firewall's."""
    deaf = dict(firewall)
    found: list[tuple[int, ...]] = []
    for sender in range(nodes + twins):
        block: Sequence[int] = next(block for block in partition if sender in block)
        me, not_heard_by = identity_of(sender, nodes), deaf.get(sender, ())
        found.append(tuple(i for i in block if identity_of(i, nodes) != me and i not in not_heard_by))
    return tuple(found)


def describe(message: Message) -> str:
    """A message in a trace."""
    match message:
        case Proposal(block):
            tc = "" if block.tc is None else f" with the TC of {block.tc.round}"
            return f"proposal {block.round} {block.id.hex()[:6]} on {block.qc.round}{tc}"
        case Vote():
            return f"vote {message.round} {message.block_id.hex()[:6]}"
        case _:
            return f"{type(message).__name__.lower()} {getattr(message, 'round', '')}".strip()
