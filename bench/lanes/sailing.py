"""Sends messages at their times from one cluster to another, and watches both ends of the lane.

A message is the share of a record of its own (`records.share`), signed before the clock runs: the record is
put before, so that what is measured is the message and not the record. A lane takes 256 messages that are not
acknowledged; what it refuses beyond is signed and sent again, as an application must, and its wait counts.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import islice

import trio

from bench.cluster.connection import Connections
from bench.cluster.shapes import OpenLoop, Share, per_request_for, timetable
from bench.lanes.voyages import Course, Sent
from consensus import SigningKey, Value
from node.api.conversation import Conversation
from node.api.exchange import ClientError, Cluster
from node.api.federation_queries import LaneAnswer
from node.api.federation_talk import lanes_of
from node.api.views import Outcome
from node.ledger.apps.records import NAME as RECORDS
from node.ledger.apps.records import Content
from node.ledger.apps.sharing import SHARE_PORT
from node.ledger.codes import Code
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction
from node.local.testnet import Testnet
from node.wallet import Wallet

DEADLINE_MS = 3_600_000
LIFETIME_MS = 600_000
GIVEN_UP_SECONDS = 30.0
"""After which a message that finds the lane full is a refusal."""
AGAIN_SECONDS, AGAIN_SECONDS_MAX = 0.2, 3.2
"""Before a full lane is tried again, each time twice as long: what it refuses costs its cluster a
transaction, too."""
LANE_FULL = Code.LANE_FULL.label
IN_FLIGHT_MAX = 512
SUBMIT_MS = 60_000
_PUT_AT_ONCE = 250
_LOOK_MS = 10_000
_PAUSE_SECONDS = 0.05


def _clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Call:
    """One share, signed, and what to sign it with again."""

    transaction: Transaction
    wallet: Wallet
    args: tuple[Value, ...]

    @staticmethod
    def sign(wallet: Wallet, args: tuple[Value, ...]) -> "Call":
        """The share of a record."""
        return Call(wallet.sign(RECORDS, "share", args), wallet, args)

    def anew(self) -> "Call":
        """The same as another transaction."""
        return Call.sign(self.wallet, self.args)


@dataclass(slots=True)
class Lane:
    """The way from one cluster to another, watched while `watching` is open. Sequences go on from one load
    to the next."""

    source: Testnet
    destination: Testnet
    seeds: Sequence[bytes]
    token: str
    handled: Course = field(default_factory=Course)
    acknowledged: Course = field(default_factory=Course)
    found_full: int = 0
    """How often a message was sent again because the lane was full."""
    _begin_ns: int = field(default_factory=time.monotonic_ns)
    _connections: Connections = field(default_factory=Connections)
    _records: int = 0
    _moved: trio.Event = field(default_factory=trio.Event)

    # --- before the clock runs ---------------------------------------------------------------------------

    async def sign(self, count: int) -> Iterator["Call"]:
        """So many shares, each of a new record that has been put. Raises ClientError."""
        wallets = [Wallet(SigningKey(seed), self.source.cluster_id, LIFETIME_MS) for seed in self.seeds]
        names = [f"bench/{self.token}-{self._records + number}" for number in range(count)]
        self._records += count
        puts = []
        for number, name in enumerate(names):
            digest = sha256(name.encode()).digest()
            puts.append(wallets[number % len(wallets)].put(name, Content(digest, number, "", "", (), ())))
        for first in range(0, count, _PUT_AT_ONCE):
            for outcome in await self._submit(0, puts[first : first + _PUT_AT_ONCE]):
                if outcome.state != "certified" or outcome.code:
                    raise ClientError(f"A record was not put: {outcome.message}")
        until_ms = time.time_ns() // 1_000_000 + DEADLINE_MS
        args = [(name, self.destination.cluster_id, until_ms) for name in names]
        return iter([Call.sign(wallets[i % len(wallets)], args[i]) for i in range(count)])

    # --- the load ----------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The clock stands at 0 now, and what was seen before is forgotten."""
        self._begin_ns = time.monotonic_ns()
        self.handled, self.acknowledged = Course(), Course()
        self.found_full = 0

    def now_us(self) -> int:
        """Since `begin`."""
        return (time.monotonic_ns() - self._begin_ns) // 1000

    async def send(self, shares: Iterator["Call"], rate: int, seconds: float) -> list[Sent]:
        """Every message at its time; returns once all are certified at the source, or given up."""
        per_request = per_request_for(rate)
        limit = trio.Semaphore(IN_FLIGHT_MAX)
        sent: list[Sent] = []

        async def one(number: int, at_us: int, batch: list[Call]) -> None:
            async with limit:
                handed_us, pause_s = self.now_us(), AGAIN_SECONDS
                while batch:
                    outcomes = await self._submit(number, [call.transaction for call in batch])
                    now_us = self.now_us()
                    waited = now_us - at_us > GIVEN_UP_SECONDS * 1_000_000
                    again = [not waited and outcome.name == LANE_FULL for outcome in outcomes]
                    sent.extend(
                        _sent(at_us, handed_us, now_us, outcome)
                        for outcome, is_again in zip(outcomes, again, strict=True)
                        if not is_again
                    )
                    batch = [call.anew() for call, is_again in zip(batch, again, strict=True) if is_again]
                    self.found_full += len(batch)
                    if batch:
                        await trio.sleep(pause_s)
                        pause_s = min(AGAIN_SECONDS_MAX, 2 * pause_s)

        async with trio.open_nursery() as nursery:
            for due in timetable(OpenLoop(rate, per_request, IN_FLIGHT_MAX), Share(0, 1), seconds):
                batch = list(islice(shares, per_request))
                await trio.sleep(max(0, due.at_us - self.now_us()) / 1_000_000)
                nursery.start_soon(one, due.number, due.at_us, batch)
        return sent

    async def _submit(self, number: int, batch: Sequence[Transaction]) -> tuple[Outcome, ...]:
        """Through the source's nodes in turns."""
        urls = [node.url for node in self.source.nodes]
        first = number % len(urls)
        talk = Conversation(Cluster(urls[first:] + urls[:first], clock=_clock_ms), None)
        return await self._connections.drive(talk.submit_batch(batch, True, SUBMIT_MS))

    # --- watching ----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Both ends, through one node each."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch, self.destination, self.source, self._note_handled)
            nursery.start_soon(self._watch, self.source, self.destination, self._note_acknowledged)
            yield
            nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await self._connections.aclose()

    async def all_acknowledged(self, sequence: int, seconds: float) -> bool:
        """Whether the source hears of every message up to this one within the time."""
        with trio.move_on_after(seconds):
            while self.acknowledged.last < sequence:
                await self._moved.wait()
        return self.acknowledged.last >= sequence

    async def _watch(self, at: Testnet, peer: Testnet, note: Callable[[Sequence[LaneAnswer]], None]) -> None:
        """Each stored height of one node, as soon as it is stored."""
        talk = Conversation(Cluster([at.nodes[0].url], clock=_clock_ms, timeout_ms=_LOOK_MS), None)
        height = 0
        while True:
            try:
                answer = await self._connections.drive(
                    talk.look(lanes_of(peer.cluster_id, min_height=height + 1))
                )
            except ClientError:
                await trio.sleep(_PAUSE_SECONDS)  # nothing new was stored for long, or it is down
                continue
            height = answer.height
            note(answer.lanes)

    def _note_handled(self, lanes: Sequence[LaneAnswer]) -> None:
        for lane in lanes:
            if not lane.is_outgoing and lane.port == SHARE_PORT:
                self.handled.note(self.now_us(), lane.received)

    def _note_acknowledged(self, lanes: Sequence[LaneAnswer]) -> None:
        for lane in lanes:
            if lane.is_outgoing and lane.port == SHARE_PORT:
                self.acknowledged.note(self.now_us(), lane.acked)
        self._moved.set()
        self._moved = trio.Event()


def _sent(at_us: int, handed_us: int, now_us: int, outcome: Outcome) -> Sent:
    if outcome.receipt is None:
        return Sent(at_us, handed_us, now_us, None, outcome.name)
    receipt = Receipt.decode(outcome.receipt)
    if not receipt.ok or not isinstance(receipt.result, int):
        return Sent(at_us, handed_us, now_us, None, outcome.name)
    return Sent(at_us, handed_us, now_us, receipt.result)
