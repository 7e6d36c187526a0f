"""A cluster that is away: killed as a whole while others go on and send to it, and started again.

Every message must end, as handled or as expired with the destination's receipt, and nobody acts by hand. What
goes to a third cluster meanwhile must not notice.
"""

import signal
import time
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import trio

from bench.lanes.ground import Ground
from consensus import SigningKey
from node.api.federation_talk import explanation_of
from node.client import AsyncClient
from node.ledger.apps.records import NAME as RECORDS
from node.ledger.apps.records import Content
from node.local.cluster import wait_ready
from node.local.testnet import Testnet
from node.wallet import Wallet

MESSAGES = 40
"""Sent to the cluster that is away, half of them with a deadline within its absence."""
LATE_SHARE = 0.5
READY_MS = 120_000
SETTLED_SECONDS = 120.0
_LASTING_MS = 3_600_000
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Absence:
    """What became of the messages: results to the cluster that was away and to the third one, by name.

    `back_s` is from the start of its processes until it could commit, `settled_s` from then until the source
    knew every outcome; `third_slowest_s` the longest time of a message to the third cluster."""

    away_s: float
    results: dict[str, int]
    third: dict[str, int]
    third_slowest_s: float
    back_s: float
    settled_s: float
    deaths: tuple[str, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What must not be, in sentences."""
        found = []
        if set(self.results) - {"ok", "expired"}:
            found.append(f"Messages to the cluster that was away ended as {self.results}.")
        if not {"ok", "expired"} <= set(self.results):
            found.append(f"Of the messages some must arrive and some expire; they ended as {self.results}.")
        if set(self.third) - {"ok"}:
            found.append(f"Messages to the third cluster ended as {self.third}.")
        return (*found, *self.deaths)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "success": not self.problems, "problems": list(self.problems)}


@dataclass(slots=True)
class _Sender:
    """Shares of new records, and their outcomes."""

    source: Testnet
    wallet: Wallet
    client: AsyncClient
    sent: list[tuple[Testnet, int, float]] = field(default_factory=list)
    """Destination, sequence, moment."""

    async def send(self, destination: Testnet, lasting_ms: int) -> None:
        """One more message. Raises ClientError; RuntimeError when the ledger refuses."""
        name = f"bench/away-{len(self.sent)}"
        digest = sha256(name.encode()).digest()
        until_ms = time.time_ns() // 1_000_000 + lasting_ms
        put = self.wallet.put(name, Content(digest, len(self.sent), "", "", (), ()))
        share = self.wallet.sign(RECORDS, "share", (name, destination.cluster_id, until_ms))
        for transaction in (put, share):
            receipt = await self.client.submit(transaction)
            if not receipt.ok:
                raise RuntimeError(f"{self.source.name} refused a message: {receipt.explanation}")
        if isinstance(receipt.result, int):
            self.sent.append((destination, receipt.result, trio.current_time()))

    async def outcome(self, destination: Testnet, sequence: int) -> str | None:
        """What became of a message; None while it waits."""
        return (await self.client.look(explanation_of(destination.cluster_id, sequence))).result

    async def outcomes(self, destination: Testnet) -> dict[str, int]:
        """Of all messages to a cluster once each has one, or as they are when the time is over."""
        open_now = [sequence for to, sequence, _ in self.sent if to is destination]
        found: dict[str, int] = {}
        with trio.move_on_after(SETTLED_SECONDS):
            while open_now:
                waiting = []
                for sequence in open_now:
                    result = await self.outcome(destination, sequence)
                    if result is None:
                        waiting.append(sequence)
                    else:
                        found[result] = found.get(result, 0) + 1
                open_now = waiting
                await trio.sleep(_LOOK_SECONDS)
        if open_now:
            found["waiting"] = len(open_now)
        return found


async def measure_absence(ground: Ground, seconds: float) -> Absence:
    """The second cluster is away for so long. Raises ClientError, RuntimeError, OSError."""
    source, away, third = ground.local.testnets[:3]
    wallet = Wallet(SigningKey(ground.seeds[0]), source.cluster_id, _LASTING_MS // 6)
    async with AsyncClient([node.url for node in source.nodes]) as client:
        sender = _Sender(source, wallet, client)
        await sender.send(away, _LASTING_MS)  # the lane exists, and something was in flight
        for name in ground.nodes_of(away):
            ground.supervisor.send_signal(name, signal.SIGKILL)
        began, slowest_s = trio.current_time(), 0.0
        pause_s = seconds * 0.9 / MESSAGES
        for number in range(MESSAGES):
            is_late = number < MESSAGES * LATE_SHARE
            await sender.send(away, int(1000 * seconds * LATE_SHARE) if is_late else _LASTING_MS)
            await trio.sleep(max(0.0, began + (number + 1) * pause_s - trio.current_time()))
            if number % 4 == 0:
                await sender.send(third, _LASTING_MS)
                slowest_s = max(slowest_s, await _until_known(sender))
        await trio.sleep(max(0.0, began + seconds - trio.current_time()))
        third_results = await sender.outcomes(third)
        started = trio.current_time()
        for program in ground.local.programs():
            if program.name in ground.nodes_of(away):
                await ground.supervisor.ended(program.name)
                await ground.supervisor.start(program)
        await wait_ready(away, READY_MS)
        back = trio.current_time()
        results = await sender.outcomes(away)
        return Absence(
            started - began,
            results,
            third_results,
            slowest_s,
            back - started,
            trio.current_time() - back,
            tuple(str(death) for death in ground.deaths),
        )


async def _until_known(sender: _Sender) -> float:
    """The seconds until the last message has its outcome, or is not waited for any longer."""
    destination, sequence, sent_at = sender.sent[-1]
    with trio.move_on_after(SETTLED_SECONDS):
        while await sender.outcome(destination, sequence) is None:  # noqa: ASYNC110  # another process knows
            await trio.sleep(_LOOK_SECONDS)
    return trio.current_time() - sent_at
