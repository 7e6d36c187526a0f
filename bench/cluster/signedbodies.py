"""`python -m bench.cluster.signedbodies`: bodies of signed transactions that nobody executes, made ahead.

A body is as many transactions of one size as a request has, signed by the load's clients in turns. Few are
made, and they go round: a benchmark cluster deduplicates nothing, and every node verifies every one of them
again. Several processes make them side by side, each its own bodies at their places in one file. The plan
comes as one JSON line on standard input, with the keys; the answer is one JSON line.
"""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random

from consensus import SigningKey
from node.pool.signedchunks import SIGNED_BYTES_MIN, signed_transaction


@dataclass(frozen=True, slots=True)
class BodiesPlan:
    """Bodies `first`, `first + step` ... below `count`, of `transactions` of `transaction_bytes` each, into
    `file`. `seeds` are the clients' keys."""

    cluster_id: bytes
    seeds: tuple[bytes, ...]
    first: int
    step: int
    count: int
    transactions: int
    transaction_bytes: int
    file: str

    def to_json(self) -> str:
        """One line."""
        seeds = [seed.hex() for seed in self.seeds]
        return json.dumps(asdict(self) | {"cluster_id": self.cluster_id.hex(), "seeds": seeds})

    @staticmethod
    def from_json(text: str) -> "BodiesPlan":
        """The inverse of `to_json`."""
        fields = json.loads(text)
        seeds = tuple(bytes.fromhex(seed) for seed in fields["seeds"])
        return BodiesPlan(**(fields | {"cluster_id": bytes.fromhex(fields["cluster_id"]), "seeds": seeds}))


def signed_body(plan: BodiesPlan, number: int) -> bytes:
    """Body `number`: random content, the same for the same number, by one client after the other."""
    random, content_bytes = Random(number), plan.transaction_bytes - SIGNED_BYTES_MIN + 1
    keys = [SigningKey(seed) for seed in plan.seeds]
    return b"".join(
        signed_transaction(keys[place % len(keys)], plan.cluster_id, random.randbytes(content_bytes))
        for place in range(plan.transactions)
    )


def write_bodies(plan: BodiesPlan) -> None:
    """Each at its place in the file, whoever comes first. Raises OSError."""
    with open(os.open(plan.file, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        for number in range(plan.first, plan.count, plan.step):
            file.seek(number * plan.transactions * plan.transaction_bytes)
            file.write(signed_body(plan, number))


def read_bodies(path: Path, body_bytes: int) -> list[bytes]:
    """What all of them wrote. Raises ValueError, OSError."""
    data = path.read_bytes()
    if not data or len(data) % body_bytes:
        raise ValueError(f"{path} holds no bodies of {body_bytes} bytes")
    return [data[start : start + body_bytes] for start in range(0, len(data), body_bytes)]


def main() -> None:
    """Read the plan, sign, answer."""
    write_bodies(BodiesPlan.from_json(sys.stdin.readline()))
    sys.stdout.write(json.dumps({"event": "signed"}) + "\n")


if __name__ == "__main__":
    main()
