"""Peers and strangers that do what they must not: each costs itself its connection, and nothing else."""

import contextlib
import random

import pytest
import trio

from p2p import Network
from p2p.connection import ANNOUNCE, GOODBYE, HELLO, PING, control, exchange_hello
from p2p.frames import encode, encode_header
from p2p.hello import Hello
from p2p.identity import issue
from p2p.tls import TlsContexts, handshake
from tests.p2p.nodes import (
    BATCHES,
    PENDING,
    VOTES,
    Place,
    connected,
    disconnected,
    error_of,
    eventually,
    make_places,
    next_delivery,
    running,
)
from tests.p2p.strangers import admitted, authenticated, make_hello, plain, read_frames, wait_closed


async def still_works(network: Network, place: Place, friend: Place) -> None:
    """An honest peer connects, and its message arrives."""
    async with running(friend, [place]) as other:
        await connected(other)
        assert other.send(place.peer_id, VOTES.code, b"still here")
        while (await next_delivery(network)).body != b"still here":
            pass
    assert network.counters()["internal_faults"] == 0


async def test_garbage_instead_of_tls_ends_only_its_own_connection() -> None:
    async with make_places(2) as [node, friend], running(node, allowed=[friend]) as network:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 500, random.Random(1).randbytes(5_000)):
            async with plain(node) as stream:
                await stream.send_all(garbage)
                await wait_closed(stream)
        await eventually(lambda: network.counters()["failed_handshakes"] == 3)
        await still_works(network, node, friend)


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (encode_header(VOTES.max_bytes + 2, VOTES.code), "65537 bytes on votes, the limit is 65536"),
        (encode_header(0, VOTES.code), "empty frame"),
        (encode_header(9, 77), "unknown topic 77"),
        (control(99, b"x" * 20), "control frame of unknown kind 99"),
        (control(PING + 40, b""), "gossip ids that is not one"),
        (control(ANNOUNCE, b"x" * 21), "gossip ids that is not one"),
        (control(HELLO, b"again"), "second hello"),
        (encode_header(11 | 0x8000_0000, BATCHES.code) + b"x" * 10 + encode_header(11, PENDING.code), ""),
    ],
)
async def test_a_frame_that_must_not_be_is_named_scored_and_the_link_closed(bad: bytes, words: str) -> None:
    async with make_places(2) as [node, evil], running(node, allowed=[evil]) as network:
        async with admitted(node, evil.identity) as stream:
            assert await connected(network) == evil.peer_id
            await stream.send_all(bad)
            if not words:
                # A chunk of another lane between two chunks is allowed: end it with a real fault.
                await stream.send_all(b"x" * 10 + encode_header(0, VOTES.code))
            event = await disconnected(network)
            assert event.peer == evil.peer_id
            assert (words or "empty frame") in event.reason
            assert event.reason.startswith("stranger (")
            await wait_closed(stream)
        assert 50 < network.status()[0].score <= 60
        assert network.counters()["internal_faults"] == 0


async def test_a_peer_that_keeps_breaking_frames_is_banned_and_told() -> None:
    async with make_places(2) as [node, evil], running(node, allowed=[evil]) as network:
        for _ in range(2):
            async with admitted(node, evil.identity) as stream:
                await stream.send_all(encode_header(0, 1))
                await disconnected(network)
        assert network.status()[0].banned_for_ms > 0
        async with authenticated(node, evil.identity) as stream:
            frames = [frame async for frame in read_frames(stream)]
        assert frames[0].body[0] == GOODBYE
        assert b"you are banned for another" in frames[0].body


async def test_random_bytes_of_an_authenticated_peer_never_reach_a_bug() -> None:
    rng = random.Random(5)
    async with (
        make_places(3) as [node, evil, friend],
        running(node, allowed=[evil, friend], score_limit=1_000_000) as network,
    ):
        for _ in range(30):
            async with admitted(node, evil.identity, instance=rng.randbytes(8)) as stream:
                topic = rng.choice([0, 0, 1, 2, 3, 4])
                body = rng.randbytes(rng.randrange(1, 400))
                await stream.send_all(encode(topic, body)[0] + rng.randbytes(50))
                await disconnected(network)
        await still_works(network, node, friend)


@pytest.mark.parametrize("held", [False, True], ids=["by its task", "at the release"])
async def test_a_peer_that_does_not_read_is_disconnected(held: bool) -> None:
    async with (
        make_places(2) as [node, evil],
        running(node, allowed=[evil], stall_timeout_ms=300) as network,
    ):
        async with admitted(node, evil.identity):
            await connected(network)
            if held:
                network.hold()
            for _ in range(30):
                network.send(evil.peer_id, BATCHES.code, b"x" * (1024 * 1024))
            network.release()
            assert "did not read for 300 ms" in (await disconnected(network)).reason
        assert network.status()[0].score == 0


