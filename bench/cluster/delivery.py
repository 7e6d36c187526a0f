"""One request's way to its outcomes, without IO: what to send, when to send again, what the answers mean.

As the shipped client does (`node/api/conversation.py`): another node is asked when one is silent, what was
refused for want of room or not certified in time is sent again, a replay means that an earlier sending was
taken. Beside it here: transactions are bytes that were signed long before, and refusals are counted.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from bench.cluster.figures import PENDING, UNREACHABLE, UNREADABLE
from node.api.conversation import understood
from node.api.exchange import (
    ApiError,
    Ask,
    ClientError,
    Cluster,
    Flow,
    NotReachable,
    Pause,
    UnexpectedAnswer,
    hash_path,
    read_view,
    submission,
)
from node.api.faults import Fault
from node.api.views import Outcome, ReceiptAnswer
from node.ledger.codes import Code
from node.ledger.receipts import Receipt

AGAIN_MS = 100
_WAIT_STEP_MS = 30_000
BACK_PRESSURE = (
    *(Code.POOL_FULL, Code.QUOTA_EXCEEDED, Code.RATE_LIMITED, Code.NOT_READY),
    *(fault.value.code for fault in (Fault.BUSY, Fault.RATE_LIMITED, Fault.NOT_READY)),
)
"""The ledger's codes of what was refused for now, and the door's of a request of which nothing was taken."""
_OPEN = (*BACK_PRESSURE, PENDING)
"""Outcomes that sending again may still change."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A transaction that is ready to be sent, and its id."""

    tx_id: bytes
    encoded: bytes


@dataclass(slots=True)
class Refusals:
    """How often nodes said no for now; the transactions were sent again."""

    by_code: Counter[int] = field(default_factory=Counter)


def deliver(
    cluster: Cluster, transactions: Sequence[Signed], timeout_ms: int, refusals: Refusals
) -> Flow[tuple[int, ...]]:
    """The outcome of each: CERTIFIED, the code of a receipt or refusal, or one of `figures`' own."""
    codes = [PENDING] * len(transactions)
    try:
        yield from understood(_until_settled(cluster, transactions, codes, timeout_ms, refusals))
    except ClientError as error:
        code = code_of(error)
        codes = [code if found in _OPEN else found for found in codes]
    return tuple(codes)


def _until_settled(
    cluster: Cluster,
    transactions: Sequence[Signed],
    codes: list[int],
    timeout_ms: int,
    refusals: Refusals,
) -> Flow[None]:
    """Fill in `codes`, sending again what is still open until the time is over."""
    deadline = cluster.clock() + timeout_ms
    todo = list(range(len(transactions)))
    while todo:
        wait_ms = max(0, min(deadline - cluster.clock(), _WAIT_STEP_MS))
        answers = yield from _ask(cluster, [transactions[number] for number in todo], wait_ms)
        for number, answer in zip(todo, answers, strict=True):
            if not _is_about(answer, transactions[number]):
                codes[number] = UNREADABLE
            elif answer.code == Code.REPLAYED:
                codes[number] = yield from _earlier(cluster, transactions[number])
            else:
                codes[number] = _judged(answer)
                if answer.code in BACK_PRESSURE:
                    refusals.by_code[answer.code] += 1
        todo = [number for number in todo if codes[number] in _OPEN]
        if not todo or cluster.clock() >= deadline:
            return
        yield Pause(AGAIN_MS)


def _is_about(answer: Outcome, transaction: Signed) -> bool:
    """Whether this tells of the transaction; what a node refuses it names by its place alone."""
    if answer.tx_id is None:
        return answer.state == "rejected"
    return answer.tx_id == transaction.tx_id


def _judged(answer: Outcome) -> int:
    """A code of 0 counts only with the certified receipt; without one a node has said nothing for it."""
    match answer.state:
        case "admitted":
            return PENDING
        case "certified" if answer.receipt is not None:
            return answer.code
        case "rejected" if answer.code:
            return answer.code
    return UNREADABLE


def _ask(cluster: Cluster, transactions: Sequence[Signed], wait_ms: int) -> Flow[tuple[Outcome, ...]]:
    single = len(transactions) == 1
    encoded = [transaction.encoded for transaction in transactions]
    reply = yield from cluster.ask(submission(encoded, single=single, certified=True, wait_ms=wait_ms))
    try:
        answers = (read_view(Outcome, reply),) if single else read_view(tuple[Outcome, ...], reply)
    except ApiError as error:
        if not single and error.code not in BACK_PRESSURE:
            raise
        # Alone, a refusal is an error of the request, and so is that of all; among others it is an outcome.
        refused = Outcome(None, "rejected", error.code, error.name, str(error), None, None, None)
        answers = (refused,) * len(transactions)
    if len(answers) != len(transactions):
        raise UnexpectedAnswer(f"{len(answers)} outcomes came for {len(transactions)} transactions.")
    return answers


def _earlier(cluster: Cluster, transaction: Signed) -> Flow[int]:
    """An earlier sending was taken, by another node perhaps: what became of it, PENDING if nothing yet."""
    reply = yield from cluster.ask(Ask("GET", hash_path("/v1/receipts", transaction.tx_id)))
    if reply.status == 404:
        return PENDING
    receipt = Receipt.decode(read_view(ReceiptAnswer, reply).receipt)
    return receipt.status if receipt.tx_id == transaction.tx_id else UNREADABLE


def code_of(error: ClientError) -> int:
    """The outcome of a request that came to nothing."""
    if isinstance(error, ApiError):
        return error.code
    return UNREACHABLE if isinstance(error, NotReachable) else UNREADABLE
