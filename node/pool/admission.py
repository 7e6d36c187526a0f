"""The door for clients: what a validator takes upon itself to get ordered, and why not, in words.

Two steps with the one costly check between them: `precheck` opens the bytes and looks at everything that is
cheap, then whoever drives this verifies the signature (inline, or in a worker), then `admit` counts it in.
Authority in full is judged at execution (C22); here, knowing the sender is the spam control of a cluster
without fees. What is admitted occupies its sender's quota and the node's bound until `release` or expiry.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from consensus import Digest, PublicKey, SignatureScheme
from node.ledger.codes import Code, RejectedTransaction
from node.ledger.transactions import Transaction, sender_in
from node.pool.config import PoolConfig
from node.pool.expiry import ExpiryIndex
from p2p import Allowances

OWN_PART = 16
"""One such part of the room is kept for what this node says itself: clients that fill all of theirs must not
keep other clusters' bundles out."""
RATED_SENDERS_MAX = 4096
"""Keys whose rate is remembered; one that was quiet as long as its burst lasts need not be."""


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """Limits at the door. `expiry_cap_ms` is the cluster's replay cap (F17); `expiry_min_ms` is what must be
    left of a transaction's life for it to have a chance; the rest bounds one sender and the memory of ids."""

    expiry_cap_ms: int = 600_000
    expiry_min_ms: int = 500
    sender_bytes_max: int = 8 * 1024 * 1024
    sender_count_max: int = 32_768
    sender_per_second: int = 0
    """Transactions of one key that are taken in, with `sender_burst_seconds` of it at once; 0: any number."""
    sender_burst_seconds: int = 10
    seen_max: int = 16_384
    retry_after_ms: int = 1_000


@dataclass(slots=True)
class _Usage:
    bytes: int = 0
    count: int = 0


class Crowd:
    """Who has enough waiting already, told for one request by nothing but where a transaction names its
    sender: what is refused must cost next to nothing. A name may be forged, so nobody is let in by it and
    none but those who bear it are refused; what is here already is not meant. What this node says comes one
    in a request: that one is looked at, and who bears the node's name falsely gains no more by it."""

    __slots__ = ("_came", "_is_own", "_most", "_opened", "_senders", "sentence")

    def __init__(
        self,
        senders: Mapping[PublicKey, _Usage],
        opened: Mapping[bytes, object],
        is_own: Callable[[PublicKey], bool],
        most: int,
        sentence: str,
    ) -> None:
        """A sender may have `most` bytes; `sentence` is for those that are refused."""
        self._senders = senders
        self._is_own = is_own
        self._opened = opened
        self._most = most
        self._came: dict[PublicKey, int] = {}
        self.sentence = sentence

    def refuses(self, data: bytes) -> bool:
        """Whether this transaction is to come again later."""
        sender = sender_in(data)
        came = self._came.get(sender)
        if came is None and self._is_own(sender):
            self._came[sender] = self._most
            return False
        if came is None:
            usage = self._senders.get(sender)
            came = 0 if usage is None else usage.bytes
        if came >= self._most and data not in self._opened:
            return True
        self._came[sender] = came + len(data)
        return False


