"""A whole federation under one clock and one seed: it is hurt, left in peace, and asked what became of it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import cast

from bench.sim.clock import Clock
from bench.sim.federation.attacks import Forked, leak, spam
from bench.sim.federation.checkers import Checkers
from bench.sim.federation.cluster import AHEAD, BLOCK_MS, Cluster
from bench.sim.federation.courier import Courier
from bench.sim.federation.gossip import Gossip
from bench.sim.federation.history import History
from bench.sim.federation.keyring import START_MS
from bench.sim.federation.ledger import Ledger
from bench.sim.federation.roads import DELAY_MS, Roads
from bench.sim.federation.scenario import Fault, FederationScenario
from bench.sim.federation.shipped import ShippedLedger
from bench.sim.federation.workload import next_send
from bench.sim.violation import Violation

COURIER_MS = 1_000
"""How long until some validator of a cluster asks a peer again."""
FROZEN_WITHIN_MS = 2 * (2 * COURIER_MS + 2 * DELAY_MS[1] + AHEAD * BLOCK_MS)
"""I3 in calm weather and full mesh: a turn to see both histories or the evidence, another to submit, a block,
and that again for whoever is told by another."""
PEACE_MS = 240_000
_IDLE_HEARTBEATS = 3
_RECOVER_AFTER_MS = 10_000


@dataclass(slots=True)
class Outcome:
    """What became of a federation."""

    seed: int
    violation: Violation | None = None
    virtual_ms: int = 0
    events: int = 0
    headers: dict[str, int] = field(default_factory=dict)
    happened: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    results: dict[str, int] = field(default_factory=dict)
    struck: dict[str, int] = field(default_factory=dict)
    bundles: int = 0
    bundle_bytes: int = 0
    lies: int = 0
    evidence: int = 0
    frozen_after_ms: int | None = None
    """From the moment at which two peers held two histories to the last peer's freeze."""


