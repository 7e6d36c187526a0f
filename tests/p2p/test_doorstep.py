"""Who may begin a handshake: by number, by address, by time; and that no flood keeps a known peer out."""

from contextlib import ExitStack

import pytest

from p2p.doorstep import Doorstep, address_group
from tests.p2p.nodes import make_config


def test_an_address_that_comes_too_often_is_turned_away_and_no_other() -> None:
    step = Doorstep(make_config(handshakes_per_second=2, handshakes_burst=3, strangers_per_second=0))
    assert [step.lets_in("10.0.0.1", 0) for _ in range(5)] == [True, True, True, False, False]
    assert step.lets_in("10.0.0.2", 0)
    assert step.lets_in("10.0.0.1", 500)
    assert not step.lets_in("10.0.0.1", 500)
    assert step.counters() == {"refused_connections": 0, "hurried_connections": 3}


def test_strangers_of_all_addresses_share_one_allowance_and_peers_do_not() -> None:
    step = Doorstep(make_config(strangers_per_second=1, strangers_burst=10))
    step.know("10.9.9.9")
    assert sum(step.lets_in(f"10.0.0.{number}", 0) for number in range(200)) == 10
    assert step.lets_in("10.9.9.9", 0), "a flood of strangers keeps no known peer out"


def test_waiting_connections_are_bounded_in_all_and_by_address() -> None:
    step = Doorstep(make_config(pending_max=3, pending_per_address=2))
    with step.waiting("a"), step.waiting("a"):
        assert not step.lets_in("a", 0)
        assert step.lets_in("b", 0)
        with step.waiting("b"), step.waiting(None):
            assert step.pending == 3, "a connection of our own making is not counted"
            assert not step.lets_in("c", 0)
    assert step.limits()["pending_connections"] == (0, 3)
    assert step.counters()["refused_connections"] == 2


def test_strangers_that_wait_and_say_nothing_leave_room_for_peers() -> None:
    step = Doorstep(make_config())
    step.know("10.9.9.9")
    with ExitStack() as silent:
        for number in range(1_000):
            if step.lets_in(f"10.0.0.{number % 8}", number * 20):
                silent.enter_context(step.waiting(f"10.0.0.{number % 8}"))
        assert step.limits()["pending_strangers"] == (32, 32)
        assert step.lets_in("10.9.9.9", 20_000)
    assert step.limits()["pending_strangers"] == (0, 32)


def test_a_stranger_that_proves_to_be_a_peer_while_it_waits_is_counted_down_as_a_stranger() -> None:
    step = Doorstep(make_config())
    with step.waiting("10.0.0.1"):
        step.know("10.0.0.1")
    assert step.limits()["pending_strangers"] == (0, 32)


def test_tables_of_addresses_are_bounded() -> None:
    step = Doorstep(make_config(addresses_max=5, strangers_per_second=0))
    for number in range(50):
        assert step.lets_in(str(number), 0)
        step.know(str(number))
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