class Admission:
    """Counts what was admitted and is not executed yet. `is_member` says whether a key may send at all;
    `validate` raises RejectedTransaction for an unknown application, method or unfit arguments."""

    def __init__(
        self,
        config: AdmissionConfig,
        pool: PoolConfig,
        is_member: Callable[[PublicKey], bool],
        validate: Callable[[Transaction], None],
    ) -> None:
        self._config = config
        self._pool = pool
        self._is_member = is_member
        self._validate = validate
        self._waiting: dict[Digest, Transaction] = {}
        self.opened: dict[bytes, Transaction] = {}
        """Those that wait by their bytes, for execution: what was decoded here need not be decoded again."""
        self._expiry = ExpiryIndex()
        self._senders: dict[PublicKey, _Usage] = {}
        burst = max(1, config.sender_burst_seconds * config.sender_per_second)
        self._rates = Allowances[bytes](config.sender_per_second, burst, RATED_SENDERS_MAX)
        self._finished: OrderedDict[Digest, None] = OrderedDict()
        self._bytes = 0
        self.sender_bytes_max: Callable[[], int] = lambda: pool.unsealed_bytes_max
        """What the data plane lets one sender have waiting at the moment before more of it is looked at."""
        self.is_own: Callable[[PublicKey], bool] = lambda _sender: False
        """Whether this is the key with which this node signs what it says itself."""
        self._committed_ms = 0

    def crowd(self) -> "Crowd | None":
        """What tells who is to wait, while there is little room; None while nobody is."""
        pool, most = self._pool, self.sender_bytes_max()
        bytes_max, count_max = self._room(own=False)
        if self._bytes + pool.batch.transaction_bytes_max > bytes_max or len(self._waiting) >= count_max:
            most, words = 0, f"{len(self._waiting)} transactions with {self._bytes} bytes are waiting"
        elif most < pool.unsealed_bytes_max:
            words = f"transactions are slow to commit, and {most} bytes of this sender or more are waiting"
        else:
            return None
        refusal = RejectedTransaction(
            Code.POOL_FULL, f"{words}; retry after {self._config.retry_after_ms} ms"
        )
        return Crowd(self._senders, self.opened, self.is_own, most, str(refusal))

    def precheck(self, data: bytes, now_ms: int) -> Transaction:
        """The transaction these bytes encode, if all but its signature is in order. Raises
        RejectedTransaction with a stable code and the numbers that were compared."""
        rules = self._pool.batch
        transaction = Transaction.decode(data, rules.transaction_bytes_max)
        if transaction.cluster_id != rules.cluster_id:
            raise RejectedTransaction(
                Code.WRONG_CLUSTER,
                f"made for {transaction.cluster_id.hex()[:12]}, this is {rules.cluster_id.hex()[:12]}",
            )
        self._check_expiry(transaction, now_ms)
        if not self._is_member(transaction.sender):
            raise RejectedTransaction(Code.UNKNOWN_SENDER, f"sender {transaction.sender.hex()[:12]}")
        self._check_room(transaction)
        self._validate(transaction)
        return transaction

    @property
    def scheme(self) -> SignatureScheme:
        """How the signatures of transactions are checked here."""
        return self._pool.batch.scheme

    def charge(self, sender: PublicKey, now_ms: int) -> None:
        """Count one transaction of a client against its key's rate, once its signature was checked: nobody
        can use up what is another's. Raises RejectedTransaction."""
        if self.is_own(sender):
            return
        wait_ms = self._rates.take(sender, now_ms)
        if wait_ms:
            raise RejectedTransaction(
                Code.RATE_LIMITED,
                f"sender {sender.hex()[:12]} may send {self._rates.per_second} transactions a second, "
                f"{self._rates.burst} at once; retry after {wait_ms} ms",
            )

    def admit(self, transaction: Transaction, now_ms: int) -> None:
        """Count in a transaction whose signature was checked; then give it to `BatchPool.on_transactions`.
        Raises RejectedTransaction if time, another copy or others took its place meanwhile."""
        self._check_expiry(transaction, now_ms)
        self._check_room(transaction)
        usage = self._senders.setdefault(transaction.sender, _Usage())
        usage.bytes += len(transaction.encoded)
        usage.count += 1
        self._bytes += len(transaction.encoded)
        self._waiting[transaction.id] = self.opened[transaction.encoded] = transaction
        self._expiry.add(transaction.id, transaction.expires_at_ms)

    def release(self, transaction_ids: Iterable[Digest]) -> None:
        """These were executed (whoever had admitted them): their room is free, a copy stays refused."""
        for transaction_id in transaction_ids:
            self._finished[transaction_id] = None
            if len(self._finished) > self._config.seen_max:
                self._finished.popitem(last=False)
            transaction = self._waiting.pop(transaction_id, None)
            if transaction is not None:
                self._expiry.remove(transaction_id, transaction.expires_at_ms)
                self._uncount(transaction)

    def on_committed_time(self, time_ms: int) -> tuple[Digest, ...]:
        """Cluster time has come to `time_ms`: what expired by it is let go; answers with those ids (C24)."""
        self._committed_ms = max(self._committed_ms, time_ms)
        expired = tuple(Digest(key) for key in self._expiry.take_ended(self._committed_ms))
        for transaction_id in expired:
            self._uncount(self._waiting.pop(transaction_id))
        return expired

    def __len__(self) -> int:
        return len(self._waiting)

    def limits(self) -> tuple[tuple[str, int, int], ...]:
        """`(name, current, bound)` for metrics."""
        return (
            ("admission_waiting", len(self._waiting), self._pool.unsealed_count_max),
            ("admission_waiting_bytes", self._bytes, self._pool.unsealed_bytes_max),
            ("admission_senders", len(self._senders), self._pool.unsealed_count_max),
            ("admission_rated_senders", len(self._rates), self._rates.keys_max),
            ("admission_finished_ids", len(self._finished), self._config.seen_max),
        )

    def _check_expiry(self, transaction: Transaction, now_ms: int) -> None:
        cluster_ms = max(now_ms, self._committed_ms)
        left_ms = transaction.expires_at_ms - cluster_ms
        if left_ms < self._config.expiry_min_ms:
            raise RejectedTransaction(
                Code.EXPIRED,
                f"expires at {transaction.expires_at_ms}, cluster time is {cluster_ms} and at least "
                f"{self._config.expiry_min_ms} ms must be left",
            )
        if left_ms > self._config.expiry_cap_ms:
            raise RejectedTransaction(
                Code.EXPIRY_TOO_FAR,
                f"expires {left_ms} ms ahead, the limit is {self._config.expiry_cap_ms}",
            )

    def _check_room(self, transaction: Transaction) -> None:
        if transaction.id in self._waiting or transaction.id in self._finished:
            raise RejectedTransaction(
                Code.REPLAYED, f"transaction {transaction.id.hex()[:12]} is here already"
            )
        size, config = len(transaction.encoded), self._config
        bytes_max, count_max = self._room(own=self.is_own(transaction.sender))
        if self._bytes + size > bytes_max or len(self._waiting) >= count_max:
            raise RejectedTransaction(
                Code.POOL_FULL,
                f"{len(self._waiting)} transactions with {self._bytes} bytes are waiting (limits "
                f"{count_max}, {bytes_max}); "
                f"retry after {config.retry_after_ms} ms",
            )
        usage = self._senders.get(transaction.sender)
        if usage is None:
            return
        if usage.bytes + size > config.sender_bytes_max or usage.count >= config.sender_count_max:
            raise RejectedTransaction(
                Code.QUOTA_EXCEEDED,
                f"{usage.count} transactions with {usage.bytes} bytes of this sender are waiting (limits "
                f"{config.sender_count_max}, {config.sender_bytes_max})",
            )

    def _room(self, *, own: bool) -> tuple[int, int]:
        """Bytes and transactions that may wait here before one of a client, or of this node, is refused."""
        pool = self._pool
        bytes_max, count_max = pool.unsealed_bytes_max, pool.unsealed_count_max
        if own:
            return bytes_max, count_max
        return bytes_max - bytes_max // OWN_PART, count_max - count_max // OWN_PART

    def _uncount(self, transaction: Transaction) -> None:
        del self.opened[transaction.encoded]
        size = len(transaction.encoded)
        self._bytes -= size
        usage = self._senders[transaction.sender]
        usage.bytes -= size
        usage.count -= 1
        if not usage.count:
            del self._senders[transaction.sender]
