"""The general checker against histories whose answer is known, and against brute force."""

import itertools
from random import Random

from bench.chaos.checks.finding import Verdict
from bench.chaos.checks.registers import apply, check_registers, search_register
from bench.chaos.history import Operation, Result
from tests.bench.chaos.told import REFUSED, UNKNOWN, failed, read, write


def verdict(*operations: Operation) -> Verdict:
    return search_register(operations).verdict


def test_a_sequential_history_is_linearizable() -> None:
    history = (
        read(1, (0, 1), None),
        write(2, (2, 3)),
        read(3, (4, 5), (1, 2)),
        write(4, (6, 7), previous=1),
        write(5, (8, 9), previous=1, told=failed(203, 3)),
        write(6, (8, 9), told=failed(200, 3)),
        read(7, (10, 11), (2, 4)),
    )
    assert verdict(*history) is Verdict.HOLDS


def test_a_stale_read_is_not() -> None:
    assert (
        verdict(write(1, (0, 1)), write(2, (2, 3), previous=1), read(3, (4, 5), (1, 1))) is Verdict.VIOLATED
    )


def test_a_read_of_nothing_after_an_acknowledged_put_is_not() -> None:
    assert verdict(write(1, (0, 1)), read(2, (2, 3), None)) is Verdict.VIOLATED


def test_an_old_value_after_a_new_one_was_read_is_not_though_the_write_was_still_under_way() -> None:
    new, old = read(3, (10, 20), (2, 2)), read(4, (30, 40), (1, 1))
    assert verdict(write(1, (0, 1)), write(2, (5, 100), previous=1), new, old) is Verdict.VIOLATED
    assert verdict(write(1, (0, 1)), write(2, (5, 100), previous=1), old, new) is Verdict.VIOLATED
    early_old = read(4, (6, 9), (1, 1))
    assert verdict(write(1, (0, 1)), write(2, (5, 100), previous=1), early_old, new) is Verdict.HOLDS


def test_both_of_two_supersedes_of_one_version_are_not() -> None:
    assert verdict(write(1, (0, 1)), write(2, (2, 9), previous=1), write(3, (2, 9), previous=1)) is (
        Verdict.VIOLATED
    )


def test_a_failure_that_had_no_reason_is_not() -> None:
    assert verdict(write(1, (0, 1)), write(2, (2, 3), previous=1, told=failed(203, 2))) is Verdict.VIOLATED
    assert verdict(write(1, (0, 1), told=failed(200, 1))) is Verdict.VIOLATED
    assert verdict(write(1, (0, 1)), write(2, (2, 3), previous=1, told=failed(201, 2))) is Verdict.VIOLATED


def test_an_unknown_write_may_have_happened_at_any_later_time_or_never() -> None:
    unknown = write(2, (2, 3), previous=1, told=UNKNOWN)
    put = write(1, (0, 1))
    assert verdict(put, unknown) is Verdict.HOLDS
    assert verdict(put, unknown, read(3, (50, 51), (1, 1)), read(4, (60, 61), (2, 2))) is Verdict.HOLDS
    assert verdict(put, unknown, read(3, (50, 51), (2, 2)), read(4, (60, 61), (1, 1))) is Verdict.VIOLATED


def test_an_unknown_write_does_not_happen_before_it_was_sent() -> None:
    put, early = write(1, (0, 1)), read(2, (2, 3), (2, 3))
    assert verdict(put, early, write(3, (5, 6), previous=1, told=UNKNOWN)) is Verdict.VIOLATED


def test_a_refused_write_never_happened() -> None:
    refused = write(2, (2, 3), previous=1, told=REFUSED)
    assert verdict(write(1, (0, 1)), refused, read(3, (4, 5), (1, 1))) is Verdict.HOLDS
    assert verdict(write(1, (0, 1)), refused, read(3, (4, 5), (2, 2))) is Verdict.VIOLATED


