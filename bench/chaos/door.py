"""One node's HTTP door for a client that wants to know exactly what happened: every request is sent once.

The shipped client sends again what was not answered, so a refusal of the second sending says nothing about
the first. Here a refusal is a refusal of the only request there was, and must never be executed; no answer
is no knowledge. What is sent, read and believed is the shipped conversation's (`node/api`).
"""

from collections.abc import Callable

import httpx2
import trio

from bench.chaos.history import Outcome, Result
from node.api.conversation import Conversation, RecordVersion
from node.api.exchange import (
    Answer,
    ApiError,
    ClientError,
    Cluster,
    Flow,
    NotReachable,
    NotTrusted,
    Reply,
    Send,
    UnexpectedAnswer,
    read_view,
    submission,
)
from node.api.transport import HEADERS, drive, no_reply_of, reply_of, trust_for
from node.api.views import Outcome as Submission
from node.ledger.codes import Code
from node.ledger.receipts import Receipt
from node.ledger.transactions import Transaction

NOT_FOUND = 9013
NOT_BELIEVED = -1
"""Our own code for an answer whose proof does not hold, or that is none: no fault explains it."""
_BUSY, _NOT_READY, _CONNECTIONS, _SHUTTING_DOWN = 9014, 9015, 9018, 9021
_REFUSALS = frozenset(
    [code.value for code in Code if code.value < 100 and code not in (Code.OK, Code.REPLAYED)]
    + [_BUSY, _NOT_READY, _CONNECTIONS, _SHUTTING_DOWN]
)
"""Codes by which a node says that it took nothing; any other error leaves that open."""
WRITE_WAIT_MS = 2_500
ANSWER_MS = 1_500
"""Beyond the time the node itself may wait."""


class NoConnection(Exception):
    """Nothing was sent: the node's port refused."""


class Door:
    """The only way clients of this test reach a node."""

    def __init__(
        self, url: str, trust: bytes, clock_ms: Callable[[], int], write_wait_ms: int = WRITE_WAIT_MS
    ) -> None:
        """`trust` is the cluster's genesis hash: proofs are checked against it. `write_wait_ms` is how long a
        node may wait for a certificate."""
        cluster = Cluster((url,), clock=clock_ms, timeout_ms=ANSWER_MS, rounds_max=1)
        self._talk = Conversation(cluster, trust)
        self._write_wait_ms = write_wait_ms
        self._http = httpx2.AsyncClient(
            verify=trust_for((url,)),
            trust_env=False,
            headers=HEADERS,
            limits=httpx2.Limits(max_connections=64),
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def write(self, transaction: Transaction) -> Outcome:
        """Submit once and wait for the certified receipt."""
        try:
            answer = await drive(self._submit_once(transaction), self._send)
        except NoConnection:
            return Outcome(Result.REFUSED, 0, "no connection")
        except ApiError as error:
            is_refusal = error.code in _REFUSALS
            return Outcome(Result.REFUSED if is_refusal else Result.UNKNOWN, error.code, error.name)
        except ClientError as error:
            return _unknown(error)
        if answer.receipt is None:
            return Outcome(Result.UNKNOWN, 0, answer.state)
        receipt = Receipt.decode(answer.receipt)
        if receipt.tx_id != transaction.id:
            return Outcome(Result.UNKNOWN, 0, "the receipt is another transaction's")
        version = receipt.result if receipt.ok and isinstance(receipt.result, int) else None
        result = Result.OK if receipt.ok else Result.FAILED
        return Outcome(result, receipt.status, "", receipt.height, receipt.index, version)

    async def read(self, record_id: str, min_height: int | None, *, proven: bool, wait_ms: int) -> Outcome:
        """A record's newest version, at `min_height` or above it, with a proof that is checked here."""
        found: RecordVersion | None = None
        with trio.move_on_after((wait_ms + ANSWER_MS) / 1000):
            try:
                found = await drive(self._talk.record(record_id, min_height, proven), self._send)
            except NoConnection:
                return Outcome(Result.REFUSED, 0, "no connection")
            except ApiError as error:
                if error.code == NOT_FOUND:
                    return Outcome(Result.OK)
                return Outcome(Result.REFUSED, error.code, error.name)
            except ClientError as error:
                return _unknown(error)
        if found is None:
            return Outcome(Result.UNKNOWN, 0, "no answer in time")
        entry = found.entry
        if entry is None:
            return Outcome(Result.OK, height=found.height)
        return Outcome(
            Result.OK,
            height=found.height,
            version=entry.number,
            value=entry.content.size,
            tx_id=entry.tx_id,
        )

    def _submit_once(self, transaction: Transaction) -> Flow[Submission]:
        ask = submission((transaction.encoded,), single=True, certified=True, wait_ms=self._write_wait_ms)
        reply: Reply = yield from self._talk.cluster.ask(ask)
        return read_view(Submission, reply)

    async def _send(self, step: Send) -> Answer:
        try:
            response = await self._http.request(
                step.method, step.url, content=step.content, timeout=step.timeout_ms / 1000
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise NoConnection from error
        except httpx2.TransportError as error:
            return no_reply_of(error)
        return reply_of(response, response.content)


def _unknown(error: ClientError) -> Outcome:
    """What a client knows after an error that is no refusal."""
    is_wrong = isinstance(error, NotTrusted | UnexpectedAnswer)
    reason = error.reason if isinstance(error, NotReachable) else str(error)
    return Outcome(Result.UNKNOWN, NOT_BELIEVED if is_wrong else 0, f"{type(error).__name__}: {reason}"[:200])
