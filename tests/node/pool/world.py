"""A cluster of data planes in one thread: real pools, real signatures, a fake network, disk and agreement.

The network delivers in any order a seed chooses; the disk is a dictionary that survives a crash; agreement is
a list of blocks that the test proposes, checks and commits.
"""

from random import Random

from consensus import (
    Block,
    CommittedBlock,
    Digest,
    Epoch,
    Height,
    PayloadChecked,
    PayloadReady,
    PendingPayload,
    PublicKey,
    Round,
    SigningKey,
    Validator,
    ValidatorIndex,
    ValidatorSet,
    Verdict,
    as_bytes,
    as_tuple,
    decode,
    encode,
    root_certificate,
)
from node.ledger.transactions import Transaction
from node.pool.batches import Batch, BatchRules, verify_batch
from node.pool.config import PoolConfig
from node.pool.contents import parse_contents
from node.pool.effects import (
    Answer,
    BlockReady,
    Broadcast,
    ForgetBatches,
    Penalise,
    PersistBatch,
    PoolEffect,
    ReadBatch,
    Send,
    VerifyBatch,
    Wake,
)
from node.pool.messages import PoolMessage, decode_message, encode_message
from node.pool.payload import Payload, Reference
from node.pool.pool import BatchPool

CLUSTER = b"c" * 32
START_MS = 1_700_000_000_000
KEYS = [SigningKey(bytes([i + 1]) * 32) for i in range(7)]
CLIENT = SigningKey(b"client" + bytes(26))
ROOT = root_certificate(Epoch(0), Digest(b"r" * 32))
RULES = BatchRules(CLUSTER)
CONFIG = PoolConfig(RULES)


def validator_set(n: int = 4, weights: tuple[int, ...] | None = None) -> ValidatorSet:
    """`n` validators, of weight 1 unless said otherwise."""
    chosen = weights or (1,) * n
    return ValidatorSet(
        Epoch(0), tuple(Validator(KEYS[i].public_key, weight) for i, weight in enumerate(chosen))
    )


def transaction(
    number: int,
    *,
    size: int = 8,
    expires_at_ms: int = START_MS + 300_000,
    key: SigningKey = CLIENT,
    cluster_id: bytes = CLUSTER,
) -> Transaction:
    """A signed transaction; `number` makes it unique, `size` is that of its argument."""
    unique = number.to_bytes(16, "big")
    return Transaction.sign(key, cluster_id, unique, expires_at_ms, "records", "put", (bytes(size),))


def forged(number: int) -> bytes:
    """An encoded transaction with one wrong bit in its signature."""
    body, signed = as_tuple(decode(transaction(number).encoded), 2, "transaction")
    signature = as_bytes(signed, "signature")
    return encode((body, bytes((signature[0] ^ 1,)) + signature[1:]))


def batch(
    *transactions: Transaction,
    author: int = 0,
    created_ms: int = START_MS,
    lifetime_ms: int = 60_000,
    epoch: int = 0,
) -> Batch:
    """A batch as `author` would seal it."""
    return Batch.make(
        cluster_id=CLUSTER,
        author=ValidatorIndex(author),
        epoch=Epoch(epoch),
        created_ms=created_ms,
        expires_at_ms=created_ms + lifetime_ms,
        transactions=tuple(t.encoded for t in transactions),
    )


def block(payload: Payload | bytes, *, round: int = 1, author: int = 0, time_ms: int = START_MS) -> Block:
    """A block with this payload; its certificates do not matter to the data plane."""
    return Block.make(
        cluster_id=CLUSTER,
        epoch=Epoch(0),
        round=Round(round),
        qc=ROOT,
        tc=None,
        certified=None,
        payload=payload if isinstance(payload, bytes) else payload.encode(),
        author=ValidatorIndex(author),
        time_ms=time_ms,
    )


def naming(*batches: Batch) -> Payload:
    """A payload that references these."""
    return Payload(tuple(Reference(b.author, b.digest) for b in batches), ())


def committed(b: Block, height: int = 1) -> CommittedBlock:
    """`b`, committed at `height`."""
    return CommittedBlock(b, Height(height), b.has_payload)


