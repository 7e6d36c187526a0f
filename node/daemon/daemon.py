"""A node that runs: one validator, its loop, its links and its hands, under one nursery.

`run_daemon` opens a home, starts everything, tells that it is ready, and ends when it is cancelled or when
something of ours is broken: an error of the loop, the journal or the database ends the process with a
sentence, and the next start recovers. Services (the HTTP door) are handed in, because they stand above.
"""

import os
import random
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Protocol

import structlog
import trio

from consensus import ED25519, Digest, LocalError, SigningKey
from node.config import NodeConfig
from node.daemon.allocation import keep_freed_memory
from node.daemon.clockwatch import ClockWatch
from node.daemon.conditions import tell_condition
from node.daemon.driver import Driver
from node.daemon.executed import ExecutedIndex, executed_receipts
from node.daemon.federation.directory import ConfiguredAddress
from node.daemon.federation.federation import Federation
from node.daemon.federation.ledgerside import InThreads, LedgerSide, Readable
from node.daemon.federation.readings import Readings, ReadingsInThreads
from node.daemon.forgetting import Forgotten, keep_forgetting
from node.daemon.links import Links
from node.daemon.nearness import Nearness
from node.daemon.observing import AllowedList
from node.daemon.performer import Performer
from node.daemon.pinned import membership_of, network_config
from node.daemon.postbox import Postbox
from node.daemon.recent import RecentHeights
from node.daemon.recorder import Recorder, RecorderCounts, opening_of, recording
from node.daemon.startup import OpenedHome, open_home, wall_ms
from node.daemon.telling import configure_log, tell_start
from node.daemon.timeslice import ask_for_short_turns
from node.daemon.verifying import pace_garbage_collection
from node.daemon.waiters import TooManyWaiters, Waiters
from node.daemon.watches import Room, watch_disk, watch_links
from node.daemon.whereabouts import Whereabouts
from node.daemon.workers import Workers, open_workers
from node.home import read_key
from node.ledger.receipts import Receipt
from node.pool.config import PoolConfig
from node.storage import SnapshotExpired, SnapshotLimit
from node.validator import (
    Answer,
    ChunkSubmitted,
    Input,
    Refusal,
    Start,
    Submitted,
    Tuning,
    Validator,
    assemble,
    pool_config,
)
from p2p import Network, open_network

THREAD_SWITCH_SECONDS = 0.0005
"""How long a thread (storing, a query) may keep the interpreter from the loop; the default is ten times as
long, which a vote would wait."""
GOODBYE_SECONDS = 5.0
"""What services get to finish what is under way once the node is ending."""
TICKETS_MAX = 4096
"""Client requests between submission and answer."""

_log = structlog.get_logger("isthmus")


class TooManyRequests(Exception):
    """The bound of requests under way is reached; the client is told to come back."""


def software_version() -> str:
    """The installed version of this software."""
    try:
        return version("isthmus")
    except PackageNotFoundError:
        return "source"


