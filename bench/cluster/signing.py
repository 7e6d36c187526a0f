"""`python -m bench.cluster.signing`: many clients sign ahead, in a process of its own, into a file.

Signing costs about as much as everything else that a client does, so it happens before the clock runs.
The plan comes as one JSON line on standard input, with the keys (they never stand in a file or on a command
line); the answer is one JSON line.
"""

import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path

from bench.cluster.delivery import Signed
from consensus import SigningKey
from node.ledger.apps.records import (
    LABEL_VALUE_CHARACTERS_MAX,
    LABELS_MAX,
    LOCATION_CHARACTERS_MAX,
    Content,
)
from node.ledger.transactions import Transaction
from node.wallet import Wallet

_LENGTH = struct.Struct(">I")
_ID_BYTES = 32
PAYLOAD_BYTES_MAX = LOCATION_CHARACTERS_MAX + LABELS_MAX * LABEL_VALUE_CHARACTERS_MAX
"""More does not fit a record: it holds digests, and payloads stay outside."""


@dataclass(frozen=True, slots=True)
class SigningPlan:
    """Transactions `first`, `first + step` ... (`count` of them), client by client in turns, into `file`.

    `seeds` are the clients' keys; `name` goes into the records' names, which must be new to the cluster.
    """

    cluster_id: bytes
    seeds: tuple[bytes, ...]
    name: str
    first: int
    step: int
    count: int
    payload_bytes: int
    lifetime_ms: int
    file: str

    def to_json(self) -> str:
        """One line."""
        fields = asdict(self)
        seeds = [seed.hex() for seed in self.seeds]
        return json.dumps(fields | {"cluster_id": self.cluster_id.hex(), "seeds": seeds})

    @staticmethod
    def from_json(text: str) -> "SigningPlan":
        """The inverse of `to_json`."""
        fields = json.loads(text)
        seeds = tuple(bytes.fromhex(seed) for seed in fields["seeds"])
        return SigningPlan(**(fields | {"cluster_id": bytes.fromhex(fields["cluster_id"]), "seeds": seeds}))


def sign_all(plan: SigningPlan) -> Iterator[Transaction]:
    """The transactions, each a new record with texts that make it about `payload_bytes` larger."""
    wallets = [Wallet(SigningKey(seed), plan.cluster_id, plan.lifetime_ms) for seed in plan.seeds]
    location, labels = padding(plan.payload_bytes)
    for number in range(plan.first, plan.first + plan.step * plan.count, plan.step):
        digest = sha256(number.to_bytes(8, "big")).digest()
        content = Content(digest, number, schema="", location=location, links=(), labels=labels)
        yield wallets[number % len(wallets)].put(f"bench/{plan.name}-{number}", content)


def padding(payload_bytes: int) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A location and labels with so many characters; raises ValueError for more than PAYLOAD_BYTES_MAX."""
    if not 0 <= payload_bytes <= PAYLOAD_BYTES_MAX:
        raise ValueError(f"a record has room for 0 to {PAYLOAD_BYTES_MAX} bytes more, not {payload_bytes}")
    location = "x" * min(payload_bytes, LOCATION_CHARACTERS_MAX)
    left = payload_bytes - len(location)
    sizes = [
        min(LABEL_VALUE_CHARACTERS_MAX, left - begin) for begin in range(0, left, LABEL_VALUE_CHARACTERS_MAX)
    ]
    return location, tuple((f"pad-{number:02}", "x" * size) for number, size in enumerate(sizes))


def write_signed(path: Path, transactions: Iterator[Transaction]) -> int:
    """Write them, each as length, id and bytes; the bytes of the last one. Raises OSError."""
    size = 0
    with path.open("wb") as file:
        for transaction in transactions:
            size = len(transaction.encoded)
            file.write(_LENGTH.pack(size) + transaction.id + transaction.encoded)
    return size


def read_signed(path: Path) -> list[Signed]:
    """What `write_signed` wrote. Raises ValueError, OSError."""
    data = path.read_bytes()
    found: list[Signed] = []
    offset = 0
    while offset < len(data):
        start = offset + _LENGTH.size + _ID_BYTES
        end = start + _LENGTH.unpack_from(data, offset)[0]
        if end > len(data):
            raise ValueError(f"{path} ends within a transaction")
        found.append(Signed(data[offset + _LENGTH.size : start], data[start:end]))
        offset = end
    return found


def main() -> None:
    """Read the plan, sign, answer."""
    plan = SigningPlan.from_json(sys.stdin.readline())
    size = write_signed(Path(plan.file), sign_all(plan))
    sys.stdout.write(json.dumps({"event": "signed", "transaction_bytes": size}) + "\n")


if __name__ == "__main__":
    main()
