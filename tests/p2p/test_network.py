"""Whole networks over loopback: real sockets, real TLS, ephemeral ports."""

import pytest
import trio

from p2p import (
    ConfigError,
    Delivery,
    MessageRefused,
    Network,
    PeerAddress,
    PortInUse,
    Priority,
    QueueLimit,
    Topic,
    listen,
)
from tests.p2p.nodes import (
    BATCHES,
    PENDING,
    STATUS,
    VOTES,
    Place,
    bind,
    connected,
    disconnected,
    error_of,
    eventually,
    make_config,
    make_identities,
    make_places,
    next_delivery,
    port_of,
    running,
)


async def test_two_nodes_exchange_messages_over_mutual_tls() -> None:
    async with make_places(2) as [one, two], running(one, [two]) as first, running(two, [one]) as second:
        assert await connected(first) == two.peer_id
        assert await connected(second) == one.peer_id
        assert first.send(two.peer_id, VOTES.code, b"a vote")
        assert await next_delivery(second) == Delivery(one.peer_id, VOTES.code, b"a vote")
        large = bytes(range(256)) * 12_000
        assert second.send(one.peer_id, BATCHES.code, large)
        assert await next_delivery(first) == Delivery(two.peer_id, BATCHES.code, large)
        (status,) = first.status()
        assert (status.name, status.connected, status.software) == ("node-1", True, "isthmus/test")
        assert dict(status.bytes_in)["batches"] == len(large)
        assert dict(status.bytes_out)["votes"] == len(b"a vote") + 5


async def test_four_nodes_form_a_full_mesh_with_one_connection_a_pair() -> None:
    async with (
        make_places(4) as places,
        running(places[0], places[1:]) as a,
        running(places[1], [places[0], *places[2:]]) as b,
        running(places[2], [*places[:2], places[3]]) as c,
        running(places[3], places[:3]) as d,
    ):
        for place, network in zip(places, (a, b, c, d), strict=True):
            found = {await connected(network) for _ in range(3)}
            assert found == {other.peer_id for other in places} - {place.peer_id}
        assert a.broadcast(VOTES.code, b"to all") == 3
        for network in (b, c, d):
            assert (await next_delivery(network)).body == b"to all"
        for network in (a, b, c, d):
            assert network.counters()["internal_faults"] == 0
            assert all(current <= bound for current, bound in network.limits().values())


async def test_either_side_may_be_the_only_one_that_knows_an_address() -> None:
    for smaller_dials in (True, False):
        async with make_places(2) as [small, large]:
            dialler, dialled = (small, large) if smaller_dials else (large, small)
            async with (
                running(dialler, [dialled]) as one,
                running(dialled, allowed=[dialler]) as other,
            ):
                assert await connected(one) == dialled.peer_id
                assert await connected(other) == dialler.peer_id
                (status,) = other.status()
                assert status.address is None
                assert status.name == f"{dialler.name} ({dialler.peer_id.hex()[:12]})"


async def test_a_pair_that_dials_at_the_same_moment_settles_on_one_connection() -> None:
    for _ in range(5):
        async with (
            make_places(2) as [one, two],
            running(one, [two], dial_patience_ms=0) as first,
            running(two, [one], dial_patience_ms=0) as second,
        ):
            await connected(first)
            await connected(second)
            await talk_until_settled(first, one, second, two)


async def talk_until_settled(first: Network, one: Place, second: Network, two: Place) -> None:
    """A message each way arrives, however often the connection is replaced in between."""
    for sender, target, receiver in ((first, two, second), (second, one, first)):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:

                async def receive(receiver: Network = receiver, scope: trio.CancelScope = scope) -> None:
                    await next_delivery(receiver)
                    scope.cancel()

                nursery.start_soon(receive)
                while True:
                    sender.send(target.peer_id, STATUS.code, b"are you there?", key=b"probe")
                    await trio.sleep(0.01)


async def test_a_restarted_node_is_found_again_and_nothing_is_kept_for_it_meanwhile() -> None:
    async with make_places(2) as [one, two]:
        port = port_of(two.listener)
        async with running(one, [two]) as first:
            async with running(two, [one]):
                await connected(first)
            gone = await disconnected(first)
            assert gone.peer == two.peer_id
            assert gone.reason
            assert first.send(two.peer_id, VOTES.code, b"lost") is False
            assert first.broadcast(VOTES.code, b"lost") == 0
            await two.rebind(port)
            async with running(two, [one]) as second:
                assert await connected(first) == two.peer_id
                first.send(two.peer_id, VOTES.code, b"fresh")
                assert (await next_delivery(second)).body == b"fresh"


