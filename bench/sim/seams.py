"""The seams of a simulated host: where a test puts a broken rule or a Byzantine driver in the place of the
shipped part. The shipped parts are the defaults; nothing broken lives here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.sim.disk import Disk
from consensus import GuardRecord, SafetyRecord, SafetyRules, Signer, ValidatorIndex
from node.validator import Input, Output, Validator, assemble

if TYPE_CHECKING:
    from bench.sim.host import Host

SafetyFactory = Callable[[Signer, bytes, ValidatorIndex, SafetyRecord, GuardRecord], SafetyRules]


def _nothing(disk: Disk) -> None:
    return None


def _same(outputs: list[Output]) -> list[Output]:
    return outputs


@dataclass(frozen=True, slots=True)
class Parts:
    """What every host of a world is made of."""

    safety: SafetyFactory = SafetyRules
    assemble: Callable[..., Validator] = assemble
    """Called as `node.validator.assemble` is."""
    before_start: Callable[[Disk], None] = _nothing
    """What start-up does to the disk before it reads it: a mutant forgets something."""
    outputs: Callable[[list[Output]], list[Output]] = _same
    """Between a step and the shell: a mutant lets frames overtake what must be durable before them."""


SHIPPED = Parts()


class Behaviour(Protocol):
    """How a host treats what comes in and what goes out. A Byzantine driver is one of these around a shipped
    validator: it can drop, change, add and answer everything, and knows the host's key."""

    def started(self, host: "Host") -> None:
        """The host's validator was assembled and has handled `Start`."""

    def incoming(self, host: "Host", item: Input) -> Iterable[Input]:
        """What the validator is told in the place of `item`."""

    def outgoing(self, host: "Host", target: "Host", topic: int, body: bytes) -> Iterable[tuple[int, bytes]]:
        """The (topic, body) frames that leave for `target` in the place of this one."""
