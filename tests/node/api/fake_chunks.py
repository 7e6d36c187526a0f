"""What a benchmark cluster's node refuses of a client's body, for the backend that is one process."""

from consensus import ED25519
from node.api.backend import Rejected
from node.genesis import Genesis
from node.ledger.codes import Code
from node.ledger.params import Benchmark
from node.pool.signedchunks import SIGNED_BYTES_MIN, verify_chunk


def refusal_of(chunk: bytes, transaction_bytes: int, genesis: Genesis) -> Rejected | None:
    """Why this chunk is not taken; None when it is."""
    is_signed = genesis.params.benchmark is Benchmark.SIGNED
    if len(chunk) % transaction_bytes or (is_signed and transaction_bytes < SIGNED_BYTES_MIN):
        return Rejected(Code.MALFORMED.value, Code.MALFORMED.label, f"{len(chunk)} bytes")
    fault = verify_chunk(chunk, transaction_bytes, genesis.cluster_id, ED25519) if is_signed else ""
    return Rejected(Code.BAD_SIGNATURE.value, Code.BAD_SIGNATURE.label, fault) if fault else None
