"""What can go wrong in a world: a closed union of faults, each of which knows how it begins and how it ends.

A fault happens at `at_ms` of virtual time; most end by themselves after `ms`. A saved fault means the same
for ever: whole milliseconds, whole per cents, hosts by their place in the world. Faults that make a host
forget what it signed or acknowledged are charged against f by `schedule`, which plans them; crashes are not.
"""

from dataclasses import dataclass, fields
from functools import partial
from typing import ClassVar, TypeAlias

from bench.sim.conditions import Conditions, Storm, free_disk, set_clock
from bench.sim.disk import Disk
from bench.sim.host import Host
from bench.sim.network import Quality

_RESTARTED_AFTER_MS = 30
"""How long a host is down in a restart of all."""
_DISK_WATCH_MS = 1_000
"""How often a daemon says again that the disk is full."""


@dataclass(frozen=True, slots=True)
class Crash:
    """kill -9, and a start after `ms`."""

    KIND: ClassVar[str] = "crash"
    at_ms: int
    host: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It happens now."""
        host = conditions.world.hosts[self.host]
        conditions.tell(self.KIND, f"host {host.name} is killed and starts again in {self.ms} ms", host.up)
        _down(conditions, host, self.ms)


@dataclass(frozen=True, slots=True)
class CrashAtWrite:
    """A crash between two writes, `ahead` of them from now: journal, guard, chain or state."""

    KIND: ClassVar[str] = "crash-at-write"
    at_ms: int
    host: int
    ahead: int

    def apply(self, conditions: Conditions) -> None:
        """It happens when that write does."""
        host = conditions.world.hosts[self.host]
        conditions.tell(self.KIND, f"host {host.name} will be killed {self.ahead} writes from now", True)
        host.crash_at = host.boundaries + self.ahead


@dataclass(frozen=True, slots=True)
class CrashAll:
    """The power fails for everybody; hosts start after `ms`, each `skew_ms` after the one before."""

    KIND: ClassVar[str] = "crash-all"
    at_ms: int
    ms: int
    skew_ms: int

    def apply(self, conditions: Conditions) -> None:
        """It happens now."""
        hosts = conditions.members
        conditions.tell(
            self.KIND,
            f"all hosts lose power and start in {self.ms} ms, {self.skew_ms} ms apart",
            any(host.up for host in hosts),
        )
        for host in hosts:
            host.crash()
        for number, host in enumerate(hosts):
            conditions.after(self.ms + number * self.skew_ms, host.start)


@dataclass(frozen=True, slots=True)
class RestartAll:
    """An upgrade: one host after the other is killed and starts, `skew_ms` apart. Less than the time a start
    takes, and several are down at once."""

    KIND: ClassVar[str] = "restart-all"
    at_ms: int
    skew_ms: int

    def apply(self, conditions: Conditions) -> None:
        """It begins now."""
        hosts = conditions.members
        conditions.tell(self.KIND, f"all hosts are restarted, {self.skew_ms} ms apart", True)
        for number, host in enumerate(hosts):
            conditions.after(number * self.skew_ms, partial(_down, conditions, host))


@dataclass(frozen=True, slots=True)
class Partition:
    """Only hosts of one group hear each other; who is in none is alone. A later partition replaces it."""

    KIND: ClassVar[str] = "partition"
    at_ms: int
    groups: tuple[tuple[int, ...], ...]
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It happens now."""
        shown = " | ".join(" ".join(conditions.world.hosts[place].name for place in g) for g in self.groups)
        conditions.tell(self.KIND, f"the network parts into {shown} for {self.ms} ms", True)
        conditions.part(self.groups, self.ms)