async def test_a_restart_is_not_taken_for_two_processes_with_one_key() -> None:
    async with make_places(2) as [one, two], running(one, allowed=[two]) as first:
        for name in ("started", "started again", "and again"):
            async with running(Place(two.identity, await bind(), name), [one]) as second:
                await connected(first)
                await connected(second)
            await disconnected(first)
        (status,) = first.status()
        assert (status.key_twice_ms_ago, status.own_key_twice_ms_ago) == (None, None)


async def test_two_processes_with_one_key_are_seen_by_the_others_and_told_so_themselves() -> None:
    async with make_places(2) as [one, two], running(one, allowed=[two]) as first:
        copy = Place(two.identity, await bind(), "copy")
        async with running(two, [one]) as original, running(copy, [one]) as twin:
            await eventually(lambda: original.status()[0].own_key_twice_ms_ago is not None)
            await eventually(lambda: twin.status()[0].own_key_twice_ms_ago is not None)
            await eventually(lambda: first.status()[0].key_twice_ms_ago is not None)
            assert first.status()[0].own_key_twice_ms_ago is None
            assert original.status()[0].key_twice_ms_ago is None
        await copy.listener.aclose()


async def test_a_queued_message_is_replaced_by_the_next_one_of_its_key() -> None:
    async with make_places(2) as [one, two], running(one, [two]) as first, running(two, [one]) as second:
        await connected(first)
        for height in range(100):
            first.send(two.peer_id, STATUS.code, b"height %d" % height, key=b"height")
        first.send(two.peer_id, STATUS.code, b"last")
        assert (await next_delivery(second)).body == b"height 99"
        assert (await next_delivery(second)).body == b"last"
        (status,) = first.status()
        assert status.queues[STATUS.priority].coalesced == 99


async def test_what_is_held_leaves_at_the_release_whole_and_the_urgent_first() -> None:
    async with make_places(2) as [one, two], running(one, [two]) as first, running(two, [one]) as second:
        await connected(first)
        await connected(second)
        large = bytes(range(256)) * 12_000
        first.hold()
        for number in range(8):
            first.send(two.peer_id, BATCHES.code, bytes([number]) + large)
        first.send(two.peer_id, VOTES.code, b"a vote")
        held = first.limits()
        assert (held["send_urgent_items"][0], held["send_bulk_items"][0]) == (1, 8)
        first.release()
        assert first.limits()["send_urgent_items"][0] == 0
        assert (await next_delivery(second)).body == b"a vote"
        for number in range(8):
            assert (await next_delivery(second)).body == bytes([number]) + large
        first.send(two.peer_id, VOTES.code, b"another")  # not held any more
        assert (await next_delivery(second)).body == b"another"


async def test_a_link_that_ends_while_frames_are_held_for_it_harms_nobody() -> None:
    async with make_places(2) as [one, two], running(one, [two]) as first, running(two, [one]) as second:
        await connected(first)
        await connected(second)
        first.hold()
        first.send(two.peer_id, VOTES.code, b"a vote")
        first.report(two.peer_id, "test", 1_000)
        first.release()
        assert "misbehaved" in (await disconnected(first)).reason
        assert first.counters()["internal_faults"] == 0


async def test_an_overflowing_queue_drops_the_oldest_and_counts_it() -> None:
    limit = QueueLimit(items=10, bytes=16 * 1024 * 1024)
    async with (
        make_places(2) as [one, two],
        running(one, [two], bulk_queue=limit) as first,
        running(two, [one]) as second,
    ):
        await connected(first)
        for number in range(30):
            first.send(two.peer_id, BATCHES.code, b"%d" % number)
        bodies = [(await next_delivery(second)).body for _ in range(10)]
        assert bodies == [b"%d" % number for number in range(20, 30)]
        (status,) = first.status()
        assert status.queues[BATCHES.priority].dropped == 20


async def test_a_slow_application_holds_its_peers_back_and_loses_nothing() -> None:
    async with (
        make_places(2) as [one, two],
        running(one, [two]) as first,
        running(two, [one], inbox_items_per_peer=4) as second,
    ):
        await connected(first)
        for number in range(200):
            first.send(two.peer_id, BATCHES.code, b"%d" % number)
        for number in range(200):
            assert (await next_delivery(second)).body == b"%d" % number
            assert second.limits()["inbox_items"][0] <= 4


