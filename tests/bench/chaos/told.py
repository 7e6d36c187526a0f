"""Histories and chains written by hand, for checks that must tell a good one from a bad one."""

from dataclasses import replace

from bench.chaos.chain import Chain, Executed, NodeContents, Place
from bench.chaos.history import Kind, Operation, Outcome, Request, Result

NODES = ("node0", "node1", "node2", "node3")
FOREVER = None


def tx_id(number: int) -> bytes:
    """The transaction of operation `number`."""
    return number.to_bytes(32, "big")


def write(
    number: int,
    span: tuple[int, int | None],
    *,
    previous: int | None = None,
    key: str = "k/1",
    value: int | None = None,
    client: str = "a",
    told: Outcome | None = None,
    at: tuple[int, int] | None = None,
    version: int | None = None,
) -> Operation:
    """A put, or a supersede of `previous`; certified `at` height and index with `version`, unless `told`."""
    if told is None:
        height, index = at or (number, 0)
        told = Outcome(Result.OK, height=height, index=index, version=version or (previous or 0) + 1)
    request = Request(
        client,
        "node0",
        Kind.SUPERSEDE if previous else Kind.PUT,
        key,
        value=number if value is None else value,
        previous=previous,
        tx_id=tx_id(number),
        linearizable=True,
    )
    return Operation(number, request, span[0], span[1], 1, told)


def failed(code: int, height: int, index: int = 0) -> Outcome:
    """A certified receipt of a write without effect."""
    return Outcome(Result.FAILED, code, height=height, index=index)


UNKNOWN = Outcome(Result.UNKNOWN, 0, "no answer")
REFUSED = Outcome(Result.REFUSED, 12, "not-ready")


def read(
    number: int,
    span: tuple[int, int],
    seen: tuple[int, int] | None,
    *,
    height: int | None = None,
    writer: int | None = None,
    min_height: int | None = None,
    key: str = "k/1",
    node: str = "node0",
    life: int | None = 1,
    fresh: bool = True,
) -> Operation:
    """A read that saw (version, value), or nothing, at `height`; `writer` is the operation that wrote it."""
    version, value = seen or (None, None)
    by = None if seen is None else tx_id(value if writer is None and value is not None else writer or 0)
    told = Outcome(Result.OK, height=height, version=version, value=value, tx_id=by)
    request = Request("a", node, Kind.READ, key, min_height=min_height, linearizable=fresh)
    return Operation(number, request, span[0], span[1], life, told)


def executed(operation: Operation, height: int, index: int = 0, status: int | None = None) -> Executed:
    """An operation as the chain has it: as it was told, unless `status` says otherwise."""
    told, request = operation.outcome, operation.request
    code = told.code if status is None else status
    version = (request.previous or 0) + 1 if code == 0 else None
    return Executed(
        tx_id(operation.number),
        Place(height, index, code),
        request.key,
        request.value or 0,
        request.previous,
        version,
    )


def chain_of(*items: Executed) -> Chain:
    """A chain that all nodes hold alike."""
    top = max((item.place.height for item in items), default=0)
    headers = tuple(height.to_bytes(32, "big") for height in range(1, top + 1))
    places = {item.tx_id: item.place for item in items}
    return Chain(items, tuple(NodeContents(name, headers, headers, places) for name in NODES))


def with_node(chain: Chain, name: str, **changes: object) -> Chain:
    """The chain with one node's contents changed."""
    nodes = tuple(
        replace(node, **changes) if node.name == name else node  # type: ignore[arg-type]  # by name
        for node in chain.nodes
    )
    return replace(chain, nodes=nodes)