class Node:
    """A running node as its services see it."""

    def __init__(
        self,
        opened: OpenedHome,
        validator: Validator,
        network: Network,
        postbox: Postbox,
        waiters: Waiters,
        workers: Workers,
    ) -> None:
        self.opened = opened
        self.validator = validator
        self.network = network
        self.postbox = postbox
        self.waiters = waiters
        self.workers = workers
        self.recent = RecentHeights()
        self.nearness = Nearness(opened.genesis.params.certification_lag_max)
        self.executed = ExecutedIndex()
        self.whereabouts = Whereabouts(waiters, lambda: self.recent.over(opened.store), self._executed_of)
        self.recorded = RecorderCounts()
        self.forgotten = Forgotten()
        self.started_ms = wall_ms()
        self.driver: Driver
        self.performer: Performer
        self.federation: Federation
        self._tickets: dict[int, tuple[trio.Event, list[Digest | Refusal]]] = {}
        self._ticket = 0
        self.rejected: dict[int, int] = {}
        """Refused transactions by code, for metrics."""

    async def submit(self, transactions: Sequence[bytes]) -> tuple[Digest | Refusal, ...]:
        """Admission of each transaction. Raises TooManyRequests when none was looked at."""
        return await self._ask(lambda ticket: Submitted(ticket, tuple(transactions)), len(transactions))

    async def submit_chunks(
        self, chunks: Sequence[bytes], transaction_bytes: int
    ) -> tuple[Digest | Refusal, ...]:
        """The name of the batch that each of these chunks was sealed in; benchmark clusters only. Raises
        TooManyRequests when none was looked at."""
        if len(self._tickets) + len(chunks) > TICKETS_MAX:
            raise TooManyRequests
        found: dict[int, Digest | Refusal] = {}

        async def ask(place: int, chunk: bytes) -> None:
            (found[place],) = await self._ask(
                lambda ticket: ChunkSubmitted(ticket, chunk, transaction_bytes), 1
            )

        async with trio.open_nursery() as nursery:
            for place, chunk in enumerate(chunks):
                nursery.start_soon(ask, place, chunk)
        return tuple(found[place] for place in range(len(chunks)))

    async def _ask(self, request: Callable[[int], Input], transactions: int) -> tuple[Digest | Refusal, ...]:
        if len(self._tickets) >= TICKETS_MAX:
            raise TooManyRequests
        self._ticket += 1
        ticket, done, outcomes = self._ticket, trio.Event(), list[Digest | Refusal]()
        self._tickets[ticket] = (done, outcomes)
        self.postbox.put_request(request(ticket), transactions)
        try:
            await done.wait()
        finally:
            self._tickets.pop(ticket, None)
        for outcome in outcomes:
            if isinstance(outcome, Refusal):
                self.rejected[outcome.code] = self.rejected.get(outcome.code, 0) + 1
        return tuple(outcomes)

    async def submit_one(self, transaction: bytes) -> str | None:
        """Admission of one transaction of this node's own; why it was refused, in words, or None."""
        try:
            (outcome,) = await self.submit((transaction,))
        except TooManyRequests:
            return "too many requests are under way"
        return outcome.sentence if isinstance(outcome, Refusal) else None

    async def wait_certified(self, transaction_id: bytes) -> None:
        """Returns once the transaction is certified and readable, or when too many wait or read already."""
        with suppress(TooManyWaiters, SnapshotLimit, SnapshotExpired):
            await self.whereabouts.wait((transaction_id,))

    def _executed_of(self, tx_ids: Sequence[bytes]) -> Iterable[Receipt]:
        """Of these transactions those that are executed here; none where a quorum contradicts that."""
        data = self.validator.data
        return () if data.diverged is not None else self.executed.find(data.line.executed, tx_ids)

    def tell_executed(self) -> None:
        """Wake who waits for what is executed and not certified yet; nobody where a quorum contradicts it."""
        data, waiters = self.validator.data, self.waiters
        height, told = data.line.executed_height, waiters.executed_height
        if height > told and data.diverged is None:
            waiters.executed(height, executed_receipts(data.line.executed, told))

    @property
    def open_tickets(self) -> int:
        """Client requests between submission and answer, at most TICKETS_MAX."""
        return len(self._tickets)

    def answered(self, answer: Answer) -> None:
        """The validator's answer to `submit`; nobody may be waiting any more."""
        ticket = self._tickets.get(answer.ticket)
        if ticket is not None:
            ticket[1].extend(answer.outcomes)
            ticket[0].set()


class Service(Protocol):
    """Something that runs beside the node."""

    def bind(self) -> None:
        """Take what may be taken already (a port), under the key's lock and before anything starts."""

    async def run(self, node: Node, ending: trio.Event) -> None:
        """Serve until `ending` is set, which is when the node is about to end."""


async def _never(_node: Node) -> None:
    await trio.sleep_forever()


async def run_daemon(
    config: NodeConfig,
    *,
    ready: Callable[[], None],
    services: Sequence[Service] = (),
    leaves: Callable[["Node"], Awaitable[None]] = _never,
) -> None:
    """Run the node of `config.home` until cancelled, or until `leaves` returns. Raises what `open_home`
    raises, PortInUse, and whatever makes going on unsafe."""
    configure_log(config)
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    pace_garbage_collection()
    keep_freed_memory()
    ask_for_short_turns()
    opened = open_home(config)
    try:
        for service in services:
            service.bind()
        with recording(config, opened.store.reader()) as recorder:
            await _run(opened, recorder, ready, services, leaves)
    finally:
        opened.close()