@dataclass(frozen=True, slots=True)
class OneWay:
    """Nothing from `source` arrives at `target`, and neither notices."""

    KIND: ClassVar[str] = "one-way"
    at_ms: int
    source: int
    target: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It happens now; its end also ends other troubles of this direction."""
        network = conditions.world.network
        shown = conditions.way(self.source, self.target)
        conditions.tell(self.KIND, f"nothing arrives any more {shown}, for {self.ms} ms", True)
        network.silence(self.source, self.target)
        conditions.after(self.ms, lambda: network.restore(self.source, self.target))


@dataclass(frozen=True, slots=True)
class SlowLink:
    """Frames of one direction take this long."""

    KIND: ClassVar[str] = "slow-link"
    at_ms: int
    source: int
    target: int
    delay_ms: tuple[int, int]
    ms: int

    def __post_init__(self) -> None:
        if not 0 <= self.delay_ms[0] <= self.delay_ms[1]:
            raise ValueError(f"delay_ms {list(self.delay_ms)} must be two times, the shorter first")

    def apply(self, conditions: Conditions) -> None:
        """It happens now; its end also ends other troubles of this direction."""
        network = conditions.world.network
        low, high = self.delay_ms
        shown = conditions.way(self.source, self.target)
        conditions.tell(self.KIND, f"frames take {low} to {high} ms {shown}, for {self.ms} ms", True)
        network.worsen(self.source, self.target, Quality((low * 1_000, high * 1_000)))
        conditions.after(self.ms, lambda: network.restore(self.source, self.target))


@dataclass(frozen=True, slots=True)
class Loss:
    """Frames are lost everywhere."""

    KIND: ClassVar[str] = "loss"
    at_ms: int
    percent: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It begins now."""
        conditions.tell(self.KIND, f"{self.percent} % of all frames are lost for {self.ms} ms", True)
        conditions.storm(Storm(loss_percent=self.percent), self.ms)


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Frames arrive twice everywhere."""

    KIND: ClassVar[str] = "duplicate"
    at_ms: int
    percent: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It begins now."""
        conditions.tell(self.KIND, f"{self.percent} % of all frames arrive twice for {self.ms} ms", True)
        conditions.storm(Storm(duplicate_percent=self.percent), self.ms)


@dataclass(frozen=True, slots=True)
class Reorder:
    """Frames are delayed so long that later ones overtake them, everywhere."""

    KIND: ClassVar[str] = "reorder"
    at_ms: int
    percent: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It begins now."""
        conditions.tell(self.KIND, f"{self.percent} % of all frames are overtaken for {self.ms} ms", True)
        conditions.storm(Storm(slow_percent=self.percent), self.ms)


@dataclass(frozen=True, slots=True)
class ClockSkew:
    """A host's wall clock jumps to `off_ms` from the truth (negative: back), and jumps right after `ms`."""

    KIND: ClassVar[str] = "clock"
    at_ms: int
    host: int
    off_ms: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It happens now."""
        host = conditions.world.hosts[self.host]
        conditions.tell(
            self.KIND, f"the clock of host {host.name} is {self.off_ms} ms off for {self.ms} ms", True
        )
        set_clock(host, self.off_ms)
        conditions.after(self.ms, partial(set_clock, host, 0))


@dataclass(frozen=True, slots=True)
class DiskFull:
    """The database takes no more writes; the daemon notices and says so, once a second."""

    KIND: ClassVar[str] = "disk-full"
    at_ms: int
    host: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It happens now."""
        host = conditions.world.hosts[self.host]
        conditions.tell(self.KIND, f"the disk of host {host.name} is full for {self.ms} ms", True)
        host.disk.is_full = True
        _watch_disk(conditions, host)
        conditions.after(self.ms, lambda: free_disk(host))