async def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    async with (
        make_places(2) as [node, evil],
        running(node, allowed=[evil], idle_ping_ms=100, idle_timeout_ms=500) as network,
    ):
        async with admitted(node, evil.identity) as stream:
            await connected(network)
            frames = [frame async for frame in read_frames(stream)]
        assert bytes([PING]) in [frame.body for frame in frames]
        assert "nothing was heard for 500 ms" in (await disconnected(network)).reason


async def test_an_idle_but_living_link_stays() -> None:
    async with (
        make_places(2) as [one, two],
        running(one, [two], idle_ping_ms=50, idle_timeout_ms=2_000) as first,
        running(two, [one], idle_ping_ms=60_000, idle_timeout_ms=60_000) as second,
    ):
        await connected(first)
        await connected(second)
        await eventually(lambda: dict(first.status()[0].bytes_in).get("control", 0) >= 3)
        assert first.status()[0].connected


@pytest.mark.parametrize("stage", ["tcp", "tls"])
async def test_a_handshake_that_takes_for_ever_is_cut_off(stage: str) -> None:
    async with (
        make_places(2) as [node, slow],
        running(node, allowed=[slow], handshake_timeout_ms=300) as network,
    ):
        if stage == "tcp":
            async with plain(node) as stream:
                await stream.send_all(b"\x16")
                await wait_closed(stream)
        else:
            async with authenticated(node, slow.identity) as secure:
                await wait_closed(secure)
            assert "took more than 300 ms" in network.status()[0].last_error
        await eventually(lambda: network.counters()["failed_handshakes"] == 1)
        assert network.limits()["pending_connections"][0] == 0
        await still_works(network, node, slow)


async def test_a_flood_of_connections_is_bounded_by_address_and_in_all() -> None:
    async with (
        make_places(2) as [node, friend],
        running(node, allowed=[friend], pending_per_address=5, handshake_timeout_ms=60_000) as network,
    ):
        async with trio.open_nursery() as nursery:

            async def hold() -> None:
                async with plain(node) as stream:
                    await wait_closed(stream)

            for _ in range(30):
                nursery.start_soon(hold)
            await eventually(lambda: network.counters()["refused_connections"] == 25)
            assert network.limits()["pending_connections"] == (5, 64)
            nursery.cancel_scope.cancel()
        await eventually(lambda: network.limits()["pending_connections"][0] == 0)
        await still_works(network, node, friend)


async def test_a_stranger_with_a_certificate_made_by_a_pinned_key_is_refused() -> None:
    async with make_places(3) as [node, pinned, stranger], running(node, allowed=[pinned]) as network:
        lent = issue(
            stranger.peer_id, "isthmus node", pinned.peer_id.hex(), pinned.identity._key, authority=False
        )
        stranger.identity.__dict__["certificate"] = lent
        async with authenticated(node, stranger.identity) as stream:
            await wait_closed(stream)
        await eventually(lambda: network.counters()["failed_handshakes"] == 1)
        assert network.limits()["connections"][0] == 0


async def test_a_new_connection_of_a_restarted_peer_replaces_the_dead_one() -> None:
    async with (
        make_places(2) as [node, peer],
        running(node, allowed=[peer]) as network,
        admitted(node, peer.identity, instance=b"before--") as old,
    ):
        await connected(network)
        async with admitted(node, peer.identity, instance=b"after---") as new:
            assert "replaced by a newer connection" in (await disconnected(network)).reason
            await connected(network)
            await wait_closed(old)
            await new.send_all(encode(VOTES.code, b"I am back")[0])
            assert (await next_delivery(network)).body == b"I am back"
            assert network.limits()["connections"] == (1, 1)


async def test_a_first_frame_that_is_no_hello_or_too_large_is_refused() -> None:
    first_frames = (
        (encode(VOTES.code, b"vote before hello")[0], "unknown topic 1"),
        (encode_header(5_000, 0), "on the hello, the limit is"),
        (control(PING, b""), "its first frame is not a hello"),
        (control(GOODBYE, b"no \x1b[2J thanks"), "it closed the connection: no ?[2J thanks"),
        (control(HELLO, b"\xc1"), "its hello is not readable"),
    )
    async with (
        make_places(2) as [node, evil],
        running(node, allowed=[evil], score_limit=1_000_000) as network,
    ):
        for frame, words in first_frames:
            async with authenticated(node, evil.identity) as stream:
                await stream.send_all(frame)
                await wait_closed(stream)
            await error_of(network, evil, words)
        assert network.counters()["internal_faults"] == 0


