"""One instance of an identity: a shipped replica with a disk of its own, and what a driver keeps for it.

It does what `consensus/effects.py` asks of a driver. Its disk is what survives a crash, in the order in which
writes became durable.
"""

from typing import Protocol

from bench.sim.twins.cast import Cast
from bench.sim.twins.scenario import Image
from consensus import (
    Digest,
    Epoch,
    GuardRecord,
    Message,
    Persist,
    Proposal,
    QuorumCertificate,
    RecoveredState,
    Replica,
    Round,
    SafetyRecord,
    SafetyRules,
    Signer,
    Standing,
    TimeoutCertificate,
    TimerKind,
    ValidatorIndex,
    admit,
)

START_MS = 1_700_000_000_000
NOBODY = ValidatorIndex(-1)
_EPOCH = Epoch(0)


class Turns:
    """Whose turn it is in this run: the scenario's leaders, then correct identities in turn.

    A round of the scenario that was not opened yet has no leader: whoever enters it first asks again.
    """

    def __init__(self, rounds: int, nodes: int, twins: int) -> None:
        self.opened: list[ValidatorIndex] = []
        self.rounds = rounds
        self.correct = tuple(ValidatorIndex(identity) for identity in range(twins, nodes))

    def leader_of(self, round: Round, standing: Standing | None) -> ValidatorIndex:
        """See `consensus.Schedule`; a scenario chooses its leaders whatever they failed in."""
        if round <= len(self.opened):
            return self.opened[round - 1]
        if round <= self.rounds:
            return NOBODY
        return self.correct[(round - self.rounds - 1) % len(self.correct)]


class SafetyFactory(Protocol):
    """Makes the signer of an instance; tests put broken ones in the place of `SafetyRules`."""

    def __call__(
        self,
        key: Signer,
        cluster_id: bytes,
        author: ValidatorIndex,
        record: SafetyRecord,
        guard: GuardRecord,
    ) -> SafetyRules: ...


class Instance:
    """A replica, what is on its disk, and what waits for a write of it."""

    def __init__(self, index: int, identity: int, key: Signer, is_twin: bool) -> None:
        self.index = index
        self.identity = ValidatorIndex(identity)
        self.key = key
        self.peer = key.public_key
        self.is_twin = is_twin
        self.up = False
        self.life = 0
        self.round = Round(0)
        self.writes = 0  # asked for in this round
        self.doom: tuple[int, Image] | None = None  # the write at which it crashes
        self.in_tail = False  # committed a block that was proposed after the scenario's rounds
        # the disk
        self.record: SafetyRecord | None = None
        self.guard = GuardRecord.initial(_EPOCH)
        self.proposals: dict[Digest, Proposal] = {}
        self.high_qc: QuorumCertificate | None = None
        self.high_tc: TimeoutCertificate | None = None
        # the driver
        self.durable_seq = 0
        self.outgoing: list[int | tuple[Message, bytes | None]] = []  # a write, or what waits for it
        self.timers: dict[TimerKind, int] = {}
        self.timer_uses = 0
        self.replica: Replica

    def start(self, cast: Cast, turns: Turns, rules: SafetyFactory) -> SafetyRecord:
        """A replica made from the disk; the record it starts with."""
        self.life += 1
        floor = admit(self.record, self.guard, _EPOCH)
        assert floor.record is not None, "the guard is never lost here"
        assert floor.guard is not None, "the guard is never lost here"
        self.record, self.guard = floor.record, floor.guard
        safety = rules(self.key, cast.cluster_id, self.identity, floor.record, floor.guard)
        recovered = RecoveredState(
            root_certificate=cast.root,
            root_header_time_ms=START_MS,
            proposals=tuple(self.proposals.values()),
            high_qc=self.high_qc,
            high_tc=self.high_tc,
        )
        self.replica = Replica(
            cast.config, cast.validators, self.identity, safety, recovered, cast.scheme, turns
        )
        self.durable_seq = 0
        self.outgoing = []
        self.timers = {}
        self.doom = None
        self.up = True
        self.round = self.replica.rounds()[0]
        return floor.record

    def crash(self) -> None:
        """Lose everything that is not on the disk."""
        self.up = False
        self.life += 1
        self.outgoing = []
        self.timers = {}

    def write(self, effect: Persist) -> None:
        """One journal record reaches the disk."""
        self.record = effect.record
        if effect.guard is not None:
            self.guard = effect.guard
        for proposal in effect.proposals:
            self.proposals[proposal.block.id] = proposal
        self.high_qc = effect.high_qc or self.high_qc
        self.high_tc = effect.high_tc or self.high_tc
        self.durable_seq = effect.seq

    def wipe(self) -> None:
        """All data is gone; the guard lies beside the key and stays (C14)."""
        self.record = self.high_qc = self.high_tc = None
        self.proposals = {}