async def _run(
    opened: OpenedHome,
    recorder: Recorder | None,
    ready: Callable[[], None],
    services: Sequence[Service],
    leaves: Callable[["Node"], Awaitable[None]],
) -> None:
    config, genesis = opened.config, opened.genesis
    rate = config.limits.transactions_per_second
    tuning = Tuning(
        config.consensus.base_timeout_ms,
        sender_per_second=rate,
        halt_height=config.halt_height,
        verification_certificates=config.consensus.verification_certificates,
        commit_target_ms=config.limits.commit_target_ms,
    )
    rules = pool_config(genesis, tuning)
    p2p_config = network_config(opened, software_version())
    tell_start(opened)
    async with (
        open_workers(rules.batch, config.limits.verify_workers) as workers,
        open_network(p2p_config, opened.identity, random.Random(os.urandom(16))) as network,
        trio.open_nursery() as nursery,
    ):
        validator = _assemble(opened, tuning, recorder)
        require_ed25519(validator)
        postbox, waiters = Postbox(Links(network)), Waiters(opened.recovered.tip.height)
        network.inbox.on_put = postbox.wake
        node = Node(opened, validator, network, postbox, waiters, workers)
        if recorder is not None:
            node.recorded = recorder.counts
        membership = membership_of(opened, network, p2p_config, validator.directory)
        performer = Performer(
            nursery,
            network,
            lambda keys: membership.enter(keys, [v.name for v in validator.term.roster.validators]),
            postbox,
            opened.store,
            opened.journal,
            workers,
            waiters,
            node.recent,
            rules,
            node.answered,
        )
        stepper = validator if recorder is None else recorder
        act, told = performer.perform, node.tell_executed
        journal, guard, set_by = opened.journal, opened.guard, ClockWatch().set_by
        driver = Driver(stepper, postbox, journal, guard, act, wall_ms, network, told, set_by)
        node.performer, node.driver, node.federation = performer, driver, _federation(node)
        postbox.put(Start())
        ending = trio.Event()
        nursery.start_soon(performer.timers.run)
        nursery.start_soon(driver.run)
        nursery.start_soon(node.federation.run)
        room = Room.of(opened.store)
        nursery.start_soon(watch_disk, opened, postbox, room)
        nursery.start_soon(tell_condition, opened, validator, postbox, room, network)
        nursery.start_soon(watch_links, network)
        nursery.start_soon(_forget_old, node, rules)
        nursery.start_soon(AllowedList(config, membership).watch)
        await _serve(node, ending, services, ready, leaves)
        nursery.cancel_scope.cancel()


async def _forget_old(node: Node, rules: PoolConfig) -> None:
    """Prune while the node runs, as far as its configuration says."""
    keep, catchup = node.opened.config.storage.keep_blocks, node.validator.data.catchup

    def others() -> list[int]:
        asked = node.performer.askers.heights(int(1000 * trio.current_time()))
        return [*catchup.heights().values(), *asked]

    await keep_forgetting(node.opened.store, rules, keep, others, node.performer.writer, node.forgotten)


def _federation(node: Node) -> Federation:
    """The node's side of the federation: it reads what is certified, and submits like a client."""
    opened = node.opened
    genesis, config = opened.genesis, opened.config
    readable = Readable(node.recent, opened.store)
    return Federation(
        genesis.cluster_id,
        SigningKey(read_key(config.home.node_key_file)),
        genesis.params.max_transaction_bytes,
        node.network.foreign,
        InThreads(LedgerSide(readable, genesis.cluster_id)),
        ReadingsInThreads(Readings(readable, genesis.cluster_id, genesis.body)),
        node.waiters,
        node,
        tuple(
            ConfiguredAddress(peer.cluster, peer.node_key, peer.host, peer.port)
            for peer in config.federation.peers
        ),
        wall_ms,
    )


def _assemble(opened: OpenedHome, tuning: Tuning, recorder: Recorder | None) -> Validator:
    """The validator of a home; a recorder is told of everything that goes into it."""
    now_ms = wall_ms()
    key = opened.consensus_key
    if recorder is not None:
        recorder.begin(opening_of(opened, tuning, software_version(), now_ms))
    validator = assemble(
        opened.genesis,
        opened.recovered,
        opened.store.reader() if recorder is None else recorder.reader,
        consensus_key=None if key is None else key.public_key,
        safety=opened.safety,
        tuning=tuning,
        now_ms=now_ms,
    )
    if recorder is not None:
        recorder.follow(validator)
    return validator


def require_ed25519(validator: Validator) -> None:
    """Raises LocalError for a validator whose signatures are anything but Ed25519: the simulator's."""
    scheme = validator.replica.signatures.scheme
    if scheme is not ED25519:
        raise LocalError(f"a daemon does not run on {scheme.name} signatures, which anybody can forge")


async def _serve(
    node: Node,
    ending: trio.Event,
    services: Sequence[Service],
    ready: Callable[[], None],
    leaves: Callable[[Node], Awaitable[None]],
) -> None:
    """Services run until the node is cancelled from outside, or leaves; then they get the chance to say
    goodbye."""
    async with trio.open_nursery() as nursery:
        for service in services:
            nursery.start_soon(_see_off, service, node, ending)
        ready()
        try:
            await leaves(node)
        finally:
            ending.set()


async def _see_off(service: Service, node: Node, ending: trio.Event) -> None:
    """Run a service so that it ends by `ending`, in its own time, and not by cancellation."""
    async with trio.open_nursery() as nursery:
        nursery.cancel_scope.shield = True
        nursery.start_soon(_deadline_after, ending, nursery.cancel_scope)
        await service.run(node, ending)
        nursery.cancel_scope.cancel()


async def _deadline_after(ending: trio.Event, scope: trio.CancelScope) -> None:
    await ending.wait()
    scope.deadline = trio.current_time() + GOODBYE_SECONDS
