"""What the log says of catching up: beginning, now and then, end; nothing of a few heights."""

from consensus import Height
from node.pool.effects import SyncProgress
from node.validator.syncnews import TOLD_EVERY_MS, TOLD_HEIGHTS_MIN, SyncNews


def progress(start: int, at: int, target: int) -> SyncProgress:
    return SyncProgress(Height(start), Height(at), Height(target))


def test_a_few_heights_are_no_news() -> None:
    news = SyncNews()
    for at in range(1, TOLD_HEIGHTS_MIN):
        assert news.on_progress(progress(0, at, TOLD_HEIGHTS_MIN - 1), 1_000 * at) is None


def test_a_long_run_is_told_at_its_beginning_every_few_seconds_and_at_its_end() -> None:
    news, told = SyncNews(), []
    for at in range(1, 2_001):
        words = news.on_progress(progress(0, at, 2_000), 10 * at)
        if words is not None:
            told.append((10 * at, words))
    assert [words for _, words in told] == [
        "began at height 0 towards 2000",
        "height 501 of 2000, 100 heights a second, 14 s to go",
        "height 1001 of 2000, 100 heights a second, 9 s to go",
        "height 1501 of 2000, 100 heights a second, 4 s to go",
        "done: 2000 heights in 19990 ms, 100 a second",
    ]
    assert told[1][0] - told[0][0] == TOLD_EVERY_MS


def test_a_clock_that_is_set_back_does_not_silence_it() -> None:
    news = SyncNews()
    assert news.on_progress(progress(0, 1, 100), 1_000_000) is not None
    assert news.on_progress(progress(0, 2, 100), 1_000) is not None
