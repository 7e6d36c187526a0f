"""Every check passes a good history, and finds in a bad one what it is there for."""

import dataclasses

import pytest

from bench.chaos.chain import Place, replay
from bench.chaos.checks.durable import check_durable
from bench.chaos.checks.finding import FINDINGS_MAX, Verdict, finding
from bench.chaos.checks.liveness import Window, check_liveness, longest_pauses_us, pauses_by_fault_us
from bench.chaos.checks.once import check_once
from bench.chaos.checks.processes import check_processes
from bench.chaos.checks.reads import check_reads
from bench.chaos.checks.registers import check_registers
from bench.chaos.checks.writes import check_writes
from bench.chaos.history import Operation, Outcome, Result
from tests.bench.chaos.told import REFUSED, UNKNOWN, chain_of, executed, failed, read, tx_id, with_node, write

PUT = write(1, (0, 10), at=(1, 0))
SECOND = write(2, (20, 30), previous=1, at=(2, 0))
THIRD = write(3, (40, 50), previous=2, at=(3, 0))
LOST_RACE = write(4, (20, 30), previous=1, at=(2, 1), told=failed(203, 2, 1))
HISTORY = (PUT, SECOND, LOST_RACE, THIRD)
CHAIN = chain_of(executed(PUT, 1), executed(SECOND, 2), executed(LOST_RACE, 2, 1), executed(THIRD, 3))


# --- 1: durability ----------------------------------------------------------------------------------


def test_what_was_acknowledged_is_on_every_node() -> None:
    found = check_durable(HISTORY, CHAIN)
    assert (found.verdict, found.examined) == (Verdict.HOLDS, 16)


def test_a_node_that_lost_one_acknowledged_write_is_found() -> None:
    places = {known: place for known, place in CHAIN.nodes[2].places.items() if known != tx_id(2)}
    found = check_durable(HISTORY, with_node(CHAIN, "node2", places=places))
    assert found.verdict is Verdict.VIOLATED
    assert "node2 lost operation 2 of a (supersede k/1)" in found.against[0]


@pytest.mark.parametrize("place", [Place(3, 0, 0), Place(2, 1, 0), Place(2, 0, 203)])
def test_a_receipt_that_differs_in_height_index_or_status_is_found(place: Place) -> None:
    places = {**CHAIN.nodes[1].places, tx_id(2): place}
    assert check_durable(HISTORY, with_node(CHAIN, "node1", places=places)).verdict is Verdict.VIOLATED


def test_an_index_that_names_a_transaction_no_block_holds_is_found() -> None:
    chain = dataclasses.replace(CHAIN, executed=CHAIN.executed[:-1])
    assert "no block has operation 3" in check_durable(HISTORY, chain).against[0]


@pytest.mark.parametrize("what", ["headers", "bodies"])
def test_one_height_that_differs_on_one_node_is_found(what: str) -> None:
    hashes = (b"1" * 32, *CHAIN.nodes[3].headers[1:])
    found = check_durable(HISTORY, with_node(CHAIN, "node3", **{what: hashes}))
    assert len(found.against) == 1
    assert "node3" in found.against[0]


def test_a_node_that_ends_earlier_than_the_others_is_found() -> None:
    found = check_durable(HISTORY, with_node(CHAIN, "node3", headers=CHAIN.nodes[3].headers[:-1]))
    assert found.against == ("node3 has 2 heights, node0 has 3",)


def test_what_does_not_fit_together_in_one_node_is_a_finding() -> None:
    chain = with_node(CHAIN, "node0", faults=("the receipts of height 2 are not those of its header",))
    assert check_durable(HISTORY, chain).verdict is Verdict.VIOLATED


# --- 2: once ----------------------------------------------------------------------------------------


def test_unknown_writes_may_be_in_the_chain_or_not() -> None:
    lost, done = write(5, (0, 9), told=UNKNOWN), write(6, (60, 70), previous=3, told=UNKNOWN)
    chain = chain_of(*CHAIN.executed, executed(done, 4, status=0))
    history = (*HISTORY, lost, done)
    assert check_once(history, chain, frozenset()).verdict is Verdict.HOLDS
    assert check_writes(history, chain, replay(chain.executed)).verdict is Verdict.HOLDS


def test_a_refused_write_in_the_chain_is_found() -> None:
    refused = write(5, (60, 61), previous=3, told=REFUSED)
    found = check_once((*HISTORY, refused), chain_of(*CHAIN.executed, executed(refused, 4)), frozenset())
    assert "was refused by node0 (12 not-ready) and executed at height 4" in found.against[0]


def test_a_transaction_executed_twice_is_found() -> None:
    found = check_once(HISTORY, chain_of(*CHAIN.executed, executed(PUT, 4)), frozenset())
    assert "is at heights 1 and 4" in found.against[0]


def test_a_transaction_nobody_sent_is_found_unless_it_was_sent_beside_the_history() -> None:
    chain = chain_of(*CHAIN.executed, executed(write(9, (0, 1)), 4))
    assert "never sent by anybody" in check_once(HISTORY, chain, frozenset()).against[0]
    assert check_once(HISTORY, chain, frozenset([tx_id(9)])).verdict is Verdict.HOLDS


