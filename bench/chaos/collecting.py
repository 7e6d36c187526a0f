"""Asking a healed cluster: is a new transaction on every node, and what does each node hold."""

import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import trio

from bench.chaos.chain import Chain, Executed, NodeContents, Place
from bench.chaos.cluster import ChaosCluster, Machine
from bench.chaos.door import NOT_FOUND
from node.api.views import BlockAnswer
from node.client import ApiError, AsyncClient, ClientError
from node.ledger.apps.records import Content, parse_put, parse_supersede
from node.ledger.codes import RejectedTransaction
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction
from node.proofs import rfc6962
from node.proofs.header import Header

T = TypeVar("T")
_NOWHERE = "chaos/nowhere"
_AT_ONCE = 4
"""Requests under way at one node."""
_ATTEMPT_MS = 10_000


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long it took until each node had taken a new transaction and had its receipt; None if it had none
    in time. `height` is the highest receipt's, `tx_ids` are these transactions."""

    elapsed_ms: dict[str, int | None]
    height: int
    tx_ids: frozenset[bytes]


async def certify_everywhere(cluster: ChaosCluster, name: str, bound_ms: int) -> Recovery:
    """Put a record through each node, and wait for its receipt there. `name` was not used before."""
    began = trio.current_time()
    elapsed: dict[str, int | None] = {machine.name: None for machine in cluster.machines}
    content = Content(hashlib.sha256(name.encode()).digest(), 0, "", "", (), ())
    sent = {
        machine.name: cluster.wallet.put(f"{name}/{machine.name}", content) for machine in cluster.machines
    }
    heights = [0]

    async def wait(machine: Machine) -> None:
        async with AsyncClient((machine.node.url,), timeout_ms=_ATTEMPT_MS) as client:
            while elapsed[machine.name] is None:
                try:
                    receipt = await client.submit(sent[machine.name], bound_ms)
                except ClientError:
                    await trio.sleep(0.1)
                    continue
                elapsed[machine.name] = int(1000 * (trio.current_time() - began))
                heights.append(receipt.height)

    with trio.move_on_after(bound_ms / 1000):
        async with trio.open_nursery() as nursery:
            for machine in cluster.machines:
                nursery.start_soon(wait, machine)
    return Recovery(elapsed, max(heights), frozenset(bytes(transaction.id) for transaction in sent.values()))


async def collect_chain(
    machines: Sequence[Machine], height: int, asked: Sequence[bytes], advance: Callable[[int], None]
) -> Chain:
    """Every block up to `height` of these nodes, and where each says that each of `asked` stands.

    `advance` hears of requests done. Raises ClientError when a node does not answer.
    """
    contents: dict[str, NodeContents] = {}
    executed: list[Executed] = []

    async def collect(machine: Machine) -> None:
        blocks, places = await _contents(machine, height, asked, advance)
        found = node_contents(machine.name, blocks, places)
        if machine is machines[0]:
            items, faults = executed_by(blocks)
            executed.extend(items)
            found = replace(found, faults=(*found.faults, *faults))
        contents[machine.name] = found

    async with trio.open_nursery() as nursery:
        for machine in machines:
            nursery.start_soon(collect, machine)
    return Chain(tuple(executed), tuple(contents[machine.name] for machine in machines))


async def _contents(
    machine: Machine, height: int, asked: Sequence[bytes], advance: Callable[[int], None]
) -> tuple[list[BlockAnswer], dict[bytes, Place]]:
    blocks: dict[int, BlockAnswer] = {}
    places: dict[bytes, Place] = {}
    url, trust = machine.node.url, machine.cluster_id
    async with AsyncClient((url,), trust=trust, timeout_ms=_ATTEMPT_MS) as client:

        async def fetch(at: int) -> None:
            blocks[at] = await client.block(at)

        async def find(tx_id: bytes) -> None:
            try:
                receipt = await client.receipt(tx_id)
            except ApiError as error:
                if error.code != NOT_FOUND:
                    raise
                return  # it is not there: the check says so
            places[tx_id] = Place(receipt.height, receipt.index, receipt.status)

        await client.record(_NOWHERE, min_height=height, verify=True)  # until all of it is stored there
        await client.header(height, verify=True)
        await _spread(range(1, height + 1), fetch, advance)
        await _spread(asked, find, advance)
    return [blocks[at] for at in range(1, height + 1)], places


async def _spread(
    items: Iterable[T], action: Callable[[T], Awaitable[None]], advance: Callable[[int], None]
) -> None:
    """Do it for each, a few at once."""
    todo = iter(items)

    async def work() -> None:
        for item in todo:
            await action(item)
            advance(1)

    async with trio.open_nursery() as nursery:
        for _ in range(_AT_ONCE):
            nursery.start_soon(work)


def node_contents(name: str, blocks: Sequence[BlockAnswer], places: Mapping[bytes, Place]) -> NodeContents:
    """What a node's blocks are, with everything that does not fit together in them."""
    headers: list[bytes] = []
    bodies: list[bytes] = []
    faults: list[str] = []
    for height, block in enumerate(blocks, 1):
        try:
            header = Header.decode(block.header.header)
        except ValueError as error:
            faults.append(f"the header of height {height} cannot be read: {error}")
            break
        if header.height != height:
            faults.append(f"as height {height} it shows a header of height {header.height}")
        if headers and header.parent_hash != headers[-1]:
            faults.append(f"the header of height {height} does not continue the one before it")
        for what, leaves, root in (
            ("transactions", block.transactions, header.tx_root),
            ("receipts", block.receipts, header.receipt_root),
        ):
            if rfc6962.root([rfc6962.leaf_hash(leaf) for leaf in leaves]) != root:
                faults.append(f"the {what} of height {height} are not those of its header")
        headers.append(bytes(header.hash))
        bodies.append(hashlib.sha256(repr((block.transactions, block.receipts)).encode()).digest())
    return NodeContents(name, tuple(headers), tuple(bodies), places, tuple(faults))


def executed_by(blocks: Sequence[BlockAnswer]) -> tuple[list[Executed], tuple[str, ...]]:
    """The writes of a node's blocks, up to the first that cannot be read, and a sentence about that one."""
    executed: list[Executed] = []
    for height, block in enumerate(blocks, 1):
        try:
            executed += tuple(executed_in(block))
        except (ValueError, RejectedTransaction) as error:
            return executed, (f"the blocks from height {height} on cannot be read: {error}",)
    return executed, ()


def executed_in(block: BlockAnswer) -> Iterator[Executed]:
    """The writes of one block. Raises RejectedTransaction and ValueError for what is none."""
    for encoded, stored in zip(block.transactions, block.receipts, strict=True):
        transaction = Transaction.decode(encoded, len(encoded))
        receipt = Receipt.decode(stored)
        place = Place(receipt.height, receipt.index, receipt.status)
        version = receipt.result if receipt.ok and isinstance(receipt.result, int) else None
        if transaction.method == "put":
            put = parse_put(transaction.args)
            key, value, previous = put.record_id, put.content.size, None
        else:
            call = parse_supersede(transaction.args)
            if not isinstance(call.previous, int):
                raise ValueError("a client of this test names versions by number")
            key, value, previous = call.record_id, call.content.size, call.previous
        yield Executed(bytes(receipt.tx_id), place, key, value, previous, version)
