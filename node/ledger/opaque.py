"""What a benchmark cluster executes: batches of bytes, ordered and certified, and nothing else.

The workload of the classic HotStuff benchmarks. Execution looks at nothing that is in a batch, and the state
never changes; where transactions are signed, who acknowledged the batch has verified them. Each batch is one
leaf under the header's tx_root, its 32-byte name (a digest of all of its bytes, made once when they arrived;
hashing 256 KiB again would double that cost), and one receipt at the same index that says how many
transactions it holds, of how many bytes together.

Enabled by a genesis whose only application is `opaque` or `signed`; nothing but the benchmark writes one.
"""

from dataclasses import dataclass

from consensus import Digest, Value


@dataclass(frozen=True, slots=True)
class OpaqueBatch:
    """What execution needs to know of a batch: its name, how many transactions it holds, of how many bytes
    together."""

    id: Digest
    transactions: int
    size_bytes: int

    @property
    def encoded(self) -> bytes:
        """The leaf under tx_root."""
        return self.id

    @property
    def result(self) -> Value:
        """What its receipt answers: `[transactions, bytes]`."""
        return (self.transactions, self.size_bytes)
