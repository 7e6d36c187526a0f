"""The cables, with plain servers in the place of nodes: what is cut, withheld, late, and healed again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from bench.proxies import LOOPBACK, Mesh

PATIENCE_SECONDS = 30
NOTHING_SECONDS = 0.2


async def _echo(stream: trio.SocketStream) -> None:
    async with stream:
        with suppress(trio.BrokenResourceError):  # the cable was cut
            async for chunk in stream:
                await stream.send_all(chunk)


@asynccontextmanager
async def echoing_mesh(nodes: int = 2) -> AsyncIterator[Mesh]:
    """A mesh whose every node answers with what it hears."""
    listeners = [(await trio.open_tcp_listeners(0, host=LOOPBACK))[0] for _ in range(nodes)]
    mesh = Mesh(tuple(listener.socket.getsockname()[1] for listener in listeners))
    await mesh.bind()
    async with trio.open_nursery() as nursery:
        for listener in listeners:
            nursery.start_soon(trio.serve_listeners, _echo, [listener])
        nursery.start_soon(mesh.run)
        with trio.fail_after(PATIENCE_SECONDS):
            yield mesh
        nursery.cancel_scope.cancel()


async def dial(mesh: Mesh, dialler: int = 0, target: int = 1) -> trio.SocketStream:
    return await trio.open_tcp_stream(LOOPBACK, mesh.port(dialler, target))


async def hear(stream: trio.SocketStream, count: int) -> bytes:
    heard = b""
    while len(heard) < count:
        chunk = await stream.receive_some()
        assert chunk, "the connection ended"
        heard += chunk
    return heard


async def ends(stream: trio.SocketStream) -> bool:
    try:
        return await stream.receive_some() == b""
    except trio.BrokenResourceError:
        return True


async def test_a_good_cable_carries_everything_both_ways_in_order() -> None:
    async with echoing_mesh() as mesh, await dial(mesh) as stream:
        data = bytes(range(256)) * 4096
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, data)
            assert await hear(stream, len(data)) == data
        assert mesh.counts.bytes == 2 * len(data)


async def test_a_half_closed_connection_is_carried_to_its_end() -> None:
    async with echoing_mesh() as mesh, await dial(mesh) as stream:
        await stream.send_all(b"last words")
        await stream.send_eof()
        assert await hear(stream, 10) == b"last words"
        assert await ends(stream)


@pytest.mark.parametrize("dialler", [0, 1])
async def test_a_cut_ends_connections_whoever_dialled_and_refuses_new_ones(dialler: int) -> None:
    async with echoing_mesh() as mesh, await dial(mesh, dialler, 1 - dialler) as stream:
        await stream.send_all(b"x")
        await hear(stream, 1)
        mesh.cut(0, 1)
        assert await ends(stream)
        async with await dial(mesh) as refused:
            assert await ends(refused)
        assert (mesh.counts.severed, mesh.counts.refused) == (1, 1)
        mesh.heal()
        async with await dial(mesh) as again:
            await again.send_all(b"y")
            assert await hear(again, 1) == b"y"


async def test_a_cut_leaves_other_cables_alone() -> None:
    async with echoing_mesh(3) as mesh, await dial(mesh, 0, 2) as stream:
        mesh.cut(0, 1)
        await stream.send_all(b"x")
        assert await hear(stream, 1) == b"x"


@pytest.mark.parametrize(("source", "target"), [(0, 1), (1, 0)])
async def test_withheld_bytes_arrive_when_it_is_over(source: int, target: int) -> None:
    async with echoing_mesh() as mesh, await dial(mesh) as stream:
        mesh.hold(source, target)
        await stream.send_all(b"patience")
        heard = b""
        with trio.move_on_after(NOTHING_SECONDS):
            heard = await stream.receive_some()
        assert heard == b""
        mesh.heal()
        assert await hear(stream, 8) == b"patience"
        assert mesh.counts.held_chunks == 1


async def test_one_direction_is_withheld_and_the_other_is_not() -> None:
    listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
    mesh = Mesh((1, listeners[0].socket.getsockname()[1]))
    await mesh.bind()
    async with trio.open_nursery() as nursery, listeners[0]:
        nursery.start_soon(mesh.run)
        with trio.fail_after(PATIENCE_SECONDS):
            mesh.hold(0, 1)
            async with await dial(mesh) as near, await listeners[0].accept() as far:
                await near.send_all(b"withheld")
                await far.send_all(b"through")
                assert await hear(near, 7) == b"through"
                mesh.heal()
                assert await hear(far, 8) == b"withheld"
        nursery.cancel_scope.cancel()


async def test_a_late_cable_keeps_the_order() -> None:
    async with echoing_mesh() as mesh, await dial(mesh) as stream:
        mesh.delay(0, 1, 20)
        for number in range(5):
            await stream.send_all(bytes([number]))
            await trio.sleep(0.001)
        assert await hear(stream, 5) == bytes(range(5))
        assert mesh.counts.delayed_chunks >= 1


async def test_a_node_that_is_down_looks_like_one() -> None:
    mesh = Mesh((1, 1))
    await mesh.bind()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mesh.run)
        with trio.fail_after(PATIENCE_SECONDS):
            async with await dial(mesh) as stream:
                assert await ends(stream)
        nursery.cancel_scope.cancel()
    assert mesh.counts.refused == 1
