"""The named measurements, as data: which load, on which cluster, with which fault. The set is closed.

A scenario says what its figures mean, so that two runs of one name can be compared; the options of a command
change single values, and the figures then say which.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from bench.cluster.links import Links, Means
from bench.cluster.shapes import ClosedLoop, NoLoad, OpenLoop, Shape, per_request_for
from node.ledger.params import Benchmark

IN_FLIGHT = 512
OUTSTANDING = 2_000
_BULK = 50
CHUNK_TRANSACTION_BYTES = 512
"""Of one opaque transaction, as the HotStuff benchmarks have it, and of a signed one as well."""
CHUNK_TRANSACTIONS = 512
"""Transactions of a benchmark cluster in one request at a rate: what fills a batch of 256 KiB."""
OPAQUE_LOOP = ClosedLoop(24_576, 2_048)
OPAQUE_LARGE_CHUNK = 2_048
"""The same of large batches: at 60,000 tx/s what comes in 34 ms. The HotStuff benchmarks send every 50 ms."""
OPAQUE_LARGE_BATCH_BYTES = 1_048_576
OPAQUE_BATCH_BYTES = 524_288
"""Of a batch under a load that saturates: twice the usual size costs a quarter less CPU a transaction, and
there is no latency to lose."""

SIGNED_LOOP = ClosedLoop(8_192, 512)
"""What nodes verify in a second or so: more outstanding only waits."""

COMMIT_TARGET_MS = 0
"""limits.commit_target_ms of the nodes of every scenario: what is measured is what a cluster carries, so
nothing is held back for the sake of latency. `isthmus-bench hostile` measures with the default."""


class Mode(Enum):
    """What a transaction is; counted in each when the client has what was promised, the certified receipt.

    HONEST: signed by many clients, verified, executed, certified, on disk. SIGNED: bytes that many clients
    sign and every node verifies, on a benchmark cluster that executes nothing: beside HONEST it tells what
    execution costs, beside OPAQUE what signatures cost. OPAQUE: random bytes that nobody signs, verifies or
    executes, on a benchmark cluster that orders, certifies and stores them: the workload of the classic
    HotStuff benchmarks, which tells what agreement and the data plane carry, and nothing else.
    """

    HONEST = "honest"
    SIGNED = "signed"
    OPAQUE = "opaque"

    @property
    def is_signed(self) -> bool:
        """Whether clients sign transactions and every node verifies them."""
        return self is not Mode.OPAQUE

    @property
    def is_executed(self) -> bool:
        """Whether transactions are executed."""
        return self is Mode.HONEST

    @property
    def benchmark(self) -> Benchmark | None:
        """What the genesis of its clusters enables; None for a ledger."""
        return _BENCHMARK_OF[self]


_BENCHMARK_OF = {Mode.HONEST: None, Mode.SIGNED: Benchmark.SIGNED, Mode.OPAQUE: Benchmark.OPAQUE}


MODE_MARKS = {
    Mode.HONEST: "honest mode",
    Mode.SIGNED: "SIGNED, NOT EXECUTED: signatures are verified, nothing is executed",
    Mode.OPAQUE: "OPAQUE MODE: nothing is signed, verified or executed",
}
"""What stands beside every figure."""


class Promise(Enum):
    """What a client waits for, as the API names it, before a transaction counts.

    CERTIFIED: a receipt that a quorum signed for. COMMITTED: ordered for good and executed by the node that
    was asked, whose word alone it is: what other engines' benchmarks call committed, one exchange earlier.
    Figures of one are never compared with figures of the other.
    """

    CERTIFIED = "certified"
    COMMITTED = "committed"


PROMISE_MARKS = {Promise.CERTIFIED: (), Promise.COMMITTED: ("COMMITTED, not certified",)}
"""What stands beside every figure."""


class Fault(Enum):
    """What goes wrong in the middle of the measured window, until its end."""

    NONE = "none"
    CRASH_LEADER = "crash-leader"
    CRASH_F = "crash-f"
    SLOW_NODE = "slow-node"
    LOSSY_LINK = "lossy-link"

    @property
    def is_in_a_link(self) -> bool:
        """Whether there must be something in the path of all links from the start."""
        return self is Fault.LOSSY_LINK


FAULT_WORDS = {
    Fault.NONE: "nothing",
    Fault.CRASH_LEADER: "the leader of the moment is killed",
    Fault.CRASH_F: "as many nodes as the cluster tolerates are killed at once, the leader first",
    Fault.SLOW_NODE: "one node gets the processor for a quarter of the time (stopped 150 ms, runs 50 ms)",
    Fault.LOSSY_LINK: "one link stalls for 200 ms at random, a tenth of the time, as when packets are lost",
}
LOSS_WORDS = "one link loses one packet in twenty at random, both ways"
"""The lossy link between network namespaces."""
_UNASKED = Links(Means.PROXIES, "nobody asked for anything else")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named measurement. `idle_interval_ms` and `batch_bytes` are genesis parameters, None for the
    cluster's defaults; `payload_bytes` is added to a signed record of about 230 bytes, and is the whole of an
    transaction of the other modes."""

    name: str
    words: str
    shape: Shape
    nodes: int = 4
    seconds: float = 20.0
    warmup_seconds: float = 5.0
    clients: int = 64
    payload_bytes: int = 0
    fault: Fault = Fault.NONE
    links: Links = _UNASKED
    """By what means a fault in a link is done, where there is one."""
    mode: Mode = Mode.HONEST
    promise: Promise = Promise.CERTIFIED
    idle_interval_ms: int | None = None
    batch_bytes: int | None = None
    fsync: bool = True
    verification_certificates: bool = False
    changed: tuple[str, ...] = ()
    """The options that were set to other values than the name stands for, as `name=value`."""

    @property
    def label(self) -> str:
        """The name, and what is different: only runs of one label can be compared."""
        return " ".join((self.name, *self.changed))

    @property
    def means(self) -> Means | None:
        """By what means its links are made lossy; None of the faults that are in no link."""
        return self.links.means if self.fault.is_in_a_link else None

    @property
    def fault_words(self) -> str:
        """What goes wrong, for people."""
        return LOSS_WORDS if self.means is Means.NAMESPACES else FAULT_WORDS[self.fault]


