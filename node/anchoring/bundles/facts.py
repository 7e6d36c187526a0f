"""The fact of a bundle, checked against the roots of its header: a transaction, a state entry, a header.

By the time these checks run the header is believed; nothing else in the bundle is. Each check that fails
raises ProofError, which opens with the name of the step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from consensus import (
    CodecError,
    Digest,
    InvalidCertificate,
    PublicKey,
    as_bytes,
    as_int,
    as_tuple,
    decode,
    digest,
)
from consensus import verify as verify_signature
from node.anchoring.bundles.bundle import (
    RECEIPT_BYTES_MAX,
    TRANSACTION_BYTES_MAX,
    HeaderStatement,
    OutboxStatement,
    Statement,
    StateStatement,
    TransactionStatement,
)
from node.anchoring.lanes.messages import Acknowledgement, Gap, Leaf, Message, decode_leaf
from node.proofs import ProofError, rfc6962, smt
from node.proofs.header import Header

TRANSACTION_VERSION = 1
RECEIPT_VERSION = 1
_TRANSACTION_DOMAIN = "isthmus/transaction/v1"


@dataclass(frozen=True, slots=True)
class TransactionFact:
    """A certified transaction with its receipt, both as stored; `status` 0 means that it took effect."""

    tx_id: Digest
    sender: PublicKey
    index: int
    status: int
    transaction: bytes
    receipt: bytes


@dataclass(frozen=True, slots=True)
class StateFact:
    """`value` stood at `key` in the state after the verified header; None: nothing did."""

    key: bytes
    value: bytes | None


@dataclass(frozen=True, slots=True)
class HeaderFact:
    """The verified header is all there is to say."""


@dataclass(frozen=True, slots=True)
class OutboxFact:
    """The cluster said `leaf` to cluster `destination`."""

    destination: bytes
    leaf: Leaf


Fact: TypeAlias = TransactionFact | StateFact | HeaderFact | OutboxFact


@contextmanager
def step(name: str) -> Iterator[None]:
    """Whatever is refused inside is a ProofError that opens with the step's name."""
    try:
        yield
    except (CodecError, InvalidCertificate, ProofError) as error:
        raise ProofError(f"{name}: {error}") from error


def check_statement(statement: Statement, header: Header) -> tuple[Fact, str]:
    """The fact and the sentence about it. Raises ProofError."""
    match statement:
        case TransactionStatement():
            return _check_transaction(statement, header)
        case StateStatement(key, value, proof):
            with step("state proof"):
                if value is None:
                    smt.verify_absence(header.state_root, key, proof)
                else:
                    smt.verify_presence(header.state_root, key, value, proof)
            holds = "nothing" if value is None else f"the given {len(value)} bytes"
            return StateFact(
                key, value
            ), f"After header {header.height} the state holds {holds} at key {key!r}."
        case HeaderStatement():
            return HeaderFact(), f"Header {header.height} is the fact."
        case OutboxStatement():
            return _check_outbox(statement, header)


def _check_outbox(statement: OutboxStatement, header: Header) -> tuple[Fact, str]:
    """The leaf under the outbox root, and that its lane is one of these two clusters."""
    with step("outbox proof"):
        statement.proof.verify(header.outbox_root, statement.destination, statement.leaf)
    with step("leaf"):
        leaf = decode_leaf(statement.leaf)
        speaker, hearer = leaf.lane.source, leaf.lane.destination
        if not isinstance(leaf, Message | Gap):
            speaker, hearer = hearer, speaker
        if (speaker, hearer) != (header.cluster_id, statement.destination):
            raise ProofError(
                f"it is of lane {leaf.lane}, not of what {header.cluster_id.hex()} says to "
                f"{statement.destination.hex()}"
            )
    told = f"said how far lane {leaf.lane} is closed"
    if isinstance(leaf, Message):
        told = f"sent message {leaf.sequence} on lane {leaf.lane}, {len(leaf.payload)} bytes"
    elif isinstance(leaf, Gap):
        told = f"said that it has no messages {leaf.first} to {leaf.last} on lane {leaf.lane}"
    elif isinstance(leaf, Acknowledgement):
        told = f"said that message {leaf.sequence} of lane {leaf.lane} ended {leaf.result.name}"
    return OutboxFact(statement.destination, leaf), f"By header {header.height} the cluster {told}."


def _check_transaction(statement: TransactionStatement, header: Header) -> tuple[Fact, str]:
    """The signature, both paths, and the receipt's own words, which alone bind the index."""
    with step("transaction"):
        tx_id, sender = _read_transaction(statement.transaction, header.cluster_id)
    with step("transaction path"):
        leaf = rfc6962.leaf_hash(statement.transaction)
        rfc6962.verify_inclusion(
            leaf, statement.index, statement.size, statement.transaction_path, header.tx_root
        )
    with step("receipt path"):
        leaf = rfc6962.leaf_hash(statement.receipt)
        rfc6962.verify_inclusion(
            leaf, statement.index, statement.size, statement.receipt_path, header.receipt_root
        )
    with step("receipt"):
        receipt = as_tuple(decode(statement.receipt, max_bytes=RECEIPT_BYTES_MAX), 7, "receipt")
        for what, stated, expected in (
            ("version", receipt[0], RECEIPT_VERSION),
            ("transaction", as_bytes(receipt[1], "transaction id"), tx_id),
            ("height", receipt[2], header.height),
            ("index", receipt[3], statement.index),
        ):
            if stated != expected:
                raise ProofError(f"it states {what} {shown(stated)}, proven is {shown(expected)}")
        status = as_int(receipt[4], "status")
    fact = TransactionFact(tx_id, sender, statement.index, status, statement.transaction, statement.receipt)
    outcome = "it took effect (status 0)" if status == 0 else f"it FAILED with status {status}"
    return fact, (
        f"Transaction {tx_id.hex()}, signed by {sender.hex()}, is leaf {statement.index} of header "
        f"{header.height}; its receipt at the same index says that {outcome}."
    )


def _read_transaction(data: bytes, cluster_id: bytes) -> tuple[Digest, PublicKey]:
    """(id, sender) of `[body, signature]`, the signature checked; raises CodecError or ProofError.

    Of the body only what identity needs is read: `[version, cluster_id, sender, ...]`.
    """
    body, signature = as_tuple(decode(data, max_bytes=TRANSACTION_BYTES_MAX, max_depth=1), 2, "envelope")
    body = as_bytes(body, "body")
    version, stated, sender = as_tuple(decode(body), 8, "body")[:3]
    if version != TRANSACTION_VERSION:
        raise ProofError(f"version {shown(version)} is not {TRANSACTION_VERSION}")
    if stated != cluster_id:
        raise ProofError(f"it was signed for cluster {shown(stated)}, the header is of {cluster_id.hex()}")
    key = PublicKey(as_bytes(sender, "sender", length=32))
    tx_id = digest(_TRANSACTION_DOMAIN, body)
    if not verify_signature(key, tx_id, as_bytes(signature, "signature", length=64)):
        raise ProofError(f"the signature is not that of {key.hex()} over {tx_id.hex()}")
    return tx_id, key


def shown(value: object) -> str:
    """A value in a refusal: bytes as hex, anything else cut short."""
    return value.hex() if type(value) is bytes else f"{value!r:.40}"
