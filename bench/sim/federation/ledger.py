"""The ledger of a simulated cluster: light clients, lanes and outbox as the shipped rules leave them.

It stands for what a validator's ledger does with federation transactions, in the same order: the light client
first, then each leaf. What is refused is counted by its code and changes nothing (F3).
"""

from collections.abc import Callable, Sequence
from hashlib import sha256

from bench.sim.federation import app
from bench.sim.federation.history import History
from bench.sim.federation.keyring import Keyring
from bench.sim.federation.outbox import Outbox
from bench.sim.federation.transactions import (
    Accuse,
    Anchored,
    Block,
    Deliver,
    Frozen,
    Handled,
    Happened,
    Reconfigure,
    Recover,
    Recovered,
    Sealed,
    Send,
    Sent,
    Serving,
    Told,
    Transaction,
    Watcher,
)
from consensus import CodecError, Digest, SignatureCache, encode
from node.anchoring.client import lightclient
from node.anchoring.client.lightclient import Corroboration, Update
from node.anchoring.client.state import ClientState
from node.anchoring.cluster.anchors import AnchorProof, ClientStatus
from node.anchoring.cluster.identity import ClusterIdentity
from node.anchoring.forks.evidence import ForkEvidence
from node.anchoring.forks.recovery import RecoveryCertificate
from node.anchoring.lanes import (
    Acknowledgement,
    AnchoredView,
    Arrival,
    Closing,
    CommonPrefix,
    Gap,
    Held,
    InboundBundle,
    Lane,
    LaneRefused,
    LaneState,
    Message,
    Mode,
    OwnBlock,
    Refusal,
    WriteSet,
    acknowledge,
    close,
    decode_leaf,
    deliver,
    heard_of,
    park,
    pass_over,
    progress_with,
    resume,
    send,
)
from node.anchoring.refusals import Refused
from node.proofs import ProofError, smt
from node.proofs.header import EMPTY_MAP_ROOT

_CACHE = 8192


