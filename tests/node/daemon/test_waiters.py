"""Waiting for receipts and heights: no order of events loses a wake-up, and nobody keeps a place for ever."""

from collections.abc import Iterator

import pytest
import trio
import trio.testing

from consensus import Digest
from node.daemon.waiters import WAITERS_MAX, Found, TooManyWaiters, Waiters
from node.ledger.receipts import Receipt

ONE, TWO, THREE = (bytes((n,)) * 32 for n in (1, 2, 3))
PLACE = (1).to_bytes(8, "big") + (2).to_bytes(4, "big")


def receipt(tx_id: bytes) -> Receipt:
    return Receipt.make(Digest(tx_id), 1, 2, 0, (), Digest(bytes(32)))


def seen(*ids: bytes) -> dict[bytes, Found]:
    """What a client knows of transactions that were certified while it waited."""
    return {tx_id: Found(1, 2, receipt(tx_id)) for tx_id in ids}


def run_here(tx_id: bytes) -> Found:
    """What the hasty know of one that is executed and not certified."""
    return Found(1, 2, receipt(tx_id), is_certified=False)


async def waiting(
    waiters: Waiters, nursery: trio.Nursery, *ids: bytes, is_hasty: bool = False
) -> dict[bytes, Found]:
    """A client that waits already; what it gets to know."""
    known: dict[bytes, Found] = {}

    async def wait() -> None:
        with waiters.party(ids, is_hasty=is_hasty) as party:
            try:
                await party.wait()
            finally:
                known.update(party.found)

    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    return known


async def test_a_client_wakes_once_all_of_its_transactions_are_certified() -> None:
    waiters = Waiters(0)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            known = await waiting(waiters, nursery, ONE, TWO)
            assert len(waiters) == 2
            waiters.certified([receipt(ONE), receipt(THREE)], 1)
            await trio.testing.wait_all_tasks_blocked()
            assert len(waiters) == 1
            assert known == {}
            waiters.certified([receipt(TWO)], 1)
    assert known == seen(ONE, TWO)
    assert len(waiters) == 0


async def test_what_was_stored_before_anybody_waited_is_released_by_whoever_looks_it_up() -> None:
    waiters = Waiters(0)
    waiters.certified([receipt(ONE)], 1)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            known = await waiting(waiters, nursery, ONE)
            waiters.release(ONE, PLACE)
            waiters.release(TWO, PLACE)  # nobody waits for it: nothing happens
    assert known == {ONE: Found(1, 2, None)}
    assert len(waiters) == 0


async def test_a_client_that_gives_up_keeps_what_there_was_and_frees_its_places() -> None:
    waiters = Waiters(0)
    async with trio.open_nursery() as nursery:
        known = await waiting(waiters, nursery, ONE, TWO)
        waiters.certified([receipt(ONE)], 1)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert known == seen(ONE)
    assert len(waiters) == 0


async def test_one_clients_giving_up_does_not_take_the_wake_up_from_another() -> None:
    waiters = Waiters(0)
    with trio.fail_after(10):
        async with trio.open_nursery() as patient:
            patient_known = await waiting(waiters, patient, ONE, TWO)
            async with trio.open_nursery() as hasty:
                hasty_known = await waiting(waiters, hasty, TWO, THREE)
                hasty.cancel_scope.cancel()
            assert hasty_known == {}
            assert len(waiters) == 2
            waiters.certified([receipt(ONE), receipt(TWO)], 1)
    assert patient_known == seen(ONE, TWO)
    assert len(waiters) == 0


async def test_two_clients_of_one_transaction_are_both_told() -> None:
    waiters = Waiters(0)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            first = await waiting(waiters, nursery, ONE)
            second = await waiting(waiters, nursery, ONE)
            assert len(waiters) == 1
            waiters.certified([receipt(ONE)], 1)
    assert first == second == seen(ONE)


async def test_a_request_of_many_transactions_is_woken_once() -> None:
    waiters, turns, ids = Waiters(0), 0, [number.to_bytes(32, "big") for number in range(50)]

    class Turns(trio.abc.Instrument):
        def before_task_step(self, task: trio.lowlevel.Task) -> None:
            nonlocal turns
            turns += task is waiting_task

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await waiting(waiters, nursery, *ids, ids[0])
            (waiting_task,) = nursery.child_tasks
            trio.lowlevel.add_instrument(counter := Turns())
            waiters.certified([receipt(tx_id) for tx_id in ids], 1)
        trio.lowlevel.remove_instrument(counter)
    assert turns == 1
    assert len(waiters) == 0


async def test_who_asks_after_the_certificate_waits_until_it_is_looked_up() -> None:
    waiters = Waiters(0)
    waiters.certified([receipt(ONE)], 1)
    with trio.fail_after(10), waiters.party([ONE]) as party:
        assert party.found == {}
        waiters.release(ONE, PLACE)
        waiters.release(ONE, PLACE)
        await party.wait()
    assert party.found == {ONE: Found(1, 2, None)}
    assert len(waiters) == 0


