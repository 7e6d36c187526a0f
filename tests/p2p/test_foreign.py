"""Links between clusters over real sockets: who is accepted for which cluster, what may pass, how much."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from p2p import (
    ConfigError,
    Delivery,
    ForeignPeer,
    MessageRefused,
    Network,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    Priority,
    Topic,
)
from p2p.connection import ANNOUNCE, PING, control
from p2p.frames import encode, encode_header
from p2p.peers import Pace
from tests.p2p.nodes import (
    PENDING,
    STATUS,
    TOPICS,
    VOTES,
    Place,
    connected,
    eventually,
    make_config,
    make_identities,
    make_places,
    next_delivery,
    running,
)
from tests.p2p.strangers import admitted, authenticated, make_hello, wait_closed

BUNDLES = Topic(30, "bundles", Priority.BULK, 600 * 1024, foreign=True)
ALL_TOPICS = (*TOPICS, BUNDLES)
A, B, C = (bytes([number]) * 32 for number in (1, 2, 3))


@asynccontextmanager
async def cluster_node(
    place: Place,
    network_id: bytes,
    foreign: Sequence[ForeignPeer] = (),
    *,
    allowed: Sequence[Place] = (),
    **changes: int,
) -> AsyncIterator[Network]:
    async with running(
        place, (), allowed=allowed, network_id=network_id, topics=ALL_TOPICS, **changes
    ) as network:
        assert network.foreign.update(foreign) == ()
        yield network


def at(place: Place, network_id: bytes, *, dialled: bool) -> ForeignPeer:
    return ForeignPeer(place.peer_id, network_id, place.address() if dialled else None)


async def foreign_event(network: Network) -> PeerConnected | PeerDisconnected | Delivery:
    return await network.foreign.inbox.receive()


async def last_error(network: Network, place: Place, words: str) -> None:
    await eventually(
        lambda: any(
            peer.peer == place.peer_id and words in peer.last_error for peer in network.foreign.status()
        )
    )


@pytest.mark.parametrize("first_dials", [True, False])
async def test_nodes_of_two_clusters_talk_over_a_link_dialled_by_either_side(first_dials: bool) -> None:
    async with (
        make_places(2) as [one, two],
        cluster_node(one, A, [at(two, B, dialled=first_dials)]) as first,
        cluster_node(two, B, [at(one, A, dialled=not first_dials)]) as second,
    ):
        assert await foreign_event(first) == PeerConnected(two.peer_id)
        assert await foreign_event(second) == PeerConnected(one.peer_id)
        assert first.foreign.connected(B) == (two.peer_id,)
        assert first.foreign.connected(A) == ()
        assert second.foreign.cluster_of(one.peer_id) == A
        assert first.foreign.send(two.peer_id, BUNDLES.code, b"give me")
        assert await foreign_event(second) == Delivery(one.peer_id, BUNDLES.code, b"give me")
        large = bytes(range(250)) * 2_000
        assert second.foreign.send(one.peer_id, BUNDLES.code, large)
        assert await foreign_event(first) == Delivery(two.peer_id, BUNDLES.code, large)
        for network in (first, second):
            assert network.status() == ()
            assert network.broadcast(VOTES.code, b"a vote") == 0
            assert network.inbox.items == 0
            assert all(current <= bound for current, bound in network.limits().values())


async def test_another_clusters_hello_from_a_known_key_is_refused_with_both_names() -> None:
    async with (
        make_places(2) as [one, two],
        cluster_node(one, A, [at(two, B, dialled=True)]) as first,
        cluster_node(two, C, [at(one, A, dialled=False)]),
    ):
        await last_error(first, two, f"known as one of cluster {B.hex()[:12]}")
        assert first.foreign.connected(B) == ()
        assert first.foreign.status()[0].score == 0


async def test_a_foreign_key_is_no_member_even_with_the_hello_of_our_own_cluster() -> None:
    async with make_places(2) as [one, two], cluster_node(one, A, [at(two, B, dialled=False)]) as network:
        async with authenticated(one, two.identity) as stream:
            await stream.send_all(control(1, make_hello(network_id=A).encode()))
            await wait_closed(stream)
        await last_error(network, two, "it says that it belongs to 0101")
        assert network.inbox.items == 0


async def test_a_members_hello_of_another_cluster_makes_it_no_foreign_peer() -> None:
    async with (
        make_places(2) as [one, two],
        running(one, allowed=[two], network_id=A, topics=ALL_TOPICS) as network,
    ):
        async with authenticated(one, two.identity) as stream:
            await stream.send_all(control(1, make_hello(network_id=B).encode()))
            await wait_closed(stream)
        await eventually(lambda: "another cluster" in network.status()[0].last_error)
        assert network.foreign.inbox.items == 0


async def test_a_key_that_nobody_listed_never_gets_past_tls() -> None:
    async with (
        make_places(3) as [one, two, stranger],
        cluster_node(one, A, [at(two, B, dialled=False)]) as network,
        cluster_node(stranger, B, [at(one, A, dialled=True)]) as other,
    ):
        await last_error(other, one, "does not know our node key")
        assert "not one of the pinned node keys" in network.last_refused


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (encode(VOTES.code, b"a vote")[0], "it sent votes, which does not pass on this link"),
        (encode(PENDING.code, b"\x04gossip")[0], "it sent pending transactions, which does not pass"),
        (encode_header(0x7FFF_FFFF, STATUS.code), "it sent status, which does not pass"),
        (encode_header(BUNDLES.max_bytes + 2, BUNDLES.code), "the limit is 614400"),
        (encode_header(9, 77), "unknown topic 77"),
        (control(ANNOUNCE, bytes(20)), "gossip on a link between clusters"),
    ],
)
async def test_what_must_not_pass_between_clusters_ends_the_link_and_scores(bad: bytes, words: str) -> None:
    async with make_places(2) as [one, two], cluster_node(one, A, [at(two, B, dialled=False)]) as network:
        async with admitted(one, two.identity, network_id=B) as stream:
            await stream.send_all(bad)
            await wait_closed(stream)
        await last_error(network, two, words)
        assert network.foreign.status()[0].score > 0
        assert network.inbox.items == 0
        assert network.counters()["internal_faults"] == 0


async def test_a_member_cannot_use_what_passes_between_clusters() -> None:
    async with (
        make_places(2) as [one, two],
        running(one, allowed=[two], network_id=A, topics=ALL_TOPICS) as network,
    ):
        async with admitted(one, two.identity, network_id=A) as stream:
            await stream.send_all(encode(BUNDLES.code, b"a bundle")[0])
            await wait_closed(stream)
        await eventually(lambda: "bundles, which does not pass" in network.status()[0].last_error)
        with pytest.raises(MessageRefused, match="between clusters only"):
            network.send(two.peer_id, BUNDLES.code, b"x")
        with pytest.raises(MessageRefused, match="does not pass between clusters"):
            network.foreign.send(two.peer_id, VOTES.code, b"x")
        for body in (b"", bytes(BUNDLES.max_bytes + 1)):
            with pytest.raises(MessageRefused, match="allowed are 1 to 614400"):
                network.foreign.send(two.peer_id, BUNDLES.code, body)
        assert not network.foreign.send(two.peer_id, BUNDLES.code, b"x")


async def test_clusters_upgrade_each_in_its_own_time() -> None:
    async with (
        make_places(2) as [one, two],
        cluster_node(one, A, [at(two, B, dialled=False)]) as network,
        admitted(one, two.identity, network_id=B, protocol_version=9),
    ):
        assert await foreign_event(network) == PeerConnected(two.peer_id)


async def test_a_foreign_flood_fills_its_own_bounds_and_keeps_no_member_waiting() -> None:
    small: dict[str, int] = {"foreign_inbox_items": 4, "foreign_frames_per_second": 100_000}
    async with (
        make_places(3) as [one, two, friend],
        cluster_node(one, A, [at(two, B, dialled=False)], allowed=[friend], **small) as network,
        running(friend, [one], network_id=A, topics=ALL_TOPICS) as member,
    ):
        await connected(member)
        async with admitted(one, two.identity, network_id=B) as stream:
            await stream.send_all(b"".join(encode(BUNDLES.code, b"flood")[0] for _ in range(1_000)))
            await eventually(lambda: network.foreign.inbox.items >= 4)
            assert member.send(one.peer_id, VOTES.code, b"a vote")
            assert (await next_delivery(network)).body == b"a vote"
            assert network.foreign.inbox.items <= 6
            assert all(current <= bound for current, bound in network.limits().values())


async def test_a_peer_that_sends_too_fast_is_read_at_the_rate_and_stays_connected() -> None:
    slow: dict[str, int] = {"foreign_bytes_per_second": 100, "idle_ping_ms": 10, "idle_timeout_ms": 40}
    async with (
        make_places(2) as [one, two],
        cluster_node(one, A, [at(two, B, dialled=False)], allowed=(), **slow) as network,
        admitted(one, two.identity, network_id=B) as stream,
    ):
        assert await foreign_event(network) == PeerConnected(two.peer_id)
        burst = encode(BUNDLES.code, bytes(100))[0] + encode(BUNDLES.code, bytes(30))[0]
        await stream.send_all(burst + control(PING, b""))
        # The second is read some 300 ms later: far beyond the idle limit, which does not count then.
        for size in (100, 30):
            event = await foreign_event(network)
            assert isinstance(event, Delivery)
            assert len(event.body) == size


def test_the_pace_allows_a_seconds_worth_at_once_and_then_the_rate() -> None:
    pace = Pace(10, 1_000)
    assert [pace.take(100, 5_000) for _ in range(10)] == [0] * 10
    assert pace.take(100, 5_000) == 100
    assert pace.take(0, 5_100) == 100
    assert pace.take(3_000, 60_000) == 2_000
    assert pace.take(1, 62_000) == 1
    assert pace.take(1, 70_000) == 0


def test_asking_how_long_one_would_wait_counts_nothing() -> None:
    pace = Pace(10, 1_000)
    assert [pace.wait_ms(5_000) for _ in range(20)] == [0] * 20
    for _ in range(15):
        pace.take(0, 5_000)
    assert pace.wait_ms(5_000) == 600
    assert pace.wait_ms(5_100) == 500
    assert pace.take(0, 5_100) == 500


async def test_foreign_peers_come_and_go_while_the_network_runs() -> None:
    async with (
        make_places(3) as [one, two, three],
        cluster_node(one, A) as network,
        cluster_node(two, B, [at(one, A, dialled=False)]) as second,
        cluster_node(three, C, [at(one, A, dialled=False)]) as third,
    ):
        network.foreign.update([at(two, B, dialled=True)])
        assert await foreign_event(network) == PeerConnected(two.peer_id)
        network.foreign.update([at(two, B, dialled=True), at(three, C, dialled=True)])
        assert await foreign_event(network) == PeerConnected(three.peer_id)
        network.foreign.update([at(three, C, dialled=False)])
        event = await foreign_event(network)
        assert isinstance(event, PeerDisconnected)
        assert (event.peer, "no longer a node that we know" in event.reason) == (two.peer_id, True)
        assert network.foreign.connected(C) == (three.peer_id,)
        assert [peer.peer for peer in network.foreign.status()] == [three.peer_id]
        await eventually(lambda: second.foreign.connected(A) == ())
        assert third.foreign.connected(A) == (one.peer_id,)


async def test_a_key_that_speaks_for_another_cluster_now_is_connected_anew() -> None:
    async with make_places(2) as [one, two], cluster_node(one, A, [at(two, B, dialled=False)]) as network:
        async with admitted(one, two.identity, network_id=B) as stream:
            assert await foreign_event(network) == PeerConnected(two.peer_id)
            network.foreign.update([at(two, C, dialled=False)])
            await wait_closed(stream)
        event = await foreign_event(network)
        assert isinstance(event, PeerDisconnected)
        assert "for another cluster now" in event.reason
        async with admitted(one, two.identity, network_id=C):
            assert await foreign_event(network) == PeerConnected(two.peer_id)
            assert network.foreign.cluster_of(two.peer_id) == C


async def test_no_other_clusters_list_touches_our_own_links() -> None:
    (extra,) = make_identities(4)[3:]
    async with (
        make_places(3) as [one, member, two],
        running(one, allowed=[member], network_id=A, topics=ALL_TOPICS) as network,
        running(member, [one], network_id=A, topics=ALL_TOPICS) as other,
    ):
        await connected(other)
        refused = network.foreign.update(
            [
                ForeignPeer(member.peer_id, B),
                ForeignPeer(one.peer_id, B),
                ForeignPeer(two.peer_id, A),
                ForeignPeer(PeerId(b"short"), B),
                ForeignPeer(extra.peer_id, B),
                ForeignPeer(extra.peer_id, C),
                ForeignPeer(extra.peer_id, B),
            ]
        )
        assert [item.reason.split()[-1] for item in refused] == [
            "cluster", "key", "id", "each", "too", "twice",
        ]  # fmt: skip
        assert [peer.peer for peer in network.foreign.status()] == [extra.peer_id]
        assert [peer.connected for peer in network.status()] == [True]


async def test_a_foreign_peer_that_becomes_a_member_is_a_member_only() -> None:
    async with make_places(2) as [one, two], cluster_node(one, A, [at(two, B, dialled=False)]) as network:
        async with admitted(one, two.identity, network_id=B) as stream:
            assert await foreign_event(network) == PeerConnected(two.peer_id)
            network.update_members([], [two.peer_id])
            await wait_closed(stream)
        async with admitted(one, two.identity, network_id=A) as stream:
            assert await connected(network) == two.peer_id
            await stream.send_all(encode(VOTES.code, b"a vote")[0])
            assert (await next_delivery(network)).body == b"a vote"
        assert network.foreign.status() == ()


async def test_a_foreign_peer_is_scored_and_banned_by_itself() -> None:
    async with make_places(2) as [one, two], cluster_node(one, A, [at(two, B, dialled=False)]) as network:
        async with admitted(one, two.identity, network_id=B) as stream:
            assert await foreign_event(network) == PeerConnected(two.peer_id)
            network.foreign.report(two.peer_id, "false-bundle", 60)
            network.foreign.report(two.peer_id, "false-bundle", 60)
            await wait_closed(stream)
        (status,) = network.foreign.status()
        assert status.banned_for_ms > 0
        assert "false-bundle" in status.last_error
        network.foreign.report(one.peer_id, "unknown", 60)


def test_a_topic_cannot_be_both_gossip_and_foreign_nor_exceed_half_the_foreign_queue() -> None:
    own = make_identities(1)[0].peer_id
    both = Topic(30, "both", Priority.BULK, 1_000, gossip=True, foreign=True)
    with pytest.raises(ConfigError, match="gossip does not pass between clusters"):
        make_config(topics=(both,)).check(own)
    large = Topic(30, "large", Priority.BULK, 3 * 1024 * 1024, foreign=True)
    with pytest.raises(ConfigError, match="raise the foreign queue's bytes"):
        make_config(topics=(large,)).check(own)