# --- 3: writes --------------------------------------------------------------------------------------


def judge_writes(history: tuple[Operation, ...], chain: object = CHAIN) -> tuple[str, ...]:
    assert isinstance(chain, type(CHAIN))
    return check_writes(history, chain, replay(chain.executed)).against


def test_writes_in_the_order_of_their_acknowledgements_are_good() -> None:
    assert judge_writes(HISTORY) == ()


def test_a_later_write_that_stands_before_an_acknowledged_one_is_found_also_across_keys() -> None:
    early, late = write(1, (0, 10), key="k/1", at=(2, 0)), write(2, (20, 30), key="k/2", at=(1, 0))
    chain = chain_of(executed(late, 1), executed(early, 2))
    assert "operation 1 ended before operation 2 began" in judge_writes((early, late), chain)[0]


def test_a_write_that_was_sent_late_and_never_answered_must_not_stand_before_an_acknowledged_one() -> None:
    early, late = write(1, (0, 10), key="k/1", at=(2, 0)), write(2, (20, 30), key="k/2", told=UNKNOWN)
    chain = chain_of(executed(late, 1, status=0), executed(early, 2))
    assert "stands behind it" in judge_writes((early, late), chain)[0]


def test_concurrent_writes_may_stand_in_any_order() -> None:
    one, other = write(1, (0, 25), key="k/1", at=(2, 0)), write(2, (20, 30), key="k/2", at=(1, 0))
    assert judge_writes((one, other), chain_of(executed(other, 1), executed(one, 2))) == ()


def test_two_supersedes_of_one_version_cannot_both_succeed() -> None:
    twin = write(5, (20, 30), previous=1, at=(2, 1))
    chain = chain_of(executed(PUT, 1), executed(SECOND, 2), executed(twin, 2, 1))
    assert "has status 0, not 203" in judge_writes((PUT, SECOND, twin), chain)[0]


def test_a_supersede_that_should_have_succeeded_is_found() -> None:
    chain = chain_of(executed(PUT, 1), executed(SECOND, 2, status=203))
    assert "has status 203, not 0" in judge_writes((PUT, SECOND), chain)[0]


@pytest.mark.parametrize(
    ("operation", "status"),
    [(write(5, (60, 70), told=failed(200, 4)), 200), (write(5, (60, 70), previous=1, key="k/2"), 201)],
)
def test_a_second_put_and_a_supersede_of_nothing_have_their_codes(operation: Operation, status: int) -> None:
    executed_now = executed(operation, 4, status=status)
    assert replay((*CHAIN.executed, executed_now)).statuses[-1] == status


@pytest.mark.parametrize("code", [8, 9])
def test_a_receipt_of_an_expired_or_repeated_transaction_is_found_for_blocks_leave_these_out(
    code: int,
) -> None:
    expired = write(5, (60, 70), previous=3, told=failed(code, 4))
    chain = chain_of(*CHAIN.executed, executed(expired, 4))
    assert f"has status {code}, not 0" in judge_writes((*HISTORY, expired), chain)[0]


def test_a_client_that_was_told_another_version_than_the_chains_is_found() -> None:
    wrong = write(2, (20, 30), previous=1, at=(2, 0), version=7)
    assert "was told version 7 of k/1, the chain says 2" in judge_writes((PUT, wrong, LOST_RACE, THIRD))[0]


def test_a_chain_whose_places_do_not_rise_is_found() -> None:
    chain = chain_of(executed(PUT, 2), executed(SECOND, 2))
    assert "comes after" in judge_writes((), chain)[0]


# --- 4: reads ---------------------------------------------------------------------------------------


def judge_reads(*reads: Operation) -> tuple[str, ...]:
    return check_reads((*HISTORY, *reads), replay(CHAIN.executed)).against


def test_stale_reads_that_name_their_height_are_good() -> None:
    absent, old, new = (
        read(10, (60, 61), None, height=0),
        read(11, (62, 63), (1, 1), height=1),
        read(12, (64, 65), (3, 3), height=3, min_height=3),
    )
    assert judge_reads(absent, old, new) == ()


@pytest.mark.parametrize(
    "bad",
    [
        read(10, (60, 61), (2, 4), height=2, writer=4),  # a write without effect
        read(10, (60, 61), (3, 3), height=2),  # not yet there
        read(10, (60, 61), (1, 1), height=2),  # no longer there
        read(10, (60, 61), None, height=2),  # lost
        read(10, (60, 61), (2, 2), height=2, writer=1),  # another's transaction
        read(10, (60, 61), (9, 99), height=3),  # never written
    ],
)
def test_a_read_that_differs_from_the_chain_at_its_height_is_found(bad: Operation) -> None:
    assert "the chain says" in judge_reads(bad)[0]


def test_a_read_below_the_height_it_asked_for_is_found() -> None:
    found = judge_reads(read(10, (60, 61), (1, 1), height=1, min_height=3))
    assert "at height 3 or later and was answered at height 1" in found[0]


