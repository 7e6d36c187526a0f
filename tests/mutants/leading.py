"""Mutants of who leads (C12): from what is no common knowledge, from the epoch before, on a leader's word."""

from bench.sim.host import Host
from consensus import (
    Block,
    Digest,
    Fault,
    QuorumCertificate,
    Round,
    Standing,
    TimeoutCertificate,
    ValidatorIndex,
    standing_after,
)
from consensus.blocktree import Node
from consensus.core import ReplicaCore
from consensus.ordering import Ordering
from node.ledger.transactions import Transaction
from node.validator.crossing import Crossing
from node.validator.term import Term
from tests.mutants.hunt import Hunt
from tests.mutants.liars import leads_by, remade
from tests.mutants.mutant import Mutant, Patch
from tests.mutants.weather import CRASHES, NETWORK, crash, decision

_NOBODY = ValidatorIndex(-1)
_leader_after = ReplicaCore.leader_after
_refuses = Ordering._refuses
_enter = Crossing.enter


def _leader_by_fresh_votes(
    self: ReplicaCore, round: Round, opened_by: QuorumCertificate | TimeoutCertificate
) -> ValidatorIndex | None:
    """Whoever signed the very QC that opens the round leads again at once."""
    if isinstance(opened_by, TimeoutCertificate) or opened_by.block_id not in self.tree:
        return _leader_after(self, round, opened_by)
    node = self.tree.get(opened_by.block_id)
    assert node is not None, "it was looked up"
    heard = standing_after(node.standing, opened_by, round, _NOBODY, self.schedule, self.validators)
    return self.schedule.leader_of(round, heard)


_carried: dict[Digest, Standing] = {}


def _enter_remembering(self: Crossing, term: Term) -> tuple[Term, list[Transaction]]:
    """Who failed in the last epoch is left out of the next one too, by those who lived in both."""
    last = term.replica._core.tip.standing
    entered, left = _enter(self, term)
    _carried[entered.replica._core.root_qc.block_id] = last
    return entered, left


def _standing_over_the_border(self: Node) -> Standing:
    return _carried.get(self.id, ()) if self.block is None else self.block.standing


def _refuses_no_tale(self: Ordering, block: Block) -> str | None:
    refusal = _refuses(self, block)
    return None if refusal is not None and "standing" in refusal else refusal


def slander(host: Host, block: Block) -> Block:
    """Tell that the one who leads next has just failed."""
    victim = ValidatorIndex((host.index + 1) % len(host.validator.validators))
    tale = (Fault(victim, block.round, 1, True),)
    return remade(host, block, standing=tale)


LEADING = (
    Mutant(
        "led-by-who-signed-the-opening-qc",
        "C12: the leader is a function of what is in the chain",
        "Every node makes its QC of the votes that reached it first: with the signers of that one counted, "
        "two nodes expect two leaders.",
        Hunt(faults=(*NETWORK, *CRASHES)),
        (Patch(ReplicaCore, "leader_after", _leader_by_fresh_votes),),
    ),
    Mutant(
        "reputation-crosses-the-border",
        "C4, C12: an epoch begins with nobody left out",
        "Indices mean nothing in another set, and who starts at the border knows nothing of the last epoch.",
        Hunt(storm_ms=4_000, faults=(decision, crash, crash), pause_ms=(4, 20), calm_ms=6_000),
        (
            Patch(Crossing, "enter", _enter_remembering),
            Patch(Node, "standing", property(_standing_over_the_border)),
        ),
    ),
    Mutant(
        "standing-believed",
        "C12: voters work the standing out",
        "A field that only its author fills in: a liar would choose who leads.",
        Hunt(liars=((3, leads_by(slander)),)),
        (Patch(Ordering, "_refuses", _refuses_no_tale),),
    ),
)
