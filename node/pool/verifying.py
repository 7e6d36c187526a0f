"""Believing another node's chain: a range of heights is final because one certificate says so (C25).

The certificate of the last header is verified by its own epoch's set; parent hashes carry that back to the
first, and no range goes beyond the header that ends an epoch, since only that one tells who signs after it;
each header names its block, each block its batches. Whatever differs is the sender's lie. Nothing here trusts
the sender, and nothing is stored or executed before it passed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from consensus import (
    Block,
    CodecError,
    HeaderCertificate,
    InvalidMessage,
    MalformedMessage,
    Proposal,
    decode,
)
from node.pool.batches import Batch, batch_digest
from node.pool.config import PoolConfig
from node.pool.contents import parse_contents
from node.pool.effects import VerifiedItem
from node.pool.messages import SyncItem, SyncResponse
from node.proofs.header import Header


class Judgement(Enum):
    """What the set of an epoch says of a signature or certificate."""

    VALID = 1
    INVALID = 2
    UNKNOWN_EPOCH = 3
    """Its epoch is not known here yet; executing what comes before it will tell."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How signatures are judged: by the validator sets this node knows from its own ledger."""

    certificate: Callable[[HeaderCertificate], Judgement]
    proposal: Callable[[Proposal], Judgement]


def verify_range(
    response: SyncResponse, count_max: int, config: PoolConfig, trust: Trust
) -> tuple[VerifiedItem, ...] | None:
    """The proven items of a response that has some, at most `count_max`; None while an epoch is unknown.
    Raises MalformedMessage or InvalidMessage for what a correct node cannot have sent."""
    if len(response.items) > count_max:
        raise InvalidMessage("sync-count", f"{len(response.items)} heights, asked for {count_max}")
    headers = _chained_headers(response, config)
    certificate = _matching_certificate(response, headers[-1])
    judgement = trust.certificate(certificate)
    if judgement is Judgement.INVALID:
        raise InvalidMessage("sync-certificate", f"the certificate of height {certificate.height} is wrong")
    if judgement is Judgement.UNKNOWN_EPOCH:
        return None
    if any(header.epoch != certificate.epoch for header in headers):
        raise InvalidMessage("sync-epoch", "a range goes beyond the end of an epoch")
    verified: list[VerifiedItem] = []
    for header, item in zip(headers, response.items, strict=False):
        proposal = _proposal_of(item, header)
        judgement = trust.proposal(proposal)
        if judgement is Judgement.UNKNOWN_EPOCH:
            return None
        if judgement is Judgement.INVALID:
            raise InvalidMessage(
                "sync-proposal", f"the author's signature at height {header.height} is wrong"
            )
        batches = _batches_of(item, proposal.block, config)
        proof = certificate if item is response.items[-1] else None
        verified.append(VerifiedItem(header, proposal, batches, item.batches, proof))
    return tuple(verified)


def _chained_headers(response: SyncResponse, config: PoolConfig) -> list[Header]:
    headers: list[Header] = []
    try:
        for encoded in (*(item.header for item in response.items), *response.links):
            headers.append(Header.decode(encoded))
    except CodecError as error:
        raise MalformedMessage("sync-header", str(error)) from error
    for position, header in enumerate(headers):
        if header.cluster_id != config.batch.cluster_id:
            raise InvalidMessage("sync-cluster", "a header of another cluster")
        if header.height != response.from_height + position:
            raise InvalidMessage(
                "sync-height", f"height {header.height}, expected {response.from_height + position}"
            )
        if position and header.parent_hash != headers[position - 1].hash:
            raise InvalidMessage("sync-parent", f"height {header.height} does not follow the one before")
    return headers


def _matching_certificate(response: SyncResponse, last: Header) -> HeaderCertificate:
    certificate = response.certificate
    if certificate is None:
        raise InvalidMessage("sync-unproven", "heights without a certificate")
    claimed = (
        certificate.incarnation,
        certificate.epoch,
        certificate.height,
        certificate.block_id,
        certificate.header_hash,
    )
    if claimed != (last.incarnation, last.epoch, last.height, last.block_id, last.hash):
        raise InvalidMessage("sync-certificate", f"it is not of the last header, height {last.height}")
    return certificate


def _proposal_of(item: SyncItem, header: Header) -> Proposal:
    try:
        proposal = Proposal.from_value(decode(item.proposal))
    except CodecError as error:
        raise MalformedMessage("sync-proposal", str(error)) from error
    if proposal.block.id != header.block_id:
        raise InvalidMessage("sync-block", f"the block is not the one header {header.height} names")
    return proposal


def _batches_of(item: SyncItem, block: Block, config: PoolConfig) -> tuple[Batch, ...]:
    """All batches in order of execution. A faulty payload executes as empty and a batch that is none is left
    out, at every node alike (`contents`, `delivery`)."""
    contents = parse_contents(block, config)
    named = tuple(reference.digest for reference in contents.references)
    if tuple(batch_digest(body) for body in item.batches) != named:
        raise InvalidMessage("sync-batches", "the batches are not those the block names")
    batches: list[Batch] = []
    for body in item.batches:
        try:
            batches.append(Batch.decode(body, config.batch))
        except CodecError:
            continue
    return (*batches, *contents.inline)
