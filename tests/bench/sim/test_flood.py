"""A flood of valid transactions over narrow uplinks: agreement does not queue behind payload."""

from bench.sim.clock import Clock
from bench.sim.flood import SLOWER_MAX, overload_of, play, wait
from bench.sim.wires import Wires
from node.config import LimitSettings
from node.wire import Code


def test_a_round_takes_at_most_twice_as_long_in_a_flood_and_far_longer_without_classes() -> None:
    calm = play(4, 500, 40, 0)
    flood = play(4, 500, 40, overload_of(4, 40))
    one_queue = play(4, 500, 40, overload_of(4, 40), priorities=False)
    assert calm.rounds > 5
    assert calm.rounds <= SLOWER_MAX * flood.rounds
    assert flood.failed == 0
    assert flood.certified > 1_000, "it is a flood, and it is carried as far as it can be"
    assert one_queue.rounds * 2 < flood.rounds


def test_a_lone_client_waits_at_most_twice_as_long_in_a_flood_because_batches_are_watched() -> None:
    offered = overload_of(4, 10)
    watched = wait(4, 3_000, 10, offered, LimitSettings().commit_target_ms)
    unwatched = wait(4, 3_000, 10, offered, 0)
    assert watched.calm_ms == unwatched.calm_ms
    assert watched.slower <= SLOWER_MAX
    assert unwatched.slower > SLOWER_MAX, "it is a flood"
    assert watched.certified > 300, "which goes on"


def carried(*, priorities: bool) -> list[str]:
    """In which order a batch, a second one and a vote arrive that are sent to one host in this order."""
    clock = Clock(0, 10_000)
    wires = Wires(clock, 1_000_000, priorities=priorities)
    arrived: list[str] = []

    def send(name: str, topic: int, size: int) -> None:
        wires.carry((0, 1), topic, bytes(size), 5, lambda: arrived.append(name))

    for name in ("first", "second"):
        send(name, Code.BATCHES, 200_000)
    send("vote", Code.AGREEMENT, 200)
    clock.run_until(10_000_000)
    assert wires.bytes > 400_000
    assert wires.dropped == 0
    return arrived


def test_a_vote_waits_for_the_write_under_way_and_for_nothing_that_is_queued() -> None:
    assert carried(priorities=True) == ["first", "vote", "second"]
    assert carried(priorities=False) == ["first", "second", "vote"]


def test_bytes_take_their_time_and_links_of_a_host_take_turns() -> None:
    clock = Clock(0, 10_000)
    wires = Wires(clock, 1_000_000)
    arrived: list[tuple[int, int]] = []

    def send(target: int) -> None:
        wires.carry(
            (0, target), Code.BATCHES, bytes(99_987), 0, lambda: arrived.append((target, clock.now_us))
        )

    for target in (1, 1, 1, 2, 2):
        send(target)
    clock.run_until(10_000_000)
    assert [target for target, _ in arrived] == [1, 1, 2, 1, 2]
    assert [when_us for _, when_us in arrived] == [100_000, 200_000, 300_000, 400_000, 500_000]