async def test_hasty_and_patient_clients_of_one_transaction_do_not_take_each_others_place() -> None:
    waiters = Waiters(0)
    with trio.fail_after(10):
        async with trio.open_nursery() as patient:
            known = await waiting(waiters, patient, ONE)
            async with trio.open_nursery() as hasty:
                early = await waiting(waiters, hasty, ONE, is_hasty=True)
                waiters.executed(1, [receipt(ONE)])
            assert len(waiters) == 1
            assert (early, known) == ({ONE: run_here(ONE)}, {})
            waiters.certified([receipt(ONE)], 1)
    assert known == seen(ONE)
    assert len(waiters) == 0


async def test_the_bound_refuses_whole_requests_and_leaves_nothing_behind() -> None:
    waiters = Waiters(0)
    async with trio.open_nursery() as nursery:
        many = [number.to_bytes(32, "big") for number in range(WAITERS_MAX)]
        await waiting(waiters, nursery, *many)
        assert len(waiters) == waiters.limit
        with pytest.raises(TooManyWaiters), waiters.party([b"x" * 32]):
            pass
        assert len(waiters) == WAITERS_MAX
        nursery.cancel_scope.cancel()
    assert len(waiters) == 0


async def test_heights_wake_whoever_waits_for_them_and_never_go_back() -> None:
    waiters = Waiters(5)
    reached: list[tuple[int, int]] = []

    async def wait(height: int) -> None:
        reached.append((height, await waiters.wait_height(height)))

    with trio.fail_after(10):
        assert await waiters.wait_height(4) == 5
        async with trio.open_nursery() as nursery:
            for height in (7, 9):
                nursery.start_soon(wait, height)
            await trio.testing.wait_all_tasks_blocked()
            waiters.stored(6)
            waiters.stored(3)
            await trio.testing.wait_all_tasks_blocked()
            assert reached == []
            waiters.stored(8)
            await trio.testing.wait_all_tasks_blocked()
            assert reached == [(7, 8)]
            waiters.stored(9)
    assert reached == [(7, 8), (9, 9)]


async def test_a_height_is_readable_before_it_is_stored() -> None:
    waiters = Waiters(3)
    stored: list[int] = []

    async def until_stored() -> None:
        stored.append(await waiters.wait_height(4))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(until_stored)
            nursery.start_soon(waiters.wait_readable, 4)
            await trio.testing.wait_all_tasks_blocked()
            waiters.certified([], 4)
            assert await waiters.wait_readable(4) == 4
            await trio.testing.wait_all_tasks_blocked()
            assert (stored, waiters.stored_height) == ([], 3)
            waiters.certified([], 2)
            assert waiters.readable_height == 4, "it never goes back"
            waiters.stored(4)
    assert stored == [4]


async def test_who_reads_what_is_committed_wakes_at_execution_and_nobody_else_does() -> None:
    waiters = Waiters(0)
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            known = await waiting(waiters, nursery, ONE)
            async with trio.open_nursery() as hasty:
                await waiting(waiters, hasty, ONE, is_hasty=True)
                hasty.start_soon(waiters.wait_executed, 1)
                await trio.testing.wait_all_tasks_blocked()
                waiters.executed(1, [receipt(TWO), receipt(ONE)])
            assert (len(waiters), known) == (1, {}), "not certified yet"
            waiters.certified([receipt(ONE)], 1)
    assert (known, len(waiters)) == (seen(ONE), 0)
    assert await waiters.wait_executed(1) == 1


async def test_what_is_certified_is_committed_and_nobody_looks_at_transactions_that_nobody_waits_for() -> (
    None
):
    waiters = Waiters(0)

    def looked_at() -> Iterator[Receipt]:
        raise AssertionError("nobody waits")
        yield receipt(ONE)

    waiters.executed(1, looked_at())
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            known = await waiting(waiters, nursery, ONE, is_hasty=True)
            nursery.start_soon(waiters.wait_executed, 2)
            await trio.testing.wait_all_tasks_blocked()
            waiters.certified([receipt(ONE)], 2)
    assert known == seen(ONE), "who waits for less hears of more"
    assert (waiters.executed_height, len(waiters)) == (2, 0)
    waiters.executed(3, looked_at())


async def test_hasty_clients_that_leave_are_not_looked_for_any_more() -> None:
    """Whether they were told, gave up, or waited for several of which some came."""
    waiters = Waiters(0)

    def looked_at() -> Iterator[Receipt]:
        raise AssertionError("nobody waits")
        yield receipt(ONE)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            both = await waiting(waiters, nursery, ONE, TWO, is_hasty=True)
            again = await waiting(waiters, nursery, ONE, is_hasty=True)
            waiters.executed(1, [receipt(ONE)])
            waiters.release_executed(receipt(ONE))  # told once
            waiters.release(TWO, PLACE)
        assert both == {ONE: run_here(ONE), TWO: Found(1, 2, None)}
        assert again == {ONE: run_here(ONE)}
        async with trio.open_nursery() as nursery:
            left = await waiting(waiters, nursery, ONE, TWO, is_hasty=True)
            waiters.executed(2, [receipt(TWO)])
            nursery.cancel_scope.cancel()
    assert left == {TWO: run_here(TWO)}
    waiters.executed(3, looked_at())
    assert len(waiters) == 0
