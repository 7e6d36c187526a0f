"""The age of views: shown while they are open, ended at the bound, counted."""

from node.daemon.snapshots import SnapshotPool


class View:
    """A view that notes why it was ended."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def end(self, reason: str) -> None:
        self.reasons.append(reason)


def test_the_oldest_view_is_told_and_ended_at_the_bound_without_anybody_asking_for_another() -> None:
    now_ms = [5_000]
    pool = SnapshotPool[View](4, 30_000, lambda: now_ms[0])
    assert pool.oldest_ms() == 0
    with pool.lend(View) as old:
        now_ms[0] += 20_000
        with pool.lend(View) as young:
            assert (len(pool), pool.oldest_ms()) == (2, 20_000)
            now_ms[0] += 10_001
            pool.end_old()
            assert (len(pool), pool.oldest_ms(), pool.ended) == (1, 10_001, 1)
            assert old.reasons == ["this query took longer than 30000 ms: ask for less at once"]
            assert young.reasons == []
    assert (len(pool), pool.ended) == (0, 1), "who leaves by himself was not ended"
