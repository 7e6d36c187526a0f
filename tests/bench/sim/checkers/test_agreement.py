"""Forks, and hosts that execute anything but the one sequence, are caught."""

from dataclasses import replace

from bench.sim.checkers.agreement import OPEN_MAX, Agreement
from tests.bench.sim.checkers.statements import ROOT, Made, block_of, caught, chain_of, name, tc_of


def told(blocks: list[Made]) -> Agreement:
    """Every block seen, and every QC on one of them."""
    checker = Agreement(ROOT)
    for made in blocks:
        checker.on_block(made.seen)
    for made in blocks:
        qc = made.qc()
        checker.on_certified(qc[3], qc[4], qc[5])
    return checker


def test_the_sequence_grows_by_two_chains() -> None:
    blocks = chain_of(1, 2, 4, 5, 6)
    checker = told(blocks)
    assert checker.chain == [ROOT, *(made.id for made in blocks[:4])]


def test_a_certificate_that_commits_nothing_adds_nothing() -> None:
    assert told(chain_of(1, 3, 5)).chain == [ROOT]


def test_a_commit_waits_for_blocks_that_come_late() -> None:
    blocks = chain_of(1, 2, 3)
    checker = Agreement(ROOT)
    qc = blocks[2].qc()
    checker.on_certified(qc[3], qc[4], qc[5])
    checker.on_block(blocks[1].seen)
    assert checker.chain == [ROOT]
    checker.on_block(blocks[0].seen)
    assert checker.chain == [ROOT, blocks[0].id, blocks[1].id]


def test_a_commit_beside_the_sequence_is_caught() -> None:
    blocks = chain_of(1, 2, 3, 4)
    checker = told(blocks)
    fork = block_of(7, blocks[0].qc(), tc_of(6, (1, 1, 1)))
    checker.on_block(fork.seen)
    assert "extends place 1" in caught("agreement", lambda: checker.on_committed(fork.id))


def test_a_commit_of_an_old_round_beside_the_sequence_is_caught_without_its_block() -> None:
    checker = told(chain_of(1, 2, 3, 4))
    caught("agreement", lambda: checker.on_certified(name("other"), 2, name("other")))


def test_a_block_that_lies_about_its_parents_round_is_caught() -> None:
    blocks = chain_of(1, 2)
    checker = told(blocks)
    qc = blocks[1].qc()
    liar = block_of(5, (*qc[:1], 4, *qc[2:]))
    checker.on_block(liar.seen)
    caught("agreement", lambda: checker.on_committed(liar.id))


def test_hosts_execute_the_sequence() -> None:
    blocks = chain_of(1, 2, 3, 4, 5, payload_at=(1, 4))
    checker = told(blocks)
    for who in ("0", "1"):
        checker.on_executed(who, 1, blocks[0].id)
        checker.on_executed(who, 2, blocks[3].id)


def test_two_blocks_at_one_height_are_caught() -> None:
    blocks = chain_of(1, 2, 3, payload_at=(1, 2))
    checker = told(blocks)
    checker.on_executed("0", 1, blocks[0].id)
    assert "host 1" in caught("agreement", lambda: checker.on_executed("1", 1, blocks[1].id))


def test_a_block_executed_twice_is_caught() -> None:
    blocks = chain_of(1, 2, 3, payload_at=(1, 2))
    checker = told(blocks)
    checker.on_executed("0", 1, blocks[0].id)
    caught("agreement", lambda: checker.on_executed("0", 2, blocks[0].id))


def test_a_block_that_nothing_commits_is_caught_when_executed() -> None:
    blocks = chain_of(1, 2, 3)
    checker = told(blocks)
    assert "nothing commits" in caught("agreement", lambda: checker.on_executed("0", 1, blocks[2].id))


def test_execution_out_of_order_is_caught() -> None:
    blocks = chain_of(1, 2, 3)
    checker = told(blocks)
    checker.on_executed("0", 2, blocks[0].id)
    assert "out of order" in caught("agreement", lambda: checker.on_executed("0", 1, blocks[1].id))


def test_a_payload_left_out_is_caught() -> None:
    blocks = chain_of(1, 2, 3, 4, payload_at=(1, 2))
    checker = told(blocks)
    assert "never executed" in caught("agreement", lambda: checker.on_executed("0", 1, blocks[1].id))


def test_heights_are_stored_one_after_the_other() -> None:
    checker = Agreement(ROOT)
    checker.on_stored("0", 4, [5, 6])
    checker.on_stored("0", 4, [])
    for heights in ([6], [5, 7], [6, 5], [4, 5], [5, 5]):
        caught("agreement", lambda heights=heights: checker.on_stored("0", 4, heights))  # type: ignore[misc]  # bound now


def test_blocks_that_nothing_commits_are_bounded() -> None:
    checker = Agreement(ROOT)
    seen = block_of(9).seen
    for number in range(OPEN_MAX + 10):
        checker.on_block(replace(seen, id=number.to_bytes(32, "big")))
    assert len(checker._open) == OPEN_MAX
