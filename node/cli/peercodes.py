"""Codes of what other nodes did, in words: in agreement, in carrying batches and history, between clusters.

They stand in logs and metrics beside the peer's name. Who is scored, and goes on, is kept out for a while.
"""

from node.anchoring.questions import Refusal
from node.daemon.federation.readings import NO_ANSWER

_CERTIFICATES = {
    "qc": "a quorum certificate",
    "tc": "a timeout certificate",
    "header": "a header's certificate",
}
_DEFECTS = {
    "bitmap": "names its signers in a field of the wrong size",
    "signer": "names a signer that does not exist",
    "count": "has more or fewer signatures than signers",
    "weight": "is signed by less than a quorum",
    "signature": "holds a wrong signature",
}
_SIGNED = {"vote": "A vote", "timeout": "A timeout", "header-signature": "A header signature"}

PEER: dict[str, str] = {
    **{
        f"{what}-{defect}": f"A peer sent {words} that {wrong}; it is scored."
        for what, words in _CERTIFICATES.items()
        for defect, wrong in _DEFECTS.items()
    },
    **{
        f"{what}-link": f"{words} came over another validator's link; it is scored."
        for what, words in _SIGNED.items()
    },
    **{
        f"{what}-signature": f"{words} is not signed by the validator it names; it is scored."
        for what, words in _SIGNED.items()
    },
    "block-epoch": "A block is of another epoch than this node; around an epoch's end this passes by itself.",
    "block-leader": "A block is not by the leader of its round; it is scored.",
    "block-parent": "A block does not stand where the safety rules allow a vote; it is scored.",
    "block-signature": "A block is not signed by its author; it is scored.",
    "block-standing": "A block accuses a validator falsely; it is scored.",
    "block-time": "A block's time is not after its parent's; it is scored.",
    "blocks-chain": "Blocks that were asked for do not follow each other; it is scored.",
    "cert-epoch": "A certificate is of another epoch; around an epoch's end this passes by itself.",
    "condition-malformed": "What a peer says of itself cannot be read, or breaks a bound; it is scored.",
    "evidence-epoch": "Evidence is of another epoch than the set it is judged by; it is dropped.",
    "evidence-key": "Evidence names a validator by another key than it has; it is scored.",
    "evidence-signature": "Evidence is not signed by whom it accuses; it is scored.",
    "evidence-statements": "The two statements do not contradict each other; it is scored.",
    "header-incarnation": "A header certificate is of an incarnation that this cluster has not.",
    "message-malformed": "A message cannot be read, or breaks a bound; compare the versions of both nodes.",
    "qc-commit": "A quorum certificate commits what its block's parent does not allow; it is scored.",
    "qc-root": "A certificate of round 0 is not the epoch's own; it is scored.",
    "qc-shape": "The rounds in a quorum certificate cannot follow each other; it is scored.",
    "tc-hqc": "A timeout certificate claims a round that cannot be below its own; it is scored.",
    "tc-shape": "A timeout certificate has not one claim for each signature; it is scored.",
    "tc-without-qc": "A block comes with a timeout certificate whose highest one it lacks; it is scored.",
    "timeout-blame": "A timeout blames a validator that does not exist; it is scored.",
    "timeout-hqc": "A timeout claims a certificate of its own round or later; it is scored.",
    "timeout-opening": "A timeout is of a round that its certificates do not open; it is scored.",
    "timeout-tc": "A timeout carries a certificate that it does not need; it is scored.",
    "vote-shape": "The rounds in a vote cannot follow each other; it is scored.",
    "batch-author": "A batch was pushed by another validator than its author; it is scored.",
    "batch-invalid": "A batch holds a transaction whose signature is wrong; its author is scored.",
    "batch-malformed": "A batch cannot be read, or breaks a bound; it is scored.",
    "batch-unsolicited": "A batch came that nobody asked for; it is scored.",
    "gossip-evidence": "Evidence that was passed on cannot be read; it is scored.",
    "gossip-transaction": "A transaction that was passed on has a wrong form or signature; it is scored.",
    "not-a-validator": "Somebody who is no validator pushed a batch; it is scored.",
    "pool-message": "A message about batches cannot be read; it is scored.",
    "pool-topic": "A message about history came among batches; it is scored.",
    "sync-batches": "The batches of a height are not those its block names; another peer is asked.",
    "sync-block": "The block of a height is not the one its header names; another peer is asked.",
    "sync-certificate": "The certificate of a range is wrong, or not of its end; another peer is asked.",
    "sync-cluster": "A header of another cluster came in catching up; another peer is asked.",
    "sync-count": "More heights came than were asked for; another peer is asked.",
    "sync-epoch": "A range goes past the end of an epoch, or its certificate does; another peer is asked.",
    "sync-header": "A header in a range cannot be read; another peer is asked.",
    "sync-height": "The heights of a range have gaps, or begin elsewhere; another peer is asked.",
    "sync-parent": "A header does not follow the one before it; another peer is asked.",
    "sync-proposal": "The proposal of a height cannot be read or is not its author's; another peer is asked.",
    "sync-unproven": "Heights came without a certificate; another peer is asked.",
    "sync-unsolicited": "Heights came that nobody asked for; it is scored.",
    "told-certificate": "A peer told of a height with a wrong certificate; it is scored.",
    "topic": "A message came on a topic where it does not travel; it is scored.",
}

COURIER: dict[str, str] = {
    "busy": "The other cluster's node, or this one's database, takes no more just now; it is tried again.",
    "declined": "The other cluster's node declined, and said why in a word; another one is asked.",
    "disconnected": "The other cluster's node went away while it was asked; another one is asked.",
    "false-proof": "A bundle's proof is false; its sender is scored, and another node is asked.",
    "malformed": "A bundle or message of another cluster cannot be read; its sender is scored.",
    "no-progress": "A bundle was ordered, the ledger took nothing of it; `isthmus lanes` tells what waits.",
    "not-anchored": "An answer is of a branch or height that is not anchored here; it is asked again later.",
    "not-submitted": "This node did not take the courier's transaction; look at its readiness.",
    "nothing": "A node had no leaf of those it had offered; it is asked again when something changes.",
    "nothing-new": "What the bundle brings is here already, or waits for a quota or an earlier message.",
    "round-timeout": "A whole round of a courier took too long; another node is asked.",
    "silent": "The other cluster's node did not answer in time; another one is asked.",
    "unasked": "A node of another cluster answered what nobody asked; it is scored when it goes on.",
    "unreachable": "No node of the other cluster is connected; look at its addresses and at the way between.",
    "wrong-answer": "A node of another cluster answered with something else than was asked; it is scored.",
}
"""Beside these a courier counts the codes of the light client under which it refused a bundle."""

QUESTION: dict[str, str] = {**{refusal.value: refusal.words for refusal in Refusal}, **NO_ANSWER}
"""What a question to another cluster may come to."""
