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
from node.ledger.apps.records import Content
from node.ledger.transactions import Transaction
from node.wallet import Wallet

_LENGTH = struct.Struct(">I")
_ID_BYTES = 32


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
    """The transactions, each a new record with a text that makes it `payload_bytes` larger."""
    wallets = [Wallet(SigningKey(seed), plan.cluster_id, plan.lifetime_ms) for seed in plan.seeds]
    location = "x" * plan.payload_bytes
    for number in range(plan.first, plan.first + plan.step * plan.count, plan.step):
        digest = sha256(number.to_bytes(8, "big")).digest()
        content = Content(digest, number, schema="", location=location, links=(), labels=())
        yield wallets[number % len(wallets)].put(f"bench/{plan.name}/{number}", content)


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