class Node:
    """One pool with its disk, and what its effects amounted to."""

    def __init__(
        self,
        index: int,
        validators: ValidatorSet,
        config: PoolConfig = CONFIG,
        own_key: PublicKey | None = None,
    ) -> None:
        self.index = index
        self.key = KEYS[index].public_key
        self.config = config
        self.own_key = own_key
        self.validators = validators
        self.disk: dict[Digest, bytes] = {}
        self.history: list[tuple[Digest, int]] = []
        self.out: list[tuple[bytes | None, PoolMessage]] = []
        self.verdicts: list[PayloadChecked] = []
        self.payloads: list[bytes] = []
        self.pending: list[bool] = []
        self.ready: list[BlockReady] = []
        self.penalised: list[Penalise] = []
        self.verifying: list[bytes] = []
        self.reading: list[Digest] = []
        self.forgotten: list[Digest] = []
        self.wake_ms: int | None = None
        self.now_ms = START_MS
        self.hold_verification = False
        self.pool = BatchPool(config, validators, ValidatorIndex(index), own_key)

    def perform(self, effects: list[PoolEffect]) -> None:
        """Do what is asked, in order; verification and storage answer at once."""
        persisted: list[Digest] = []
        for effect in effects:
            if isinstance(effect, PersistBatch):
                self.disk[effect.digest] = effect.data
                persisted.append(effect.digest)
            elif isinstance(effect, Answer):
                self.note(effect)
            else:
                self.act(effect)
        if persisted:
            self.perform(self.pool.on_persisted(persisted, self.now_ms))
        self.settle()
        self.check_bounds()

    def note(self, answer: Answer) -> None:
        """What agreement was told."""
        match answer.event:
            case PayloadChecked():
                self.verdicts.append(answer.event)
            case PayloadReady(_, payload):
                self.payloads.append(payload)
            case PendingPayload(exists):
                self.pending.append(exists)

    def act(self, effect: PoolEffect) -> None:
        """Everything that is neither durable nor for agreement."""
        match effect:
            case Send(peer, message):
                self.out.append((peer, message))
            case Broadcast(message):
                self.out.append((None, message))
            case VerifyBatch(_, data):
                self.verifying.append(data)
            case ReadBatch(name):
                self.reading.append(name)
            case ForgetBatches(names):
                self.forgotten.extend(names)
                for name in names:
                    self.disk.pop(name, None)
            case BlockReady():
                self.ready.append(effect)
            case Penalise():
                self.penalised.append(effect)
            case Wake(delay_ms):
                self.wake_ms = self.now_ms + delay_ms

    def settle(self) -> None:
        """Answer verifications and reads, unless the test holds them back."""
        while self.verifying and not self.hold_verification:
            report = verify_batch(self.verifying.pop(0), self.config.batch)
            self.perform(self.pool.on_batch_verified(report, self.now_ms))
        while self.reading:
            name = self.reading.pop(0)
            self.perform(self.pool.on_read(name, self.disk.get(name), self.now_ms))

    def check_bounds(self) -> None:
        """Nothing ever exceeds its bound."""
        for name, current, bound in self.pool.limits():
            assert 0 <= current <= bound, (name, current, bound)

    def tick(self) -> None:
        """Let the timer go off if it is due."""
        if self.wake_ms is not None and self.wake_ms <= self.now_ms:
            self.wake_ms = None
            self.perform(self.pool.on_tick(self.now_ms))

    def receive(self, sender: int, message: PoolMessage) -> None:
        """A message over the link of validator `sender`, by way of its bytes."""
        again = decode_message(encode_message(message))
        self.perform(self.pool.on_message(KEYS[sender].public_key, again, self.now_ms))

    def submit(self, *transactions: Transaction) -> None:
        """Transactions of clients, admitted."""
        self.perform(self.pool.on_transactions(transactions, self.now_ms))

    def propose(
        self, *, round: int = 1, time_ms: int = START_MS, ancestors: tuple[Block, ...] = (), size: int = 2**20
    ) -> Block:
        """The block this node would propose."""
        self.perform(self.pool.on_request(Round(round), time_ms, ancestors, size, self.now_ms))
        return block(self.payloads[-1], round=round, author=self.index, time_ms=time_ms)

    def check(self, b: Block, ancestors: tuple[Block, ...] = ()) -> Verdict | None:
        """What this node says of `b` at once."""
        before = len(self.verdicts)
        self.perform(self.pool.on_check(b, ancestors, self.now_ms))
        return self.verdicts[-1].verdict if len(self.verdicts) > before else None

    def commit(self, *blocks: CommittedBlock) -> None:
        """These are committed."""
        for one in blocks:
            names = parse_contents(one.block, self.config).names()
            self.history += [(name, one.block.time_ms) for name in names]
        self.perform(self.pool.on_committed(blocks, self.now_ms))

    def execute_all(self) -> None:
        """Everything handed over so far is executed and flushed."""
        for item in self.ready:
            self.perform(self.pool.on_executed(item.block.block.id, self.now_ms))

    def restart(self) -> None:
        """kill -9 and start: memory is lost, the disk is not."""
        self.out, self.verifying, self.reading, self.wake_ms = [], [], [], None
        self.pool = BatchPool(self.config, self.validators, ValidatorIndex(self.index), self.own_key)
        self.perform(self.pool.recover(list(self.disk.values()), self.history, START_MS, self.now_ms))


class World:
    """`n` nodes, all connected; messages in flight are delivered by `deliver`, in an order of the seed."""

    def __init__(self, n: int = 4, *, seed: int = 0, config: PoolConfig = CONFIG) -> None:
        self.random = Random(seed)
        self.validators = validator_set(n)
        self.nodes = [Node(i, self.validators, config) for i in range(n)]
        self.flying: list[tuple[int, int, PoolMessage]] = []
        self.cut: dict[int, None] = {}
        for node in self.nodes:
            self.connect(node)

    def connect(self, node: Node) -> None:
        """Links of `node` to everybody come up, at both ends."""
        for other in self.nodes:
            if other is not node:
                other.perform(other.pool.on_peer_connected(node.key, other.now_ms))
                node.perform(node.pool.on_peer_connected(other.key, node.now_ms))
        self.collect()

    def collect(self) -> None:
        """What nodes sent flies."""
        for node in self.nodes:
            for peer, message in node.out:
                targets = [o.index for o in self.nodes if o is not node and peer in (None, o.key)]
                self.flying += [(node.index, target, message) for target in targets]
            node.out = []

    def deliver_one(self) -> None:
        """One message, any one, arrives; to and from nodes cut off it is lost."""
        sender, target, message = self.flying.pop(self.random.randrange(len(self.flying)))
        if sender not in self.cut and target not in self.cut:
            self.nodes[target].receive(sender, message)
        self.collect()

    def deliver(self) -> None:
        """Everything in flight arrives, and what that causes."""
        self.collect()
        while self.flying:
            self.deliver_one()

    def pass_time(self, delay_ms: int) -> None:
        """Time goes by everywhere; timers go off."""
        for node in self.nodes:
            node.now_ms += delay_ms
            node.tick()
        self.collect()