def test_nothing_found_without_a_height_is_good_only_before_the_record_was_there() -> None:
    assert judge_reads(read(10, (60, 61), None, min_height=0)) == ()
    assert judge_reads(read(10, (60, 61), None)) == ()
    assert "and found nothing" in judge_reads(read(10, (60, 61), None, min_height=1))[0]


def test_a_record_that_is_gone_without_a_height_where_a_later_one_was_answered_is_found() -> None:
    there = read(10, (60, 61), (3, 3), height=3)
    found = judge_reads(there, read(11, (62, 63), None))
    assert "operation 11 read k/1 from node0 at height 3 or later and found nothing" in found[0]
    assert judge_reads(there, read(11, (62, 63), None, node="node1")) == ()
    assert judge_reads(there, read(11, (62, 63), None, life=2)) == ()
    assert judge_reads(there, read(11, (61, 63), None)) == ()


def test_heights_that_go_back_in_one_life_of_one_node_are_found() -> None:
    new, old = read(10, (60, 61), (3, 3), height=3), read(11, (62, 63), (2, 2), height=2)
    assert "answered operation 10 at height 3 and later operation 11 at 2" in judge_reads(new, old)[0]


@pytest.mark.parametrize(
    "old",
    [
        read(11, (62, 63), (2, 2), height=2, node="node1"),
        read(11, (62, 63), (2, 2), height=2, life=2),
        read(11, (62, 63), (2, 2), height=2, life=None),
        read(11, (61, 63), (2, 2), height=2),
    ],
    ids=["another node", "another life", "started again meanwhile", "at the same time"],
)
def test_other_nodes_other_lives_and_concurrent_reads_may_be_older(old: Operation) -> None:
    assert judge_reads(read(10, (60, 61), (3, 3), height=3), old) == ()


def test_an_answer_whose_proof_does_not_hold_is_found() -> None:
    bad = dataclasses.replace(
        read(10, (60, 61), None), outcome=Outcome(Result.UNKNOWN, -1, "NotTrusted: forged")
    )
    assert "NotTrusted: forged" in judge_reads(bad)[0]


# --- 5 and 6: liveness, processes --------------------------------------------------------------------


def test_a_node_that_does_not_go_on_or_not_in_time_is_found() -> None:
    assert check_liveness({"node0": 900, "node1": 1000}, 1000).verdict is Verdict.HOLDS
    found = check_liveness({"node0": 1001, "node1": None}, 1000)
    assert found.against == (
        "node0 took 1001 ms, more than 1000 ms",
        "node1 had no receipt of a new transaction 1000 ms after everything was healed",
    )


def test_pauses_are_those_between_acknowledged_writes() -> None:
    history = (
        write(1, (0, 10)),
        write(2, (11, 12), client="b"),
        write(3, (13, 500), told=UNKNOWN),
        write(4, (600, 700), client="b"),
        read(6, (600, 610), (1, 1), height=1),
        write(5, (700, 710)),
    )
    assert longest_pauses_us(history) == {"all": 688, "a": 700, "b": 688}


def test_a_pause_before_the_first_and_after_the_last_acknowledged_write_is_one_too() -> None:
    history = (
        write(1, (0, 40), told=UNKNOWN),
        write(2, (50, 90)),
        write(3, (91, 300), told=UNKNOWN),
        write(4, (30, 60), told=UNKNOWN, client="b"),
    )
    assert longest_pauses_us(history) == {"all": 210, "a": 210, "b": 30}


def test_a_pause_belongs_to_every_fault_it_touches_from_its_injection_on() -> None:
    history = tuple(write(number, (end - 1, end)) for number, end in enumerate((10, 20, 90, 100, 140), 1))
    windows = (
        Window("kill", 30, 40),
        Window("stop", 85, 105),
        Window("cut", 12, 15),
        Window("disk", 500, 600),
    )
    assert pauses_by_fault_us(history, windows) == {"kill": 60, "stop": 40, "cut": 8, "disk": 0}
    assert pauses_by_fault_us((), windows[:1]) == {"kill": 0}


def test_a_process_that_died_or_should_have_is_found() -> None:
    assert check_processes(4, (), ()).verdict is Verdict.HOLDS
    assert check_processes(4, ("node0 ended with exit code 70",), ()).verdict is Verdict.VIOLATED
    assert check_processes(4, (), ("node1 went on",)).verdict is Verdict.VIOLATED


def test_a_check_that_looked_at_nothing_does_not_hold() -> None:
    found = finding("x", 0, "things", ())
    assert (found.verdict, found.against) == (Verdict.GAVE_UP, ("there were no things to look at",))
    assert check_registers(()).verdict is Verdict.GAVE_UP
    assert check_reads(HISTORY, replay(CHAIN.executed)).verdict is Verdict.GAVE_UP


def test_findings_are_bounded() -> None:
    found = finding("x", 1, "things", (str(number) for number in range(1000)))
    assert (found.verdict, len(found.against)) == (Verdict.VIOLATED, FINDINGS_MAX)
