"""Lanes: what clusters say to each other, from the leaf in an outbox to the one outcome of each message.

`messages` and `outbox` are the encoded things; `source` and `destination` the two sides of a lane, `recovery`
what a dead cluster does to it; `records` and `state` what a ledger keeps; `progress`, `courier` and `inbound`
how leaves travel; `tracing` where a message is. Formats and rules: LANES.md. Pure throughout.
"""

from node.anchoring.lanes.courier import BundleRequest, Held, LeafName, Offer, plan, should_anchor, wanted
from node.anchoring.lanes.destination import Received, ReceivePolicy, Verdict, deliver, pass_over
from node.anchoring.lanes.inbound import BundledLeaf, InboundBundle, check, takes_any
from node.anchoring.lanes.messages import (
    Acknowledgement,
    Closing,
    Gap,
    Lane,
    Message,
    Mode,
    Result,
    decode_leaf,
)
from node.anchoring.lanes.outbox import (
    CommonPrefix,
    LogProof,
    LogUpdate,
    OutboxProof,
    OutboxUpdate,
    append,
    prove_common,
    prove_leaf,
    prove_log,
)
from node.anchoring.lanes.progress import PeerProgress, Progress, progress_with
from node.anchoring.lanes.recovery import disputed, heard_of, park, resume, unresolved
from node.anchoring.lanes.refusals import LaneRefused, Refusal
from node.anchoring.lanes.rules import Arrival, HandlerFailed
from node.anchoring.lanes.source import Acknowledged, SendPolicy, Standing, acknowledge, close, send
from node.anchoring.lanes.state import LaneState, WriteSet
from node.anchoring.lanes.tracing import Explanation, Sightings, Step, explain, limits, pending
from node.anchoring.lanes.views import AnchoredView, OwnBlock

__all__ = [
    "Acknowledged",
    "Acknowledgement",
    "AnchoredView",
    "Arrival",
    "BundleRequest",
    "BundledLeaf",
    "Closing",
    "CommonPrefix",
    "Explanation",
    "Gap",
    "HandlerFailed",
    "Held",
    "InboundBundle",
    "Lane",
    "LaneRefused",
    "LaneState",
    "LeafName",
    "LogProof",
    "LogUpdate",
    "Message",
    "Mode",
    "Offer",
    "OutboxProof",
    "OutboxUpdate",
    "OwnBlock",
    "PeerProgress",
    "Progress",
    "ReceivePolicy",
    "Received",
    "Refusal",
    "Result",
    "SendPolicy",
    "Sightings",
    "Standing",
    "Step",
    "Verdict",
    "WriteSet",
    "acknowledge",
    "append",
    "check",
    "close",
    "decode_leaf",
    "deliver",
    "disputed",
    "explain",
    "heard_of",
    "limits",
    "park",
    "pass_over",
    "pending",
    "plan",
    "progress_with",
    "prove_common",
    "prove_leaf",
    "prove_log",
    "resume",
    "send",
    "should_anchor",
    "takes_any",
    "unresolved",
    "wanted",
]
