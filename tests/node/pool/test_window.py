"""How much of its own a node has under way, judged by how long it takes."""

import random
from dataclasses import replace
from heapq import heappop, heappush
from itertools import pairwise

from consensus import SigningKey, ValidatorIndex
from node.pool.batches import Batch
from node.pool.config import PoolConfig
from node.pool.fairqueue import TURN_BYTES
from node.pool.messages import PushBatch
from node.pool.shelf import FOREIGN, Shelf
from node.pool.window import BATCH_ROUNDS, NARROW_MS, PATIENCE_MS, SLOW_FACTOR, SPARED_PERCENT, Window
from tests.node.pool.world import (
    CONFIG,
    START_MS,
    Node,
    batch,
    block,
    committed,
    naming,
    transaction,
    validator_set,
)

SIZE = 4 * 1024
ANY = transaction(1)
FIRST = CONFIG.window_bytes_first
SMALLEST = CONFIG.window_bytes_min
WIDEST = CONFIG.author_bytes_max // 2
SLOW_MS = CONFIG.commit_target_ms
"""Where a batch that nobody disturbs takes 8 ms."""
SPARED_MS = SLOW_MS * SPARED_PERCENT // 100
FLOODER, HONEST = SigningKey(bytes([31]) * 32), SigningKey(bytes([32]) * 32)


class Author:
    """An author that seals whenever its window lets it; each batch takes as long as the test says."""

    def __init__(self, config: PoolConfig = CONFIG) -> None:
        self.shelf = Shelf(config, validator_set())
        self.window = Window(config, self.shelf, ValidatorIndex(0))
        self.now_ms = 0
        self.sealed: list[Batch] = []
        self.number = 0

    def seal_one(self, size: int = SIZE) -> Batch:
        """A batch is on its way, whatever the window says."""
        self.number += 1
        made = batch(ANY, created_ms=START_MS + self.number)
        self.shelf.add(made, 0)
        self.window.sealed(made.digest, size, self.now_ms)
        return made

    def seal(self) -> None:
        """As much as may be sealed now, in batches of whatever size is usual."""
        while self.window.has_room(self.window.batch_bytes_max):
            self.sealed.append(self.seal_one(self.window.batch_bytes_max))

    def executed(self, *batches: Batch) -> None:
        """These are executed now, and a little later stored."""
        for made in batches:
            self.window.executed([made.digest], self.now_ms)
            self.shelf.remove(made.digest)
        self.window.run(self.now_ms)

    def pause(self) -> None:
        """Nothing comes back for as long as is slow: what was fast before tells nothing any more."""
        self.now_ms += SLOW_MS

    def turn(self, took_ms: int) -> None:
        """All that may be is sealed, and all of it takes so long."""
        self.seal()
        self.now_ms += took_ms
        batches, self.sealed = self.sealed, []
        self.executed(*batches)


def test_while_batches_are_fast_the_window_opens_to_its_bound() -> None:
    author = Author()
    for _ in range(20):
        author.turn(8)
    assert author.window.bytes_max == WIDEST
    assert not author.window.is_narrow(author.now_ms)


