"""Signature checks in real worker processes: forged ones are found there too, and none outlives its node."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import trio_parallel
from trio.testing import wait_all_tasks_blocked

from consensus import Epoch, LocalError, PublicKey, Signature, SigningKey, ValidatorIndex
from node.daemon.verifying import check_signatures, judge_batch
from node.daemon.workers import (
    INLINE_BYTES_MAX,
    INLINE_TRANSACTIONS_MAX,
    Workers,
    open_workers,
)
from node.ledger.transactions import Transaction
from node.pool.batches import Batch, BatchRules, batch_digest, verify_batch
from node.pool.signedchunks import signed_transaction
from node.validator import BatchChecked
from tests.node.daemon.running import PATIENCE_SECONDS

KEY = SigningKey(bytes(range(32)))
RULES = BatchRules(bytes(32))
MANY = 40


def transaction(number: int) -> Transaction:
    """A well-signed transaction."""
    unique_id = number.to_bytes(16, "big")
    return Transaction.sign(KEY, RULES.cluster_id, unique_id, 1_000, "app", "call", ("x" * 100,))


def forged(number: int) -> Transaction:
    """The same with a signature that is not its sender's."""
    good = transaction(number).encoded
    return Transaction.decode(good[:-1] + bytes((good[-1] ^ 1,)))


def batch(transactions: tuple[Transaction, ...]) -> bytes:
    """A batch of these."""
    return Batch.make(
        cluster_id=RULES.cluster_id,
        author=ValidatorIndex(0),
        epoch=Epoch(0),
        created_ms=1,
        expires_at_ms=2,
        transactions=tuple(item.encoded for item in transactions),
    ).encoded


@asynccontextmanager
async def workers_of(processes: int) -> AsyncIterator[Workers]:
    """Workers for these tests, under a deadline; they have shown what they can."""
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_workers(RULES, processes) as workers:
            if processes:
                await workers.proven.wait()
            yield workers


def signatures(count: int, bad: int) -> tuple[tuple[Transaction, ...], tuple[bool, ...]]:
    """`count` transactions of which number `bad` is forged, and what is to be said of them."""
    items = tuple(forged(n) if n == bad else transaction(n) for n in range(count))
    return items, tuple(n != bad for n in range(count))


@pytest.mark.parametrize("processes", [0, 1])
async def test_a_forged_signature_is_found_wherever_it_is_looked_for(processes: int) -> None:
    async with workers_of(processes) as workers:
        for count in (1, INLINE_TRANSACTIONS_MAX, MANY):
            items, truth = signatures(count, count - 1)
            assert await workers.check_signatures(items) == truth
        assert await workers.check_signatures(()) == ()


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize("count", [1, MANY], ids=["inline", "large"])
async def test_a_batch_with_one_forged_transaction_is_refused_in_words(processes: int, count: int) -> None:
    good, bad = batch(signatures(count, -1)[0]), batch(signatures(count, count - 1)[0])
    assert (len(good) > INLINE_BYTES_MAX) == (count == MANY)
    async with workers_of(processes) as workers:
        assert await workers.check_batch(good) == BatchChecked(batch_digest(good), None)
        checked = await workers.check_batch(bad)
        assert checked == BatchChecked(batch_digest(bad), verify_batch(bad, RULES).detail)
        assert checked.fault
        assert checked.opened == ()
        assert (await workers.check_batch(good + b"\x00")).fault
        assert (await workers.check_batch(b"")).fault


@pytest.mark.parametrize("count", [1, MANY], ids=["inline", "large"])
async def test_what_the_loop_decoded_comes_with_its_verdict(count: int) -> None:
    items, _ = signatures(count, -1)
    data = batch(items)
    async with workers_of(0) as workers:
        assert (await workers.check_batch(data)).opened == items
        small = workers.check_small_batch(data)
        assert (small is None) == (count == MANY)
        assert small is None or small.opened == items


async def test_a_process_sends_back_its_verdict_and_not_what_it_decoded() -> None:
    data = batch(signatures(MANY, -1)[0])
    assert len(pickle.dumps(judge_batch(data, RULES))) < 500
    async with workers_of(1) as workers:
        assert await workers.check_batch(data) == BatchChecked(batch_digest(data), None)
        assert (await workers.check_batch(data)).opened == ()


