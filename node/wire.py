"""The table of topics: which messages travel in which class, and how large they may be.

A topic names the codec of its bytes and the queue they wait in. What agreement waits for (proposals, votes,
acknowledgements, small requests) is urgent; answers of catch-up are normal; batch bodies are bulk, so that
they never stand before a vote (DESIGN 4). A message on a topic it does not belong to is refused: nobody
smuggles bulk into the urgent class.
"""

from enum import IntEnum

from consensus import (
    BLOCK_BYTES_MAX,
    Blocks,
    InvalidMessage,
    Message,
    decode_message,
    encode_message,
)
from consensus import MESSAGE_BYTES_MAX as AGREEMENT_BYTES_MAX
from node.anchoring.exchange import EXCHANGE_BYTES_MAX, Exchanged, decode_exchanged, encode_exchanged
from node.condition import CONDITION_BYTES_MAX, Condition, decode_condition, encode_condition
from node.pool.messages import MESSAGE_BYTES_MAX as POOL_BYTES_MAX
from node.pool.messages import Attest, FetchedBatch, PoolMessage, PushBatch, SyncResponse
from node.pool.messages import decode_message as decode_pool
from node.pool.messages import encode_message as encode_pool
from p2p import Priority, Topic

ATTESTING_SINCE = 4
TELLING_SINCE = 5
PROTOCOL_VERSION = 5
"""The newest version that this software speaks; raised when nodes learn to say something new. 3: the hello
says a range, and features are enabled by governance. 4: attestations (VC2). 5: nodes tell their
condition. Neither is told to who is older."""
PROTOCOL_OLDEST = 3
"""The oldest that it still speaks: raised when nodes with and without a change can no longer talk. As long as
it is at most the PROTOCOL_VERSION of the release before, a cluster is upgraded node by node."""
_KIB = 1024


class Code(IntEnum):
    """Topic codes on the wire; never reused."""

    AGREEMENT = 1
    BLOCKS = 2
    DATA = 3
    BATCHES = 4
    SYNC = 5
    ATTESTATIONS = 6
    CONDITION = 7
    EVIDENCE = 21
    TRANSACTIONS = 22
    FEDERATION = 30


AGREEMENT_TOPICS = frozenset((Code.AGREEMENT, Code.BLOCKS))
"""Those of messages of agreement."""
TOPICS = (
    Topic(Code.AGREEMENT, "agreement", Priority.URGENT, BLOCK_BYTES_MAX + 64 * _KIB),
    Topic(Code.BLOCKS, "blocks", Priority.NORMAL, AGREEMENT_BYTES_MAX),
    Topic(Code.DATA, "data", Priority.URGENT, 256 * _KIB),
    Topic(Code.BATCHES, "batches", Priority.BULK, 4 * 1024 * _KIB + 128 * _KIB),
    Topic(Code.SYNC, "sync", Priority.BULK, POOL_BYTES_MAX),
    Topic(Code.ATTESTATIONS, "attestations", Priority.URGENT, 256 * _KIB, since=ATTESTING_SINCE),
    Topic(Code.CONDITION, "condition", Priority.NORMAL, CONDITION_BYTES_MAX, since=TELLING_SINCE),
    Topic(Code.EVIDENCE, "evidence", Priority.NORMAL, 16 * _KIB, gossip=True),
    Topic(Code.TRANSACTIONS, "transactions", Priority.NORMAL, 1024 * _KIB, gossip=True),
    Topic(Code.FEDERATION, "federation", Priority.NORMAL, EXCHANGE_BYTES_MAX, foreign=True),
)


def frame_of_agreement(message: Message) -> tuple[Code, bytes]:
    """Topic and bytes of a consensus message."""
    return (Code.BLOCKS if type(message) is Blocks else Code.AGREEMENT), encode_message(message)


def frame_of_pool(message: PoolMessage) -> tuple[Code, bytes]:
    """Topic and bytes of a data plane message."""
    return _pool_topic(message), encode_pool(message)


def _pool_topic(message: PoolMessage) -> Code:
    kind = type(message)
    if kind is SyncResponse:
        return Code.SYNC
    if kind is Attest:
        return Code.ATTESTATIONS
    return Code.BATCHES if kind is PushBatch or kind is FetchedBatch else Code.DATA


def agreement_message(topic: int, body: bytes) -> Message:
    """The typed message of a frame; raises PeerError without a peer (the caller knows it)."""
    message = decode_message(body)
    if (type(message) is Blocks) != (topic == Code.BLOCKS):
        raise InvalidMessage("topic", f"{type(message).__name__} does not travel on topic {topic}")
    return message


def pool_message(topic: int, body: bytes) -> PoolMessage:
    """The typed message of a frame; raises PeerError without a peer."""
    message = decode_pool(body)
    if _pool_topic(message) != topic:
        raise InvalidMessage("topic", f"{type(message).__name__} does not travel on topic {topic}")
    return message


def frame_of_condition(condition: Condition) -> tuple[Code, bytes]:
    """Topic and bytes of what a node says of itself."""
    return Code.CONDITION, encode_condition(condition)


def condition_message(body: bytes) -> Condition:
    """What the peer said of itself; raises PeerError without a peer."""
    return decode_condition(body)


def frame_of_exchange(message: Exchanged) -> tuple[Code, bytes]:
    """Topic and bytes of a message to a node of another cluster."""
    return Code.FEDERATION, encode_exchanged(message)


def exchanged_message(body: bytes) -> Exchanged:
    """The typed message of a frame between clusters; raises CodecError."""
    return decode_exchanged(body)
