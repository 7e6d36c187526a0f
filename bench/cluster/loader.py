"""`python -m bench.cluster.loader`: one process that offers load, apart from the daemons and from the bench.

It reads its plan as one JSON line from standard input, reads its transactions, says `ready`, is told the time
at which the load begins on the machine's monotonic clock, says every second what it did, writes its samples
to a file and says `done`. When its standard input ends, whoever started it is gone, and so is it.
"""

import gc
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path

import trio

from bench.cluster.connection import BadAnswer, Connections
from bench.cluster.delivery import Refusals, Signed, deliver
from bench.cluster.figures import UNREADABLE, percentile
from bench.cluster.opaque import bodies, deliver_opaque
from bench.cluster.pacing import Pacer
from bench.cluster.scenarios import Mode, Promise
from bench.cluster.shapes import ClosedLoop, OpenLoop, Share, timetable
from bench.cluster.signedbodies import read_bodies
from bench.cluster.signing import read_signed
from node.api.exchange import MSGPACK, Cluster
from node.api.opaque import OCTETS

_ANSWER_MS = 10_000
"""Beside the time that a node may wait for a certificate."""
_REPORT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What one load process does. `shape` is the whole load's, `share` this process's part of it.

    `timeout_ms` is how long a transaction may take to be certified; `seconds` how long load is offered.
    """

    urls: tuple[str, ...]
    shape: OpenLoop | ClosedLoop
    share: Share
    seconds: float
    timeout_ms: int
    transactions_file: str
    samples_file: str
    mode: Mode = Mode.HONEST
    chunk_transaction_bytes: int = 0
    """Of one transaction of a benchmark cluster; 0 in honest mode."""
    promise: Promise = Promise.CERTIFIED
    """What transactions of a benchmark cluster wait for; honest ones wait for the certificate."""

    @property
    def has_bodies(self) -> bool:
        """Whether requests are bodies of joined transactions, with one sample each."""
        return self.mode is not Mode.HONEST

    @property
    def body_bytes(self) -> int:
        """Of such a request."""
        return self.chunk_transaction_bytes * self.shape.per_request

    def to_json(self) -> str:
        """One line."""
        kind = "open" if isinstance(self.shape, OpenLoop) else "closed"
        chosen = {"kind": kind, "promise": self.promise.value, "mode": self.mode.value}
        return json.dumps(asdict(self) | chosen)

    @staticmethod
    def from_json(text: str) -> "LoadPlan":
        """The inverse of `to_json`."""
        fields = json.loads(text)
        kind = OpenLoop if fields.pop("kind") == "open" else ClosedLoop
        fields |= {"shape": kind(**fields["shape"]), "share": Share(**fields["share"])}
        fields |= {"promise": Promise(fields["promise"]), "mode": Mode(fields["mode"])}
        return LoadPlan(**(fields | {"urls": tuple(fields["urls"])}))


class _Loader:
    def __init__(self, plan: LoadPlan, begin_us: int, items: Iterator[Signed] | Iterator[bytes]) -> None:
        self._plan = plan
        self._begin_us = begin_us
        self._connections = Connections(OCTETS if plan.has_bodies else MSGPACK)
        self._refusals = Refusals()
        weight = plan.shape.per_request if plan.has_bodies else 1
        self._pacer: Pacer[Signed | bytes] = Pacer(self._deliver, items, plan.share, self._clock_us, weight)

    def _clock_us(self) -> int:
        return time.monotonic_ns() // 1000 - self._begin_us

    async def run(self) -> None:
        """Offer the load and report; ends when all is answered."""
        plan, pacer = self._plan, self._pacer
        items = 1 if plan.has_bodies else plan.shape.per_request
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report)
            match plan.shape:
                case OpenLoop() as shape:
                    in_flight = plan.share.of(shape.in_flight)
                    dues = timetable(shape, plan.share, plan.seconds)
                    await pacer.open_loop(dues, items, in_flight)
                case ClosedLoop() as shape:
                    lanes = plan.share.of(shape.outstanding // shape.per_request)
                    await pacer.closed_loop(lanes, items, int(plan.seconds * 1_000_000))
            nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await self._connections.aclose()

    def write(self) -> None:
        """The samples into their file, the rest into words."""
        pacer = self._pacer
        Path(self._plan.samples_file).write_bytes(pacer.samples.to_bytes())
        refusals = {str(code): count for code, count in sorted(self._refusals.by_code.items())}
        _say({"event": "done", "refusals": refusals, "ran_out": pacer.tally.ran_out})

    async def _deliver(self, number: int, batch: Sequence[Signed | bytes]) -> tuple[int, ...]:
        """Through the nodes in turns, beginning with another one each time."""
        urls = self._plan.urls
        first = number % len(urls)
        ordered = urls[first:] + urls[:first]
        cluster = Cluster(ordered, clock=_clock_ms, timeout_ms=_ANSWER_MS)
        plan, refusals = self._plan, self._refusals
        signed = [item for item in batch if isinstance(item, Signed)]
        try:
            if signed:
                return await self._connections.drive(deliver(cluster, signed, plan.timeout_ms, refusals))
            return tuple(
                [
                    await self._connections.drive(
                        deliver_opaque(
                            cluster,
                            body,
                            plan.chunk_transaction_bytes,
                            plan.timeout_ms,
                            refusals,
                            plan.promise,
                        )
                    )
                    for body in batch
                    if isinstance(body, bytes)
                ]
            )
        except BadAnswer:
            return (UNREADABLE,) * len(batch)

    async def _report(self) -> None:
        tally = self._pacer.tally
        while True:
            await trio.sleep(_REPORT_SECONDS)
            latencies = sorted(tally.latencies_us)
            tally.latencies_us.clear()
            p50, p99 = (percentile(latencies, share) / 1000 if latencies else None for share in (0.5, 0.99))
            line = {"event": "second", "sent": tally.sent, "certified": tally.certified}
            _say(line | {"p50_ms": p50, "p99_ms": p99})


def _clock_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _follow(standard_input: trio.lowlevel.FdStream) -> None:
    """End at once when nobody holds the other end any more."""
    while await standard_input.receive_some(4096):
        pass
    os._exit(1)


async def _run(loader: _Loader) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_follow, trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())))
        await loader.run()
        nursery.cancel_scope.cancel()


def _items(plan: LoadPlan) -> tuple[Iterator[Signed] | Iterator[bytes], int]:
    """What is sent, and how many transactions that is, 0 where it goes round."""
    match plan.mode:
        case Mode.OPAQUE:
            return bodies(plan.share.number, plan.body_bytes), 0
        case Mode.SIGNED:
            return cycle(read_bodies(Path(plan.transactions_file), plan.body_bytes)), 0
        case Mode.HONEST:
            signed = read_signed(Path(plan.transactions_file))
            return iter(signed), len(signed)


def main() -> None:
    """Read the plan, get ready, wait for the time, offer the load."""
    plan = LoadPlan.from_json(sys.stdin.readline())
    items, count = _items(plan)
    gc.freeze()  # the transactions stay until the end: looking at them again and again costs pauses
    _say({"event": "ready", "transactions": count})
    start = sys.stdin.readline()
    if start:
        loader = _Loader(plan, int(start), items)
        trio.run(_run, loader)
        loader.write()


if __name__ == "__main__":
    main()
