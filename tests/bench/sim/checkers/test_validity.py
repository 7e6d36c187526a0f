"""Forged, repeated, late and invented transactions, wrong receipts and wrong roots are caught."""

from dataclasses import replace

import pytest

from bench.sim.checkers.merkle import map_root
from bench.sim.checkers.reading import BlockReader
from bench.sim.checkers.validity import Validity
from bench.sim.keyedhash import KEYED_HASH
from node.storage import ChainTable, StateTable
from node.validator.layout import HEIGHT_KEY, height_key
from tests.bench.sim.checkers.ledgers import (
    CAP_MS,
    MadeHeight,
    OneHost,
    chain_of,
    height_of,
    receipt_of,
    transaction,
)
from tests.bench.sim.checkers.statements import CLUSTER, caught, name, pack

A, B = transaction("a"), transaction("b")
FAR = transaction("far", expires_at_ms=100 + CAP_MS + 1)


def checker(*made: object) -> Validity:
    validity = Validity(CLUSTER, CAP_MS, KEYED_HASH, BlockReader())
    for one in (A, B, FAR, *made):
        validity.on_made(one.id)  # type: ignore[attr-defined]  # made transactions
    return validity


def judge(*heights: MadeHeight, made: tuple[object, ...] = ()) -> None:
    """Each height is flushed and stored by one host."""
    validity, host = checker(*made), OneHost()
    for one in heights:
        validity.on_flush(host.host, chain_of(one))
        host.store(one)
        validity.on_flushed(host.host, chain_of(one))


def test_honest_heights_are_silent() -> None:
    judge(height_of(1, A), height_of(2, B), height_of(3))
    judge(height_of(1, A, B))
    judge(height_of(1, FAR, status=100))
    judge(height_of(1, FAR, status=100), height_of(2, FAR, time_ms=200))


def test_a_forged_one_is_caught() -> None:
    forged = transaction("a", forged=True)
    assert "forged" in caught("validity", lambda: judge(height_of(1, forged)))


def test_one_of_another_cluster_is_caught() -> None:
    other = transaction("c", cluster=name("other"))
    assert "another cluster" in caught("validity", lambda: judge(height_of(1, other), made=(other,)))


def test_one_that_nobody_made_is_caught() -> None:
    assert "never made" in caught("validity", lambda: judge(height_of(1, transaction("c"))))


def test_an_expired_one_is_caught_by_the_blocks_time() -> None:
    judge(height_of(1, A, time_ms=499))
    assert "expired" in caught("validity", lambda: judge(height_of(1, A, time_ms=500)))


def test_one_executed_twice_is_caught() -> None:
    assert "at height 1" in caught("validity", lambda: judge(height_of(1, A), height_of(2, A)))
    caught("validity", lambda: judge(height_of(1, A, A)))


def test_two_with_one_unique_id_are_caught() -> None:
    twin = transaction("twin", unique="a")
    assert "unique id" in caught("validity", lambda: judge(height_of(1, A), height_of(2, twin), made=(twin,)))


def test_an_expiry_too_far_has_its_own_status_and_nothing_else_has() -> None:
    caught("validity", lambda: judge(height_of(1, FAR)))
    caught("validity", lambda: judge(height_of(1, A, status=100)))


@pytest.mark.parametrize(
    "receipts",
    [
        (receipt_of(B, 1, 0), receipt_of(A, 1, 1)),
        (receipt_of(A, 2, 0), receipt_of(B, 2, 1)),
        (receipt_of(A, 1, 1), receipt_of(B, 1, 0)),
        (receipt_of(A, 1, 0),),
        (receipt_of(A, 1, 0), receipt_of(B, 1, 1), receipt_of(B, 1, 2)),
    ],
)
def test_receipts_of_another_transaction_or_place_are_caught(receipts: tuple[bytes, ...]) -> None:
    caught("validity", lambda: judge(height_of(1, A, B, receipts=receipts)))


@pytest.mark.parametrize("place", [8, 9])
def test_roots_that_are_not_those_of_the_body_are_caught(place: int) -> None:
    caught("validity", lambda: judge(height_of(1, A, header_changes=((place, bytes(32)),))))


def test_hosts_that_store_other_bodies_are_caught() -> None:
    validity = checker()
    validity.on_flush(OneHost(0).host, chain_of(height_of(1, A)))
    validity.on_flush(OneHost(1).host, chain_of(height_of(1, A)))
    assert "host 2" in caught(
        "validity", lambda: validity.on_flush(OneHost(2).host, chain_of(height_of(1, B)))
    )


def test_ids_that_point_elsewhere_are_caught() -> None:
    good = chain_of(height_of(1, A, B))
    swapped = tuple((one, height, 1 - index) for one, height, index in good.positions)
    for positions in (swapped, good.positions[:1], (*good.positions, (name("c"), 1, 2))):
        false = replace(good, positions=positions)
        caught("validity", lambda: checker().on_flush(OneHost().host, false))  # noqa: B023  # called at once


def test_what_a_block_orders_is_executed_in_its_order() -> None:
    judge(height_of(1, A), height_of(2, B, ordered=(A, B)))
    late = transaction("late", expires_at_ms=50)
    other = transaction("other", cluster=name("other"))
    judge(height_of(1, A, ordered=(late, A, other)))
    assert "not executed" in caught("validity", lambda: judge(height_of(1, A, ordered=(A, B))))
    caught("validity", lambda: judge(height_of(1, A, B, ordered=(B, A))))
    assert "not in its block" in caught("validity", lambda: judge(height_of(1, A, B, ordered=(A,))))


def test_skipped_as_a_replay_of_something_later_is_caught() -> None:
    validity, host = checker(), OneHost()
    heights = (height_of(1, B, ordered=(A, B)), height_of(2, A))
    validity.on_flush(host.host, chain_of(*heights))
    host.store(*heights)
    caught("validity", lambda: validity.on_flushed(host.host, chain_of(*heights)))


def test_a_state_that_is_not_under_its_root_or_not_that_of_others_is_caught() -> None:
    leaves = [(b"k", b"v"), (b"l", b"w")]
    header = height_of(1, header_changes=((10, map_root(leaves)),)).header

    def host(place: int, *entries: tuple[StateTable, bytes, bytes]) -> OneHost:
        one = OneHost(place)
        one.put((ChainTable.HEADERS, height_key(1), header), (StateTable.META, HEIGHT_KEY, height_key(1)))
        one.put(*((StateTable.STATE, key, value) for key, value in leaves), *entries)
        return one

    validity = checker()
    validity.check_state(host(0).host)
    validity.check_state(host(1).host)
    caught("validity", lambda: validity.check_state(host(2, (StateTable.STATE, b"k", b"x")).host))
    caught("validity", lambda: validity.check_state(host(3, (StateTable.REPLAY, b"i", pack(1))).host))