@dataclass(frozen=True, slots=True)
class Wipe:
    """The data is lost, the guard beside the key is kept (C14); a start after `ms`."""

    KIND: ClassVar[str] = "wipe"
    at_ms: int
    host: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It happens now."""
        host = conditions.world.hosts[self.host]
        conditions.tell(self.KIND, f"host {host.name} loses its data, but not its guard", True)
        _replace_disk(conditions, host, conditions.world.new_disk(), self.ms)


@dataclass(frozen=True, slots=True)
class RestoreBackup:
    """The data of now is put back `age_ms` from now, beside the guard of then; a start after `ms`. As
    documented, the backup is of a stopped node, or of a running one and then without its journal."""

    KIND: ClassVar[str] = "backup"
    at_ms: int
    host: int
    is_stopped: bool
    age_ms: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """The backup is made now."""
        host = conditions.world.hosts[self.host]
        if self.is_stopped:
            conditions.world.timeline.note("world", "backup", f"host {host.name} is stopped to copy its data")
            host.crash()
            backup = host.disk.copy()
            host.start()
        else:
            backup = host.disk.copy()
            backup.journal, backup.is_journal_lost = [], True
            backup.last_seq = backup.filled_up_to  # as a daemon numbers a journal that begins anew

        def restore() -> None:
            conditions.tell(self.KIND, f"host {host.name} gets its data of {self.age_ms} ms ago back", True)
            _replace_disk(conditions, host, backup, self.ms)

        conditions.after(self.age_ms, restore)


@dataclass(frozen=True, slots=True)
class GuardLost:
    """The guard is lost: this key never signs again; a start after `ms`."""

    KIND: ClassVar[str] = "guard-lost"
    at_ms: int
    host: int
    ms: int

    def apply(self, conditions: Conditions) -> None:
        """It happens now."""
        host = conditions.world.hosts[self.host]
        conditions.tell(self.KIND, f"host {host.name} loses the guard of its key", True)
        host.crash()
        host.disk.guard = None
        conditions.after(self.ms, host.start)


@dataclass(frozen=True, slots=True)
class Twin:
    """Somebody starts the validator a second time: from a copy of its disk, or from a new one."""

    KIND: ClassVar[str] = "twin"
    at_ms: int
    host: int
    copied: bool

    def apply(self, conditions: Conditions) -> None:
        """It happens now, once for each host."""
        host, twin = conditions.world.hosts[self.host], conditions.twins[self.host]
        source = "a copy of its disk" if self.copied else "a new disk"
        conditions.tell(self.KIND, f"validator {host.name} runs a second time, from {source}", not twin.up)
        if not twin.up:
            if self.copied:
                twin.disk = host.disk.copy()
            conditions.members.append(twin)
            twin.start()


Fault: TypeAlias = (
    Crash
    | CrashAtWrite
    | CrashAll
    | RestartAll
    | Partition
    | OneWay
    | SlowLink
    | Loss
    | Duplicate
    | Reorder
    | ClockSkew
    | DiskFull
    | Wipe
    | RestoreBackup
    | GuardLost
    | Twin
)


def check(fault: Fault, hosts: int) -> None:
    """Raises ValueError for a fault that cannot happen in a world of so many hosts."""
    for field in fields(fault):
        value = getattr(fault, field.name)
        if type(value) is int and value < 0 and field.name != "off_ms":
            raise ValueError(f"{field.name} must not be negative")
    if getattr(fault, "percent", 0) > 100:
        raise ValueError("percent is at most 100")
    groups: tuple[tuple[int, ...], ...] = getattr(fault, "groups", ())
    grouped = [place for group in groups for place in group]
    if len(grouped) != len(set(grouped)):
        raise ValueError("groups name a host twice")
    for place in (*(getattr(fault, name, 0) for name in ("host", "source", "target")), *grouped):
        if not 0 <= place < hosts:
            raise ValueError(f"there is no host {place}")


def _down(conditions: Conditions, host: Host, ms: int = _RESTARTED_AFTER_MS) -> None:
    host.crash()
    conditions.after(ms, host.start)


def _replace_disk(conditions: Conditions, host: Host, disk: Disk, ms: int) -> None:
    host.crash()
    disk.guard, disk.is_full = host.disk.guard, host.disk.is_full
    host.disk = disk
    conditions.after(ms, host.start)


def _watch_disk(conditions: Conditions, host: Host) -> None:
    if host.disk.is_full:
        host.disk_low(True)
        conditions.after(_DISK_WATCH_MS, lambda: _watch_disk(conditions, host))
