"""What clients hear: ids, refusals one by one, the same answer for the same bytes, why nothing is taken."""

from bench.sim.world import World
from consensus import Digest
from node.ledger.codes import Code
from node.ledger.transactions import Transaction
from node.storage import ChainTable
from node.validator import Refusal
from node.validator.desk import TICKETS_MAX
from tests.node.ledger.world import STRANGER
from tests.node.validator.world import world_of


def running() -> World:
    """A fresh cluster, past its start."""
    world = world_of(1).start()
    world.run(500)
    return world


def outcomes(world: World, index: int, *transactions: Transaction | bytes) -> tuple[Digest | Refusal, ...]:
    """The answer to one request."""
    node = world.hosts[index]
    ticket = node.submit(*transactions)
    assert world.run(500, lambda: ticket in node.answers)
    return node.answers[ticket]


def code_of(outcome: Digest | Refusal) -> Code | None:
    """Why it was refused; None when it was not."""
    return Code(outcome.code) if isinstance(outcome, Refusal) else None


def test_each_transaction_of_a_request_is_judged_alone() -> None:
    world = running()
    good, late = world.transaction(), world.transaction(life_ms=100)
    far = world.transaction(life_ms=10**9)
    forged = world.transaction().encoded[:-1] + b"\x00"
    stranger = world.transaction(key=STRANGER)
    answer = outcomes(world, 0, good, late, b"junk", forged, stranger, far, good)
    assert [code_of(outcome) for outcome in answer[:6]] == [
        None,
        Code.EXPIRED,
        Code.MALFORMED,
        Code.BAD_SIGNATURE,
        Code.UNKNOWN_SENDER,
        Code.EXPIRY_TOO_FAR,
    ]
    assert answer[0] == answer[6] == good.id
    for outcome in answer:
        assert not isinstance(outcome, Refusal) or outcome.sentence
    assert world.stored([good], 2_000)
    world.settle(1_000)
    assert list(world.checkers.acknowledged) == [good.id]


def test_an_empty_request_is_answered_at_once() -> None:
    assert outcomes(running(), 0) == ()


def test_the_same_bytes_have_the_same_answer_before_and_after_they_are_stored() -> None:
    world = running()
    sent = world.transaction()
    assert outcomes(world, 1, sent) == (sent.id,)
    assert outcomes(world, 1, sent) == (sent.id,)
    assert world.stored([sent], 2_000)
    height = world.hosts[1].height
    assert outcomes(world, 1, sent) == (sent.id,)
    world.run(2_000)
    assert world.hosts[1].height == height
    world.settle(1_000)


def test_the_same_bytes_at_all_nodes_are_executed_once() -> None:
    world = running()
    sent = world.transaction()
    for index in range(4):
        world.hosts[index].submit(sent)
    assert world.stored([sent], 2_000)
    world.run(1_000)
    world.settle(1_000)  # looks for every id at one height only


def test_the_same_bytes_after_a_restart_are_executed_once() -> None:
    world = running()
    sent = world.transaction()
    world.hosts[2].submit(sent)
    assert world.stored([sent], 2_000)
    world.hosts[2].crash()
    world.hosts[2].start()
    assert code_of(outcomes(world, 2, sent)[0]) in (None, Code.REPLAYED)
    world.run(2_000)
    assert world.stored(world.submit(0), 2_000)
    world.settle(1_000)


def test_what_expires_before_it_is_ordered_is_never_stored() -> None:
    world = running()
    world.partition((0,), (1, 2, 3))
    sent = world.transaction(life_ms=3_000)
    assert outcomes(world, 0, sent) == (sent.id,)
    assert world.stored(world.submit(1), 5_000, 1, 2, 3)
    world.run(5_000)
    world.heal()
    assert world.stored(world.submit(1), 20_000)
    world.run(2_000)
    assert world.hosts[0].disk.store.reader().get(ChainTable.TRANSACTIONS, sent.id) is None
    assert code_of(outcomes(world, 0, sent)[0]) is Code.EXPIRED
    assert world.hosts[0].validator.data.desk.limits()[1][1] == 0  # nothing waits for it any more
    world.settle(1_000)


def test_a_node_with_a_full_disk_refuses_payload_and_agrees_on() -> None:
    world = running()
    node = world.hosts[3]
    node.disk_low(True)
    [refused] = outcomes(world, 3, world.transaction())
    assert isinstance(refused, Refusal)
    assert "disk" in refused.sentence
    world.hosts[0].crash()  # so that node 3's votes are needed
    assert world.stored(world.submit(1), 5_000, 1, 2, 3)
    node.disk_low(False)
    sent = world.transaction()
    assert outcomes(world, 3, sent) == (sent.id,)
    assert world.stored([sent], 5_000, 1, 2, 3)


def test_a_desk_that_closes_while_signatures_are_checked_admits_nothing() -> None:
    world = world_of(1, worker_ms=(50, 50)).start()
    world.run(500)
    node = world.hosts[0]
    sent = world.transaction()
    ticket = node.submit(sent)
    node.disk_low(True)
    world.run(100)
    [refused] = node.answers[ticket]
    assert isinstance(refused, Refusal)
    assert "disk" in refused.sentence
    world.run(2_000)
    assert not any(world.in_chain(other, [sent]) for other in world.hosts)


def test_requests_beyond_the_bound_are_told_to_come_back() -> None:
    world = world_of(1, worker_ms=(60_000, 60_000)).start()
    node = world.hosts[0]
    tickets = [node.submit(world.transaction()) for _ in range(TICKETS_MAX)]
    [refused] = outcomes(world, 0, world.transaction())
    assert code_of(refused) is Code.POOL_FULL
    assert not any(ticket in node.answers for ticket in tickets)
    world.checkers.check_bounds(node)


def test_a_transaction_of_the_largest_size_is_stored_and_a_larger_one_refused() -> None:
    world = world_of(1, max_transaction_bytes=1_024).start()
    world.run(500)
    fits = world.transaction(size=700)
    large = world.transaction(size=1_000)
    assert outcomes(world, 0, fits) == (fits.id,)
    assert code_of(outcomes(world, 0, large)[0]) is Code.OVERSIZED
    assert world.stored([fits], 2_000)
