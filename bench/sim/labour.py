"""What a host's workers and its database do for the validator, late: checks, reads, answers to peers, and
storing, in which a crash may fall between any two writes.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.sim.violation import Violation
from node import wire
from node.daemon.serving import blocks_answer, sync_answer
from node.ledger.transactions import check_signature
from node.pool.batches import verify_batch
from node.pool.signedchunks import verify_chunk
from node.storage import ChainTable
from node.validator import (
    BatchChecked,
    BatchLoaded,
    CheckBatch,
    CheckChunk,
    CheckSignatures,
    ChunkChecked,
    Flush,
    Flushed,
    LoadBatch,
    Output,
    ServeBlocks,
    ServeSync,
    SignaturesChecked,
    together,
)

if TYPE_CHECKING:
    from bench.sim.host import Host

_FULL_DISK_RETRY_US = 250_000
"""A database that is full is tried again this often."""


@dataclass(slots=True)
class Storing:
    """The flushes one life of a host was asked for, in order, and those that are being stored together."""

    asked: deque[Flush] = field(default_factory=deque)
    begun: tuple[Flush, ...] = ()
    planned_height: int = 0
    """The height of the last one that was asked for."""


def work(host: "Host", output: Output) -> None:
    """Do it, later. Raises Violation for an output that nobody performs."""
    world = host.world
    low, high = world.worker_us
    delay_us = low + int(world.random.random() * (high - low + 1))
    match output:
        case CheckBatch(digest, data):
            report = verify_batch(data, world.pool_config.batch)
            fault = None if report.ok else report.detail
            host.later(delay_us, lambda: host.feed(BatchChecked(digest, fault, report.opened)))
        case CheckSignatures(ticket, transactions):
            scheme = world.setting.scheme
            valid = tuple(check_signature(transaction, scheme) for transaction in transactions)
            host.later(delay_us, lambda: host.feed(SignaturesChecked(ticket, valid)))
        case CheckChunk(ticket, chunk, transaction_bytes):
            rules = world.pool_config.batch
            found = verify_chunk(chunk, transaction_bytes, rules.cluster_id, rules.scheme) or None
            host.later(delay_us, lambda: host.feed(ChunkChecked(ticket, found)))
        case LoadBatch(digest):
            reader = host.disk.store.reader()
            host.later(
                delay_us,
                lambda: host.feed(BatchLoaded(digest, reader.get(ChainTable.BATCHES, digest))),
            )
        case ServeSync() | ServeBlocks():
            host.later(delay_us, lambda: _serve(host, output))
        case Flush():
            world.checkers.on_flush(host, output)
            host.storing.asked.append(output)
            host.storing.planned_height = output.height
            _flush_next(host)
        case _:
            raise Violation("outputs", f"an output nobody performs: {output}")


def _serve(host: "Host", asked: ServeSync | ServeBlocks) -> None:
    with host.disk.store.snapshot() as snapshot:
        if isinstance(asked, ServeSync):
            frame = wire.frame_of_pool(sync_answer(snapshot, host.world.pool_config, asked.request))
        else:
            blocks = blocks_answer(snapshot, asked.block_id, asked.count)
            if blocks is None:
                return
            frame = wire.frame_of_agreement(blocks)
    for other in host.world.hosts_of(asked.peer):
        host.send(other, *frame)


def _flush_next(host: "Host") -> None:
    """Begin what flushes were asked for, all of them together, unless some are under way."""
    if host.flushing and host.storing.asked and not host.storing.begun:
        host.storing.begun = tuple(host.storing.asked)
        host.storing.asked.clear()
        flush = together(host.storing.begun)
        host.later(host.world.flush_us, lambda: _flush_chain(host, flush))


def _flush_chain(host: "Host", flush: Flush) -> None:
    if host.disk.is_full:
        host.later(_FULL_DISK_RETRY_US, lambda: _flush_chain(host, flush))
        return
    if not host.boundary():
        return
    host.disk.store.apply(flush.chain, ())
    if host.boundary():
        host.later(host.world.flush_us, lambda: _flush_state(host, flush))


def _flush_state(host: "Host", flush: Flush) -> None:
    host.disk.store.apply((), flush.state)
    host.world.checkers.on_flushed(host, flush)
    if host.boundary():
        host.disk.trim(flush.journal_seq)
        host.flushes += 1
        begun, host.storing.begun = host.storing.begun, ()
        for stored in begun:
            host.feed(Flushed(stored.number))
        _flush_next(host)
