"""Figures of messages between clusters: latencies from intended times, and when a rate counts as carried."""

from bench.lanes.voyages import Course, Sent, passage_of

SECOND_US = 1_000_000


def course(*seen: tuple[int, int]) -> Course:
    made = Course()
    for now_us, sequence in seen:
        made.note(now_us, sequence)
    return made


def test_a_sequence_was_reached_when_the_lane_was_first_seen_at_or_beyond_it() -> None:
    seen = course((100, 2), (200, 2), (300, 7))
    assert [seen.time_of(sequence) for sequence in (1, 2, 3, 7, 8)] == [100, 100, 300, 300, None]
    assert seen.last == 7
    assert Course().time_of(1) is None


def test_latency_counts_from_the_intended_time_and_a_late_message_was_not_offered() -> None:
    sent = [Sent(0, 0, 50_000, 1), Sent(500_000, 700_000, 900_000, 2)]
    handled, heard = course((300_000, 1), (950_000, 2)), course((400_000, 1), (1_200_000, 2))
    found = passage_of(sent, handled, heard, 2, 1.0)
    assert found.one_way_ms is not None
    assert found.round_trip_ms is not None
    assert (found.one_way_ms.p50, found.one_way_ms.max) == (300.0, 450.0)
    assert found.round_trip_ms.max == 700.0
    assert (found.offered_per_s, found.acknowledged_per_s, found.acknowledged) == (1.0, 1.0, 2)
    assert len(found.problems) == 2


def test_a_rate_is_carried_when_all_was_sent_in_time_and_heard_of_in_time() -> None:
    sent = [Sent(n * 100_000, n * 100_000, n * 100_000 + 5_000, n + 1) for n in range(20)]
    ends = course(*((each.intended_us + 60_000, each.sequence or 0) for each in sent))
    assert passage_of(sent, ends, ends, 10, 2.0).problems == ()


def test_what_the_ledger_refused_and_what_was_never_heard_of_are_problems() -> None:
    refused = passage_of([Sent(0, 0, 10, None, "lane-full")], Course(), Course(), 1, 1.0)
    assert refused.refused == {"lane-full": 1}
    assert any("lane-full" in problem for problem in refused.problems)
    lost = passage_of([Sent(0, 0, 10, 1)], course((20, 1)), Course(), 1, 1.0)
    assert any("never acknowledged" in problem for problem in lost.problems)
    assert lost.round_trip_ms is None
