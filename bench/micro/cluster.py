"""A small cluster's genesis and signed transactions, the same in every process and revision."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

from consensus import Digest, Epoch, SigningKey, ValidatorIndex
from node.genesis import Genesis
from node.ledger.execution import BlockToExecute, Ledger
from node.ledger.members import Member
from node.ledger.params import Params
from node.ledger.roster import ValidatorRecord
from node.ledger.state import Space, StateWrite
from node.ledger.transactions import Transaction
from node.pool.batches import Batch

CREATED_MS = 1_700_000_000_000
LIFETIME_MS = 60_000
EXPIRES_AT_MS = CREATED_MS + 500_000
_BLOCK_PAUSE_MS = 10


def key_of(name: str) -> SigningKey:
    """The same key for the same name."""
    return SigningKey(sha256(name.encode()).digest())


@lru_cache(maxsize=1)
def genesis() -> Genesis:
    """Four validators of four organisations, one client."""
    validators = [
        ValidatorRecord(
            f"v{number}",
            f"org{number}",
            key_of(f"consensus {number}").public_key,
            key_of(f"node {number}").public_key,
            1,
            key_of(f"operator {number}").public_key,
        )
        for number in range(4)
    ]
    client = Member(key_of("client").public_key, "org0", ("client",), "client")
    return Genesis.new("micro", Params(created_ms=CREATED_MS), validators, [client])


@lru_cache(maxsize=1)
def transactions(count: int) -> tuple[Transaction, ...]:
    """Signed records of about 240 bytes, all different."""
    client, cluster_id = key_of("client"), genesis().cluster_id
    signed = []
    for number in range(count):
        digest = sha256(b"content %d" % number).digest()
        args = (f"bench/{number}", digest, number, "text/plain", "file:x", (), (("k", "v"),))
        unique_id = number.to_bytes(16, "big")
        signed.append(Transaction.sign(client, cluster_id, unique_id, EXPIRES_AT_MS, "records", "put", args))
    return tuple(signed)


def batch_of(signed: tuple[Transaction, ...]) -> Batch:
    """These transactions as one batch of validator 0."""
    return Batch.make(
        cluster_id=genesis().cluster_id,
        author=ValidatorIndex(0),
        epoch=Epoch(0),
        created_ms=CREATED_MS,
        expires_at_ms=CREATED_MS + LIFETIME_MS,
        transactions=tuple(transaction.encoded for transaction in signed),
    )


class MemoryState:
    """The ledger's three spaces as dictionaries, so that no disk is in the figure."""

    def __init__(self, writes: tuple[StateWrite, ...]) -> None:
        self._spaces: dict[Space, dict[bytes, bytes]] = {space: {} for space in Space}
        self.apply(writes)

    def get(self, space: Space, key: bytes) -> bytes | None:
        """The stored value, or None."""
        return self._spaces[space].get(key)

    def apply(self, writes: tuple[StateWrite, ...]) -> None:
        """What a flush does."""
        for space, key, value in writes:
            if value is None:
                self._spaces[space].pop(key, None)
            else:
                self._spaces[space][key] = value


@dataclass(frozen=True, slots=True)
class FreshLedger:
    """A ledger at height 0 over its own state in memory."""

    ledger: Ledger
    state: MemoryState

    @staticmethod
    def begin() -> "FreshLedger":
        """Of this cluster's genesis."""
        beginning = genesis().beginning()
        state = MemoryState(beginning.state_writes)
        return FreshLedger(Ledger(genesis().params, state, beginning.tip), state)


def blocks_of(signed: tuple[Transaction, ...], size: int) -> Iterator[BlockToExecute]:
    """All transactions in consecutive blocks of `size`, from height 1 on."""
    for height, start in enumerate(range(0, len(signed), size), 1):
        block_id = Digest(sha256(b"block %d" % height).digest())
        time_ms = CREATED_MS + height * _BLOCK_PAUSE_MS
        yield BlockToExecute(height, block_id, 0, time_ms, signed[start : start + size])
