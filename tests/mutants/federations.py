"""Broken rules between clusters, each with the federation in which one is hunted and what must catch it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bench.sim.federation import app, courier, ledger
from bench.sim.federation.cluster import Cluster, Line
from bench.sim.federation.ledger import Ledger
from bench.sim.federation.scenario import Fault, FederationScenario, mesh
from bench.sim.federation.transactions import Block, Told
from node.anchoring.client import lightclient
from node.anchoring.client.state import ClientState, Tip
from node.anchoring.cluster.anchors import ClientStatus, Point
from node.anchoring.cluster.certified import Certified
from node.anchoring.forks import evidence
from node.anchoring.lanes import Acknowledgement, HandlerFailed, LaneState, Result, WriteSet
from node.anchoring.lanes import courier as planning
from node.anchoring.lanes import destination as lane_destination
from node.anchoring.lanes import recovery as lane_recovery
from node.anchoring.lanes import source as lane_source
from node.anchoring.lanes.courier import AnchorReason
from node.anchoring.lanes.records import Commitment, Peer, PeerStatus
from node.anchoring.lanes.state import commitment_key, load, out_key
from node.anchoring.lanes.views import AnchoredView
from node.anchoring.refusals import Code, Refused
from node.ledger.federation.draft import Draft
from node.ledger.federation.session import Session
from node.proofs import ProofError, rfc6962
from node.proofs.header import Header
from tests.mutants.mutant import Patch


def federation(*faults: Fault, seed: int = 1, clusters: int = 3, ms: int = 45_000) -> FederationScenario:
    """A federation that these faults strike."""
    return FederationScenario(seed, clusters, 4, ms, mesh(clusters), faults, pace_ms=400)


def fork(how: str, ms: int = 15_000) -> Fault:
    """Cluster 0 signs two histories."""
    return Fault("fork", ms, 5_000, 0, 1, how)


@dataclass(frozen=True)
class FederationMutant:
    """`rule` is broken by `patches`; `by` are the invariants that count as a catch in one of `hunts`."""

    name: str
    rule: str
    by: tuple[str, ...]
    patches: tuple[Patch, ...]
    hunts: tuple[FederationScenario, ...]


# --- the broken rules --------------------------------------------------------------------------------


def executed_past_the_end(self: Cluster, line: Line, block: Block) -> bool:
    return False


def consistency_only(last: Tip, header: Header, update: lightclient.Update) -> None:
    try:
        if last.height > 0:
            rfc6962.verify_consistency(
                last.height, last.history_root, header.height, header.history_root, update.consistency_path
            )
    except ProofError as error:
        raise Refused(Code.NOT_CONSISTENT, str(error)) from error


def tip_only(last: Tip, header: Header, update: lightclient.Update) -> None:
    try:
        Point.of(header).check_holds(last.height, last.header_hash, update.tip_path)
    except ProofError as error:
        raise Refused(Code.TIP_NOT_INCLUDED, str(error)) from error


def failed_proof_freezes(self: Ledger, client: ClientState, refused: Refused) -> None:
    if refused.code in (Code.NOT_CONSISTENT, Code.TIP_NOT_INCLUDED, Code.CERTIFICATE_INVALID):
        self.freeze(replace(client, status=ClientStatus.FROZEN))


def receipt_after_handler(state: LaneState, incoming: Any, handler: Any) -> tuple[Result, bytes]:
    writes = WriteSet(state)
    try:
        result, answer = Result.OK, handler(writes, incoming.message)
    except HandlerFailed as failure:
        result, answer = Result.ERROR, failure.answer
    else:
        writes.commit()
    lane_destination._write_receipt(state, incoming, result)
    return result, answer


def refunding(shipped: Callable[[Ledger, Block], None]) -> Callable[[Ledger, Block], None]:
    """Whoever hears nothing until a deadline takes the message for lost, and the coins back."""

    def execute(self: Ledger, block: Block) -> None:
        shipped(self, block)
        for lane, sequence, message in _unanswered(self):
            key = commitment_key(out_key(lane), sequence)
            commitment = load(self, key, Commitment.from_value)
            if commitment is not None and commitment.deadline_ms < self.now_ms:
                self.delete(key)
                heard = Acknowledgement.make(message, Result.EXPIRED, b"")
                self.watcher(Told(heard))
                app.on_result(self, heard, message.payload)

    return execute


def _unanswered(at: Ledger) -> list[tuple[Any, int, Any]]:
    found = []
    for leaves in at.outbox.leaves.values():
        for leaf in leaves:
            decoded = ledger.decode_leaf(leaf)
            if not isinstance(decoded, Acknowledgement):
                found.append((decoded.lane, decoded.sequence, decoded))
    return found


def any_client(state: ClientState) -> None:
    return


def any_peer(state: LaneState, view: AnchoredView) -> Peer:
    return Peer(PeerStatus.LIVE, view.incarnation)


def any_signature(self: Certified, *_: object) -> None:
    return


def always_freezes(*_: object) -> tuple[bool, str]:
    return True, "whatever its epoch"


def anchors_everything(
    held: Any, incarnation: int, height: int, *, says_something: bool, now_ms: int, every_ms: int
) -> AnchorReason:
    newer = (incarnation, height) > (held.incarnation, held.height)
    return AnchorReason.OUTBOX if newer else AnchorReason.NOTHING


def disputes_forgotten(*_: object) -> None:
    return


def any_binding(commitment: Commitment, acknowledgement: Acknowledgement) -> None:
    return


BUSY = (replace(federation(Fault("epoch", 6_000, 3_000, 0, 1), ms=10_000), pace_ms=30),)
SPAM = (federation(Fault("spam", 20_000, 5_000, 1, 2), Fault("spam", 26_000, 5_000, 2, 0)),)
LEAKED = tuple(
    federation(Fault("epoch", 5_000, 6_000, 0, 1), Fault("leaked-keys", 30_000, 1_000, 1, 0), seed=s)
    for s in (1, 2)
)


def never_noted(self: Session, cluster_id: bytes) -> None:
    return


def never_said(self: Draft, destination: bytes, leaf: bytes) -> None:
    return


def shipped(scenarios: tuple[FederationScenario, ...]) -> tuple[FederationScenario, ...]:
    """The same with the validator's own ledger."""
    return tuple(replace(scenario, is_shipped=True) for scenario in scenarios)


