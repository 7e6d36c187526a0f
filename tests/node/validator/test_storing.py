"""What goes to the database, what the journal may forget, and what a start needs."""

from tests.node.validator.world import world_of


def test_batches_that_are_executed_and_stored_leave_the_open_book() -> None:
    # Else the book grows with every batch ever ordered, until it cannot be read back.
    world = world_of(1).start()
    world.run(500)
    sent = [t for index in range(4) for t in world.submit(index, 120, size=200)]
    assert world.stored(sent, 5_000)
    world.run(1_000)
    for node in world.hosts:
        assert node.validator.data.book.open_counts[1] == 0


def test_batches_stored_by_the_last_flush_before_a_crash_leave_the_open_book_too() -> None:
    world = world_of(1).start()
    world.run(500)
    sent = [t for index in range(4) for t in world.submit(index, 120, size=200)]
    assert world.stored(sent, 5_000)
    for node in world.hosts:
        node.crash()
    for node in world.hosts:
        node.start()
    more = world.submit(0)
    assert world.stored(more, 5_000)
    world.run(1_000)
    for node in world.hosts:
        assert node.validator.data.book.open_counts[1] == 0


def test_what_was_certified_before_a_crash_is_stored_after_it_without_waiting_for_more() -> None:
    # A certified height is signed by nobody again (C25): the certificate must come from the journal.
    world = world_of(1).start()
    world.run(500)
    for node in world.hosts:
        node.flushing = False
    sent = world.submit(0)
    world.run(15_000)
    assert all(node.validator.replica.view().certified_height == 1 for node in world.hosts)
    for node in world.hosts:
        node.crash()
        node.flushing = True
    for node in world.hosts:
        node.start()
    assert world.stored(sent, 3_000)


def test_a_node_with_a_stalled_database_leaves_to_catching_up_what_others_have_certified() -> None:
    world = world_of(3).start()
    world.run(500)
    slow = world.hosts[2]
    slow.flushing = False
    sent = []
    for _ in range(420):
        sent += world.submit(0)
        world.run(60)
    assert world.hosts[0].height > 400
    held = {name: current for name, current, _ in slow.validator.limits()}
    assert held["line_waiting_blocks"] <= 192, "what others have certified is not kept in memory"
    slow.crash()
    slow.flushing = True
    slow.start()
    assert world.stored(sent, 60_000)
