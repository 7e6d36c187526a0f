"""What was promised and is gone, and what is shown and cannot be served, are caught."""

from bench.sim.checkers.durability import HELD_MAX, PROMISES_KEPT, Durability
from bench.sim.checkers.reading import BlockReader, tagged
from bench.sim.checkers.stored import StoredChain
from node.storage import ChainTable, StateTable
from node.validator.layout import HEIGHT_KEY, height_key
from tests.bench.sim.checkers.ledgers import OneHost, chain_of, height_of, transaction
from tests.bench.sim.checkers.statements import block_of, caught, name, pack

A, B, FAR = transaction("a"), transaction("b"), transaction("far")
ONE, TWO = height_of(1, A), height_of(2, B)


def stored() -> tuple[Durability, OneHost]:
    """Two heights, promised and stored."""
    checker, host = Durability(BlockReader()), OneHost()
    for made in (ONE, TWO):
        checker.on_flush(host.host, chain_of(made))
        host.store(made)
        checker.on_flushed(host.host, made.height, chain_of(made))
    return checker, host


def test_promises_that_are_kept_are_silent() -> None:
    checker, host = stored()
    host.life += 1
    checker.on_flush(host.host, StoredChain((), (), (), ()))
    checker.check_stored(host.host)
    assert checker.acknowledged == {A.id: 1, B.id: 2}


def test_a_promise_at_another_height_is_caught() -> None:
    checker, _ = stored()
    caught("durability", lambda: checker.on_flush(OneHost(1).host, chain_of(height_of(3, A))))


def test_an_expiry_too_far_promises_nothing() -> None:
    checker, host = stored()
    checker.on_flush(host.host, chain_of(height_of(3, FAR, status=100)))
    checker.on_flush(host.host, chain_of(height_of(4, FAR)))
    assert checker.acknowledged[FAR.id] == 4


def test_a_database_that_shows_less_than_it_showed_is_caught() -> None:
    checker, host = stored()
    host.put((StateTable.META, HEIGHT_KEY, height_key(1)))
    assert "after 2" in caught("durability", lambda: checker.check_stored(host.host))


def test_another_disk_starts_anew() -> None:
    checker, host = stored()
    host.disk = OneHost().disk
    checker.on_flush(host.host, chain_of(ONE))


def test_a_promise_that_a_crash_takes_back_is_caught() -> None:
    checker, host = stored()
    host.put((ChainTable.TRANSACTIONS, B.id, None))
    host.life += 1
    assert "gone after a crash" in caught("durability", lambda: checker.on_flush(host.host, chain_of()))


def test_what_was_told_and_not_stored_yet_may_wait_for_its_height() -> None:
    checker, host = stored()
    checker.on_flush(host.host, chain_of(height_of(3, FAR)))
    host.life += 1
    checker.on_flush(host.host, chain_of())
    assert "stored at None" in caught("durability", lambda: checker.check_stored(host.host))


def test_a_flush_that_does_not_arrive_is_caught() -> None:
    checker, host = stored()
    caught("durability", lambda: checker.on_flushed(host.host, 3, chain_of()))


def test_a_height_without_certificate_block_or_batch_is_caught() -> None:
    [batch] = TWO.batches
    for table, key in (
        (ChainTable.CERTIFICATES, height_key(2)),
        (ChainTable.BLOCKS, TWO.block_id),
        (ChainTable.BATCHES, tagged("isthmus/batch/v1", batch)),
    ):
        checker, host = stored()
        host.put((table, key, None))
        caught("durability", lambda: checker.on_flushed(host.host, 2, chain_of(TWO)))  # noqa: B023  # called at once
    checker, host = stored()
    host.put((ChainTable.BLOCKS, TWO.block_id, ONE.proposal))
    assert "another block" in caught("durability", lambda: checker.on_flushed(host.host, 2, chain_of(TWO)))


def test_a_missing_body_and_an_untold_transaction_are_caught_in_the_end() -> None:
    checker, host = stored()
    host.put((ChainTable.BODIES, height_key(1), None))
    assert "no body" in caught("durability", lambda: checker.check_stored(host.host))
    checker, host = stored()
    host.store(height_of(3, FAR))
    assert "3 transactions, 2 were told" in caught("durability", lambda: checker.check_stored(host.host))


def test_a_vote_needs_its_block_and_batches() -> None:
    blocks = BlockReader()
    checker, host = Durability(blocks), OneHost()
    body = pack((1, b"", 0, 0, 0, 1, []))
    digest = tagged("isthmus/batch/v1", body)
    block = blocks.read(block_of(5, payload=pack((((0, digest),), ()))).data)
    checker.on_held(host.host, name("anything"))
    assert "neither journal nor" in caught("durability", lambda: checker.on_vote(host.host, 5, block.id))
    checker.on_held(host.host, block.id)
    checker._held[0].voted = 0
    assert "its batches" in caught("durability", lambda: checker.on_vote(host.host, 5, block.id))
    checker._held[0].voted = 0
    host.put((ChainTable.BATCHES, digest, body))
    checker.on_vote(host.host, 5, block.id)
    checker.on_vote(host.host, 5, name("sent again"))


def test_a_block_of_the_database_may_be_voted_for() -> None:
    """Committed, flushed into the chain alone, and found again by the start after a crash between the two."""
    blocks = BlockReader()
    checker, host = Durability(blocks), OneHost()
    block = blocks.read(block_of(5).data)
    checker.on_held(host.host, name("anything"))
    host.put((ChainTable.BLOCKS, block.id, b"the proposal"))
    checker.on_vote(host.host, 5, block.id)


def test_what_is_remembered_of_a_host_is_bounded() -> None:
    checker, host = stored()
    for number in range(HELD_MAX + 10):
        checker.on_held(host.host, number.to_bytes(32, "big"))
    assert len(checker._held[0].names) == HELD_MAX
    many = [transaction(f"t{number}") for number in range(PROMISES_KEPT + 10)]
    checker.on_flush(host.host, chain_of(height_of(3, *many)))
    assert len(checker._shown[0].promised) == PROMISES_KEPT
