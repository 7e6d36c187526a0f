"""What a node of one cluster answers another's couriers out of its ledger."""

from bench.sim.federation.ledger import Ledger
from node.anchoring.lanes import BundleRequest, InboundBundle, LeafName, Offer, progress_with, wanted
from node.anchoring.lanes.inbound import BundledLeaf, pack


def offer(ledger: Ledger, peer: bytes) -> Offer:
    """What there is to be had."""
    if ledger.serving is not None:
        return ledger.serving.offer(peer)
    history = ledger.history
    return Offer(history.incarnation, history.height, ledger.outbox.log(peer).size)


def answer(ledger: Ledger, peer: bytes, request: BundleRequest) -> InboundBundle | None:
    """A bundle proven at the tip; None when there is nothing, or nothing that would be understood."""
    if ledger.serving is not None:
        return ledger.serving.answer(peer, request)
    history = ledger.history
    if request.incarnation != history.incarnation or request.height > history.height:
        return None
    update = None
    if history.height > request.height:
        update = history.update(request.incarnation, request.height, history.height).encode()
    progress = progress_with(ledger, ledger.cluster_id, peer)
    names = wanted(request, progress.sent, progress.answers, progress.closed)
    leaves = (found for name in names if (found := _found(ledger, peer, name)) is not None)
    return pack(
        ledger.cluster_id,
        update,
        ledger.outbox.log_proof(peer),
        leaves,
        leaves_max=request.leaves_max,
        bytes_max=request.bytes_max,
    )


def _found(ledger: Ledger, peer: bytes, name: LeafName) -> BundledLeaf | None:
    return ledger.outbox.bundled(peer, name)
