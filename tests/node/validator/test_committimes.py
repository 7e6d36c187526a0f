"""Consensus latency as a node sees it."""

from node.validator.committimes import CommitTimes
from tests.node.pool.world import START_MS, batch, block, committed, naming, transaction


def test_blocks_with_payload_count_from_their_proposers_time_to_their_commit() -> None:
    times = CommitTimes()
    full = [
        block(naming(batch(transaction(number))), round=number, time_ms=START_MS + number)
        for number in (1, 2)
    ]
    empty = block(b"", round=3, time_ms=START_MS + 3)
    times.note([committed(full[0], 1), committed(full[1], 2), committed(empty, 2)], START_MS + 50)
    assert (times.blocks, times.total_ms) == (2, 49 + 48)


def test_a_proposer_whose_clock_is_ahead_takes_no_time() -> None:
    times = CommitTimes()
    times.note([committed(block(naming(batch(transaction(1))), time_ms=START_MS + 10))], START_MS)
    assert (times.blocks, times.total_ms) == (1, 0)
