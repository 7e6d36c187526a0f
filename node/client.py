"""The Python client: asynchronous on Trio, or blocking; typed answers, fail-over, proofs checked here.

    with Client(["http://127.0.0.1:27601"], trust=cluster_id) as client:
        wallet = Wallet(key, cluster_id)
        receipt = client.submit(wallet.put("docs/readme", content))
        version = client.record("docs/readme", verify=True)

Both clients are thin shells: what is said, retried and believed is in `node/api/conversation.py`, once.
All raise ClientError: ApiError (a node refused), NotReachable, StillPending, NotTrusted, UnexpectedAnswer.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx2
import trio

from node.api.backend import NodeStatus
from node.api.conversation import Conversation, RecordVersion, understood
from node.api.exchange import (
    Answer,
    ApiError,
    ClientError,
    Cluster,
    Flow,
    NoReply,
    NotReachable,
    NotTrusted,
    Pause,
    Reply,
    Send,
    StillPending,
    UnexpectedAnswer,
)
from node.api.federation_talk import Question
from node.api.governance_queries import GovernanceAnswer, ProposalAnswer, ValidatorsAnswer
from node.api.streaming import deliver
from node.api.subscription import ClusterEvent, Subscription
from node.api.transport import (
    STREAM_HEADERS,
    STREAM_SILENCE_S,
    asynchronous,
    batches_of,
    blocking,
    drive,
    no_reply_of,
    reply_of,
)
from node.api.views import BlockAnswer, GenesisAnswer, Outcome, TransactionAnswer
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction
from node.proofs.header import Header
from node.wallet import Wallet

__all__ = [
    "ApiError",
    "AsyncClient",
    "Client",
    "ClientError",
    "ClusterEvent",
    "NotReachable",
    "NotTrusted",
    "RecordVersion",
    "StillPending",
    "UnexpectedAnswer",
    "Wallet",
]

T = TypeVar("T")
SUBMIT_TIMEOUT_MS = 30_000
BATCH_TRANSACTIONS = 500


def _clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class AsyncClient:
    """The client for Trio programs; use it as an async context manager."""

    def __init__(self, urls: Sequence[str], *, trust: bytes | None = None, timeout_ms: int = 10_000) -> None:
        """`urls` are nodes of one cluster; `trust` is its pinned genesis hash, needed to verify."""
        cluster = Cluster(urls, clock=_clock_ms, timeout_ms=timeout_ms)
        self._talk = Conversation(cluster, trust)
        self._http = asynchronous(urls)

    async def __aenter__(self) -> "AsyncClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def submit(self, transaction: Transaction, timeout_ms: int = SUBMIT_TIMEOUT_MS) -> Receipt:
        """Submit and wait for the certified receipt; look at `receipt.ok`."""
        return await self._run(self._talk.submit(transaction, timeout_ms))

    async def admit(self, transaction: Transaction) -> Outcome:
        """Submit without waiting for the certificate."""
        return await self._run(self._talk.admit(transaction))

    async def submit_many(
        self,
        transactions: Iterable[Transaction],
        *,
        batch: int = BATCH_TRANSACTIONS,
        concurrency: int = 4,
        certified: bool = True,
        timeout_ms: int = SUBMIT_TIMEOUT_MS,
        on_outcomes: Callable[[tuple[Outcome, ...]], None] | None = None,
    ) -> tuple[Outcome, ...]:
        """One outcome each, in order; batches of `batch` in at most `concurrency` requests at once.

        The iterable is taken batch by batch as requests finish. `on_outcomes` hears of each batch.
        """
        done: list[tuple[Outcome, ...]] = []
        failed: list[ClientError] = []
        batches = enumerate(batches_of(transactions, batch))

        async def work() -> None:
            for number, chunk in batches:
                done.extend(() for _ in range(number + 1 - len(done)))
                try:
                    outcomes = await self._run(self._talk.submit_batch(chunk, certified, timeout_ms))
                except ClientError as error:
                    failed.append(error)
                    return nursery.cancel_scope.cancel()
                done[number] = outcomes
                if on_outcomes is not None:
                    on_outcomes(outcomes)

        async with trio.open_nursery() as nursery:
            for _ in range(concurrency):
                nursery.start_soon(work)
        if failed:
            raise failed[0]
        return tuple(outcome for outcomes in done for outcome in outcomes)

    async def receipt(self, tx_id: bytes, timeout_ms: int = 0) -> Receipt:
        """The certified receipt of a transaction, waiting for it if asked."""
        return await self._run(self._talk.receipt(tx_id, timeout_ms))

    async def status(self) -> NodeStatus:
        """One look at the node that answers."""
        return await self._run(self._talk.status())

    async def genesis(self) -> GenesisAnswer:
        """The cluster's genesis; it must be the pinned one."""
        return await self._run(self._talk.genesis())

    async def header(self, height: int | None = None, *, verify: bool = False) -> Header:
        """A ledger header, by default the latest."""
        return await self._run(self._talk.header(height, verify))

    async def transaction(self, tx_id: bytes, *, verify: bool = False) -> TransactionAnswer:
        """A certified transaction with its receipt."""
        return await self._run(self._talk.transaction(tx_id, verify))

    async def block(self, height: int) -> BlockAnswer:
        """One height: header, transactions, receipts."""
        return await self._run(self._talk.block(height))

    async def record(
        self, record_id: str, *, min_height: int | None = None, verify: bool = False
    ) -> RecordVersion:
        """A record's newest version, at `min_height` or later."""
        return await self._run(self._talk.record(record_id, min_height, verify))

    async def history(
        self, record_id: str, *, limit: int = 100, min_height: int | None = None, verify: bool = False
    ) -> tuple[RecordVersion, ...]:
        """A record's versions, newest first."""
        return await self._run(self._talk.history(record_id, limit, min_height, verify))

    async def prove_transaction(self, tx_id: bytes, *, checkpoint: int | None = None) -> bytes:
        """A bundle for `isthmus verify`."""
        return await self._run(self._talk.prove_transaction(tx_id, checkpoint))

    async def prove_record(self, record_id: str, *, checkpoint: int | None = None) -> bytes:
        """A bundle for `isthmus verify`: the newest version, or that there is none."""
        return await self._run(self._talk.prove_record(record_id, checkpoint))

    async def validators(self, *, min_height: int | None = None) -> ValidatorsAnswer:
        """Who certifies headers in the current epoch."""
        return await self._run(self._talk.validators(min_height))

    async def look(self, question: Question[T]) -> T:
        """A view of the federation (`node/api/federation_talk.py`)."""
        return await self._run(self._talk.look(question))

    async def governance(self, *, min_height: int | None = None) -> GovernanceAnswer:
        """The open proposals."""
        return await self._run(self._talk.governance(min_height))

    async def proposal(self, proposal_id: bytes, *, min_height: int | None = None) -> ProposalAnswer:
        """One proposal; what it shows is what its id binds."""
        return await self._run(self._talk.proposal(proposal_id, min_height))

    async def wait_ready(self, timeout_ms: int = SUBMIT_TIMEOUT_MS) -> None:
        """Until a node can commit."""
        await self._run(self._talk.wait_ready(timeout_ms))

    @asynccontextmanager
    async def events(
        self, from_cursor: str | None = None
    ) -> AsyncIterator[trio.MemoryReceiveChannel[ClusterEvent]]:
        """All events from a place (by default from now) on, across nodes; ends with the block."""
        start = from_cursor or f"{(await self.status()).stored_height + 1}:0"
        sender, receiver = trio.open_memory_channel[ClusterEvent](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow, Subscription(self._talk.cluster, start), sender)
            try:
                yield receiver
            finally:
                receiver.close()
                nursery.cancel_scope.cancel()

    async def _follow(self, subscription: Subscription, sender: trio.MemorySendChannel[ClusterEvent]) -> None:
        """Open one stream after the other until the reader has gone."""
        async with sender:
            while True:
                failure: Reply | NoReply = NoReply("the stream ended")
                try:
                    async with self._http.stream(
                        "GET", subscription.url, headers=STREAM_HEADERS, timeout=STREAM_SILENCE_S
                    ) as response:
                        if response.status_code == 200:
                            await deliver(response, subscription, sender)
                        else:
                            failure = reply_of(response, await response.aread())
                except httpx2.TransportError as error:
                    failure = no_reply_of(error)
                await trio.sleep(subscription.pause_after(failure) / 1000)

    async def _run(self, flow: Flow[T]) -> T:
        return await drive(flow, self._send)

    async def _send(self, step: Send) -> Answer:
        try:
            response = await self._http.request(
                step.method, step.url, content=step.content, timeout=step.timeout_ms / 1000
            )
        except httpx2.TransportError as error:
            return no_reply_of(error)
        return reply_of(response, response.content)


