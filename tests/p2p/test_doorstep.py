"""Who may begin a handshake: by number, by address, by time; and that no flood keeps a known peer out."""

from collections import Counter
from contextlib import ExitStack

import pytest

from p2p import PeerId
from p2p.doorstep import Doorstep, KnownAddresses, address_group
from tests.p2p.nodes import make_config


def key(number: int) -> PeerId:
    return PeerId(number.to_bytes(32, "big"))


PEER = key(0)


def never() -> None:
    raise AssertionError("nobody else may get its place")


def test_an_address_that_comes_too_often_is_turned_away_and_no_other() -> None:
    step = Doorstep(make_config(handshakes_per_second=2, handshakes_burst=3, strangers_per_second=0))
    assert [step.lets_in("10.0.0.1", 0) for _ in range(5)] == [True, True, True, False, False]
    assert step.lets_in("10.0.0.2", 0)
    assert step.lets_in("10.0.0.1", 500)
    assert not step.lets_in("10.0.0.1", 500)
    assert step.counters() == {"refused_connections": 0, "hurried_connections": 3, "displaced_connections": 0}


def test_strangers_of_all_addresses_share_one_allowance_and_peers_do_not() -> None:
    step = Doorstep(make_config(strangers_per_second=1, strangers_burst=10))
    step.known.add("10.9.9.9", PEER, is_member=True)
    assert sum(step.lets_in(f"10.0.0.{number}", 0) for number in range(200)) == 10
    assert step.lets_in("10.9.9.9", 0), "a flood of strangers keeps no known peer out"


def test_waiting_connections_are_bounded_in_all_and_by_address() -> None:
    step = Doorstep(make_config(pending_max=3, pending_per_address=2))
    with step.waiting("a", never), step.waiting("a", never):
        assert not step.lets_in("a", 0)
        assert step.lets_in("b", 0)
    with step.waiting("a", never), step.waiting("b", never), step.waiting(None, never):
        assert step.pending == 2, "a connection of our own making is not counted"
        with step.waiting("c", never):
            assert not step.lets_in("d", 0)
    assert step.limits()["pending_connections"] == (0, 3)
    assert step.counters()["refused_connections"] == 2


def test_strangers_that_wait_and_say_nothing_leave_room_for_peers() -> None:
    step = Doorstep(make_config())
    step.known.add("10.9.9.9", PEER, is_member=True)
    with ExitStack() as silent:
        for number in range(1_000):
            if step.lets_in(f"10.0.0.{number % 8}", number * 20):
                silent.enter_context(step.waiting(f"10.0.0.{number % 8}", never))
        assert step.limits()["pending_strangers"] == (32, 32)
        assert step.lets_in("10.9.9.9", 20_000)
    assert step.limits()["pending_strangers"] == (0, 32)


class Crowd:
    """Connections that wait, by address; those that had to end are counted."""

    def __init__(self, step: Doorstep, stack: ExitStack) -> None:
        self.step = step
        self.stack = stack
        self.ended: Counter[str] = Counter()

    def come(self, source: str, times: int = 1) -> int:
        """How many of so many connections may begin their handshake and wait on."""
        let_in = 0
        for _ in range(times):
            if self.step.lets_in(source, 0):
                self.stack.enter_context(self.step.waiting(source, lambda: self.ended.update((source,))))
                let_in += 1
        return let_in


def test_known_addresses_that_fill_all_places_make_room_for_others_that_come() -> None:
    with ExitStack() as stack:
        step = Doorstep(make_config())
        crowd = Crowd(step, stack)
        for number in range(5):
            step.known.add(f"10.9.9.{number}", key(number), is_member=True)
        for number in range(4):
            assert crowd.come(f"10.9.9.{number}", 20) == 16
        assert step.pending == 64
        assert crowd.come("10.9.9.4", 16) == 12, "as many as the others hold then, but for one"
        assert step.pending == 64
        assert sum(crowd.ended.values()) == 12
        assert {crowd.ended[f"10.9.9.{number}"] for number in range(4)} == {3}, "evenly"
        assert crowd.come("10.9.9.0", 3) == 0, "who holds as many as anybody gets no more"
    assert (step.pending, step.limits()["pending_strangers"][0]) == (0, 0)
    assert step.counters()["displaced_connections"] == 12