class Federation:
    """The clusters, what lies between them, and what happens to them."""

    def __init__(self, scenario: FederationScenario) -> None:
        self.scenario = scenario
        self.clock = Clock(START_MS * 1000)
        self.chance = Random(f"federation-run/{scenario.seed}")
        self._clients = Random(f"federation-clients/{scenario.seed}")
        self.checkers = Checkers(self.clock)
        self.gossip = Gossip(self.checkers)
        self.roads = Roads(self.clock, self.chance, self.gossip, scenario.heartbeat_ms)
        self._bodies: dict[bytes, bytes] = {}
        self.clusters = [self._cluster(place) for place in range(scenario.clusters)]
        self.couriers: list[Courier] = []
        self.forked: Forked | None = None
        self.struck: dict[str, int] = {}
        self.frozen_ms: int | None = None
        self._is_peace = False
        self._is_quiet = False
        for i, j in scenario.pairs:
            self._join(self.clusters[i], self.clusters[j])

    def _cluster(self, place: int) -> Cluster:
        name = f"island-{place}"
        if self.scenario.is_shipped:
            # It shows the same face; what only a cluster that forks is asked for, it lacks.
            ledger = cast(Ledger, ShippedLedger(name, self.scenario.nodes, self._bodies, _unwatched))
        else:
            ledger = Ledger(History(name, self.scenario.nodes), _unwatched)
        self.checkers.watch(name, ledger)
        return Cluster(name, self.scenario.nodes, self.clock, ledger)

    def _join(self, one: Cluster, other: Cluster) -> None:
        for home, peer in ((one, other), (other, one)):
            home.main.ledger.admit(peer.identity)
            self.couriers += [Courier(self.roads, home, node, peer) for node in range(home.nodes)]

    def peers_of(self, cluster: Cluster) -> list[Cluster]:
        """Those it federates with."""
        ids = cluster.main.ledger.clients
        return [other for other in self.clusters if other.cluster_id in ids]

    # --- running -----------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """From the first block to the verdict."""
        outcome = Outcome(self.scenario.seed)
        try:
            self._play()
        except Violation as violation:
            outcome.violation = violation
        return self._told(outcome)

    def _play(self) -> None:
        scenario = self.scenario
        for number, courier in enumerate(self.couriers):
            turn_ms = COURIER_MS * courier.home.nodes
            self._every(turn_ms, courier.turn, first_ms=(number * 37 + courier.node * COURIER_MS) % turn_ms)
        for number, cluster in enumerate(self.clusters):
            self._every(scenario.heartbeat_ms, cluster.beat, first_ms=300 + 111 * number)
            self._every(COURIER_MS, partial(self.gossip.press, cluster), first_ms=17 * number)
            self._send_soon(cluster)
        self._every(COURIER_MS, self._mind_the_forked)
        for fault in scenario.faults:
            self.clock.after(fault.ms * 1000, partial(self._strike, fault))
        last = max((fault.ms + fault.lasting_ms for fault in scenario.faults), default=0)
        self._run_for(max(scenario.ms, last + 1_000))
        self._make_peace()
        for _ in range(PEACE_MS // COURIER_MS):
            if self._is_settled():
                break
            self._run_for(COURIER_MS)
        self._check_settled()
        self._check_idle()
        self.checkers.check_replay(scenario.nodes)

    def _run_for(self, ms: int) -> None:
        self.clock.run_until(self.clock.now_us + ms * 1000)

    def _every(self, ms: int, action: Callable[[], None], first_ms: int = 0) -> None:
        def again() -> None:
            action()
            self.clock.after(ms * 1000, again)

        self.clock.after(first_ms * 1000, again)

    def _send_soon(self, cluster: Cluster) -> None:
        def again() -> None:
            if self._is_peace:
                return
            peers = [peer.cluster_id for peer in self.peers_of(cluster)]
            everybody = [other.cluster_id for other in self.clusters if other is not cluster]
            sent = next_send(self._clients, peers, everybody)
            for line in cluster.lines:
                cluster.submit(sent, line)
                if self._clients.randrange(3) == 0:
                    sent = next_send(self._clients, peers, everybody)
            self._send_soon(cluster)

        self.clock.after(1000 * self._clients.randint(1, 2 * self.scenario.pace_ms), again)

    # --- faults ------------------------------------------------------------------------------------

    def _strike(self, fault: Fault) -> None:
        at, other = self.clusters[fault.at], self.clusters[fault.other]
        undo = self._struck(fault, at, other)
        if undo is not None:
            self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
            self.clock.after(fault.lasting_ms * 1000, undo)

    def _struck(self, fault: Fault, at: Cluster, other: Cluster) -> Callable[[], None] | None:
        """Do it; how it ends, None when it could not strike."""
        match fault.kind:
            case "couriers":
                nodes = [node for node in range(at.nodes) if self.chance.randrange(2)]
                return self._down(at, nodes)
            case "cluster-down":
                return self._down(at, list(range(at.nodes)))
            case "partition":
                pair = frozenset((at.cluster_id, other.cluster_id))
                self.roads.cut.add(pair)
                return lambda: self.roads.cut.discard(pair)
            case "loss":
                self.roads.loss_permille = 400
                return lambda: setattr(self.roads, "loss_permille", 0)
            case "liar":
                self.roads.lies[at.cluster_id, 0] = fault.detail
                return partial(self._honest_again, at)
            case "clock":
                at.skew_ms = int(fault.detail)
                return lambda: setattr(at, "skew_ms", 0)
            case "epoch":
                at.reconfigure()
                return at.reconfigure
            case "spam":
                spam(at, other, self.roads, self.chance)
                return lambda: spam(at, other, self.roads, self.chance)
            case "leaked-keys":
                is_corrupt = other.cluster_id in self.checkers.corrupt
                return _nothing if not is_corrupt and leak(at, other) else None
            case _:
                return self._fork(at, fault.detail)

    def _down(self, cluster: Cluster, nodes: list[int]) -> Callable[[], None]:
        for node in nodes:
            cluster.set_up(node, False)
        return partial(self._up, cluster, nodes)

    def _up(self, cluster: Cluster, nodes: list[int]) -> None:
        for node in nodes:
            cluster.set_up(node, True)

    def _honest_again(self, cluster: Cluster) -> None:
        self.roads.lies.pop((cluster.cluster_id, 0), None)

    def _fork(self, cluster: Cluster, how: str) -> Callable[[], None] | None:
        if self.forked is not None:
            return None
        self.forked = Forked(cluster, self.checkers, self.peers_of(cluster), how)
        return self.forked.flip if how == "flip" else _nothing

    @property
    def _now_ms(self) -> int:
        return self.clock.now_us // 1000

    def _mind_the_forked(self) -> None:
        forked = self.forked
        if forked is None:
            return
        forked.push()
        if self.frozen_ms is None:
            if forked.is_frozen_everywhere:
                self.frozen_ms = self._now_ms
        elif not forked.is_recovering:
            if self._now_ms - self.frozen_ms >= _RECOVER_AFTER_MS and all(forked.cluster.is_up):
                forked.recover(self.chance.randrange(2), self.gossip)
        else:
            forked.announce()

    # --- peace -------------------------------------------------------------------------------------

    def _make_peace(self) -> None:
        self._is_peace = True
        self.roads.cut.clear()
        self.roads.lies.clear()
        self.roads.loss_permille = 0
        for cluster in self.clusters:
            cluster.skew_ms = 0
            for node in range(cluster.nodes):
                cluster.set_up(node, True)

    @property
    def _is_undetected(self) -> bool:
        """A corrupt cluster that no two peers saw differently has deceived nobody yet."""
        forked = self.forked
        if forked is None or self.gossip.found:
            return False
        return len({forked.cluster.shows(peer.cluster_id) for peer in forked.peers}) == 1

    def _living(self) -> dict[bytes, Ledger]:
        corrupt = None if self.forked is None or self.forked.is_over else self.forked.cluster
        return {c.cluster_id: c.main.ledger for c in self.clusters if c is not corrupt}

    def _open(self) -> int:
        living = self._living()
        waiting = self.checkers.open_messages(living)
        return sum(1 for message in waiting if message.lane.destination in living)

    def _is_settled(self) -> bool:
        if self.forked is not None and not self.forked.is_over and not self._is_undetected:
            return False
        return not any(line.pool for c in self.clusters for line in c.lines) and not self._open()

    @property
    def _frozen_after_ms(self) -> int | None:
        if self.forked is None or self.frozen_ms is None:
            return None
        subject = self.forked.cluster.cluster_id
        began = self.checkers.split_ms.get(subject)
        return None if began is None else max(self.checkers.frozen_ms[subject].values()) - began

    def _check_settled(self) -> None:
        forked = self.forked
        if forked is not None and not self._is_undetected:
            if self.frozen_ms is None:
                raise Violation(
                    "I3", f"{forked.cluster.name} shows two histories, and not all have frozen it"
                )
            after_ms = self._frozen_after_ms
            is_calm = all(fault.kind == "fork" for fault in self.scenario.faults)
            if is_calm and after_ms is not None and after_ms > FROZEN_WITHIN_MS:
                raise Violation("I3", f"all froze it after {after_ms} ms, {FROZEN_WITHIN_MS} are enough")
            if not forked.is_over:
                raise Violation("liveness", f"{forked.cluster.name} did not recover everywhere")
        if self._open():
            raise Violation(
                "liveness", f"{self._open()} messages without outcome {PEACE_MS} ms after the faults"
            )

    def _check_idle(self) -> None:
        """F11: without messages each anchors each once a heartbeat, and nobody keeps anybody awake."""
        if self.forked is not None and not self.forked.is_over:
            return
        self._run_for(self.scenario.heartbeat_ms)
        before = [cluster.main.ledger.history.height for cluster in self.clusters]
        self._run_for(_IDLE_HEARTBEATS * self.scenario.heartbeat_ms)
        for cluster, height in zip(self.clusters, before, strict=True):
            made = cluster.main.ledger.history.height - height
            bound = (_IDLE_HEARTBEATS + 1) * (1 + 2 * len(self.peers_of(cluster)))
            if made > bound:
                raise Violation("idle", f"{cluster.name} made {made} headers while idle, {bound} are enough")

    def _told(self, outcome: Outcome) -> Outcome:
        outcome.virtual_ms = self._now_ms - START_MS
        outcome.events = self.clock.events
        outcome.happened = dict(sorted(self.checkers.counts.items()))
        outcome.struck = dict(sorted(self.struck.items()))
        outcome.bundles, outcome.bundle_bytes = self.roads.bundles, self.roads.bytes_carried
        outcome.lies, outcome.evidence = self.roads.lied, self.gossip.found
        outcome.frozen_after_ms = self._frozen_after_ms
        for cluster in self.clusters:
            ledger = cluster.main.ledger
            outcome.headers[cluster.name] = ledger.history.height
            for code, count in sorted(ledger.refused.items()):
                outcome.refused[code] = outcome.refused.get(code, 0) + count
        for known in self.checkers.branches.values():
            for heard in known[-1].told.values():
                name = heard.result.name
                outcome.results[name] = outcome.results.get(name, 0) + 1
        return outcome


def _unwatched(happened: object) -> None:
    return


def _nothing() -> None:
    return


def run(scenario: FederationScenario) -> Outcome:
    """Play a scenario."""
    return Federation(scenario).run()
