"""Frames in words: real ones are understood, all others are told as what they are."""

from bench.sim.explain import Explainer, frame_in_words
from bench.sim.keyedhash import KEYED_HASH
from bench.sim.setting import make_setting
from bench.sim.timeline import LINES_MAX, Line, Timeline
from bench.sim.world import World
from node.wire import Code


def test_everything_a_busy_world_says_is_understood() -> None:
    world = World(make_setting(4, KEYED_HASH), 3)
    said: list[Line] = []
    world.timeline.sink = said.append
    explainer = Explainer(world)
    world.start()
    world.run(300)
    world.submit(0, 40, size=900)
    world.run(600)
    world.hosts[1].crash()
    for _ in range(80):
        world.submit(0, 1)
        world.run(40)
    world.hosts[1].start()
    world.run(4_000)
    explainer.end()
    words = {line.what for line in said}
    assert words >= {"proposes", "votes", "signs", "tells", "pushes", "keeps", "asks", "sends"}
    assert "babbles" not in words


def test_nonsense_is_told_as_nonsense() -> None:
    for topic in (Code.AGREEMENT, Code.BLOCKS, Code.DATA, Code.BATCHES, Code.SYNC):
        what, words = frame_in_words(topic, b"\xc1nonsense")
        assert what == "babbles"
        assert words.startswith("9 bytes that are no message: ")
    assert frame_in_words(99, b"x") == ("gossips", "topic 99, 1 bytes")
    assert frame_in_words(Code.EVIDENCE, b"x") == ("gossips", "evidence of a fault, 1 bytes")


def test_a_timeline_keeps_the_last_lines_and_tells_all_of_them() -> None:
    told: list[Line] = []
    timeline = Timeline(lambda: 5)
    timeline.sink = told.append
    for number in range(LINES_MAX + 10):
        timeline.note("0", "counts", str(number))
    timeline.detail(7, "1", "whispers", "something")
    assert len(timeline.lines) == LINES_MAX
    assert timeline.lines[0].words == "10"
    assert timeline.counts["counts"] == LINES_MAX + 10
    assert len(told) == LINES_MAX + 11
    assert str(told[-1]).split() == ["0.000007", "1", "whispers", "something"]