async def test_gossip_crosses_nodes_that_accept_it_and_no_others() -> None:
    async with (
        make_places(3) as [left, middle, right],
        running(left, [middle]) as a,
        running(middle, [left, right]) as b,
        running(right, [middle]) as c,
    ):
        await connected(a)
        for _ in range(2):
            await connected(b)
        await connected(c)
        a.publish(PENDING.code, b"invalid")
        bad = await next_delivery(b)
        assert bad.message_id is not None
        b.reject_gossip(bad.peer, bad.topic, bad.message_id)
        (score,) = (peer.score for peer in b.status() if peer.peer == left.peer_id)
        assert 15 < score <= 20, "20, and it wears off"
        a.publish(PENDING.code, b"valid")
        good = await next_delivery(b)
        assert (good.body, good.peer) == (b"valid", left.peer_id)
        assert good.message_id is not None
        b.accept_gossip(good.peer, good.topic, good.message_id)
        relayed = await next_delivery(c)
        assert (relayed.body, relayed.peer) == (b"valid", middle.peer_id)


async def test_gossip_published_before_a_node_came_is_pulled_when_it_comes() -> None:
    async with make_places(2) as [one, two], running(one, [two]) as first:
        first.publish(PENDING.code, b"early")
        async with running(two, [one]) as second:
            assert (await next_delivery(second)).body == b"early"


async def test_a_reported_peer_is_disconnected_banned_and_told_so() -> None:
    async with (
        make_places(2) as [one, two],
        running(one, [two]) as first,
        running(two, [one], ban_base_ms=600_000) as second,
    ):
        await connected(first)
        await connected(second)
        second.report(one.peer_id, "junk-certificate", 60)
        second.report(one.peer_id, "junk-certificate", 60)
        assert "misbehaved (junk-certificate)" in (await disconnected(second)).reason
        await disconnected(first)
        await error_of(first, two, "you are banned")
        (status,) = second.status()
        assert 0 < status.banned_for_ms <= 600_000
        assert not status.connected


async def test_a_hello_mismatch_names_both_values_on_both_sides() -> None:
    other_cluster = bytes.fromhex("cd34" * 16)
    async with (
        make_places(2) as [one, two],
        running(one, [two]) as first,
        running(two, [one], network_id=other_cluster) as second,
    ):
        for network, theirs, ours in ((first, "cd34", "ab12"), (second, "ab12", "cd34")):
            await error_of(network, one if network is second else two, "another cluster")
            (status,) = network.status()
            assert status.last_error == (
                f"{status.name}: it belongs to another cluster: "
                f"its genesis is {theirs * 3}, ours is {ours * 3}"
            )
            assert status.score == 0


async def test_nodes_of_two_releases_use_the_highest_version_that_both_speak() -> None:
    async with (
        make_places(2) as [one, two],
        running(one, [two], protocol_oldest=4, protocol_version=6) as first,
        running(two, [one], protocol_oldest=3, protocol_version=5) as second,
    ):
        await connected(first)
        await connected(second)
        ((ahead,), (behind,)) = first.status(), second.status()
        assert (ahead.protocol_version, ahead.protocol_newest) == (5, 5)
        assert (behind.protocol_version, behind.protocol_newest) == (5, 6)


async def test_a_topic_is_not_sent_on_links_that_use_a_version_before_it() -> None:
    topics = (STATUS, VOTES, Topic(9, "news", Priority.URGENT, 100, since=2))
    async with (
        make_places(3) as [one, two, three],
        running(one, [two, three], protocol_oldest=1, protocol_version=2, topics=topics) as sender,
        running(two, [one], protocol_oldest=1, protocol_version=2, topics=topics) as newer,
        running(three, [one]) as older,
    ):
        for network in (sender, sender, newer, older):
            await connected(network)
        assert sender.broadcast(9, b"to who knows it") == 1
        assert not sender.send(three.peer_id, 9, b"to who does not")
        assert sender.send(three.peer_id, VOTES.code, b"to everybody")
        assert (await next_delivery(newer)).body == b"to who knows it"
        assert (await next_delivery(older)).body == b"to everybody"


async def test_nodes_without_a_common_version_say_both_ranges_on_both_sides() -> None:
    async with (
        make_places(2) as [one, two],
        running(one, [two], protocol_oldest=4, protocol_version=6) as first,
        running(two, [one], protocol_oldest=2, protocol_version=3) as second,
    ):
        await error_of(first, two, "it speaks protocol 2 to 3 (isthmus/test), we speak 4 to 6")
        await error_of(second, one, "it speaks protocol 4 to 6 (isthmus/test), we speak 2 to 3")
        assert [status.score for status in (*first.status(), *second.status())] == [0, 0]