def at_rate(rate: int, per_request: int | None = None, mode: Mode = Mode.HONEST) -> OpenLoop:
    """The open loop of a rate."""
    usual = per_request_for(rate) if mode is Mode.HONEST else min(per_request_for(rate), CHUNK_TRANSACTIONS)
    return OpenLoop(rate, per_request or usual, IN_FLIGHT)


def rate_name(rate: int, mode: Mode, promise: Promise = Promise.CERTIFIED) -> str:
    """What a scenario is called that is nothing but a rate."""
    if mode is Mode.HONEST:
        name = f"steady-{rate}"
    else:
        name = f"{mode.value}-{rate // 1_000}k" if rate % 1_000 == 0 else f"{mode.value}-{rate}"
    return name if promise is Promise.CERTIFIED else f"{name}-{promise.value}"


def _opaque(
    name: str,
    words: str,
    shape: Shape,
    batch_bytes: int | None = None,
    promise: Promise = Promise.CERTIFIED,
) -> Scenario:
    return Scenario(
        name,
        words,
        shape,
        clients=1,
        payload_bytes=CHUNK_TRANSACTION_BYTES,
        mode=Mode.OPAQUE,
        promise=promise,
        batch_bytes=batch_bytes,
    )


SCENARIOS: tuple[Scenario, ...] = (
    Scenario("saturate", "as much as the cluster takes", ClosedLoop(OUTSTANDING, _BULK)),
    Scenario("lone", "one client, one transaction at a time", ClosedLoop(1, 1), clients=1),
    Scenario("steady-100", "100 tx/s, one a request", at_rate(100)),
    Scenario("steady-800", "800 tx/s", at_rate(800)),
    Scenario("steady-3000", "3,000 tx/s", at_rate(3_000)),
    Scenario("large", "200 tx/s of 8 KiB", at_rate(200), payload_bytes=8_192),
    Scenario("leader-killed", "800 tx/s, and the leader dies", at_rate(800), fault=Fault.CRASH_LEADER),
    Scenario("f-killed", "7 nodes, 400 tx/s, and two die", at_rate(400), nodes=7, fault=Fault.CRASH_F),
    Scenario("slow-node", "400 tx/s with one slow node", at_rate(400), fault=Fault.SLOW_NODE),
    Scenario("lossy-link", "400 tx/s with one lossy link", at_rate(400), fault=Fault.LOSSY_LINK),
    Scenario("idle-rounds", "empty rounds as fast as they go", NoLoad(), idle_interval_ms=0),
    Scenario("idle", "nothing to do: what a quiet cluster costs", NoLoad()),
    _opaque(
        "opaque-saturate",
        "opaque bytes, as much as it takes, in batches of 512 KiB",
        OPAQUE_LOOP,
        OPAQUE_BATCH_BYTES,
    ),
    _opaque("opaque-60k", "opaque bytes, 60,000 tx/s", at_rate(60_000, mode=Mode.OPAQUE)),
    _opaque(
        "opaque-60k-large",
        "the same in requests of 2,048 and batches of 1 MiB: a fourth of the batches",
        OpenLoop(60_000, OPAQUE_LARGE_CHUNK, IN_FLIGHT),
        OPAQUE_LARGE_BATCH_BYTES,
    ),
    _opaque(
        "opaque-60k-committed",
        "the same to the commit alone, as other engines count: not certified",
        at_rate(60_000, mode=Mode.OPAQUE),
        promise=Promise.COMMITTED,
    ),
    Scenario(
        "signed-saturate",
        "bytes that are signed and verified and not executed, as much as it takes",
        SIGNED_LOOP,
        payload_bytes=CHUNK_TRANSACTION_BYTES,
        mode=Mode.SIGNED,
    ),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
DEFAULT = "saturate"
DEFAULT_OF = {Mode.HONEST: DEFAULT, Mode.SIGNED: "signed-saturate", Mode.OPAQUE: "opaque-saturate"}


def with_values(scenario: Scenario, values: Mapping[str, Any]) -> Scenario:
    """The scenario with other values, by field; None leaves one as it is. Its label tells what differs."""
    different = {
        name: value
        for name, value in values.items()
        if value is not None and value != getattr(scenario, name)
    }
    told = (
        f"{name}={value.value if isinstance(value, Fault) else value}" for name, value in different.items()
    )
    return replace(scenario, **different, changed=(*scenario.changed, *told))


def row_at(scenario: Scenario, rate: int, per_request: int | None = None) -> Scenario:
    """One of several rates of a scenario. It has the name of its rate where that says all; where the scenario
    stands for more than its load, the name stays and the rate is told beside it."""
    shape = at_rate(rate, per_request, scenario.mode)
    if scenario.name == DEFAULT:
        return replace(scenario, name=rate_name(rate, scenario.mode), shape=shape)
    return replace(scenario, shape=shape, changed=(*scenario.changed, f"rate={rate}"))
