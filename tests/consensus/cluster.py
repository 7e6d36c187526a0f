"""A whole cluster in one thread: real replicas, real signatures, virtual time, a disk that can be torn.

The driver here obeys effects.py to the letter: effects in order, a write becomes durable later, and what
follows it waits. Crashes lose what is not durable. Checkers watch every commit, every signature on the
wire and every certificate, and raise `Violation` at the first broken promise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from heapq import heappop, heappush
from random import Random

from consensus import (
    Block,
    Blocks,
    BlocksRequest,
    Broadcast,
    CancelTimer,
    Certified,
    ChainSynced,
    CheckPayload,
    Commit,
    CommittedBlock,
    Digest,
    Diverged,
    Effect,
    Epoch,
    Event,
    Evidence,
    FellBehind,
    GuardRecord,
    HeaderCertificate,
    HeaderComputed,
    HeaderSignature,
    Height,
    InvalidCertificate,
    KeepEvidence,
    Message,
    PayloadChecked,
    PayloadReady,
    PeerConnected,
    PeerError,
    Penalise,
    PendingPayload,
    Persist,
    Persisted,
    Proposal,
    QuorumCertificate,
    Received,
    RecoveredState,
    Replica,
    ReplicaConfig,
    RequestPayload,
    Round,
    SafetyRecord,
    SafetyRules,
    Send,
    SetTimer,
    SignatureCache,
    SigningKey,
    Started,
    StartKind,
    Timeout,
    TimeoutCertificate,
    Timer,
    TimerFired,
    TimerKind,
    Validator,
    ValidatorIndex,
    ValidatorSet,
    Verdict,
    Vote,
    admit,
    decode_message,
    encode_message,
    root_certificate,
    root_id,
)

NAMES = "abcdefghijklmnop"
START_MS = 1_000_000
CLUSTER_ID = sha256(b"a cluster for tests").digest()
ROOT = root_certificate(Epoch(0), root_id(CLUSTER_ID, 0, bytes(32)))


class Violation(AssertionError):
    """A checker saw a broken promise."""


def keys_of(count: int) -> list[SigningKey]:
    """The same keys every time."""
    return [SigningKey(sha256(b"key %d" % index).digest()) for index in range(count)]


def validators_of(keys: list[SigningKey], weights: list[int] | None = None) -> ValidatorSet:
    """Epoch 0 of these keys."""
    weights = weights or [1] * len(keys)
    members = (Validator(key.public_key, weight) for key, weight in zip(keys, weights, strict=True))
    return ValidatorSet(Epoch(0), tuple(members))


def config_of(**changes: object) -> ReplicaConfig:
    """The default bounds with short waits."""
    config = ReplicaConfig(CLUSTER_ID, idle_interval_ms=2_000, heartbeat_ms=10**9)
    return replace(config, **changes)  # type: ignore[arg-type]  # the dataclass checks what tests pass


@dataclass
class Disk:
    """What survives a crash."""

    record: SafetyRecord | None = None
    guard: GuardRecord | None = field(default_factory=lambda: GuardRecord.initial(Epoch(0)))
    proposals: dict[Digest, Proposal] = field(default_factory=dict)
    high_qc: QuorumCertificate | None = None
    high_tc: TimeoutCertificate | None = None
    certified: HeaderCertificate | None = None
    blocks: dict[Digest, Proposal] = field(default_factory=dict)  # the chain database
    roots: list[tuple[Block, HeaderCertificate, int]] = field(default_factory=list)

    def write(self, effect: Persist) -> None:
        """One journal record."""
        self.record = effect.record
        if effect.guard is not None:
            self.guard = effect.guard
        self.proposals.update((p.block.id, p) for p in effect.proposals)
        self.high_qc = effect.high_qc or self.high_qc
        self.high_tc = effect.high_tc or self.high_tc
        self.certified = effect.certified or self.certified


class Node:
    """One validator: a replica, its disk, a ledger that hashes, and a data plane that holds everything."""

    def __init__(self, cluster: "Cluster", index: int, key: SigningKey) -> None:
        self.cluster = cluster
        self.index = ValidatorIndex(index)
        self.name = NAMES[index]
        self.key = key
        self.peer = key.public_key
        self.disk = Disk()
        self.up = False
        self.life = 0
        self.clock_skew_ms = 0
        self.header_salt = b""
        self.unavailable: dict[bytes, bool] = {}
        self.verdicts: dict[bytes, Verdict] = {}
        self.awaited: list[Block] = []
        self.log: list[Digest] = [ROOT.block_id]
        self.certified: list[HeaderCertificate] = []
        self.evidence: list[Evidence] = []
        self.penalties: list[tuple[bytes, PeerError]] = []
        self.diverged: list[Diverged] = []
        self.replica: Replica

    def start(self) -> None:
        """Recover from the disk and take part."""
        disk, cluster = self.disk, self.cluster
        self.life += 1
        floor = admit(disk.record, disk.guard, Epoch(0))
        self.admitted = floor
        safety: SafetyRules | None = None
        if self.is_observer:
            pass
        elif floor.record is not None and floor.guard is not None:
            disk.record, disk.guard = floor.record, floor.guard
            safety = cluster.safety_factory(self.key, CLUSTER_ID, self.index, floor.record, floor.guard)
        elif floor.kind is not StartKind.NO_GUARD:
            raise Violation("no record to start from")
        root = disk.roots[-1] if disk.roots else None
        recovered = RecoveredState(
            root_certificate=ROOT,
            root_header_time_ms=START_MS if root is None else root[2],
            root=None if root is None else root[0],
            root_height=Height(0) if root is None else root[1].height,
            certified=None if root is None else root[1],
            proposals=tuple(disk.proposals.values()),
            high_qc=disk.high_qc,
            high_tc=disk.high_tc,
        )
        self.log = self.log[: self.log.index(root[0].id) + 1] if root else [ROOT.block_id]
        self.committed: dict[Digest, CommittedBlock] = {}
        self.pending_certificates: dict[Height, HeaderCertificate] = {}
        self.outgoing: list[Callable[[], None] | int] = []
        self.durable_seq = 0
        self.timers: dict[TimerKind, tuple[Timer, int]] = {}
        self.timer_uses = 0
        me = None if self.is_observer else self.index
        self.replica = cluster.replica_factory(cluster.config, cluster.validators, me, safety, recovered)
        self.up = True
        self.handle(Started())
        self.handle(PendingPayload(bool(cluster.open_payloads())))

    @property
    def is_observer(self) -> bool:
        """Whether this node has no key in the validator set (C18)."""
        return self.index >= len(self.cluster.validators)

    def crash(self) -> None:
        """Lose everything that is not on the disk."""
        self.up = False
        self.life += 1

    def handle(self, event: Event) -> None:
        """One step, and its effects."""
        if not self.up:
            return
        now_ms = self.cluster.now_ms + self.clock_skew_ms
        for effect in self.replica.step(event, now_ms):
            self.perform(effect)
        self._drain()

    def perform(self, effect: Effect) -> None:
        """The driver's duty (effects.py)."""
        cluster = self.cluster
        self._report(effect)
        match effect:
            case Persist(seq):
                self.outgoing.append(seq)
                cluster.on_persist(self, effect)
            case Send(peer, message):
                self.outgoing.append(lambda: cluster.send(self, peer, message))
            case Broadcast(message):
                self.outgoing.append(lambda: cluster.broadcast(self, message))
            case SetTimer(timer, delay_ms):
                self.timer_uses += 1
                self.timers[timer.kind] = (timer, self.timer_uses)
                cluster.after(delay_ms, self._fire(timer, self.timer_uses, self.life))
            case CancelTimer(timer):
                self.timers.pop(timer.kind, None)
            case RequestPayload():
                payload = cluster.payload_for(effect)
                self._soon(0, PayloadReady(effect.round, payload))
            case CheckPayload(block):
                self._check_payload(block)
            case Commit(blocks):
                self._commit(blocks)
            case Certified(certificate):
                self._certify(certificate)
            case FellBehind(certificate, _):
                cluster.after(20, lambda: self._catch_up(certificate))
            case _:
                pass  # reported

    def _check_payload(self, block: Block) -> None:
        verdict = self.verdicts.get(block.payload, Verdict.AVAILABLE)
        if self.unavailable.get(block.payload):
            verdict = Verdict.MISSING
            self.awaited.append(block)
        self._soon(0, PayloadChecked(block.id, verdict, None, verdict.name.lower()))

    def payload_arrives(self, payload: bytes) -> None:
        """What was missing was fetched: everything that waited for it is checked again."""
        self.unavailable.pop(payload, None)
        for block in [b for b in self.awaited if b.payload == payload]:
            self.awaited.remove(block)
            self._check_payload(block)

    def _report(self, effect: Effect) -> None:
        cluster = self.cluster
        match effect:
            case KeepEvidence(evidence):
                evidence.verify(CLUSTER_ID, cluster.validators)
                self.evidence.append(evidence)
                cluster.note(f"{self.name} evidence: {evidence.offence.name} by {NAMES[evidence.accused]}")
            case Penalise(peer, error):
                self.penalties.append((peer, error))
                cluster.note(f"{self.name} penalises {cluster.name_of(peer)}: {error.code}")
            case FellBehind(certificate, _):
                cluster.note(f"{self.name} fell behind: height {certificate.height}")
            case Diverged():
                self.diverged.append(effect)
                cluster.note(f"{self.name} diverged at height {effect.height}: {effect.detail}")
            case _:
                pass

    def _soon(self, delay_ms: int, event: Event) -> None:
        life = self.life
        self.cluster.after(delay_ms, lambda: self.handle(event) if life == self.life else None)

    def _fire(self, timer: Timer, use: int, life: int) -> Callable[[], None]:
        def fire() -> None:
            if self.life == life and self.timers.get(timer.kind) == (timer, use):
                del self.timers[timer.kind]
                if timer.kind in (TimerKind.ROUND, TimerKind.DEFERRED):
                    self.cluster.note(f"{self.name} timer: {timer.kind.name.lower()}")
                self.handle(TimerFired(timer))

        return fire

    def on_durable(self, effect: Persist, life: int) -> None:
        """The write reached the disk."""
        if life != self.life:
            return
        self.disk.write(effect)
        self.durable_seq = effect.seq
        self._drain()
        self.handle(Persisted(effect.seq))

    def _drain(self) -> None:
        """Send everything up to the first write that is not durable."""
        while self.outgoing:
            head = self.outgoing[0]
            if isinstance(head, int):
                if head > self.durable_seq and self.cluster.honours_barrier:
                    return
                self.outgoing.pop(0)
            else:
                self.outgoing.pop(0)
                head()

    # --- ledger and catch-up -------------------------------------------------------------------

    def _commit(self, blocks: tuple[CommittedBlock, ...]) -> None:
        cluster = self.cluster
        for committed in blocks:
            block = committed.block
            cluster.check_commit(self, block)
            self.committed[block.id] = committed
            known = self.replica.proposal(block.id)
            if known is None:
                raise Violation(f"{self.name} cannot store {cluster.label(block)} with its signature")
            self.disk.blocks[block.id] = known
            cluster.note(f"{self.name} commits {cluster.label(block)} height {committed.height}")
            if committed.yields_header:
                header_hash = self.header_hash(block)
                self._soon(cluster.execution_ms, HeaderComputed(committed.height, block.id, header_hash))
        for height in sorted(self.pending_certificates):
            self._certify(self.pending_certificates.pop(height))

    def header_hash(self, block: Block) -> Digest:
        """A ledger whose state is the last block."""
        return Digest(sha256(b"header" + self.header_salt + block.id).digest())

    def _certify(self, certificate: HeaderCertificate) -> None:
        certificate.verify(CLUSTER_ID, self.cluster.validators, self.cluster.cache)
        self.cluster.check_certificate(certificate)
        self.certified.append(certificate)
        committed = self.committed.get(certificate.block_id)
        if committed is None:
            self.pending_certificates[certificate.height] = certificate
            return
        if committed.height != certificate.height:
            raise Violation(f"height {committed.height} certified as {certificate.height}")
        self.cluster.note(f"{self.name} certified height {certificate.height}")
        if not self.disk.roots or self.disk.roots[-1][1].height < certificate.height:
            self.disk.roots.append((committed.block, certificate, committed.block.time_ms))

    def _catch_up(self, certificate: HeaderCertificate) -> None:
        """What the composition does: store and execute everything up to the certificate (C25)."""
        if not self.up or certificate.block_id in self.log:
            return
        donor = next((n for n in self.cluster.nodes if certificate.block_id in n.disk.blocks), None)
        if donor is None:
            return
        position = donor.log.index(certificate.block_id)
        self.log = donor.log[: position + 1]
        for block_id in self.log[1:]:
            self.disk.blocks[block_id] = donor.disk.blocks[block_id]
        block = donor.disk.blocks[certificate.block_id].block
        self.disk.roots.append((block, certificate, block.time_ms))
        self.cluster.note(f"{self.name} synced to height {certificate.height}")
        self.handle(ChainSynced(certificate, block, block.time_ms))

    def serve_from_storage(self, peer: bytes, request: BlocksRequest) -> None:
        """What the composition does for blocks that the tree no longer holds."""
        if self.replica.proposal(request.block_id) is None and request.block_id in self.disk.blocks:
            self.cluster.send(self, peer, Blocks((self.disk.blocks[request.block_id],)))