@pytest.mark.parametrize("processes", [0, 1])
@pytest.mark.parametrize("count", [1, MANY], ids=["inline", "large"])
async def test_a_chunk_with_one_forged_transaction_is_refused_in_words(processes: int, count: int) -> None:
    good = b"".join(signed_transaction(KEY, RULES.cluster_id, bytes([n]) * 416) for n in range(count))
    bad = good[:-1] + bytes((good[-1] ^ 1,))
    assert (len(good) > INLINE_BYTES_MAX) == (count == MANY)
    async with workers_of(processes) as workers:
        assert await workers.check_chunk(good, 512) is None
        assert await workers.check_chunk(bad, 512) == f"transaction {count - 1}: the signature is wrong"


async def test_the_questions_of_many_share_the_processes_there_are() -> None:
    items, truth = signatures(MANY, 3)
    answers: list[tuple[bool, ...]] = []
    peaks: list[int] = []

    async def ask(workers: Workers) -> None:
        answers.append(await workers.check_signatures(items))
        peaks.append(workers.busy[0])

    async with workers_of(2) as workers:
        assert workers.busy == (0, 2)
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(ask, workers)
    assert answers == [truth] * 6
    assert max(peaks) <= 2


async def test_until_a_process_has_shown_that_it_verifies_everything_is_checked_in_the_loop() -> None:
    items, truth = signatures(MANY, 3)
    data = batch(signatures(MANY, -1)[0])
    with trio.fail_after(PATIENCE_SECONDS):
        async with open_workers(RULES, 1) as workers:
            assert (await workers.check_batch(data)).opened, "nothing was awaited before it was begun"
            assert await workers.check_signatures(items) == truth
            await workers.proven.wait()
            assert not (await workers.check_batch(data)).opened


async def test_a_process_that_does_not_verify_ends_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.daemon.workers.check_signatures", len)
    with trio.fail_after(PATIENCE_SECONDS), pytest.RaisesGroup(pytest.RaisesExc(LocalError, match="broken")):
        async with open_workers(RULES, 1):
            await trio.sleep_forever()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_the_end_waits_for_no_worker_that_is_busy() -> None:
    before = set(spawned_workers())
    async with workers_of(1) as workers, trio.open_nursery() as nursery:
        (own,) = set(spawned_workers()) - before
        os.kill(own, signal.SIGSTOP)  # it would answer never
        nursery.start_soon(workers.check_signatures, signatures(MANY, -1)[0])
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert own not in spawned_workers()


def test_the_check_of_a_signature_never_raises_for_what_is_none() -> None:
    good = transaction(1)
    made = (good.sender, good.id, Signature(os.urandom(64)))
    short = (good.sender, good.id, Signature(b""))
    stranger = (PublicKey(bytes(32)), good.id, good.signature)
    assert check_signatures((made, short, stranger)) == (False, False, False)
    assert check_signatures(((good.sender, good.id, good.signature),)) == (True,)


def test_a_worker_loads_nothing_but_what_it_verifies_with() -> None:
    code = "import sys, node.daemon.verifying, node.pool.batches; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "node.pool.batches" in loaded
    assert not loaded & {"trio", "structlog", "lmdb", "node.validator", "node.daemon.workers", "p2p"}


def spawned_workers() -> list[int]:
    """The worker processes of this process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == os.getpid() and b"spawn_main" in command:
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_a_killed_worker_costs_its_check_a_detour_and_the_node_nothing() -> None:
    transactions, expected = signatures(MANY, 3)
    async with workers_of(1) as workers, trio.open_nursery() as nursery:
        victims = spawned_workers()
        assert victims
        for victim in victims:
            os.kill(victim, signal.SIGSTOP)  # it cannot answer before it is killed

        async def check() -> None:
            assert await workers.check_signatures(transactions) == expected

        nursery.start_soon(check)
        await wait_all_tasks_blocked()  # the work is in the pipe; a process dead before that is replaced
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
    assert workers.deaths == 1


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_workers_belong_to_their_block_and_end_with_it() -> None:
    transactions, expected = signatures(MANY, 3)
    before = set(spawned_workers())
    async with workers_of(1) as workers:
        assert await workers.check_signatures(transactions) == expected
        (own,) = set(spawned_workers()) - before
    assert own not in spawned_workers()
    unowned = trio_parallel.default_context_statistics()
    assert (unowned.idle_workers, unowned.running_workers) == (0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
async def test_a_worker_that_was_killed_while_idle_does_not_spoil_the_end() -> None:
    async with workers_of(1):
        for victim in spawned_workers():
            os.kill(victim, signal.SIGKILL)
