"""What goes to the database, what the journal may forget, and what a start needs."""

from tests.node.validator.world import World


def test_batches_that_are_executed_and_stored_leave_the_open_book() -> None:
    # Else the book grows with every batch ever ordered, until it cannot be read back.
    world = World(1).start()
    world.run(500)
    sent = [t for index in range(4) for t in world.submit(index, 120, size=200)]
    assert world.stored(sent, 5_000)
    world.run(1_000)
    for node in world.nodes:
        assert node.validator.data.book.open_counts[1] == 0


def test_batches_stored_by_the_last_flush_before_a_crash_leave_the_open_book_too() -> None:
    world = World(1).start()
    world.run(500)
    sent = [t for index in range(4) for t in world.submit(index, 120, size=200)]
    assert world.stored(sent, 5_000)
    for node in world.nodes:
        node.crash()
    for node in world.nodes:
        node.start()
    more = world.submit(0)
    assert world.stored(more, 5_000)
    world.run(1_000)
    for node in world.nodes:
        assert node.validator.data.book.open_counts[1] == 0
