"""A message from end to end in one file: the source's word that it sent it, the destination's on its end.

    [ "isthmus-message/1", bundle of the source, bundle of the destination ]

Both are bundles of kind OUTBOX: the message is a leaf of what the source said to the destination; its
acknowledgement, which binds the message's hash and says what became of it, is a leaf of what the destination
said to the source. Only one of the two genesis hashes has to be pinned: the leaf that rests on it names the
other cluster, and a cluster's id is the hash of its genesis.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus import CodecError, as_bytes, as_tuple, decode, encode
from node.anchoring.bundles.bundle import BUNDLE_BYTES_MAX, Bundle, OutboxStatement
from node.anchoring.bundles.facts import OutboxFact, step
from node.anchoring.bundles.verification import Verified, verify
from node.anchoring.lanes.messages import Acknowledgement, Message
from node.proofs import ProofError

MESSAGE_MAGIC = "isthmus-message/1"
MESSAGE_FILE_BYTES_MAX = 2 * BUNDLE_BYTES_MAX + 64


@dataclass(frozen=True, slots=True)
class MessageFile:
    """Both bundles, unchecked."""

    sent: Bundle
    answered: Bundle

    def encode(self) -> bytes:
        """The canonical bytes of the file."""
        return encode((MESSAGE_MAGIC, self.sent.encode(), self.answered.encode()))

    @staticmethod
    def decode(data: bytes) -> "MessageFile":
        """The inverse of `encode`; raises CodecError."""
        sent, answered = _halves(data)
        return MessageFile(Bundle.decode(sent), Bundle.decode(answered))


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """What the file proved: the message, its acknowledgement, and how each was verified."""

    message: Message
    acknowledgement: Acknowledgement
    sent: Verified
    answered: Verified

    @property
    def facts(self) -> tuple[str, ...]:
        """What was checked, in order."""
        bound = f"The acknowledgement names the message's hash, {self.message.hash.hex()}."
        return (*self.sent.facts, *self.answered.facts, bound)

    @property
    def not_checked(self) -> tuple[str, ...]:
        """What no file can settle, of either cluster."""
        both = [
            f"{verified.cluster_name}: {sentence}"
            for verified in (self.sent, self.answered)
            for sentence in verified.not_checked
        ]
        return tuple(both)


def is_message_file(data: bytes) -> bool:
    """Whether these bytes say that they are such a file."""
    return data[1 : 2 + len(MESSAGE_MAGIC)] == encode(MESSAGE_MAGIC)


def verify_message(
    data: bytes,
    *,
    trust: bytes,
    checkpoint: tuple[int, bytes] | None = None,
    not_before_ms: int | None = None,
    links: bytes | None = None,
    evidence: Sequence[bytes] = (),
    recoveries: Sequence[bytes] = (),
) -> VerifiedMessage:
    """Check the file against the pinned genesis hash of either cluster. The other arguments are about that
    cluster, as in `verify`. Raises ProofError."""
    with step("format"):
        halves = _halves(data)
        own = _of_cluster(halves, trust)
    pinned = verify(
        halves[own],
        trust=trust,
        checkpoint=checkpoint,
        not_before_ms=not_before_ms,
        links=links,
        evidence=evidence,
        recoveries=recoveries,
    )
    other = verify(halves[1 - own], trust=_said(pinned).destination)
    sent, answered = (pinned, other) if own == 0 else (other, pinned)
    message, acknowledgement = _said(sent).leaf, _said(answered).leaf
    with step("message"):
        if not isinstance(message, Message) or not isinstance(acknowledgement, Acknowledgement):
            raise ProofError("the file must hold a message and then its acknowledgement")
        said = (acknowledgement.lane, acknowledgement.sequence, acknowledgement.message_hash)
        if said != (message.lane, message.sequence, message.hash):
            raise ProofError(
                f"the acknowledgement is of message {acknowledgement.sequence} on {acknowledgement.lane}, "
                f"hash {acknowledgement.message_hash.hex()}; the message is {message.sequence} on "
                f"{message.lane}, hash {message.hash.hex()}"
            )
    return VerifiedMessage(message, acknowledgement, sent, answered)


def _halves(data: bytes) -> tuple[bytes, bytes]:
    value = decode(data, max_bytes=MESSAGE_FILE_BYTES_MAX, max_depth=1)
    if type(value) is not tuple or not value or value[0] != MESSAGE_MAGIC:
        raise CodecError(f"this is no message of the format {MESSAGE_MAGIC}")
    _, sent, answered = as_tuple(value, 3, "message file")
    return as_bytes(sent, "source's bundle"), as_bytes(answered, "destination's bundle")


def _of_cluster(halves: tuple[bytes, bytes], trust: bytes) -> int:
    """Which of the two bundles is of the pinned cluster; the first where neither is: it will be refused."""
    statement = Bundle.decode(halves[0]).statement
    return int(isinstance(statement, OutboxStatement) and statement.destination == trust)


def _said(verified: Verified) -> OutboxFact:
    fact = verified.fact
    if not isinstance(fact, OutboxFact):
        raise ProofError("message: the file must hold what two clusters said to each other")
    return fact