def test_giving_up_is_told_and_is_no_success() -> None:
    history = [write(number, (0, 100), told=UNKNOWN) for number in range(1, 9)]
    history.append(read(20, (1, 2), (7, 7)))
    assert search_register(history, 3).verdict is Verdict.GAVE_UP
    found = check_registers(history, 3)
    assert found.verdict is Verdict.GAVE_UP
    assert found.against == ("k/1: more than 3 configurations",)
    assert check_registers(history).verdict is Verdict.VIOLATED


def test_registers_are_looked_at_one_by_one_and_plain_reads_not_at_all() -> None:
    stale = read(3, (4, 5), None, key="k/2", fresh=False)
    history = (write(1, (0, 1)), write(2, (2, 3), key="k/2"), stale)
    found = check_registers(history)
    assert (found.verdict, found.examined) == (Verdict.HOLDS, 2)
    bad = read(4, (6, 7), None, key="k/2")
    assert "3 operations" not in check_registers((*history, bad)).against[0]
    assert "k/2" in check_registers((*history, bad)).against[0]


def test_the_search_agrees_with_trying_all_orders() -> None:
    rng = Random(7)
    verdicts = []
    for _ in range(600):
        history = _random_history(rng)
        found = verdict(*history)
        assert found is (Verdict.HOLDS if _some_order_explains(history) else Verdict.VIOLATED), history
        verdicts.append(found)
    assert min(verdicts.count(Verdict.HOLDS), verdicts.count(Verdict.VIOLATED)) > 50


def test_a_long_history_of_many_clients_is_searched_quickly() -> None:
    """Answers of a real register, each operation's span widened so that six overlap."""
    rng = Random(3)
    history: list[Operation] = []
    version = 0
    for number in range(1, 301):
        span = (number * 10 - rng.randrange(30), number * 10 + rng.randrange(30))
        if rng.random() < 0.5:
            history.append(write(number, span, previous=version or None))
            version += 1
        else:
            value = next((o.request.value for o in reversed(history) if o.request.value), None)
            history.append(read(number, span, (version, value) if value else None))
    search = search_register(history)
    assert search.verdict is Verdict.HOLDS
    assert search.configurations < 50_000


def _random_history(rng: Random) -> list[Operation]:
    """Up to five operations with random answers, most of which make some sense."""
    history: list[Operation] = []
    for number in range(1, rng.randint(3, 6)):
        begin = rng.randrange(20)
        span = (begin, begin + rng.randrange(1, 12))
        previous = rng.choice((None, None, 1, 1, 2))
        match rng.randrange(6):
            case 0 | 1:
                history.append(write(number, span, previous=previous))
            case 2:
                history.append(write(number, span, previous=previous, told=UNKNOWN))
            case 3:
                code = 200 if previous is None else rng.choice((201, 203))
                history.append(write(number, span, previous=previous, told=failed(code, 1)))
            case _:
                seen = rng.choice((None, (1, rng.randint(1, 3)), (2, rng.randint(1, 3))))
                history.append(read(number, span, seen))
    return history


def _some_order_explains(history: list[Operation]) -> bool:
    """By definition: some of the unknown ones, in some order, real time respected, all explained."""
    known = [o for o in history if o.outcome.result is not Result.UNKNOWN]
    unknown = [o for o in history if o.outcome.result is Result.UNKNOWN]
    for count in range(len(unknown) + 1):
        for happened in itertools.combinations(unknown, count):
            for order in itertools.permutations((*known, *happened)):
                if _respects_time(order) and _explains(order):
                    return True
    return False


def _respects_time(order: tuple[Operation, ...]) -> bool:
    return not any(
        later.outcome.result is not Result.UNKNOWN and (later.completed_us or 0) < earlier.invoked_us
        for position, earlier in enumerate(order)
        for later in order[position + 1 :]
    )


def _explains(order: tuple[Operation, ...]) -> bool:
    state = (0, 0)
    for operation in order:
        after = apply(operation, state)
        if after is None:
            return False
        state = after
    return True
