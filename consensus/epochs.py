"""Which epoch a message speaks of (C4): one `Replica` lives in one epoch, and whoever holds it sorts first.

A message of another epoch is nobody's fault: its sender is behind, or we are. Indices and rounds in it mean
nothing here, so it must not reach the replica.
"""

from typing import assert_never

from consensus.messages import (
    Blocks,
    BlocksRequest,
    Certificates,
    CertificatesRequest,
    HeaderSignature,
    Message,
    Proposal,
    Status,
    Timeout,
    Vote,
)
from consensus.validators import Epoch


def epoch_of(message: Message) -> Epoch | None:
    """The epoch of a message; None for requests, which any epoch answers, and for an empty answer."""
    match message:
        case Vote() | Timeout() | HeaderSignature() | Status():
            return message.epoch
        case Proposal(block):
            return block.epoch
        case Certificates(qc, tc, certified):
            highest = qc or tc or certified
            return None if highest is None else highest.epoch
        case Blocks(proposals):
            return proposals[0].block.epoch
        case CertificatesRequest() | BlocksRequest():
            return None
        case _:
            assert_never(message)