class Ledger:
    """One branch of one cluster."""

    serving: Serving | None = None

    def __init__(self, history: History, watcher: Watcher) -> None:
        self.history = history
        self.watcher = watcher
        self.outbox = Outbox()
        self.clients: dict[bytes, ClientState] = {}
        self.anchored_ms: dict[bytes, int] = {}
        self.entries: dict[bytes, bytes] = {}
        self.refused: dict[str, int] = {}
        self.blocks: list[Block] = []
        self.cache = SignatureCache(_CACHE)
        self._anchors: dict[bytes, bytes] = {}
        self._said: list[tuple[bytes, bytes]] = []
        self._writes = sha256(history.cluster_id)
        self._state_root = Digest(self._writes.digest())
        self._outbox_root, self._anchors_root = Digest(EMPTY_MAP_ROOT), Digest(EMPTY_MAP_ROOT)
        self._block = OwnBlock(history.cluster_id, 0, 0, history.tip.time_ms)

    @property
    def cluster_id(self) -> Digest:
        """Whose ledger it is."""
        return self.history.cluster_id

    @property
    def now_ms(self) -> int:
        """The time of the newest block."""
        return self.history.tip.time_ms

    # --- the lowest state (a LaneState) ------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """The value under `key`."""
        return self.entries.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """Write."""
        self.entries[key] = value
        self._writes.update(encode((key, value)))

    def delete(self, key: bytes) -> None:
        """Remove."""
        self.entries.pop(key, None)
        self._writes.update(encode((key, None)))

    def say(self, destination: bytes, leaf: bytes) -> None:
        """Append to an outbox log when the block ends."""
        self._said.append((destination, leaf))

    # --- admission ---------------------------------------------------------------------------------

    def admit(self, identity: ClusterIdentity) -> None:
        """Federate with a cluster; before the first block."""
        client = lightclient.admit(lightclient.register(identity), Corroboration(is_approved=True))
        self._set_client(client)
        self.anchored_ms[client.cluster_id] = self.now_ms

    def _set_client(self, client: ClientState) -> None:
        self.clients[client.cluster_id] = client
        self._writes.update(client.encode())
        update = smt.update(_Nodes(self._anchors), [(client.cluster_id, client.anchor.encode())])
        for key, value in update.writes:
            if value is None:
                self._anchors.pop(key, None)
            else:
                self._anchors[key] = value
        self._anchors_root = Digest(update.root)

    # --- executing ---------------------------------------------------------------------------------

    def execute(self, block: Block) -> None:
        """Everything that a block does, and its header."""
        self.blocks.append(block)
        history = self.history
        self._block = OwnBlock(
            self.cluster_id, history.incarnation, history.height + 1, max(block.time_ms, self.now_ms + 1)
        )
        following: Keyring | None = None
        for transaction in block.transactions:
            if isinstance(transaction, Reconfigure):
                following = transaction.validators
            else:
                self._run(transaction)
        self._outbox_root = self.outbox.apply(self._said)
        self._said = []
        self._state_root = Digest(self._writes.digest())
        header = history.append(
            epoch=block.epoch,
            seal=encode((block.number, self.cluster_id, self._state_root)),
            time_ms=self._block.time_ms,
            roots=(self._state_root, self._outbox_root, self._anchors_root),
            signers=block.signers,
            next_set=following,
        )
        self.watcher(Sealed(header))

    def _run(self, transaction: Transaction) -> None:
        try:
            match transaction:
                case Send():
                    writes = WriteSet(self)
                    self._send(
                        writes,
                        transaction.destination,
                        transaction.mode,
                        transaction.payload,
                        transaction.lasting_ms,
                    )
                    writes.commit()
                case Deliver():
                    self._deliver(InboundBundle.decode(transaction.bundle))
                case Accuse():
                    self._accuse(transaction.subject, ForkEvidence.decode(transaction.evidence))
                case Recover():
                    self._recover(RecoveryCertificate.decode(transaction.certificate), transaction.prefix)
                case _:
                    return
        except LaneRefused as refused:
            self._count(refused.refusal.label)
        except CodecError:
            self._count("not-canonical")
        except Refused as refused:
            self._count(refused.code.value)
        except ProofError:
            self._count("proof-failed")

    def _count(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1

    def _tell(self, happened: Happened) -> None:
        self.watcher(happened)

    def _deliver(self, bundle: InboundBundle) -> None:
        client = self.clients.get(bundle.source)
        if client is None:
            self._count("unknown-cluster")
            return
        if bundle.update is not None:
            try:
                client = self._update(client, Update.decode(bundle.update))
            except Refused as refused:
                self.not_believed(client, refused)
                if bundle.log is None:
                    return
        for arrival in bundle.arrivals():
            try:
                self._take(self.view_of(client), arrival)
            except LaneRefused as refused:
                self._count(refused.refusal.label)

    def not_believed(self, client: ClientState, refused: Refused) -> None:
        """An update failed: it is counted, and nothing comes of it (F3)."""
        self._count(refused.code.value)

    def _update(self, client: ClientState, update: Update) -> ClientState:
        after = lightclient.update(client, update, self._block.time_ms, self.cache)
        self._set_client(after)
        self.anchored_ms[after.cluster_id] = self._block.time_ms
        self._tell(Anchored(client, after))
        return after

    def _accuse(self, subject: bytes, evidence: ForkEvidence) -> None:
        client = self.clients.get(subject)
        if client is None or client.status is ClientStatus.FROZEN:
            self._count("unknown-cluster" if client is None else "frozen-already")
            return
        after, _ = lightclient.freeze(client, evidence, self.cache)
        if after.status is ClientStatus.FROZEN:
            self.freeze(after)
        else:
            self._set_client(after)

    def freeze(self, client: ClientState) -> None:
        """Nothing moves with a frozen cluster."""
        self._set_client(client)
        park(self, client.cluster_id, client.incarnation)
        self._tell(Frozen(client))

    def _recover(self, certificate: RecoveryCertificate, prefix: bytes | None) -> None:
        subject = certificate.base.header.cluster_id
        client = self.clients[subject]
        heard = heard_of(self, subject)
        after = lightclient.recover(client, certificate, self._block.time_ms, self.cache)
        size, root = 0, None
        if prefix is not None and heard is not None:
            common = CommonPrefix.decode(prefix)
            common.verify(heard.size, heard.root, after.last.outbox_root, self.cluster_id)
            size, root = common.size, common.root
        resume(self, self.cluster_id, subject, after.incarnation, size, root)
        self._set_client(after)
        self._tell(Recovered(after))

    # --- lanes -------------------------------------------------------------------------------------

    def view_of(self, client: ClientState) -> AnchoredView:
        """A client as lanes see it."""
        tip = client.last
        return AnchoredView(
            client.cluster_id,
            client.incarnation,
            tip.height,
            tip.time_ms,
            tip.outbox_root,
            client.status is ClientStatus.ACTIVE,
        )

    def _send(
        self, state: LaneState, destination: bytes, mode: Mode, payload: bytes, lasting_ms: int
    ) -> Message:
        lane = Lane(self.cluster_id, destination, app.PORT, mode)
        if destination not in self.clients:
            raise LaneRefused(Refusal.CLIENT_NOT_ACTIVE, f"no client of cluster {destination.hex()[:8]}")
        view = self.view_of(self.clients[destination])
        deadline = max(self._block.time_ms, view.time_ms) + lasting_ms
        message = send(state, self._block, view, lane, payload, deadline, _anybody)
        state.put(_payload_key(message.hash), payload)
        app.on_sent(state, message)
        self._tell(Sent(message))
        return message

    def _take(self, view: AnchoredView, arrival: Arrival) -> None:
        writes = WriteSet(self)
        match decode_leaf(arrival.leaf):
            case Message():
                deliver(writes, self._block, view, arrival, app.admits, self._handler(view, arrival))
            case Acknowledgement():
                acknowledge(writes, self._block, view, arrival, self._callback)
            case Closing():
                close(writes, self._block, view, arrival, self._callback)
            case Gap():
                pass_over(writes, self._block, view, arrival)
        writes.commit()

    def _handler(self, view: AnchoredView, arrival: Arrival) -> Callable[[LaneState, Message], bytes]:
        depth = [0]

        def again(state: LaneState) -> None:
            if depth[0] < 3:
                try:
                    deliver(state, self._block, view, arrival, app.admits, run)
                except LaneRefused as refused:
                    self._count(refused.refusal.label)

        def run(state: LaneState, message: Message) -> bytes:
            depth[0] += 1
            self._tell(Handled(message))
            return app.handle(state, message, self._send, again)

        return run

    def _callback(self, state: LaneState, acknowledgement: Acknowledgement) -> None:
        self._tell(Told(acknowledgement))
        key = _payload_key(acknowledgement.message_hash)
        app.on_result(state, acknowledgement, state.get(key) or b"")
        state.delete(key)

    # --- what couriers ask -------------------------------------------------------------------------

    def held(self, subject: bytes) -> Held:
        """What is held of another cluster."""
        client = self.clients[subject]
        progress = progress_with(self, self.cluster_id, subject)
        return Held(
            client.incarnation,
            client.last.height,
            self.anchored_ms[subject],
            progress.received,
            progress.answered,
            progress.besides,
        )

    def prove_anchor(self, subject: bytes) -> AnchorProof:
        """What stands under our `anchors_root` of a cluster."""
        client = self.clients[subject]
        proof = smt.prove(_Nodes(self._anchors), subject)
        return AnchorProof(client.cluster_id, client.anchor.encode(), proof)

    def fork(self, watcher: Watcher) -> "Ledger":
        """A second branch from here on, with a state of its own."""
        other = Ledger(self.history.fork(self.history.height), watcher)
        other.clients, other.anchored_ms = dict(self.clients), dict(self.anchored_ms)
        other.entries, other.blocks = dict(self.entries), list(self.blocks)
        other.outbox = self.outbox.copy()
        other._anchors = dict(self._anchors)
        other._outbox_root, other._anchors_root = self._outbox_root, self._anchors_root
        other._writes = self._writes.copy()
        other._state_root = self._state_root
        return other

    def replayed(self, history: History, admitted: Sequence[ClusterIdentity]) -> "Ledger":
        """The same blocks executed again from the beginning by somebody who remembers nothing (I8)."""
        other = Ledger(history, _nobody)
        for identity in admitted:
            other.admit(identity)
        for block in self.blocks:
            other.execute(block)
        return other


class _Nodes:
    """The anchors map as a `smt.NodeReader`."""

    def __init__(self, nodes: dict[bytes, bytes]) -> None:
        self._nodes = nodes

    def get(self, key: bytes) -> bytes | None:
        return self._nodes.get(key)


def _payload_key(message_hash: bytes) -> bytes:
    return b"app/payload/" + message_hash


def _anybody(lane: Lane) -> bool:
    return True


def _nobody(happened: Happened) -> None:
    return