class Client:
    """The blocking client; use it as a context manager. Methods are those of AsyncClient."""

    def __init__(self, urls: Sequence[str], *, trust: bytes | None = None, timeout_ms: int = 10_000) -> None:
        """As AsyncClient."""
        self._talk = Conversation(Cluster(urls, clock=_clock_ms, timeout_ms=timeout_ms), trust)
        self._http = blocking(urls)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def submit(self, transaction: Transaction, timeout_ms: int = SUBMIT_TIMEOUT_MS) -> Receipt:
        """Submit and wait for the certified receipt; look at `receipt.ok`."""
        return self._run(self._talk.submit(transaction, timeout_ms))

    def admit(self, transaction: Transaction) -> Outcome:
        """Submit without waiting for the certificate."""
        return self._run(self._talk.admit(transaction))

    def submit_many(
        self,
        transactions: Iterable[Transaction],
        *,
        batch: int = BATCH_TRANSACTIONS,
        certified: bool = True,
        timeout_ms: int = SUBMIT_TIMEOUT_MS,
        on_outcomes: Callable[[tuple[Outcome, ...]], None] | None = None,
    ) -> tuple[Outcome, ...]:
        """One outcome each, in order; one request of `batch` transactions after the other."""
        done: list[Outcome] = []
        for chunk in batches_of(transactions, batch):
            outcomes = self._run(self._talk.submit_batch(chunk, certified, timeout_ms))
            done.extend(outcomes)
            if on_outcomes is not None:
                on_outcomes(outcomes)
        return tuple(done)

    def receipt(self, tx_id: bytes, timeout_ms: int = 0) -> Receipt:
        """The certified receipt of a transaction, waiting for it if asked."""
        return self._run(self._talk.receipt(tx_id, timeout_ms))

    def status(self) -> NodeStatus:
        """One look at the node that answers."""
        return self._run(self._talk.status())

    def genesis(self) -> GenesisAnswer:
        """The cluster's genesis; it must be the pinned one."""
        return self._run(self._talk.genesis())

    def header(self, height: int | None = None, *, verify: bool = False) -> Header:
        """A ledger header, by default the latest."""
        return self._run(self._talk.header(height, verify))

    def transaction(self, tx_id: bytes, *, verify: bool = False) -> TransactionAnswer:
        """A certified transaction with its receipt."""
        return self._run(self._talk.transaction(tx_id, verify))

    def block(self, height: int) -> BlockAnswer:
        """One height: header, transactions, receipts."""
        return self._run(self._talk.block(height))

    def record(self, record_id: str, *, min_height: int | None = None, verify: bool = False) -> RecordVersion:
        """A record's newest version, at `min_height` or later."""
        return self._run(self._talk.record(record_id, min_height, verify))

    def history(
        self, record_id: str, *, limit: int = 100, min_height: int | None = None, verify: bool = False
    ) -> tuple[RecordVersion, ...]:
        """Versions of a record."""
        return self._run(self._talk.history(record_id, limit, min_height, verify))

    def prove_transaction(self, tx_id: bytes, *, checkpoint: int | None = None) -> bytes:
        """A bundle for `isthmus verify`."""
        return self._run(self._talk.prove_transaction(tx_id, checkpoint))

    def prove_record(self, record_id: str, *, checkpoint: int | None = None) -> bytes:
        """A bundle for `isthmus verify`: the newest version, or that there is none."""
        return self._run(self._talk.prove_record(record_id, checkpoint))

    def validators(self, *, min_height: int | None = None) -> ValidatorsAnswer:
        """Who certifies headers in the current epoch."""
        return self._run(self._talk.validators(min_height))

    def look(self, question: Question[T]) -> T:
        """A view of the federation (`node/api/federation_talk.py`)."""
        return self._run(self._talk.look(question))

    def governance(self, *, min_height: int | None = None) -> GovernanceAnswer:
        """The open proposals."""
        return self._run(self._talk.governance(min_height))

    def proposal(self, proposal_id: bytes, *, min_height: int | None = None) -> ProposalAnswer:
        """One proposal; what it shows is what its id binds."""
        return self._run(self._talk.proposal(proposal_id, min_height))

    def wait_ready(self, timeout_ms: int = SUBMIT_TIMEOUT_MS) -> None:
        """Until a node can commit."""
        self._run(self._talk.wait_ready(timeout_ms))

    def events(self, from_cursor: str | None = None) -> Iterator[ClusterEvent]:
        """All events from a place (by default from now) on, across reconnects and nodes; never ends."""
        start = from_cursor or f"{self.status().stored_height + 1}:0"
        subscription = Subscription(self._talk.cluster, start)
        while True:
            failure: Reply | NoReply = NoReply("the stream ended")
            try:
                with self._http.stream(
                    "GET", subscription.url, headers=STREAM_HEADERS, timeout=STREAM_SILENCE_S
                ) as response:
                    if response.status_code == 200:
                        for message in httpx2.EventSource(response):
                            event = subscription.take(message.event, message.data, message.id)
                            if event is not None:
                                yield event
                    else:
                        failure = reply_of(response, response.read())
            except httpx2.TransportError as error:
                failure = no_reply_of(error)
            time.sleep(subscription.pause_after(failure) / 1000)

    def _run(self, flow: Flow[T]) -> T:
        """Drive a flow with this client's connections and the thread's own sleep."""
        steps = understood(flow)
        answer: Answer = None
        while True:
            try:
                step = steps.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            if isinstance(step, Pause):
                time.sleep(step.pause_ms / 1000)
                answer = None
                continue
            try:
                response = self._http.request(
                    step.method, step.url, content=step.content, timeout=step.timeout_ms / 1000
                )
                answer = reply_of(response, response.content)
            except httpx2.TransportError as error:
                answer = no_reply_of(error)
