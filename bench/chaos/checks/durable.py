"""Check 1: every acknowledged transaction is on every node, where its receipt told; there is one chain."""

from collections.abc import Iterator, Sequence

from bench.chaos.chain import Chain, NodeContents, Place
from bench.chaos.checks.finding import Finding, finding
from bench.chaos.history import Operation


def check_durable(history: Sequence[Operation], chain: Chain) -> Finding:
    """Acknowledged means that a client holds a certified receipt, of success or of failure (C26)."""
    told = {
        operation.request.tx_id: operation
        for operation in history
        if operation.is_executed and operation.request.tx_id is not None
    }
    return finding(
        "acknowledged is kept", len(told) * len(chain.nodes), "receipts on nodes", _against(told, chain)
    )


def _against(told: dict[bytes, Operation], chain: Chain) -> Iterator[str]:
    for node in chain.nodes:
        yield from (f"{node.name}: {fault}" for fault in node.faults)
        yield from _differences(chain.nodes[0], node)
        for tx_id, operation in told.items():
            place = node.places.get(tx_id)
            outcome = operation.outcome
            expected = (outcome.height, outcome.index, outcome.code)
            if place is None:
                yield f"{node.name} lost {_name(operation)}, acknowledged at {_words(expected)}"
            elif (place.height, place.index, place.status) != expected:
                yield f"{node.name} has {_name(operation)} at {place}, acknowledged at {_words(expected)}"
    blocks: dict[bytes, Place] = {item.tx_id: item.place for item in chain.executed}
    for tx_id, operation in told.items():
        place = blocks.get(tx_id)
        if place is None or (place.height, place.index) != (
            operation.outcome.height,
            operation.outcome.index,
        ):
            yield f"no block has {_name(operation)} where its receipt told: {place}"


def _differences(first: NodeContents, node: NodeContents) -> Iterator[str]:
    if len(node.headers) != len(first.headers):
        yield f"{node.name} has {len(node.headers)} heights, {first.name} has {len(first.headers)}"
    for height, (mine, other) in enumerate(zip(node.headers, first.headers, strict=False), 1):
        if mine != other:
            yield (
                f"{node.name} has header {mine.hex()[:16]} at height {height}, "
                f"{first.name} has {other.hex()[:16]}"
            )
            return
    for height, (mine, other) in enumerate(zip(node.bodies, first.bodies, strict=False), 1):
        if mine != other:
            yield f"{node.name} and {first.name} have different transactions or receipts at height {height}"
            return


def _name(operation: Operation) -> str:
    request = operation.request
    return f"operation {operation.number} of {request.client} ({request.kind.value} {request.key})"


def _words(place: tuple[int | None, int | None, int]) -> str:
    return f"height {place[0]}, index {place[1]}, status {place[2]}"
