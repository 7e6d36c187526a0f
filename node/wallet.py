"""A member's key at work: calls become signed transactions with a fresh id and an expiry."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from consensus import SigningKey, Value
from node.ledger.apps.records import NAME, Content
from node.ledger.transactions import UNIQUE_ID_BYTES, Transaction


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Wallet:
    """A member's key, and what it signs: transactions with a fresh id and an expiry.

    `lifetime_ms` must stay within the cluster's replay cap; `random` and `now_ms` are for tests.
    """

    key: SigningKey
    cluster_id: bytes
    lifetime_ms: int = 300_000
    random: Callable[[int], bytes] = os.urandom
    now_ms: Callable[[], int] = _wall_ms

    def sign(self, app: str, method: str, args: tuple[Value, ...]) -> Transaction:
        """A call of `app.method`. Raises RejectedTransaction when no node could accept its form."""
        unique_id = self.random(UNIQUE_ID_BYTES)
        expires_at_ms = self.now_ms() + self.lifetime_ms
        return Transaction.sign(self.key, self.cluster_id, unique_id, expires_at_ms, app, method, args)

    def put(self, record_id: str, content: Content) -> Transaction:
        """A new record."""
        return self.sign(NAME, "put", (record_id, *content.to_value()))

    def supersede(self, record_id: str, previous: int | bytes, content: Content) -> Transaction:
        """A new version in place of `previous` (the current version's number, or its sha256)."""
        return self.sign(NAME, "supersede", (record_id, previous, *content.to_value()))