def test_a_stranger_takes_places_of_strangers_only() -> None:
    with ExitStack() as stack:
        step = Doorstep(make_config())
        crowd = Crowd(step, stack)
        for number in range(3):
            step.known.add(f"10.9.9.{number}", key(number), is_member=True)
            crowd.come(f"10.9.9.{number}", 16)
        assert crowd.come("10.0.0.1", 16) == 16
        assert step.pending == 64
        assert crowd.come("10.0.0.2", 16) == 8
        assert crowd.ended == {"10.0.0.1": 8}
        assert crowd.come("10.9.9.0") == 0
        for number in range(100):
            crowd.come(f"10.0.1.{number}", 1)
        assert set(crowd.ended) == {"10.0.0.1", "10.0.0.2"}, "and one that holds a single one keeps it"


def test_who_comes_too_often_displaces_nobody() -> None:
    with ExitStack() as stack:
        step = Doorstep(make_config(pending_max=4, handshakes_burst=4, handshakes_per_second=1))
        crowd = Crowd(step, stack)
        for number in range(2):
            step.known.add(str(number), key(number), is_member=True)
        assert crowd.come("1") == 1
        stack.pop_all().close()
        assert crowd.come("0", 4) == 4
        for _ in range(3):
            with step.waiting("1", never):
                pass
            step.lets_in("1", 0)
        displaced = step.counters()["displaced_connections"]
        assert not step.lets_in("1", 0)
        assert step.counters()["displaced_connections"] == displaced


def test_one_key_makes_few_addresses_known_and_pushes_no_other_key_out() -> None:
    known = KnownAddresses(16, 3)
    for number in range(4):
        known.add(f"10.9.9.{number}", key(number), is_member=True)
    for number in range(1_000):
        known.add(f"10.0.{number // 256}.{number % 256}", key(99), is_member=True)
    assert all(f"10.9.9.{number}" in known for number in range(4))
    assert len(known) == 7
    assert "10.0.3.231" in known
    assert "10.0.0.0" not in known
    known.add("10.9.9.0", key(99), is_member=True)
    known.forget(key(99))
    assert len(known) == 4
    assert "10.9.9.0" in known, "another key came from there, too"


def test_keys_of_other_clusters_make_room_before_members() -> None:
    known = KnownAddresses(8, 3)
    for number in range(4):
        known.add(f"10.9.9.{number}", key(number), is_member=True)
    for number in range(100, 200):
        known.add(f"10.1.1.{number}", key(number), is_member=False)
    assert all(f"10.9.9.{number}" in known for number in range(4))
    assert len(known) == 8
    for number in range(200, 220):
        known.add(f"10.2.2.{number}", key(number), is_member=True)
    assert len(known) == 8, "a table full of members forgets the oldest"


def test_a_stranger_that_proves_to_be_a_peer_while_it_waits_is_counted_down_as_a_stranger() -> None:
    step = Doorstep(make_config())
    with step.waiting("10.0.0.1", never):
        step.known.add("10.0.0.1", PEER, is_member=True)
    assert step.limits()["pending_strangers"] == (0, 32)


def test_tables_of_addresses_are_bounded() -> None:
    step = Doorstep(make_config(addresses_max=5, strangers_per_second=0))
    for number in range(50):
        assert step.lets_in(str(number), 0)
        step.known.add(str(number), key(number), is_member=False)
    assert step.limits() == {
        "pending_connections": (0, 64),
        "pending_strangers": (0, 32),
        "handshake_addresses": (5, 5),
        "known_addresses": (5, 5),
    }


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("an address already gone", "an address already gone"),
    ],
)
def test_an_ipv6_address_counts_by_its_network(host: str, group: str) -> None:
    assert address_group(host) == group
