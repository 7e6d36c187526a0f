"""What a client may conclude from an answer: done, without effect, certainly not done, or nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from bench.chaos.door import NOT_BELIEVED, Door
from bench.chaos.history import Outcome, Result
from node.api.backend import Busy
from tests.node.api.fake_backend import FakeBackend, put_record
from tests.node.api.live import serving

BUSY, NO_HEIGHT = 9014, 9016


@asynccontextmanager
async def door_to(url: str, trust: bytes = bytes(32), write_wait_ms: int = 2_500) -> AsyncIterator[Door]:
    door = Door(url, trust, lambda: 0, write_wait_ms)
    try:
        yield door
    finally:
        await door.aclose()


@asynccontextmanager
async def served(backend: FakeBackend, write_wait_ms: int = 2_500) -> AsyncIterator[Door]:
    trust = backend.genesis.cluster_id
    async with serving(backend) as live, door_to(live.url, trust, write_wait_ms) as door:
        yield door


async def test_a_write_is_told_with_its_place_and_version() -> None:
    backend = FakeBackend()
    async with served(backend) as door:
        first = await door.write(put_record(backend.genesis, "k/1", 1))
        second = await door.write(put_record(backend.genesis, "k/1", 2, method="supersede"))
    assert first == Outcome(Result.OK, height=1, index=0, version=1)
    assert second == Outcome(Result.OK, height=2, index=0, version=2)


async def test_a_write_without_effect_is_told_with_its_code() -> None:
    backend = FakeBackend()
    async with served(backend) as door:
        await door.write(put_record(backend.genesis, "k/1", 1))
        again = await door.write(put_record(backend.genesis, "k/1", 5))
    assert again == Outcome(Result.FAILED, 200, height=2, index=0)


async def test_a_refusal_is_a_refusal_and_is_sent_once() -> None:
    backend, other = FakeBackend(), FakeBackend()
    transaction = put_record(backend.genesis, "k/1", 1)
    async with served(backend) as door:
        backend.busy = Busy("the pool is full", 10)
        assert await door.write(transaction) == Outcome(Result.REFUSED, BUSY, "busy")
        backend.busy = None
        forged = transaction.encoded[:-1] + bytes([transaction.encoded[-1] ^ 1])
        bad = await door.write(type(transaction).decode(forged))
        assert (bad.result, bad.reason) == (Result.REFUSED, "bad-signature")
    assert backend.submissions == 2
    assert backend.height == other.height == 0


async def test_what_was_taken_and_not_certified_in_time_is_unknown() -> None:
    backend = FakeBackend()
    backend.hold = True
    async with served(backend, write_wait_ms=20) as door:
        assert await door.write(put_record(backend.genesis, "k/1", 1)) == Outcome(
            Result.UNKNOWN, 0, "admitted"
        )


async def test_a_port_that_refuses_took_nothing_and_a_broken_connection_says_nothing() -> None:
    backend = FakeBackend()
    transaction = put_record(backend.genesis, "k/1", 1)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]

    async def hang_up(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some()

    async with trio.open_nursery() as nursery, door_to(f"http://127.0.0.1:{port}") as door:
        nursery.start_soon(trio.serve_listeners, hang_up, listeners)
        broken = await door.write(transaction)
        broken_read = await door.read("k/1", None, proven=False, wait_ms=0)
        nursery.cancel_scope.cancel()
    assert (broken.result, broken_read.result) == (Result.UNKNOWN, Result.UNKNOWN)
    async with door_to(f"http://127.0.0.1:{port}") as door:
        assert await door.write(transaction) == Outcome(Result.REFUSED, 0, "no connection")
        assert (await door.read("k/1", None, proven=False, wait_ms=0)).result is Result.REFUSED


async def test_reads_name_height_version_value_and_writer() -> None:
    backend = FakeBackend()
    transaction = put_record(backend.genesis, "k/1", 7)
    async with served(backend) as door:
        await door.write(transaction)
        for proven in (False, True):
            assert await door.read("k/1", 1, proven=proven, wait_ms=1_000) == Outcome(
                Result.OK, height=1, version=1, value=7, tx_id=bytes(transaction.id)
            )
        assert await door.read("k/2", None, proven=False, wait_ms=0) == Outcome(Result.OK)
        assert await door.read("k/2", None, proven=True, wait_ms=0) == Outcome(Result.OK, height=1)


async def test_a_height_that_does_not_come_is_no_answer() -> None:
    backend = FakeBackend()
    async with served(backend) as door:
        told = await door.read("k/1", 9, proven=False, wait_ms=-1_450)
    assert told == Outcome(Result.UNKNOWN, 0, "no answer in time")


async def test_a_proof_of_another_cluster_is_not_believed() -> None:
    backend = FakeBackend()
    async with serving(backend) as live, door_to(live.url, bytes(32)) as door:
        await door.write(put_record(backend.genesis, "k/1", 1))
        told = await door.read("k/1", None, proven=True, wait_ms=0)
    assert (told.result, told.code) == (Result.UNKNOWN, NOT_BELIEVED)
    assert "NotTrusted" in told.reason