ReplicaFactory = Callable[
    [ReplicaConfig, ValidatorSet, ValidatorIndex | None, SafetyRules | None, RecoveredState], Replica
]
SafetyFactory = Callable[[SigningKey, bytes, ValidatorIndex, SafetyRecord, GuardRecord], SafetyRules]
Filter = Callable[[Node, Node, Message], bool]


class Cluster:
    """n nodes, one clock, one network, one set of checkers."""

    def __init__(
        self,
        count: int = 4,
        *,
        weights: list[int] | None = None,
        seed: int = 0,
        latency_ms: tuple[int, int] = (1, 1),
        drop_percent: int = 0,
        persist_ms: int = 1,
        execution_ms: int = 1,
        config: ReplicaConfig | None = None,
        replica_factory: ReplicaFactory = Replica,
        safety_factory: SafetyFactory = SafetyRules,
        honours_barrier: bool = True,
        checks_durability: bool = True,
    ) -> None:
        self.random = Random(seed)
        self.config = config or config_of()
        self.replica_factory = replica_factory
        self.safety_factory = safety_factory
        self.honours_barrier = honours_barrier
        self.checks_durability = checks_durability
        self.latency_ms = latency_ms
        self.drop_percent = drop_percent
        self.persist_ms = persist_ms
        self.execution_ms = execution_ms
        self.now_ms = START_MS
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._events = 0
        self.keys = keys_of(count)
        self.validators = validators_of(self.keys, weights)
        self.nodes = [Node(self, index, key) for index, key in enumerate(self.keys)]
        self.observers: list[Node] = []
        self.twins: dict[bytes, Node] = {}
        self._by_peer: dict[bytes, Node] = {node.peer: node for node in self.nodes}
        self.filter: Filter = lambda source, target, message: True
        self.trace: list[str] = []
        self.payloads: list[bytes] = []
        self.sent: dict[str, int] = {}
        self.cache = SignatureCache()
        self.committed_payloads: dict[bytes, int] = {}
        # what the checkers remember
        self.chain: list[Digest] = [ROOT.block_id]
        self._votes: dict[tuple[int, int], Digest] = {}
        self._timed_out: dict[int, Round] = {}
        self._headers: dict[tuple[int, int], Digest] = {}
        self._proposals: dict[tuple[int, int], Digest] = {}
        self._certified_rounds: dict[int, Digest] = {}
        self._certified_heights: dict[int, Digest] = {}
        self.byzantine: dict[int, bool] = {}

    def add_observer(self) -> Node:
        """One more node, without a key in the set: nothing is broadcast to it."""
        observer = Node(self, len(self.nodes), keys_of(len(self.nodes) + 1)[-1])
        self._by_peer[observer.peer] = observer
        self.observers.append(observer)
        return observer

    def add_twin(self, name: str) -> Node:
        """A second instance with the same key and its own state: together one Byzantine validator."""
        original = self.node(name)
        twin = Node(self, original.index, original.key)
        twin.name = name.upper()
        self.twins[twin.peer] = twin
        self.byzantine[int(twin.index)] = True
        return twin

    # --- time and network ----------------------------------------------------------------------

    def after(self, delay_ms: int, action: Callable[[], None]) -> None:
        """Run an action in virtual time."""
        self._events += 1
        heappush(self._queue, (self.now_ms + delay_ms, self._events, action))

    def start(self) -> "Cluster":
        """Start every node and connect all links."""
        for node in [*self.nodes, *self.observers, *self.twins.values()]:
            node.start()
        return self

    def run(self, duration_ms: int, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; whether `until` became true."""
        deadline = self.now_ms + duration_ms
        while self._queue and self._queue[0][0] <= deadline:
            self.now_ms, _, action = heappop(self._queue)
            action()
            if until is not None and until():
                return True
        self.now_ms = deadline
        return until is not None and until()

    def send(self, source: Node, peer: bytes, message: Message) -> None:
        """Put a message on a link, as bytes."""
        for target in (self._by_peer.get(peer), self.twins.get(peer)):
            if target is not None and target.peer != source.peer:
                self._send_to(source, target, message)

    def _send_to(self, source: Node, target: Node, message: Message) -> None:
        self.sent[type(message).__name__] = self.sent.get(type(message).__name__, 0) + 1
        if not self.byzantine.get(source.index):
            self.check_message(source, message)
        if not self.filter(source, target, message) or self.random.randrange(100) < self.drop_percent:
            return
        data = encode_message(message)
        self.after(self.random.randint(*self.latency_ms), lambda: self.deliver(source, target, data))

    def broadcast(self, source: Node, message: Message) -> None:
        """To all other validators."""
        self.note_message(source, message)
        for target in self.nodes:
            if target is not source:
                self.send(source, target.peer, message)

    def deliver(self, source: Node, target: Node, data: bytes) -> None:
        """Bytes become types at the door."""
        if not target.up:
            return
        message = decode_message(data)
        target.handle(Received(source.peer, message))
        if isinstance(message, BlocksRequest) and target.up:
            target.serve_from_storage(source.peer, message)

    def on_persist(self, node: Node, effect: Persist) -> None:
        """Start a journal write."""
        life = node.life
        self.after(self.persist_ms, lambda: node.on_durable(effect, life))

    def crash(self, *names: str) -> None:
        """Crash these nodes."""
        for name in names:
            self.node(name).crash()

    def restart(self, *names: str) -> None:
        """Restart these nodes and bring their links up."""
        for name in names:
            self.node(name).start()
        for name in names:
            for other in self.nodes:
                if other.up and other.name != name:
                    other.handle(PeerConnected(self.node(name).peer))
                    self.node(name).handle(PeerConnected(other.peer))

    def partition(self, *groups: str) -> None:
        """Only nodes of one group hear each other."""
        self.filter = lambda source, target, message: any(
            source.name in group and target.name in group for group in groups
        )

    def heal(self) -> None:
        """Everybody hears everybody."""
        self.filter = lambda source, target, message: True

    # --- payload -------------------------------------------------------------------------------

    def submit(self, payload: bytes) -> None:
        """A client's payload reaches all data planes."""
        self.payloads.append(payload)
        for node in [*self.nodes, *self.twins.values()]:
            node.handle(PendingPayload(True))

    def _tell_pending(self) -> None:
        for node in self.nodes:
            node.handle(PendingPayload(bool(self.open_payloads())))

    def open_payloads(self) -> list[bytes]:
        """What is not committed by anybody yet."""
        return [payload for payload in self.payloads if payload not in self.committed_payloads]

    def payload_for(self, request: RequestPayload) -> bytes:
        """The first payload that is neither committed nor in the ancestry."""
        taken = [block.payload for block in request.ancestors]
        return next((payload for payload in self.open_payloads() if payload not in taken), b"")

    # --- checkers ------------------------------------------------------------------------------

    def check_commit(self, node: Node, block: Block) -> None:
        """One chain, in order, each block once (lemma: commit prefix)."""
        position = len(node.log)
        if block.parent_id != node.log[-1]:
            raise Violation(f"{node.name} commits round {block.round} out of order")
        if position == len(self.chain):
            self.chain.append(block.id)
            if block.has_payload:
                if block.payload in self.committed_payloads:
                    raise Violation("a payload is committed twice")
                self.committed_payloads[block.payload] = position
                if not self.open_payloads():
                    self.after(0, self._tell_pending)
        elif self.chain[position] != block.id:
            raise Violation(f"{node.name} commits another block at position {position}")
        node.log.append(block.id)

    def check_certificate(self, certificate: HeaderCertificate) -> None:
        """One certified header a height."""
        known = self._certified_heights.setdefault(certificate.height, certificate.header_hash)
        if known != certificate.header_hash:
            raise Violation(f"two headers certified at height {certificate.height}")

    def check_qc(self, qc: QuorumCertificate) -> None:
        """One certified block a round, and certificates that everybody believes."""
        try:
            qc.verify(CLUSTER_ID, self.validators, self.cache, ROOT.block_id)
        except InvalidCertificate as error:
            raise Violation(f"a certificate that is none: {error}") from error
        known = self._certified_rounds.setdefault(qc.round, qc.block_id)
        if known != qc.block_id:
            raise Violation(f"two blocks certified in round {qc.round}")

    def check_message(self, node: Node, message: Message) -> None:
        """Nobody signs twice, and nothing signed leaves before it is durable."""
        match message:
            case Vote():
                key = (int(node.index), int(message.round))
                if key not in self._votes and self._timed_out.get(node.index, 0) >= message.round:
                    raise Violation(f"{node.name} voted in round {message.round} after giving it up")
                self._once(self._votes, key, message.block_id, "votes")
                self._check_durable(node, message, "vote")
            case Timeout():
                self.check_qc(message.hqc)
                self._timed_out[node.index] = max(message.round, self._timed_out.get(node.index, Round(0)))
                self._check_durable(node, message, "timeout")
            case HeaderSignature():
                self._once(self._headers, (node.index, message.height), message.header_hash, "headers")
            case Proposal(block):
                self.check_qc(block.qc)
                key = (int(block.author), int(block.round))
                if block.author == node.index:
                    self._once(self._proposals, key, block.id, "proposals")
            case _:
                pass

    def _check_durable(self, node: Node, message: Vote | Timeout, what: str) -> None:
        record = node.disk.record
        if self.checks_durability and (record is None or record.last_voted_round < message.round):
            raise Violation(f"{node.name}'s {what} of round {message.round} left before it was durable")

    def _once(
        self, seen: dict[tuple[int, int], Digest], key: tuple[int, int], value: Digest, what: str
    ) -> None:
        if seen.setdefault((int(key[0]), int(key[1])), value) != value:
            raise Violation(f"{NAMES[key[0]]} signed two {what} of {key[1]}")

    # --- looking -------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        """A node by its letter."""
        return self.nodes[NAMES.index(name)]

    def name_of(self, peer: bytes) -> str:
        """The letter of a key."""
        node = self._by_peer.get(peer)
        return "?" if node is None else node.name

    def label(self, block: Block) -> str:
        """A block in a trace: round, author, payload."""
        payload = "" if not block.has_payload else f"[{block.payload.decode()}]"
        return f"{NAMES[block.author]}{block.round}{payload}"

    def heights(self) -> list[int]:
        """Committed heights of the nodes that are up."""
        return [node.replica.view().committed_height for node in self.nodes if node.up]

    def note(self, line: str) -> None:
        """A line of the trace: virtual milliseconds since the start, node, what happened."""
        self.trace.append(f"{self.now_ms - START_MS} {line}")

    def note_message(self, node: Node, message: Message) -> None:
        """A broadcast in the trace."""
        match message:
            case Proposal(block):
                tc = "" if block.tc is None else f" tc {block.tc.round}"
                self.note(f"{node.name} proposes {self.label(block)} on round {block.qc.round}{tc}")
            case Vote():
                self.note(f"{node.name} votes in round {message.round}")
            case Timeout():
                why = message.reason.name.lower().replace("_", " ")
                self.note(f"{node.name} times out round {message.round}, hqc {message.hqc_round}: {why}")
            case HeaderSignature():
                self.note(f"{node.name} signs header {message.height}")
            case _:
                pass