def test_while_batches_are_slow_it_shrinks_once_in_each_time_under_way_and_no_further_than_its_bound() -> (
    None
):
    author = Author()
    for _ in range(8):
        author.turn(8)
    widths = [author.window.bytes_max]
    for _ in range(80):
        author.turn(30)
        widths.append(author.window.bytes_max)
    assert all(after >= before * 3 // 4 for before, after in pairwise(widths))
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == SMALLEST
    assert author.window.is_narrow(author.now_ms)


def test_far_too_slow_halves_it() -> None:
    author = Author()
    for _ in range(8):
        author.turn(8)
    author.pause()
    before = author.window.bytes_max
    author.turn(500)
    assert author.window.bytes_max == before // 2


def test_a_window_that_was_not_half_used_shrinks_to_twice_of_what_was() -> None:
    author = Author()
    for _ in range(20):
        author.turn(8)
    author.pause()
    made = author.seal_one(2 * FIRST)
    author.now_ms += 150
    author.executed(made)
    assert author.window.bytes_max == 4 * FIRST


def test_a_slow_machine_does_not_close_the_window_of_who_hardly_uses_it() -> None:
    author = Author()
    author.turn(8)
    for _ in range(10):
        made = author.seal_one(200)
        author.now_ms += 150
        author.executed(made)
    assert author.window.bytes_max == FIRST
    assert author.window.is_narrow(author.now_ms)


def test_when_nothing_was_slow_for_a_while_it_opens_fast_again() -> None:
    author = Author()
    for took_ms in [8] + 20 * [500] + [8] * 3:
        author.turn(took_ms)
    author.now_ms += NARROW_MS
    before = author.window.bytes_max
    author.turn(8)
    assert author.window.bytes_max == 2 * before


def test_when_batches_are_fast_again_it_grows_by_a_step_at_a_time() -> None:
    author = Author()
    author.turn(8)
    for _ in range(10):
        author.turn(500)
    before = author.window.bytes_max
    author.turn(8)
    author.turn(8)
    step = CONFIG.window_step_bytes
    assert before < author.window.bytes_max <= before + 2 * step + step // 2


def test_what_nothing_was_held_back_by_does_not_grow() -> None:
    author = Author()
    for _ in range(50):
        made = author.seal_one()
        author.now_ms += 8
        author.executed(made)
    assert author.window.bytes_max == FIRST


def test_a_batch_that_is_not_back_in_time_shrinks_it_before_it_is_back() -> None:
    author = Author()
    author.turn(8)
    author.pause()
    author.seal()
    before = author.window.bytes_max
    author.window.run(author.now_ms + CONFIG.commit_target_ms)
    assert author.window.bytes_max == before
    author.window.run(author.now_ms + CONFIG.commit_target_ms + 1)
    assert author.window.bytes_max < before


def test_before_the_first_batch_is_back_none_is_known_to_be_slow() -> None:
    author = Author()
    author.seal()
    author.window.run(author.now_ms + 10_000)
    assert (author.window.slow_ms, author.window.bytes_max) == (None, FIRST)


def test_far_away_what_always_takes_long_is_not_slow() -> None:
    author = Author()
    for _ in range(20):
        author.turn(600)
    assert author.window.bytes_max == WIDEST


def scattered(least_ms: int, most_ms: int, seconds: int) -> tuple[Author, int]:
    """An author with more than enough to seal, whose batches take anything between, whatever is under way;
    and how many bytes were executed."""
    rng, author, done = random.Random(7), Author(), 0
    due: list[tuple[int, int, Batch]] = []
    for now_ms in range(1000 * seconds):
        author.now_ms = now_ms
        while due and due[0][0] <= now_ms:
            made = heappop(due)[2]
            done += author.window.batch_bytes_max
            author.executed(made)
        if author.window.has_room(author.window.batch_bytes_max):
            made = author.seal_one(author.window.batch_bytes_max)
            heappush(due, (now_ms + rng.randint(least_ms, most_ms), now_ms, made))
    return author, done


def test_times_that_scatter_are_no_queue() -> None:
    author, done = scattered(10, 40, seconds=5)
    assert author.window.bytes_max > 16 * FIRST
    assert done > 100 * FIRST


def test_among_batches_that_are_all_slow_a_fast_one_shows_that_there_is_no_queue() -> None:
    author = Author()
    author.turn(8)
    slow, other = author.seal_one(), author.seal_one()
    author.now_ms += 20
    author.executed(other)
    author.now_ms += 200
    before = author.window.bytes_max
    author.executed(slow)
    assert author.window.bytes_max == before
    assert not author.window.is_narrow(author.now_ms)


def test_others_batches_do_not_tell_what_a_batch_needs_for_they_may_have_come_late() -> None:
    author = Author()
    for group in (1, FOREIGN):
        other = author.shelf.add(batch(transaction(1 + group), author=1), group)
        author.window.executed([other.batch.digest], 1)
    assert author.window.slow_ms is None
    for _ in range(20):
        author.turn(600)
    assert author.window.bytes_max == WIDEST


def rival(author: Author, size: int) -> None:
    """So much of another author's is executed."""
    other = batch(transaction(author.number, size=size), author=1, created_ms=START_MS + author.now_ms)
    author.shelf.add(other, 1)
    author.window.executed([other.digest], author.now_ms)
    author.shelf.remove(other.digest)


def test_who_had_less_than_others_does_not_shrink_for_a_queue_but_grows_to_their_part() -> None:
    author = Author()
    author.turn(8)
    widths = []
    for _ in range(40):
        rival(author, 40_000)
        author.turn(SPARED_MS)
        widths.append(author.window.bytes_max)
    assert author.window.is_narrow(author.now_ms)
    assert 10_000 < min(widths[20:]) < max(widths) < 60_000


def test_who_had_less_grows_in_a_queue_by_what_a_shrink_takes_at_most() -> None:
    author = Author()
    author.turn(8)
    for _ in range(4):
        rival(author, 60_000)
        before = author.window.bytes_max
        author.turn(SPARED_MS)
        assert before < author.window.bytes_max <= before * 4 // 3


def test_who_had_as_much_as_others_shrinks() -> None:
    author = Author()
    author.turn(8)
    for _ in range(40):
        author.turn(SPARED_MS)
        rival(author, author.window.bytes_max * 9 // 10)
    assert author.window.bytes_max == SMALLEST


def test_who_had_less_shrinks_too_where_batches_take_half_as_long_again_as_is_slow() -> None:
    author = Author()
    for _ in range(8):
        author.turn(8)
    for _ in range(60):
        author.turn(SPARED_MS + 1)
        rival(author, 60_000)
    assert author.window.bytes_max == SMALLEST


def test_what_others_name_as_ours_makes_nobody_rich() -> None:
    author = Author()
    author.turn(8)
    forged = batch(transaction(1, size=60_000), author=0)
    author.shelf.add(forged, FOREIGN)
    for _ in range(10):
        author.window.executed([forged.digest], author.now_ms)
        rival(author, 40_000)
        author.turn(SPARED_MS)
    assert author.window.bytes_max > FIRST


def test_clients_are_held_back_for_a_while_after_the_last_slow_batch() -> None:
    author = Author()
    author.turn(8)
    author.pause()
    author.turn(500)
    assert author.window.is_narrow(author.now_ms + NARROW_MS - 1)
    assert not author.window.is_narrow(author.now_ms + NARROW_MS)


def test_where_all_stays_slow_in_the_smallest_window_the_least_is_taken_anew() -> None:
    author = Author()
    author.turn(8)
    for _ in range(PATIENCE_MS // 6_000):
        author.turn(6_000)
    assert (author.window.bytes_max, author.window.slow_ms) == (SMALLEST, CONFIG.commit_target_ms)
    for _ in range(12):
        author.turn(6_000)
    assert author.window.slow_ms == SLOW_FACTOR * 6_000
    assert author.window.bytes_max > SMALLEST


def test_a_first_batch_in_the_midst_of_a_flood_is_slow_where_rounds_were_seen_in_calm() -> None:
    author = Author()
    author.window.on_own_round(10)
    author.turn(400)
    assert author.window.is_narrow(author.now_ms)
    assert author.window.bytes_max == FIRST // 2
    assert author.window.slow_ms == SLOW_FACTOR * BATCH_ROUNDS * 10


def test_where_rounds_take_long_a_batch_may() -> None:
    author = Author()
    for took_ms in (700, 60, 500):
        author.window.on_own_round(took_ms)
    for _ in range(20):
        author.turn(SLOW_FACTOR * BATCH_ROUNDS * 60)
    assert author.window.bytes_max == WIDEST


def test_a_batch_that_needs_less_than_rounds_tell_counts() -> None:
    author = Author()
    author.window.on_own_round(100)
    author.turn(50)
    assert author.window.slow_ms == SLOW_FACTOR * 50


def test_rounds_tell_nothing_any_more_where_batches_have_shown_for_a_minute_that_they_need_more() -> None:
    author = Author()
    author.window.on_own_round(5)
    for _ in range(2 * PATIENCE_MS // 6_000):
        author.turn(6_000)
        author.window.on_own_round(5)
    assert author.window.slow_ms == SLOW_FACTOR * 6_000
    assert author.window.bytes_max > SMALLEST


def test_what_was_known_in_the_epoch_before_is_known_in_the_next() -> None:
    author, rounds_only, first = Author(), Author(), Author()
    author.turn(30)
    author.window.on_own_round(100)
    author.window.succeed(first.window)
    assert author.window.slow_ms is None
    first.turn(40)
    author.window.succeed(first.window)
    assert author.window.slow_ms == SLOW_FACTOR * 40
    rounds_only.window.on_own_round(20)
    author.window.succeed(rounds_only.window)
    assert author.window.slow_ms == SLOW_FACTOR * BATCH_ROUNDS * 20


def test_without_a_target_nothing_is_held_back() -> None:
    author = Author(replace(CONFIG, commit_target_ms=0))
    for _ in range(2):
        for _ in range(100):
            author.sealed.append(author.seal_one(WIDEST))
        assert author.window.has_room(WIDEST)
        author.now_ms += 10_000
        author.executed(*author.sealed)
        author.sealed = []
    assert not author.window.is_narrow(author.now_ms)
    assert author.window.batch_bytes_max == CONFIG.batch.batch_bytes_max


def test_a_pool_takes_over_what_was_known_in_the_epoch_before() -> None:
    before, after = Node(0, validator_set()), Node(0, validator_set())
    before.pool.sealer.window.on_own_round(100)
    after.pool.succeed(before.pool, {})
    assert after.pool.sealer.window.slow_ms == SLOW_FACTOR * BATCH_ROUNDS * 100


# --- in a pool --------------------------------------------------------------------------------------------


def pushed(n: Node) -> list[Batch]:
    return [Batch.decode(m.data, CONFIG.batch) for _, m in n.out if isinstance(m, PushBatch)]


def settle(n: Node) -> None:
    """Everything handed over so far is executed, and not stored yet."""
    for item in n.ready:
        n.perform(n.pool.on_settled(item.block.block.id, n.now_ms))


def flooded() -> tuple[Node, list[Batch]]:
    """A node with much of one sender behind a full window, and what fills it."""
    n = Node(0, validator_set())
    n.submit(*(transaction(number, size=500, key=FLOODER) for number in range(200)))
    return n, pushed(n)


def test_what_the_window_holds_back_leaves_when_what_is_under_way_is_executed_not_when_it_is_ordered() -> (
    None
):
    n, first = flooded()
    assert sum(len(data) for b in first for data in b.transactions) <= FIRST
    n.commit(committed(block(naming(*first))))
    assert pushed(n) == first
    n.now_ms += 8
    settle(n)
    assert len(pushed(n)) > len(first)


def test_who_pushes_its_batch_only_when_it_is_ordered_closes_nobodys_window() -> None:
    n = Node(0, validator_set())
    late = batch(transaction(1), author=1)
    n.receive(1, PushBatch(late.encoded))
    n.commit(committed(block(naming(late))))
    n.now_ms += 1
    settle(n)
    assert n.pool.sealer.window.slow_ms is None


def test_what_is_executed_at_once_after_a_restart_closes_no_window() -> None:
    n, first = flooded()
    n.disk.update({made.digest: made.encoded for made in first})
    n.restart()
    n.commit(committed(block(naming(*first))))
    n.now_ms += 1
    settle(n)
    assert n.pool.sealer.window.slow_ms is None


def test_a_batch_that_expires_makes_room() -> None:
    n, first = flooded()
    n.now_ms += 70_000
    n.commit(committed(block(b"", time_ms=n.now_ms)))
    again = pushed(n)[len(first) :]
    assert again
    assert n.pool.sealer.window.bytes == sum(len(data) for b in again for data in b.transactions)


def test_what_catching_up_executed_is_under_way_no_more_though_an_older_one_is() -> None:
    n, (oldest, *later) = flooded()
    before = pushed(n)
    n.perform(n.pool.on_synced(1, [(made.digest, n.now_ms) for made in later], n.now_ms, n.now_ms))
    under_way = [oldest, *pushed(n)[len(before) :]]
    assert len(under_way) > 1
    assert n.pool.sealer.window.bytes == sum(len(data) for made in under_way for data in made.transactions)


def test_a_transaction_larger_than_the_window_goes_alone() -> None:
    n = Node(0, validator_set())
    n.submit(transaction(1, size=60_000), transaction(2, size=60_000))
    assert [len(b.transactions) for b in pushed(n)] == [1]


def test_who_sends_little_does_not_wait_for_the_room_of_who_sends_much() -> None:
    n, first = flooded()
    lone = transaction(1_000, key=HONEST)
    n.submit(lone)
    n.now_ms += CONFIG.seal_delay_ms * 8
    n.tick()
    express = pushed(n)[len(first) :]
    assert [b.transactions for b in express] == [(lone.encoded,)]


def test_one_batch_of_those_who_send_little_is_under_way_at_a_time() -> None:
    n, first = flooded()
    for number in range(5):
        n.submit(transaction(1_000 + number, key=SigningKey(bytes([number + 40]) * 32)))
        n.now_ms += CONFIG.seal_delay_ms * 8
        n.tick()
    express = pushed(n)[len(first) :]
    assert len(express) == 1
    n.commit(committed(block(naming(*express))))
    settle(n)
    n.now_ms += CONFIG.seal_delay_ms * 8
    n.tick()
    assert [len(b.transactions) for b in pushed(n)[len(first) :]] == [1, 4]


def test_however_many_send_little_they_do_not_wait_for_the_room_of_who_sends_much() -> None:
    n, first = flooded()
    light = [transaction(1_000, key=SigningKey(bytes([number + 40]) * 32)) for number in range(60)]
    assert sum(len(each.encoded) for each in light) > 2 * TURN_BYTES
    n.submit(light[0])
    n.submit(*light[1:])
    express = pushed(n)[len(first) :]
    n.commit(committed(block(naming(*express))))
    settle(n)
    n.now_ms += CONFIG.seal_delay_ms * 8
    n.tick()
    assert [len(b.transactions) for b in pushed(n)[len(first) :]] == [1, 59]


def test_who_sends_little_waits_for_no_company_beside_a_full_window() -> None:
    n, first = flooded()
    n.submit(transaction(1_000, key=HONEST))
    express = pushed(n)[len(first) :]
    n.commit(committed(block(naming(*express))))
    settle(n)
    n.now_ms += 1
    n.submit(transaction(1_001, key=HONEST))
    assert [len(b.transactions) for b in pushed(n)[len(first) :]] == [1, 1]


def test_one_sender_may_have_a_few_windows_waiting_while_batches_are_slow() -> None:
    n = Node(0, validator_set())
    assert n.pool.sealer.sender_bytes_max == CONFIG.unsealed_bytes_max
    n.submit(transaction(1))
    n.now_ms += 8
    n.commit(committed(block(naming(*pushed(n)))))
    settle(n)
    n.execute_all()
    n.now_ms += SLOW_MS
    n.submit(transaction(2))
    n.now_ms += CONFIG.commit_target_ms + 1
    n.perform(n.pool.on_tick(n.now_ms))
    assert n.pool.sealer.sender_bytes_max == CONFIG.sender_windows * FIRST
    n.now_ms += NARROW_MS
    n.perform(n.pool.on_tick(n.now_ms))
    assert n.pool.sealer.sender_bytes_max == CONFIG.sender_windows * FIRST, "what is under way is slow still"
    last = pushed(n)[-1]
    n.commit(committed(block(naming(last), round=2), 2))
    settle(n)
    n.now_ms += NARROW_MS
    n.perform(n.pool.on_tick(n.now_ms))
    assert n.pool.sealer.sender_bytes_max == CONFIG.unsealed_bytes_max


def test_however_small_the_window_a_sender_may_have_so_much_waiting() -> None:
    n = Node(0, validator_set())
    window = n.pool.sealer.window
    window.on_own_round(1)
    for number in range(8):
        n.submit(transaction(2 * number), transaction(2 * number + 1, size=12_000))
        n.now_ms += 500
        n.commit(committed(block(naming(*pushed(n)[-2:]), round=number + 1), number + 1))
        settle(n)
        n.execute_all()
    assert CONFIG.sender_windows * window.bytes_max < CONFIG.sender_bytes_min
    assert n.pool.sealer.sender_bytes_max == CONFIG.sender_bytes_min
