"""Check 2: nothing refused was executed, nothing twice, and nothing that no client ever sent."""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet

from bench.chaos.chain import Chain
from bench.chaos.checks.finding import Finding, finding
from bench.chaos.history import Kind, Operation, Result


def check_once(history: Sequence[Operation], chain: Chain, others: AbstractSet[bytes]) -> Finding:
    """`others` are transactions sent outside the history, such as the ones that test liveness."""
    return finding(
        "executed once, refused never", len(chain.executed), "transactions", _against(history, chain, others)
    )


def _against(history: Sequence[Operation], chain: Chain, others: AbstractSet[bytes]) -> Iterator[str]:
    writes = {
        operation.request.tx_id: operation
        for operation in history
        if operation.request.kind is not Kind.READ and operation.request.tx_id is not None
    }
    seen: dict[bytes, int] = {}
    for item in chain.executed:
        height = item.place.height
        if item.tx_id in seen:
            yield f"transaction {item.tx_id.hex()[:16]} is at heights {seen[item.tx_id]} and {height}"
        seen[item.tx_id] = height
        operation = writes.get(item.tx_id)
        if operation is None:
            if item.tx_id not in others:
                yield f"transaction {item.tx_id.hex()[:16]} at height {height} was never sent by anybody"
        elif operation.outcome.result is Result.REFUSED:
            yield (
                f"operation {operation.number} of {operation.request.client} was refused by "
                f"{operation.request.node} ({operation.outcome.code} {operation.outcome.reason}) "
                f"and executed at height {height}"
            )
