"""The load of a benchmark cluster: bodies of bytes that are made once, before the clock runs.

A load process would measure itself if it made transactions one by one. Here a request is a whole number of
transactions, of random bytes or signed ones (`signedbodies.py`), one sample stands for all of them, and a few
different bodies go round.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle
from random import Random

from bench.cluster.delivery import AGAIN_MS, BACK_PRESSURE, Refusals, code_of
from bench.cluster.figures import CERTIFIED, PENDING, UNREADABLE
from bench.cluster.scenarios import Promise
from node.api.conversation import understood
from node.api.exchange import ApiError, Ask, ClientError, Cluster, Flow, Pause, read_error, read_view
from node.api.opaque import OpaqueOutcome
from node.ledger.receipts import Receipt

BODIES = 16
"""Different ones, which go round: a benchmark cluster deduplicates nothing."""


_WITHOUT_RECEIPT = {"admitted": PENDING, "rejected": CERTIFIED}
"""What there is no receipt of, by its state; what was refused is sent again."""


def bodies(seed: int, body_bytes: int) -> Iterator[bytes]:
    """Bodies without end."""
    random = Random(seed)
    return cycle([random.randbytes(body_bytes) for _ in range(BODIES)])


def deliver_opaque(
    cluster: Cluster,
    body: bytes,
    transaction_bytes: int,
    timeout_ms: int,
    refusals: Refusals,
    promise: Promise = Promise.CERTIFIED,
) -> Flow[int]:
    """The outcome of a body: CERTIFIED once what was promised of its batch is here, or why not. What was
    taken is not sent again: it would be stored twice."""
    try:
        return (
            yield from understood(
                _until_taken(cluster, body, transaction_bytes, timeout_ms, refusals, promise)
            )
        )
    except ClientError as error:
        return code_of(error)


def _until_taken(
    cluster: Cluster,
    body: bytes,
    transaction_bytes: int,
    timeout_ms: int,
    refusals: Refusals,
    promise: Promise,
) -> Flow[int]:
    deadline = cluster.clock() + timeout_ms
    code = CERTIFIED
    while True:
        wait_ms = max(0, deadline - cluster.clock())
        waits = (("wait", promise.value), ("timeout_ms", str(wait_ms)))
        query = (("transaction_bytes", str(transaction_bytes)), *waits)
        reply = yield from cluster.ask(Ask("POST", "/v1/opaque", query, body, wait_ms))
        if reply.status < 300:
            outcomes = read_view(tuple[OpaqueOutcome, ...], reply)
            judged = (_judged(outcome, promise) for outcome in outcomes)
            code = next((found for found in judged if found != CERTIFIED), code)
            if sum(item.transactions for item in outcomes) * transaction_bytes != len(body):
                return UNREADABLE
            body, refused = _refused(outcomes, body, transaction_bytes)
            if not body or refused not in BACK_PRESSURE or cluster.clock() >= deadline:
                return refused if body else code
        else:
            error = read_error(reply)
            if (
                not isinstance(error, ApiError)
                or error.code not in BACK_PRESSURE
                or cluster.clock() >= deadline
            ):
                raise error
            refused = error.code
        refusals.by_code[refused] += len(body) // transaction_bytes
        yield Pause(AGAIN_MS)


def _judged(outcome: OpaqueOutcome, promise: Promise) -> int:
    """What is only committed counts for who asked for no more."""
    if outcome.receipt is None:
        return _WITHOUT_RECEIPT.get(outcome.state, UNREADABLE)
    receipt = Receipt.decode(outcome.receipt)
    is_kept = outcome.state in (Promise.CERTIFIED.value, promise.value)
    return CERTIFIED if is_kept and receipt.tx_id == outcome.batch_id and receipt.ok else UNREADABLE


def _refused(outcomes: Sequence[OpaqueOutcome], body: bytes, transaction_bytes: int) -> tuple[bytes, int]:
    """The pieces of a body that were not taken, and why not."""
    left: list[bytes] = []
    start = code = 0
    for outcome in outcomes:
        end = start + outcome.transactions * transaction_bytes
        if outcome.state == "rejected":
            left.append(body[start:end])
            code = outcome.code
        start = end
    return b"".join(left), code