async def test_an_address_that_leads_to_somebody_else_or_back_is_named() -> None:
    async with make_places(3) as [one, two, three]:
        crossed = Place(two.identity, three.listener, "node-1")
        async with running(three, allowed=[one]), running(one, [crossed], allowed=[three]) as network:
            await error_of(network, two, f"expected its key {two.peer_id.hex()[:12]}, found")
        await one.rebind()
        back = Place(two.identity, one.listener, "node-1")
        async with running(one, [back]) as network:
            await error_of(network, two, "leads back to this node")


async def test_a_node_that_is_not_known_learns_what_to_do() -> None:
    async with make_places(2) as [one, two], running(two) as second, running(one, [two]) as first:
        await error_of(first, two, "it does not know our node key")
        await eventually(lambda: second.counters()["failed_handshakes"] > 0)
        assert "connection from 127.0.0.1: its key is not one of the pinned node keys" in second.last_refused


async def test_membership_changes_while_the_network_runs_and_bystanders_do_not_notice() -> None:
    async with (
        make_places(4) as [node, stays, leaves, comes],
        running(node, [stays, leaves]) as network,
        running(stays, [node]) as bystander,
        running(leaves, [node]) as leaver,
    ):
        assert {await connected(network), await connected(network)} == {stays.peer_id, leaves.peer_id}
        await connected(leaver)
        await connected(bystander)
        network.update_members([stays.address(), comes.address()])
        gone = await disconnected(network)
        assert (gone.peer, "no longer a member" in gone.reason) == (leaves.peer_id, True)
        await error_of(leaver, node, "does not know our node key")
        async with running(comes, [node]):
            assert await connected(network) == comes.peer_id
            assert network.send(stays.peer_id, VOTES.code, b"still the same link")
            event = await bystander.inbox.receive()
            assert event == Delivery(node.peer_id, VOTES.code, b"still the same link")
        with pytest.raises(ConfigError):
            network.update_members([node.address()])
        assert {peer.peer for peer in network.status()} == {stays.peer_id, comes.peer_id}


async def test_an_application_that_sleeps_longer_than_the_idle_limit_keeps_its_links() -> None:
    async with (
        make_places(2) as [one, two],
        running(one, [two], idle_ping_ms=100, idle_timeout_ms=600) as first,
        running(two, [one], idle_ping_ms=100, idle_timeout_ms=600, inbox_items_per_peer=1) as second,
    ):
        await connected(first)
        await connected(second)
        for number in range(5):
            first.send(two.peer_id, VOTES.code, b"%d" % number)
        with trio.move_on_after(1.5):
            await disconnected(first)
            raise AssertionError("the link ended although both processes live")
        for number in range(5):
            assert await second.inbox.receive() == Delivery(one.peer_id, VOTES.code, b"%d" % number)


async def test_a_busy_port_is_one_sentence() -> None:
    taken = await bind()
    with pytest.raises(PortInUse, match="is in use: stop the other process or choose another"):
        await listen("127.0.0.1", port_of(taken))
    with pytest.raises(ConfigError, match=r"cannot listen on 203\.0\.113\.1"):
        await listen("203.0.113.1", 0)
    await taken.aclose()


async def test_what_this_network_cannot_carry_is_our_own_error() -> None:
    async with make_places(2) as [one, two], running(one, [two]) as network:
        for call in (
            lambda: network.send(two.peer_id, 99, b"x"),
            lambda: network.send(two.peer_id, VOTES.code, b""),
            lambda: network.broadcast(VOTES.code, b"x" * (VOTES.max_bytes + 1)),
            lambda: network.broadcast(PENDING.code, b"gossip is published"),
            lambda: network.publish(VOTES.code, b"votes are sent"),
        ):
            with pytest.raises(MessageRefused):
                call()


async def test_the_inbox_ends_when_the_network_does() -> None:
    async with make_places(2) as [one, two], running(one, [two]) as network:
        inbox = network.inbox
    async for _ in inbox:
        pass
    with pytest.raises(trio.EndOfChannel):
        await inbox.receive()


def test_a_configuration_that_cannot_work_says_what_to_change() -> None:
    own, other = (identity.peer_id for identity in make_identities(2))
    address = PeerAddress(other, "node-1", "127.0.0.1", 1)
    for changes, words in (
        ({"network_id": b"short"}, "32-byte genesis hash"),
        ({"peers": (PeerAddress(own, "me", "h", 1),)}, "own key: remove it"),
        ({"peers": (address, address)}, "listed twice"),
        ({"topics": (VOTES, VOTES)}, "used twice"),
        ({"bulk_queue": QueueLimit(items=1, bytes=1_000)}, "raise the bulk queue's bytes"),
    ):
        with pytest.raises(ConfigError, match=words):
            make_config(**changes).check(own)
