"""This node's condition, told to everybody it is linked with: every few seconds, at once when it gets worse.

It is said beside the validator and not by it: disk and map are the shell's, and agreement waits for nothing
of it.
"""

import trio

from node import wire
from node.condition import COUNT_MAX, PERMILLE_MAX, Condition
from node.daemon.postbox import Postbox
from node.daemon.startup import OpenedHome
from node.daemon.watches import DISK_RESERVE_BYTES, Room
from node.validator import Validator
from p2p import Network

TELL_EVERY_MS = 5_000
TELL_SOONEST_MS = 1_000
"""Between two tellings, whatever changes."""
_KEY = b"condition"
_WANTED = "pool_wanted_batches"


class Pace:
    """When to tell again; pure."""

    def __init__(self) -> None:
        self._told: tuple[object, ...] | None = None
        self._told_ms = 0

    def is_due(self, condition: Condition, links: tuple[bytes, ...], now_ms: int) -> bool:
        """Whether to tell it now, to these links: the first time, when a link or what the node is able to do
        has changed, and when the last time was long ago. Who gets True tells."""
        worth = (
            condition.is_disk_low,
            condition.is_diverged,
            condition.never_signs,
            condition.sync_target is None,
            links,
        )
        if self._told is not None:
            wait_ms = TELL_EVERY_MS if worth == self._told else TELL_SOONEST_MS
            if now_ms - self._told_ms < wait_ms:
                return False
        self._told, self._told_ms = worth, now_ms
        return True


def missing_batches(validator: Validator) -> int:
    """How many batches that were ordered are missing here, and fetched."""
    return next(held for name, held, _ in validator.data.pool.limits() if name == _WANTED)


def condition_of(opened: OpenedHome, validator: Validator, postbox: Postbox, room: Room) -> Condition:
    """What there is to say now; every number within its bound."""
    data, floor = validator.data, opened.floor
    progress = data.catchup.progress()
    return Condition(
        room.free_bytes,
        room.free_bytes < DISK_RESERVE_BYTES,
        min(room.map_used_permille, PERMILLE_MAX),
        min(missing_batches(validator), COUNT_MAX),
        min(len(data.desk.admission), COUNT_MAX),
        min(len(postbox), COUNT_MAX),
        data.diverged is not None,
        floor is not None and floor.record is None,
        None if progress is None else progress.target_height,
    )


async def tell_condition(
    opened: OpenedHome, validator: Validator, postbox: Postbox, room: Room, network: Network
) -> None:
    """Tell it until cancelled."""
    pace = Pace()
    while True:
        condition = condition_of(opened, validator, postbox, room)
        links = tuple(validator.directory.links())
        if pace.is_due(condition, links, int(1000 * trio.current_time())):
            network.broadcast(*wire.frame_of_condition(condition), key=_KEY)
        await trio.sleep(TELL_SOONEST_MS / 1000)
