"""What is wrong with a world at the moment, and the way back to peace.

Faults overlap: two storms add up to the worse of each, a later partition replaces an earlier one. Whatever a
fault planned for later does not happen any more once peace was made.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from bench.sim.host import Host
from bench.sim.network import Quality
from bench.sim.world import World
from node.validator import ClockSet


@dataclass(frozen=True, slots=True)
class Storm:
    """How much worse all frames travel."""

    loss_percent: int = 0
    duplicate_percent: int = 0
    slow_percent: int = 0


class Conditions:
    """`members` are the hosts that run when nothing is wrong: all but twins that nobody started yet.
    `counts` tells how often each kind of fault struck."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.counts: Counter[str] = Counter()
        self.twins = {host.index: host for host in world.hosts if host.place != host.index}
        self.members = [host for host in world.hosts if host.place == host.index]
        self._base = world.network.quality
        self._storms: dict[int, Storm] = {}
        self._number = self._partition = 0
        self._is_over = False

    def tell(self, kind: str, words: str, struck: bool) -> None:
        """A fault begins; one that finds nothing to break does not count."""
        self.counts[kind] += struck
        self.world.timeline.note(
            "world", "fault", f"{kind}: {words}" if struck else f"{kind}: nothing to break"
        )

    def way(self, source: int, target: int) -> str:
        """A direction in words."""
        hosts = self.world.hosts
        return f"from {hosts[source].name} to {hosts[target].name}"

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """`action` then, unless there is peace by then."""

        def act() -> None:
            if not self._is_over:
                action()

        self.world.after(delay_ms, act)

    def part(self, groups: tuple[tuple[int, ...], ...], ms: int) -> None:
        """These groups for `ms`, in the place of every partition before."""
        self._partition += 1
        number = self._partition
        self.world.partition(*groups)

        def join() -> None:
            if self._partition == number:
                self.world.timeline.note("world", "join", "the network is whole again")
                self.world.partition(tuple(range(len(self.world.hosts))))

        self.after(ms, join)

    def storm(self, storm: Storm, ms: int) -> None:
        """This on top of every storm that blows."""
        self._number += 1
        number = self._number
        self._storms[number] = storm
        self._blow()

        def settle() -> None:
            del self._storms[number]
            self._blow()

        self.after(ms, settle)

    def _blow(self) -> None:
        base, storms = self._base, self._storms.values()
        self.world.network.quality = Quality(
            base.delay_us,
            max((base.loss_percent, *(storm.loss_percent for storm in storms))),
            max((base.duplicate_percent, *(storm.duplicate_percent for storm in storms))),
            max((base.slow_percent, *(storm.slow_percent for storm in storms))),
            base.slow_factor,
        )

    def calm(self) -> None:
        """Peace: nothing is lost or late, clocks are right, disks have room, everybody runs."""
        self._is_over = True
        self.world.timeline.note("world", "calm", "all faults end, everybody runs")
        self.world.network.quality = self._base
        self.world.heal()
        for host in self.members:
            host.crash_at = None
            set_clock(host, 0)
            free_disk(host)
            host.start()


def set_clock(host: Host, off_ms: int) -> None:
    """A wall clock is `off_ms` from the truth now (negative: behind it), and the daemon sees it set."""
    by_ms, host.skew_ms = off_ms - host.skew_ms, off_ms
    if by_ms:
        host.step(ClockSet(by_ms))


def free_disk(host: Host) -> None:
    """A full disk has room again, and the daemon says so."""
    if host.disk.is_full:
        host.disk.is_full = False
        host.disk_low(False)