SHIPPED_MUTANTS = (
    FederationMutant(
        "shipped-signatures-not-checked",
        "evidence is two certified statements, in the ledger as it ships",
        ("I4", "I1"),
        (Patch(Certified, "check_signatures", any_signature),),
        shipped(SPAM),
    ),
    FederationMutant(
        "shipped-anchor-not-noted",
        "F11: when a tip was anchored is written down, or every header is due",
        ("idle",),
        (Patch(Session, "note_anchored", never_noted),),
        shipped((federation(ms=8_000, clusters=2),)),
    ),
    FederationMutant(
        "shipped-answers-not-said",
        "what a handler answers stands in the outbox",
        ("liveness",),
        (Patch(Draft, "say", never_said),),
        shipped((federation(ms=8_000, clusters=2),)),
    ),
)

FEDERATION_MUTANTS = (
    *SHIPPED_MUTANTS,
    FederationMutant(
        "payload-after-the-end",
        "C4: payload ordered behind a reconfiguring block is not executed",
        ("epoch-end",),
        (Patch(Cluster, "is_past_end", executed_past_the_end),),
        BUSY,
    ),
    FederationMutant(
        "no-tip-binding",
        "F2: an update holds the anchored tip at its height",
        ("I2",),
        (Patch(lightclient, "_check_extends", consistency_only),),
        tuple(federation(fork("swap"), seed=s) for s in range(1, 5)),
    ),
    FederationMutant(
        "no-consistency",
        "F2: an update extends the history that is held",
        ("I2",),
        (Patch(lightclient, "_check_extends", tip_only),),
        (federation(fork("rewrite")),),
    ),
    FederationMutant(
        "failed-proof-freezes",
        "F3: what fails is refused and freezes nobody",
        ("I4",),
        (Patch(Ledger, "not_believed", failed_proof_freezes),),
        SPAM,
    ),
    FederationMutant(
        "receipt-after-handler",
        "the receipt stands before the handler runs",
        ("I5",),
        (Patch(lane_destination, "_run_handler", receipt_after_handler),),
        (federation(),),
    ),
    FederationMutant(
        "refund-on-absence",
        "silence is no answer",
        ("I5", "I6"),
        (Patch(Ledger, "execute", refunding(Ledger.execute)),),
        (federation(Fault("partition", 8_000, 30_000, 0, 1)),),
    ),
    FederationMutant(
        "frozen-client-accepted",
        "I7: nothing moves with a frozen cluster",
        ("I7",),
        (
            Patch(lightclient, "_check_alive", any_client),
            Patch(lane_destination, "usable_peer", any_peer),
            Patch(lane_source, "usable_peer", any_peer),
        ),
        (federation(fork("split")),),
    ),
    FederationMutant(
        "signatures-not-checked",
        "evidence is two certified statements",
        ("I4", "I1"),
        (Patch(Certified, "check_signatures", any_signature),),
        SPAM,
    ),
    FederationMutant(
        "past-epoch-freezes",
        "F5: evidence of an epoch that is over accuses only",
        ("I4",),
        (Patch(evidence, "_does_freeze", always_freezes),),
        LEAKED,
    ),
    FederationMutant(
        "every-header-is-anchored",
        "F11: a block that only anchors is no reason to anchor",
        ("idle",),
        (
            Patch(planning, "should_anchor", anchors_everything),
            Patch(courier, "should_anchor", anchors_everything),
        ),
        (federation(ms=10_000),),
    ),
    FederationMutant(
        "disputes-forgotten",
        "F6: what was handled on the dropped branch is known on the recovered one",
        ("I5",),
        (Patch(lane_recovery, "_add", disputes_forgotten),),
        tuple(federation(fork("split"), seed=s) for s in range(1, 4)),
    ),
    FederationMutant(
        "answer-not-bound",
        "an answer is bound to the hash of its message",
        ("I5",),
        (Patch(lane_source, "_check_binding", any_binding),),
        tuple(federation(fork("split"), seed=s) for s in range(1, 4)),
    ),
)