async def test_a_hello_in_single_bytes_and_messages_right_behind_it_are_understood() -> None:
    hello: Hello = make_hello()
    async with (
        make_places(2) as [node, peer],
        running(node, allowed=[peer]) as network,
        authenticated(node, peer.identity) as stream,
    ):
        for value in control(HELLO, hello.encode())[:-1]:
            await stream.send_all(bytes([value]))
        last = control(HELLO, hello.encode())[-1:]
        await stream.send_all(last + encode(VOTES.code, b"early")[0])
        assert (await next_delivery(network)).body == b"early"


async def test_a_bug_reached_by_a_peer_is_told_loudly_and_ends_that_link_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with make_places(2) as [node, peer], running(node, allowed=[peer]) as network:
        topic = network._topics.pop(VOTES.code)
        async with admitted(node, peer.identity) as stream:
            await stream.send_all(encode(VOTES.code, b"the frame that finds the bug")[0])
            assert "internal error, please report it: " in (await disconnected(network)).reason
        assert network.counters()["internal_faults"] == 1
        assert network.status()[0].score == 0, "our bug is not the peer's fault"
        (record,) = [record for record in caplog.records if record.name == "p2p"]
        assert record.exc_info is not None
        network._topics[VOTES.code] = topic
        async with admitted(node, peer.identity) as stream:
            await stream.send_all(encode(VOTES.code, b"the node still works")[0])
            assert (await next_delivery(network)).body == b"the node still works"


async def test_a_flood_of_handshakes_is_rationed_by_address_and_ends() -> None:
    async with (
        make_places(2) as [node, friend],
        running(node, allowed=[friend], handshakes_per_second=1, handshakes_burst=6) as network,
    ):
        for _ in range(20):
            async with plain(node) as stream:
                await wait_closed_after(stream, b"no TLS at all, but work for us")
        assert network.counters()["failed_handshakes"] <= 8, "six at once, and one a second"
        assert network.counters()["hurried_connections"] >= 12
        assert network.limits()["handshake_addresses"] == (1, 4_096)
        await still_works(network, node, friend)  # from the same address, as soon as it may again


async def wait_closed_after(stream: trio.SocketStream, data: bytes) -> None:
    """Sends `data`, if the other side still takes it, and reads until it closes."""
    try:
        await stream.send_all(data)
    except trio.BrokenResourceError:
        return
    await wait_closed(stream)


async def test_a_recorded_handshake_played_again_proves_nothing() -> None:
    async with make_places(3) as [node, peer, friend], running(node, allowed=[peer, friend]) as network:
        recorded: list[bytes] = []
        async with plain(node) as transport:
            secure = TlsContexts(peer.identity, [node.peer_id]).wrap(
                Recording(transport, recorded), server_side=False
            )
            await handshake(secure, "node")
            await exchange_hello(secure, make_hello(), "node", speaks_first=False)
            assert await connected(network) == peer.peer_id
        await disconnected(network)
        assert len(b"".join(recorded)) > 500, "a whole handshake with its certificate was recorded"
        async with plain(node) as stream:
            for flight in recorded:
                await wait_sent(stream, flight)
            await wait_closed(stream)
        await eventually(lambda: network.counters()["failed_handshakes"] == 1)
        status = next(one for one in network.status() if one.peer == peer.peer_id)
        assert not status.connected
        assert status.score == 0, "whose handshake it was is not blamed for who plays it"
        await still_works(network, node, friend)


async def wait_sent(stream: trio.SocketStream, data: bytes) -> None:
    """Sends what the other side may have stopped reading."""
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(data)


class Recording(trio.abc.Stream):
    """A transport that keeps what is sent over it."""

    def __init__(self, transport: trio.SocketStream, sent: list[bytes]) -> None:
        self._transport = transport
        self._sent = sent

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        self._sent.append(bytes(data))
        await self._transport.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._transport.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._transport.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._transport.aclose()


async def test_a_hostile_peer_that_fills_every_place_to_wait_in_keeps_no_other_peer_out() -> None:
    bounds = {"pending_max": 6, "pending_per_address": 6, "handshake_timeout_ms": 60_000}
    async with (
        make_places(3) as [node, evil, friend],
        running(node, allowed=[evil, friend], **bounds) as network,
    ):
        for peer, address in ((friend, "127.0.0.1"), (evil, "127.0.0.2")):  # known from here on
            async with admitted(node, peer.identity, local_address=address):
                assert await connected(network) == peer.peer_id
            await disconnected(network)
        async with contextlib.AsyncExitStack() as silent:
            for _ in range(6):
                await silent.enter_async_context(plain(node, local_address="127.0.0.2"))
            await eventually(lambda: network.limits()["pending_connections"] == (6, 6))
            await still_works(network, node, friend)
            assert network.counters()["displaced_connections"] >= 1
            assert network.limits()["pending_connections"][0] >= 4
        assert network.limits()["known_addresses"][0] == 2
