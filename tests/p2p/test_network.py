"""Whole networks over loopback: real sockets, real TLS, ephemeral ports."""

import trio

from p2p import Delivery
from tests.p2p.nodes import (
    BATCHES,
    PATIENCE,
    VOTES,
    connected,
    make_places,
    next_delivery,
    running,
)


async def test_two_nodes_exchange_messages_over_mutual_tls() -> None:
    one, two = await make_places(2)
    with trio.fail_after(PATIENCE):
        async with running(one, [two]) as first, running(two, [one]) as second:
            assert await connected(first) == two.peer_id
            assert await connected(second) == one.peer_id
            assert first.send(two.peer_id, VOTES.code, b"a vote")
            assert await next_delivery(second) == Delivery(one.peer_id, VOTES.code, b"a vote")
            large = bytes(range(256)) * 12_000
            assert second.send(one.peer_id, BATCHES.code, large)
            assert await next_delivery(first) == Delivery(two.peer_id, BATCHES.code, large)


async def test_four_nodes_form_a_full_mesh_with_one_connection_a_pair() -> None:
    places = await make_places(4)
    with trio.fail_after(PATIENCE):
        async with (
            running(places[0], places[1:]) as a,
            running(places[1], [places[0], *places[2:]]) as b,
            running(places[2], [*places[:2], places[3]]) as c,
            running(places[3], places[:3]) as d,
        ):
            for network in (a, b, c, d):
                assert {await connected(network) for _ in range(3)} <= {p.peer_id for p in places}
            assert a.broadcast(VOTES.code, b"to all") == 3
            for network in (b, c, d):
                assert (await next_delivery(network)).body == b"to all"
            for network in (a, b, c, d):
                assert network.counters()["internal_faults"] == 0
                assert all(peer.connected for peer in network.status())
